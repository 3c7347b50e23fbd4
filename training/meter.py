"""Averages of losses, and histograms of logits, over steps and ranks."""

from __future__ import annotations

import torch
from torch import Tensor

from .distributed import Ranks

RANGE = 10.0
"""Histograms span -RANGE..RANGE; what lies beyond counts in the outermost bins."""
BINS = 40


class Meter:
    """Sums and counts that stay on the device until somebody looks."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._histograms: dict[str, Tensor] = {}

    def add(self, name: str, value: Tensor | float) -> None:
        """Add one scalar (a tensor is averaged over its elements) to the mean of `name`."""
        if isinstance(value, Tensor):
            scalar = value.detach().to(torch.float64).mean()
        else:
            scalar = torch.tensor(value, dtype=torch.float64, device=self._device)
        self._sums[name] = self._sums[name] + scalar if name in self._sums else scalar
        self._counts[name] = self._counts.get(name, 0) + 1

    def add_distribution(self, name: str, values: Tensor) -> None:
        """Add numbers of any shape to the mean and to the histogram of `name`."""
        self.add(name, values)
        clamped = values.detach().float().nan_to_num().clamp(-RANGE, RANGE)
        counts = torch.histc(clamped, BINS, -RANGE, RANGE).to(torch.float64)
        before = self._histograms.get(name)
        self._histograms[name] = counts if before is None else before + counts

    def drain_histograms(self, ranks: Ranks) -> dict[str, list[int]]:
        """Counts in `BINS` equal bins since the last call, over all ranks."""
        names = sorted(self._histograms)
        if not names:
            return {}
        counts = ranks.sum_(torch.stack([self._histograms[name] for name in names]))
        self._histograms.clear()
        return {name: row.long().tolist() for name, row in zip(names, counts, strict=True)}

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
