"""Averages of losses over steps and ranks."""

from __future__ import annotations

import torch
from torch import Tensor

from .distributed import Ranks


class Meter:
    """Sums of scalars that stay on the device until somebody looks."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, name: str, value: Tensor | float) -> None:
        """Add one scalar (a tensor is averaged over its elements) to the mean of `name`."""
        if isinstance(value, Tensor):
            scalar = value.detach().to(torch.float64).mean()
        else:
            scalar = torch.tensor(value, dtype=torch.float64, device=self._device)
        self._sums[name] = self._sums[name] + scalar if name in self._sums else scalar
        self._counts[name] = self._counts.get(name, 0) + 1

    def drain(self, ranks: Ranks) -> dict[str, float]:
        """Means since the last call, over all ranks; every rank adds the same names."""
        names = sorted(self._sums)
        if not names:
            return {}
        means = torch.stack([self._sums[name] / self._counts[name] for name in names])
        ranks.sum_(means).div_(ranks.world)
        self._sums.clear()
        self._counts.clear()
        return dict(zip(names, means.tolist(), strict=True))
