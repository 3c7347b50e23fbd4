"""What the loop asks of networks under training, and what all of them share."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ..core import checkpoints
from ..core.checkpoints.convert import module_of
from ..core.errors import InputError
from . import optim
from .config import RunConfig
from .distributed import Ranks
from .ema import ema_beta, update_ema
from .feed import Feed, to_float
from .meter import Meter
from .recompute import checkpoint_blocks
from .regularisers import lazy_adam
from .report import Headline
from .snapshot import ModelFile

_GRID_PIXELS = 2048
_PIXELS_AT_ONCE = 32 * 256**2


@dataclass(frozen=True)
class Trained:
    """A network under training and the settings of its Adam.

    Attributes:
        module: the network, on the CPU.
        lr: learning rate.
        betas: decays of Adam's moments.
        interval: steps between steps of a regulariser, where it takes steps of its own.
    """

    module: nn.Module
    lr: float
    betas: tuple[float, float]
    interval: int | None = None


class System(ABC):
    """Networks, optimizers and one step; everything random is a function of the step's number.

    Args:
        config: learning rates, weight average, precision and memory format.
        feed: the real images.
        ranks: this process among the run's.
        networks: under training, by name; their modules are moved to the device.
        averages: names of averaged networks, with the names of those whose weights they average.

    Attributes:
        headline: the number by which snapshots are compared, where it is measured.
        grid_shows, grid_rows: what `grid` shows, and each of its rows if they differ.
        networks, averages: modules by name.
        meter: averages of losses since the last look.
    """

    headline: ClassVar[Headline] = Headline("swd_mean", higher_is_better=False)
    grid_shows: str = "Samples of the averaged generator, from the same z at every snapshot."
    grid_rows: Sequence[str] = ()

    def __init__(
        self,
        config: RunConfig,
        feed: Feed,
        ranks: Ranks,
        networks: Mapping[str, Trained],
        averages: Mapping[str, str],
    ) -> None:
        self.config = config
        self.feed = feed
        self.ranks = ranks
        self.meter = Meter(ranks.device)
        self.networks: dict[str, nn.Module] = {}
        self._optimizers: dict[str, torch.optim.Adam] = {}
        for name, trained in networks.items():
            module = trained.module.train()
            _place(module, ranks.device, config.channels_last)
            settings = lazy_adam(trained.lr, trained.betas, trained.interval)
            self.networks[name] = module
            self._optimizers[name] = optim.adam(module, *settings)
        self._sources = dict(averages)
        self.averages = {
            name: copy.deepcopy(self.networks[source]).eval().requires_grad_(False)
            for name, source in averages.items()
        }
        if config.checkpoint_activations:
            checkpoint_blocks(self.networks)

    @abstractmethod
    def step(self, step: int) -> None:
        """Take one step: every phase that is due, then the weight average."""

    @abstractmethod
    def model(self, training: dict[str, Any]) -> ModelFile:
        """The averaged model as it is published."""

    @abstractmethod
    def grid(self) -> tuple[Tensor, int]:
        """Fixed-seed samples [N, C, H, W] in -1..1, and the columns to show them in."""

    def evaluate(self) -> dict[str, float]:
        """Numbers of the system's own for the log at a snapshot; the same on every rank."""
        return {}

    def samples(self, sample: np.ndarray) -> Tensor | None:
        """Samples of the averaged model, by number: [N, C, H, W] in -1..1.

        None for systems that draw no samples of the data, such as restorers.
        """
        return None

    def weights_of(self, path: Path) -> dict[str, dict[str, Tensor]]:
        """State dicts in a model file, by the networks and averages that `init` starts from them.

        Raises:
            InputError: the file does not load.
        """
        state = module_of(checkpoints.load(path)).state_dict()
        return {"G": state, "EMA": state}

    def update(self, name: str) -> None:
        """Average a network's gradients over ranks, take one step of its Adam, forget them."""
        optim.step(self._optimizers[name], self.networks[name], self.ranks)

    def average(self, step: int) -> None:
        """Move the averaged networks towards their sources, after step number `step`."""
        config = self.config
        seen = step * config.batch
        beta = ema_beta(config.batch, config.ema_kimg, seen, config.ema_rampup)
        for name, source in self._sources.items():
            update_ema(self.averages[name], self.networks[source], beta)

    def autocast(self) -> torch.autocast:
        """bf16 for the convolutions, where the settings ask for it."""
        on = self.config.amp == "bf16"
        return torch.autocast(self.ranks.device.type, dtype=torch.bfloat16, enabled=on)

    def reals(self, images: Tensor) -> Tensor:
        """uint8 0..255 [N, C, H, W] -> float32 -1..1, on the device, in the memory format."""
        return to_float(images, self.ranks.device, self.config.channels_last)

    def state(self) -> dict[str, Tensor]:
        """All tensors that continue the run, by name."""
        tensors = {
            f"{prefix}.{name}": tensor
            for prefix, module in (self.networks | self.averages).items()
            for name, tensor in module.state_dict().items()
        }
        for name, module in self.networks.items():
            prefix = f"opt_{name.lower()}"
            tensors |= optim.state_tensors(self._optimizers[name], module, prefix)
        return tensors

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Continue from `state`'s tensors.

        Raises:
            InputError: they belong to other networks.
        """
        try:
            self._load_tensors(tensors)
        except (KeyError, RuntimeError) as error:
            raise InputError(
                f"train: the state belongs to other networks ({str(error).splitlines()[0][:200]})"
            ) from error

    def _load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """`load_state`; KeyError or RuntimeError where tensors are missing or do not fit."""
        for prefix, module in (self.networks | self.averages).items():
            own = {name: tensors[f"{prefix}.{name}"] for name in module.state_dict()}
            module.load_state_dict(own)
        for name, module in self.networks.items():
            prefix = f"opt_{name.lower()}"
            optim.load_state_tensors(self._optimizers[name], module, prefix, tensors)


def grid_side(resolution: int, most: int = 8) -> int:
    """Rows or columns of a grid of samples: `most`, fewer where it would pass 2048 px."""
    return max(2, min(most, _GRID_PIXELS // resolution))


def drawn_at_once(resolution: int) -> int:
    """Images drawn at once for grids and metrics, so that memory stays below a step's."""
    return max(1, min(32, _PIXELS_AT_ONCE // resolution**2))


@contextmanager
def initial_weights(seed: int) -> Iterator[None]:
    """Draw initial weights on the CPU from a seed, and leave the process's random state alone."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _place(module: nn.Module, device: torch.device, channels_last: bool) -> None:
    """Move a module to its device and its convolutions' weights to the memory format, in place."""
    module.to(device)
    if channels_last:
        for parameter in module.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
