"""What the loop asks of a system of networks under training."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor, nn

from .report import Meter
from .snapshot import ModelFile


class System(Protocol):
    """Networks, optimizers and one step; everything random is a function of the step's number."""

    @property
    def meter(self) -> Meter:
        """Averages of losses since the last look."""
        ...

    @property
    def g(self) -> nn.Module:
        """The network under training."""
        ...

    @property
    def d(self) -> nn.Module:
        """Its discriminator."""
        ...

    @property
    def ema(self) -> nn.Module:
        """The averaged network."""
        ...

    def step(self, step: int) -> None:
        """Take one step: every phase that is due, then the weight average."""
        ...

    def state(self) -> dict[str, Tensor]:
        """All tensors that continue the run, by name."""
        ...

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Continue from `state`'s tensors.

        Raises:
            InputError: they belong to other networks.
        """
        ...

    def model(self, training: dict[str, Any]) -> ModelFile:
        """The averaged model as it is published."""
        ...

    def grid(self) -> tuple[Tensor, int]:
        """Fixed-seed samples [N, 3, H, W] in -1..1, and the columns to show them in."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Metrics for the log at a snapshot."""
        ...
