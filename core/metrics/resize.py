"""The three ways in which published tools bring images to the size of their feature network.

The same images give different FIDs under each (Parmar et al. 2022, "On aliased resizing and
surprising subtleties in GAN evaluation"), so the way is part of a result's name.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

RESIZES = ("tf1", "clean", "torch")


def _tf1_matrix(size: int, target: int) -> Tensor:
    """Bilinear weights along one axis, float32 [target, size].

    Output pixel i samples the input at i * size / target: corners not aligned, and without the
    half-pixel shift, as TensorFlow 1's `resize_bilinear` did by default.
    """
    place = torch.arange(target, dtype=torch.float64) * (size / target)
    low = place.floor().long().clamp(max=size - 1)
    high = (low + 1).clamp(max=size - 1)
    part = place - low
    matrix = torch.zeros(target, size, dtype=torch.float64)
    rows = torch.arange(target)
    matrix[rows, low] += 1 - part
    matrix[rows, high] += part
    return matrix.float()


def resize(images: Tensor, size: int | Sequence[int], mode: str) -> Tensor:
    """Bring images to another size.

    Args:
        images: float [N, C, H, W], values 0..255.
        size: height and width wanted, or one number for both.
        mode: "tf1": bilinear as TensorFlow 1 (the original FID, no filter when reducing);
            "clean": bicubic with a filter as Pillow, limited to 0..255;
            "torch": bilinear with half-pixel centres, no filter.

    Returns:
        float32 [N, C, height, width]; the images themselves, where they have that size, under
        "tf1" and "torch".

    Raises:
        ValueError: an unknown mode.
    """
    height, width = (size, size) if isinstance(size, int) else tuple(size)
    x = images.to(torch.float32)
    if mode == "tf1":
        if tuple(x.shape[2:]) == (height, width):
            return x
        rows = _tf1_matrix(x.shape[2], height).to(x.device)
        columns = _tf1_matrix(x.shape[3], width).to(x.device)
        return rows @ x @ columns.T
    if mode == "torch":
        return interpolate(x, (height, width), mode="bilinear", align_corners=False)
    if mode == "clean":
        y = interpolate(x, (height, width), mode="bicubic", align_corners=False, antialias=True)
        return y.clamp(0, 255)
    raise ValueError(f"resize: expected one of {', '.join(RESIZES)}, got {mode!r}")
