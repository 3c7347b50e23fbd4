"""Modulated convolution in plain PyTorch: activations are scaled, weights never."""

import torch
from torch import Tensor
from torch.nn import functional

from ..bias_act.reference import ACTIVATIONS
from ..upfirdn2d.reference import upfirdn2d


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    up: int,
    f: Tensor | None,
    demodulate: bool,
    noise: Tensor | None,
    bias: Tensor | None,
    act: str,
    gain: float,
    clamp: float | None,
    next_styles: Tensor | None,
    modulated: bool,
) -> Tensor:
    """See the public function; `noise` comes multiplied by its strength."""
    statistics = torch.promote_types(weight.dtype, torch.float32)
    weight, styles = weight.to(statistics), styles.to(statistics)
    if demodulate and not modulated and _low_precision(x) is torch.float16:
        # Demodulation cancels any scale of either; small numbers keep fp16 from overflowing.
        styles = styles / styles.abs().amax(dim=1, keepdim=True).clamp_min(1e-8)
        largest = weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-8)
        weight = weight / (largest * weight[0].numel() ** 0.5)

    if not modulated:
        x = x * styles.to(x.dtype)[:, :, None, None]
    kernel = weight.to(x.dtype)
    if up == 1:
        y = functional.conv2d(x, kernel, padding=weight.shape[2] // 2)
    else:
        assert f is not None
        y = functional.conv_transpose2d(
            x, kernel.transpose(0, 1), stride=2
        )  # [N, O, 2H + 1, 2W + 1]
        before = (f.shape[-1] - 1) // 2
        after = f.shape[-1] - 2 - before
        y = upfirdn2d(y, f, (1, 1), (1, 1), (before, after, before, after), False, 4.0)

    activation = ACTIVATIONS[act]
    early = gain if activation.homogeneous and gain > 0 else 1.0
    offset = noise
    if bias is not None:
        column = bias.to(statistics)[:, None, None]
        offset = column if offset is None else offset.to(statistics) + column
    scale = _demodulation(weight, styles)[:, :, None, None] * early if demodulate else None
    y = _scale_and_add(y, scale, offset, early)

    y = activation.function(y, activation.alpha)
    if early != gain:
        y = y * gain
    if clamp is not None:
        y = y.clamp(-clamp, clamp)
    if next_styles is not None:
        y = y * next_styles.to(y.dtype)[:, :, None, None]
    return y


def _demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """rsqrt(sum over i, k of (weight s)^2 + 1e-8), [N, O] (Karras et al. 2020, equation 3)."""
    with torch.autocast(weight.device.type, enabled=False):
        energy = weight.square().sum(dim=(2, 3))  # [O, I]
        return (styles.square() @ energy.t() + 1e-8).rsqrt()


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


def _low_precision(x: Tensor) -> torch.dtype:
    """Dtype in which a convolution of x runs here and now."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
