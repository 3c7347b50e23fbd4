"""First-order gradients of a modulated convolution, from its saved output, in plain PyTorch."""

import torch
from torch import Tensor

from ..bias_act.reference import ACTIVATIONS, negative_slope, rounded
from .reference import statistics_dtype

# Activations whose argument, where it has a gradient, is a multiple of the result.
INVERTIBLE = ("linear", "relu", "lrelu")
# Their slopes below zero.
SLOPES = {act: negative_slope(act, ACTIVATIONS[act].alpha) for act in INVERTIBLE}


def epilogue_backward(
    dy: Tensor,
    y: Tensor,
    d: Tensor | None,
    noise: Tensor | None,
    strength: Tensor | None,
    bias: Tensor | None,
    act: str,
    gain: float,
    clamp: float | None,
    per_pixel: bool,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of y = clamp(gain * act(u * d + noise * strength + bias)), u being forgotten.

    u is had back from y, wherever its gradient is not zero.

    Args:
        dy, y: [N, O, H, W], one dtype.
        d, noise, strength, bias: as in the reference.
        act: a name in `INVERTIBLE`.
        gain: above 0.
        clamp: bound, or None.
        per_pixel: whether dz is wanted summed over channels.

    Returns:
        du [N, O, H, W] in dy's dtype; and of dz, the gradient before the activation, in
        `statistics_dtype`: its sum over pixels [N, O]; the gradient of d [N, O], None without d;
        the sum over pixels of dz * noise [N, O], None without noise; and its sum over channels
        [N, 1, H, W], None where `per_pixel` is False.
    """
    narrow, dtype = dy.dtype, statistics_dtype(dy.dtype)
    bound = None if clamp is None else rounded(clamp, narrow)
    dy, y = dy.to(dtype), y.to(dtype)
    alpha = SLOPES[act]
    dz = dy * gain if alpha == 1.0 else torch.where(y > 0, dy * gain, dy * (gain * alpha))
    if bound is not None:
        dz = torch.where(y.abs() < bound, dz, 0.0)
    sums = dz.sum((2, 3))
    pixels = dz.sum(1, keepdim=True) if per_pixel else None
    weighted = None if noise is None else (dz * noise).sum((2, 3))
    if d is None:
        return dz.to(narrow), sums, None, weighted, pixels

    # alpha cancels in dz * z on the negative side of lrelu: dy gain alpha * y / (gain alpha).
    product = dy * y
    if bound is not None:
        product = torch.where(y.abs() < bound, product, 0.0)
    dd = product.sum((2, 3))
    if bias is not None:
        dd = dd - sums * bias
    if weighted is not None:
        dd = dd - (weighted if strength is None else weighted * strength)
    return (dz * d[:, :, None, None]).to(narrow), sums, dd / d, weighted, pixels


def styles_backward(dxs: Tensor, x: Tensor, styles: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of x * styles: dx [N, I, H, W] in x's dtype, and those of the styles [N, I]."""
    dstyles = (dxs.to(styles.dtype) * x).sum((2, 3))
    return dxs * styles.to(dxs.dtype)[:, :, None, None], dstyles
