"""How close an image is to the one it should be: PSNR and SSIM."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from .inputs import as_float, same_shape

SSIM_WINDOW = 11
"""Side of the window that SSIM looks through, and so the least side of an image."""


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image, in dB: 10 log10(1 / mean squared error).

    Args:
        a: uint8 in 0..255 or float in 0..1, [N, C, H, W].
        b: the same shape; the measure is symmetric.

    Returns:
        float64 tensor [N]; infinity for equal images.

    Raises:
        ValueError: shapes that differ, other dtypes or ranges.
    """
    same_shape("psnr", a, b)
    error = as_float("psnr", a, torch.float64) - as_float("psnr", b, torch.float64)
    return -10 * error.square().mean(dim=(1, 2, 3)).log10()


def _window_matrix(size: int, taps: int = SSIM_WINDOW, sigma: float = 1.5) -> Tensor:
    """Gaussian mean over every whole window along one axis: float64 [size - taps + 1, size]."""
    x = torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2
    weights = torch.exp(-0.5 * (x / sigma) ** 2)
    weights = weights / weights.sum()
    rows = [pad(weights, (first, size - taps - first)) for first in range(size - taps + 1)]
    return torch.stack(rows)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of each image, mean over the channels and all whole windows.

    Args:
        a: uint8 in 0..255 or float in 0..1, [N, C, H, W], sides of at least 11.
        b: the same shape; the measure is symmetric.

    Returns:
        float64 tensor [N] in -1..1; 1 for equal images.

    Raises:
        ValueError: shapes that differ, sides below 11, other dtypes or ranges.

    Source: Wang et al. 2004, "Image quality assessment: from error visibility to structural
    similarity", equation 13: 11-tap Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03.
    """
    same_shape("ssim", a, b)
    x, y = as_float("ssim", a, torch.float64), as_float("ssim", b, torch.float64)
    if min(x.shape[2:]) < SSIM_WINDOW:
        raise ValueError(f"ssim: sides of at least {SSIM_WINDOW} px expected, got {tuple(x.shape)}")
    rows = _window_matrix(x.shape[2]).to(x.device)
    columns = _window_matrix(x.shape[3]).to(x.device)

    def local_mean(values: Tensor) -> Tensor:
        return rows @ values @ columns.T

    mean_x, mean_y = local_mean(x), local_mean(y)
    var_x = local_mean(x * x) - mean_x.square()
    var_y = local_mean(y * y) - mean_y.square()
    covariance = local_mean(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    return (luminance * structure).mean(dim=(1, 2, 3))
