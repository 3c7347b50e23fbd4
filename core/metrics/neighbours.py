"""Fidelity and variety apart from each other, by nearest neighbours among features.

Sources: Kynkaanniemi et al. 2019, "Improved precision and recall metric for assessing generative
models" (k = 3); Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative models"
(density and coverage, k = 5).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .distances import ROUNDING, squared_distances
from .statistics import check_features

K_PRECISION = 3
K_DENSITY = 5
_ROWS = 256


class Neighbourhoods(NamedTuple):
    """What nearest neighbours say of a set of images.

    Attributes:
        precision: part of the fake images that lie among the real ones.
        recall: part of the real images that lie among the fake ones.
        density: mean number of real neighbourhoods around a fake image, over k; near 1 for equal
            sets and not limited by it.
        coverage: part of the real images that have a fake one in their neighbourhood.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def _radii(x: Tensor, *ks: int) -> list[Tensor]:
    """Squared distance from each row to its k-th nearest other row, for each k."""
    found = []
    for first in range(0, len(x), _ROWS):
        part = x[first : first + _ROWS]
        d = squared_distances(part, x)
        rows = torch.arange(len(part), device=x.device)
        d[rows, rows + first] = torch.inf
        found.append(d.topk(max(ks), dim=1, largest=False).values)
    # A row as far away as the k-th one is inside, however the two distances were rounded.
    nearest = torch.cat(found) * (1 + ROUNDING)
    return [nearest[:, k - 1] for k in ks]


def neighbourhoods(
    real: Tensor, fake: Tensor, *, k_precision: int = K_PRECISION, k_density: int = K_DENSITY
) -> Neighbourhoods:
    """Improved precision and recall, density and coverage.

    Args:
        real: features [N, D].
        fake: features [M, D]; the papers compare equal numbers.
        k_precision: neighbours that make a neighbourhood for precision and recall.
        k_density: likewise for density and coverage.

    Returns:
        The four numbers; work grows with (N + M)^2, memory with N + M.

    Raises:
        ValueError: not such features, or not more of them than neighbours.
    """
    least = max(k_precision, k_density) + 1
    if min(k_precision, k_density) < 1:
        raise ValueError(f"neighbourhoods: expected k >= 1, got {k_precision} and {k_density}")
    check_features("neighbourhoods", real, fake, least=least)
    real, fake = real.detach().double(), fake.detach().double()
    real_radius, wide_radius = _radii(real, k_precision, k_density)
    (fake_radius,) = _radii(fake, k_precision)
    inside_real = inside_wide = 0
    recalled = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    covered = torch.zeros_like(recalled)
    for first in range(0, len(fake), _ROWS):
        d = squared_distances(fake[first : first + _ROWS], real)
        inside_real += int((d <= real_radius).any(1).sum())
        near = d <= wide_radius
        inside_wide += int(near.sum())
        covered |= near.any(0)
        recalled |= (d <= fake_radius[first : first + _ROWS, None]).any(0)
    return Neighbourhoods(
        precision=inside_real / len(fake),
        recall=float(recalled.double().mean()),
        density=inside_wide / (k_density * len(fake)),
        coverage=float(covered.double().mean()),
    )
