"""Kernel distance between two sets of features: the squared MMD with a cubic kernel.

Source: Binkowski et al. 2018, "Demystifying MMD GANs", section 4: k(x, y) = (x.y / D + 1)^3, the
unbiased estimate, averaged over random subsets. Unlike the Frechet distance it has no bias at
small numbers of images.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..data.counter import torch_seeds
from .statistics import check_features

SUBSETS = 100
SUBSET_SIZE = 1000
_STREAM_SUBSETS = 211


class KernelDistance(NamedTuple):
    """Mean over the subsets, which may be slightly negative, and their standard deviation."""

    mean: float
    deviation: float


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def polynomial_mmd(x: Tensor, y: Tensor) -> float:
    """Unbiased squared MMD of all of x [N, D] and y [M, D], in float64.

    Raises:
        ValueError: not such features, or fewer than two in a set.
    """
    check_features("polynomial_mmd", x, y)
    x, y = x.to(torch.float64), y.to(torch.float64)
    n, m = len(x), len(y)
    within_x, within_y = _kernel(x, x), _kernel(y, y)
    value = (within_x.sum() - within_x.trace()) / (n * (n - 1))
    value = value + (within_y.sum() - within_y.trace()) / (m * (m - 1))
    return float(value - 2 * _kernel(x, y).mean())


def kernel_distance(
    x: Tensor,
    y: Tensor,
    *,
    subsets: int = SUBSETS,
    subset_size: int = SUBSET_SIZE,
    seed: int = 0,
) -> KernelDistance:
    """Mean squared MMD of random subsets of x [N, D] and y [M, D], with their deviation.

    Args:
        x: features of one set.
        y: features of the other.
        subsets: number of pairs of subsets.
        subset_size: features in each; at most half of the smaller set, so that subsets differ.
        seed: of the choice.

    Raises:
        ValueError: not such features, fewer than four in a set, or no subsets.
    """
    check_features("kernel_distance", x, y, least=4)
    if subsets < 1 or subset_size < 2:
        raise ValueError(
            "kernel_distance: expected subsets >= 1 of subset_size >= 2, "
            f"got {subsets} of {subset_size}"
        )
    size = min(subset_size, min(len(x), len(y)) // 2)
    values = []
    for subset in range(subsets):
        generator = torch.Generator().manual_seed(torch_seeds(seed, _STREAM_SUBSETS, subset)[0])
        chosen_x = torch.randperm(len(x), generator=generator)[:size]
        chosen_y = torch.randperm(len(y), generator=generator)[:size]
        values.append(polynomial_mmd(x[chosen_x], y[chosen_y]))
    result = torch.tensor(values, dtype=torch.float64)
    return KernelDistance(float(result.mean()), float(result.std(correction=0)))
