"""What restoration looks like without a network: the numbers that a network must beat."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from .resample import cubic_matrix, resample


def _check(name: str, images: Tensor) -> None:
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(
            f"{name}: float [N, C, H, W] expected, got {images.dtype} {tuple(images.shape)}"
        )


def bicubic(images: Tensor, factor: float = 2.0) -> Tensor:
    """Bicubic reduction and enlargement: removes what lies above the reduced image's bandwidth.

    Args:
        images: float [N, C, H, W] in 0..1.
        factor: of the reduction, >= 1; 1 returns a copy.

    Returns:
        float tensor of the same shape, clamped to 0..1.

    Raises:
        ValueError: another shape, or a factor below 1.
    """
    _check("bicubic", images)
    if factor < 1:
        raise ValueError(f"bicubic: factor must be at least 1, got {factor}")
    matrices = []
    for size in images.shape[2:]:
        small = max(1, round(size / factor))
        both = cubic_matrix(small, size) @ cubic_matrix(size, small) if small < size else None
        matrix = torch.eye(size) if both is None else both
        matrices.append(matrix.to(images.device, images.dtype))
    return resample(images, matrices[0], matrices[1]).clamp(0, 1)


def median(images: Tensor, size: int = 3) -> Tensor:
    """Median of each channel over a square window, borders reflected.

    Args:
        images: float [N, C, H, W].
        size: odd side of the window, 3 or 5 as a rule.

    Returns:
        float tensor of the same shape.

    Raises:
        ValueError: another shape, an even window, or one larger than the image allows.
    """
    _check("median", images)
    radius = size // 2
    if size < 1 or size % 2 == 0 or radius >= min(images.shape[2:]):
        raise ValueError(f"median: odd size that fits {tuple(images.shape[2:])}, got {size}")
    padded = pad(images, (radius, radius, radius, radius), mode="reflect")
    windows = padded.unfold(2, size, 1).unfold(3, size, 1).flatten(-2)  # [N, C, H, W, k*k]
    return windows.median(dim=-1).values
