"""What every metric accepts: batches of uint8 images, or of floats in 0..1."""

from __future__ import annotations

import torch
from torch import Tensor

_SLACK = 1e-3  # a resampled float image may leave 0..1 by a rounding error


def as_float(metric: str, images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Images [N, C, H, W] as floats in 0..1, detached.

    Args:
        metric: what errors call the caller.
        images: uint8 in 0..255, or float in 0..1.
        dtype: of the result.

    Raises:
        ValueError: another rank, dtype or value range, non-finite values, or no images.
    """
    if images.ndim != 4 or images.numel() == 0:
        raise ValueError(f"{metric}: images must be [N, C, H, W], got {tuple(images.shape)}")
    images = images.detach()
    if images.dtype == torch.uint8:
        return images.to(dtype) / 255
    if not images.is_floating_point():
        raise ValueError(f"{metric}: images must be uint8 or float, got {images.dtype}")
    low, high = float(images.min()), float(images.max())
    if not (low >= -_SLACK and high <= 1 + _SLACK):
        raise ValueError(f"{metric}: float images must lie in 0..1, got {low:g}..{high:g}")
    return images.to(dtype)


def same_shape(metric: str, a: Tensor, b: Tensor) -> None:
    """Raise ValueError unless the two batches have one shape."""
    if a.shape != b.shape:
        raise ValueError(
            f"{metric}: the two batches must have one shape, got {tuple(a.shape)} and "
            f"{tuple(b.shape)}"
        )
