"""Modulated convolution in plain PyTorch: activations are scaled, weights never."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ..bias_act.reference import ACTIVATIONS
from ..upfirdn2d.reference import upfirdn2d

EPSILON = 1e-8
_SMALLEST = 1e-8  # that is divided by, in place of zero

Convolve = Callable[[Tensor, Tensor, Tensor | None, Tensor | None, int], Tensor]


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor | None,
    d: Tensor | None,
    noise: Tensor | None,
    strength: Tensor | None,
    bias: Tensor | None,
    next_styles: Tensor | None,
    f: Tensor | None,
    up: int,
    act: str,
    gain: float,
    clamp: float | None,
    *,
    convolve: Convolve | None = None,
) -> Tensor:
    """clamp(gain * act(filter(conv(x * styles)) * d + noise * strength + bias)) * next_styles.

    What every backend computes, in these arguments. x and the weight share one dtype, which the
    result has; all other tensors but f are in `statistics_dtype` of it.

    Args:
        x: [N, I, H, W].
        weight: [O, I, k, k].
        styles: [N, I], or None for x as it is.
        d: [N, O], or None for no factor.
        noise: [N or 1, 1, H', W'] or None.
        strength: a factor of the noise, of no dimension; None is 1.
        bias: [O] or None.
        next_styles: [N, O] or None.
        f: FIR filter, where `up` is 2.
        up: 1 or 2.
        act: a name in `ACTIVATIONS`.
        gain: factor after the activation.
        clamp: bound, or None.
        convolve: in place of the function of that name below.

    Returns:
        [N, O, H * up, W * up], in whatever memory format the convolution gives.
    """
    y = (convolve or _convolve)(x, weight, styles, f, up)
    offset = noise if noise is None or strength is None else noise * strength
    if bias is not None:
        column = bias[:, None, None]
        offset = column if offset is None else offset + column
    activation = ACTIVATIONS[act]
    early = gain if activation.homogeneous and gain > 0 else 1.0
    scale = None if d is None else d[:, :, None, None] * early
    y = _scale_and_add(y, scale, offset, early)

    y = activation.function(y, activation.alpha)
    if early != gain:
        y = y * gain
    if clamp is not None:
        y = y.clamp(-clamp, clamp)
    if next_styles is not None:
        y = y * next_styles.to(y.dtype)[:, :, None, None]
    return y


def convolve(x: Tensor, weight: Tensor, styles: Tensor | None, f: Tensor | None, up: int) -> Tensor:
    """The convolution of x * styles; for `up` 2 transposed, and filtered."""
    if styles is not None:
        x = x * styles.to(x.dtype)[:, :, None, None]
    if up == 1:
        return functional.conv2d(x, weight, padding=weight.shape[2] // 2)
    assert f is not None
    y = functional.conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # [N, O, 2H + 1, 2W + 1]
    return upfirdn2d(y, f, (1, 1), (1, 1), filter_padding(f), False, 4.0)


_convolve = convolve


def filter_padding(f: Tensor) -> tuple[int, int, int, int]:
    """Padding (left, right, top, bottom) with which f takes 2H + 1 samples to 2H."""
    left, top = (f.shape[-1] - 1) // 2, (f.shape[0] - 1) // 2
    return left, f.shape[-1] - 2 - left, top, f.shape[0] - 2 - top


def demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """rsqrt(sum over i, k of (weight s)^2 + 1e-8), [N, O] (Karras et al. 2020, equation 3)."""
    with torch.autocast(weight.device.type, enabled=False):
        energy = weight.square().sum(dim=(2, 3))  # [O, I]
        return (styles.square() @ energy.t() + EPSILON).rsqrt()


def small_weight(weight: Tensor) -> Tensor:
    """Weight [O, I, k, k] whose products with numbers up to 1 do not overflow float16.

    Demodulation cancels any scale of an output channel, so results with it stay.
    """
    largest = weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(_SMALLEST)
    return weight / (largest * weight[0].numel() ** 0.5)


def small_styles(styles: Tensor) -> Tensor:
    """Styles [N, I] divided by each sample's largest, which demodulation cancels likewise."""
    return styles / styles.abs().amax(dim=1, keepdim=True).clamp_min(_SMALLEST)


def statistics_dtype(dtype: torch.dtype) -> torch.dtype:
    """Dtype of styles, demodulation and sums beside activations of `dtype`."""
    return torch.promote_types(dtype, torch.float32)


def _scale_and_add(y: Tensor, scale: Tensor | None, offset: Tensor | None, gain: float) -> Tensor:
    """Compute y * scale + offset * gain in one pass; without a scale it is the gain itself."""
    if offset is not None:
        offset = (offset * gain).to(y.dtype)
    if scale is not None:
        scale = scale.to(y.dtype)
        return y * scale if offset is None else torch.addcmul(offset, y, scale)
    if offset is not None:
        return torch.add(offset, y, alpha=gain)
    return y if gain == 1.0 else y * gain
