"""Linear resampling along one axis as small dense matrices.

Blur, reduction and enlargement are separable: an image becomes `rows @ image @ columns^T`. At
face sizes this is faster than convolutions and takes any real factor; every row of a matrix sums
to one, so that flat areas keep their value, also at the borders.
"""

from __future__ import annotations

import torch
from torch import Tensor


def _gather(source: Tensor, weights: Tensor, size: int) -> Tensor:
    """Matrix [M, size] of the weights [M, T] of source pixels [M, T], borders replicated."""
    weights = weights / weights.sum(dim=1, keepdim=True)
    matrix = torch.zeros(source.shape[0], size, dtype=weights.dtype)
    return matrix.scatter_add_(1, source.clamp(0, size - 1), weights).to(torch.float32)


def gaussian_matrix(size: int, sigma: float) -> Tensor:
    """Gaussian blur of standard deviation sigma pixels (cut at 4 sigma): float32 [size, size]."""
    if sigma <= 0:
        return torch.eye(size)
    radius = max(1, int(4 * sigma + 0.5))
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (offsets.to(torch.float64) / sigma) ** 2)
    source = torch.arange(size)[:, None] + offsets
    return _gather(source, weights.expand(size, -1), size)


def area_matrix(size: int, new_size: int) -> Tensor:
    """Reduction to the exact mean over each new pixel's footprint: float32 [new_size, size]."""
    step = size / new_size
    low = torch.arange(new_size, dtype=torch.float64)[:, None] * step
    left = torch.arange(size, dtype=torch.float64)
    overlap = torch.minimum(low + step, left + 1) - torch.maximum(low, left)
    return (overlap.clamp_min(0) / step).to(torch.float32)


def cubic_matrix(size: int, new_size: int) -> Tensor:
    """Bicubic resampling, the kernel widened when reducing: float32 [new_size, size].

    Source: Keys 1981, "Cubic convolution interpolation", a = -1/2, pixel centres aligned.
    """
    ratio = size / new_size
    stretch = max(1.0, ratio)
    centre = (torch.arange(new_size, dtype=torch.float64) + 0.5) * ratio - 0.5
    reach = int(2 * stretch) + 1
    source = centre.floor().to(torch.int64)[:, None] + torch.arange(-reach, reach + 2)
    x = ((source - centre[:, None]) / stretch).abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
    return _gather(source, weights, size)


def resample(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Apply a matrix to each axis: [..., H, W], rows [H', H], columns [W', W] -> [..., H', W']."""
    return rows @ image @ columns.T
