"""The modulated convolution as one compiled pass over float32 images on a CPU."""

import torch
from torch import Tensor

from .. import build
from ..cpu_convolution import compiled, tuning
from ..cpu_convolution.compiled import Form, Method, pad_channels, padded
from ..layout import channels_last
from ..refusal import refuse_tensor
from ..registry import is_forced
from ..taps import separate
from .backward import SLOPES

_POINTWISE = Method(Form.POINTWISE, shared=False, tiles=64)


def run(
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
) -> Tensor:
    """See `reference.modulated_conv2d`; the result is channels_last."""
    count, _, height, width = x.shape
    out, channels, size = weight.shape[:3]
    x = channels_last(x).permute(0, 2, 3, 1)
    method = _POINTWISE
    if size == 3:
        method = tuning.choose((channels, out), min(height, width), up)
    y = x.new_empty(count, height * up, width * up, padded(out))
    compiled.convolve(
        _padded(x),
        compiled.pack_weight(weight, method.form, workspace=compiled.kept("weight")),
        (channels, out),
        method,
        compiled.kept("points"),
        styles=None if styles is None else _padded(styles),
        demodulation=None if d is None else _padded(d),
        noise=None if noise is None else noise.contiguous(),
        strength=1.0 if strength is None else float(strength),
        bias=None if bias is None else _padded(bias),
        alpha=SLOPES[act],
        gain=gain,
        clamp=clamp,
        next_styles=None if next_styles is None else _padded(next_styles),
        fir=None if f is None else separate(f),
        y=y,
    )
    return y[..., :out].permute(0, 3, 1, 2)


def refuse(
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
) -> str | None:
    """Why `run` cannot take these arguments, or None if it can."""
    reason = refuse_tensor(x, "cpu", (torch.float32,))
    if reason is not None:
        return reason
    if act not in SLOPES or gain <= 0:
        return f"expected act of {', '.join(SLOPES)} with gain above 0, got {act}, {gain:g}"
    if weight.shape[2] not in (1, 3) or 0 in x.shape:
        shapes = f"{tuple(weight.shape)} on {tuple(x.shape)}"
        return f"expected a 1x1 or 3x3 weight and an image of some size, got {shapes}"
    missing = build.unavailable("cpu")
    if missing is not None:
        return missing
    if not is_forced("cpu", "modulated_conv2d"):
        # Other images would be copied first, to pad them.
        length = padded(1)
        if any(n % length for n in weight.shape[:2]):
            return f"expected channels in multiples of {length}, got {tuple(weight.shape[:2])}"
    if f is not None and separate(f) is None:
        return f"expected a separable filter of 4 taps, got {tuple(f.shape)}"
    return None


def _padded(x: Tensor) -> Tensor:
    """Contiguous x with its last axis, of channels, in whole vectors."""
    return x.contiguous() if x.shape[-1] == padded(x.shape[-1]) else pad_channels(x)
