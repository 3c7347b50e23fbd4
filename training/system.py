"""What the loop asks of networks under training, and what every pair of adversaries shares."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import InputError
from . import losses, optim
from .config import RunConfig
from .distributed import Ranks
from .ema import ema_beta, update_ema
from .meter import Meter
from .snapshot import ModelFile


class System(ABC):
    """Networks, optimizers and one step; everything random is a function of the step's number.

    Args:
        config: learning rates, weight average, precision and memory format.
        ranks: this process among the run's.
        g: the network under training, on the CPU.
        d: its discriminator, on the CPU.
        betas: of both networks' Adam.
        g_interval: steps between steps of g's regulariser, where it takes steps of its own.
        d_interval: the same for d.

    Attributes:
        g, d: the arguments, on the device.
        ema: the average of g.
        meter: averages of losses since the last look.
    """

    def __init__(
        self,
        config: RunConfig,
        ranks: Ranks,
        g: nn.Module,
        d: nn.Module,
        *,
        betas: tuple[float, float],
        g_interval: int | None = None,
        d_interval: int | None = None,
    ) -> None:
        self.config = config
        self.ranks = ranks
        self.meter = Meter(ranks.device)
        self.g, self.d = g.train(), d.train()
        for module in (self.g, self.d):
            _place(module, ranks.device, config.channels_last)
        self.ema = copy.deepcopy(self.g).eval().requires_grad_(False)
        lr_d = config.lr if config.lr_d is None else config.lr_d
        self._opt_g = optim.adam(self.g, *losses.lazy_adam(config.lr, betas, g_interval))
        self._opt_d = optim.adam(self.d, *losses.lazy_adam(lr_d, betas, d_interval))

    @abstractmethod
    def step(self, step: int) -> None:
        """Take one step: every phase that is due, then the weight average."""

    @abstractmethod
    def model(self, training: dict[str, Any]) -> ModelFile:
        """The averaged model as it is published."""

    @abstractmethod
    def grid(self) -> tuple[Tensor, int]:
        """Fixed-seed samples [N, 3, H, W] in -1..1, and the columns to show them in."""

    @abstractmethod
    def evaluate(self) -> dict[str, float]:
        """Metrics for the log at a snapshot."""

    def state(self) -> dict[str, Tensor]:
        """All tensors that continue the run, by name."""
        tensors = {
            f"{prefix}.{name}": tensor
            for prefix, module in self._networks().items()
            for name, tensor in module.state_dict().items()
        }
        tensors |= optim.state_tensors(self._opt_g, self.g, "opt_g")
        tensors |= optim.state_tensors(self._opt_d, self.d, "opt_d")
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
        for prefix, module in self._networks().items():
            own = {name: tensors[f"{prefix}.{name}"] for name in module.state_dict()}
            module.load_state_dict(own)
        optim.load_state_tensors(self._opt_g, self.g, "opt_g", tensors)
        optim.load_state_tensors(self._opt_d, self.d, "opt_d", tensors)

    def _networks(self) -> dict[str, nn.Module]:
        """Networks by their prefix in the state."""
        return {"G": self.g, "D": self.d, "EMA": self.ema}

    def _average(self, step: int) -> None:
        """Move the averaged network towards g, after step number `step`."""
        config = self.config
        seen = step * config.batch
        beta = ema_beta(config.batch, config.ema_kimg, seen, config.ema_rampup)
        update_ema(self.ema, self.g, beta)

    def _autocast(self) -> torch.autocast:
        on = self.config.amp == "bf16"
        return torch.autocast(self.ranks.device.type, dtype=torch.bfloat16, enabled=on)


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
