"""What the Triton backend of toRGB accepts, told without importing triton."""

from typing import Any

from torch import Tensor

from ..modulated_conv2d.triton_registration import MAX_TAPS
from ..triton_host import DOT_DTYPES, refuse_triton, register_triton

MAX_IMAGE_CHANNELS = 4  # a program holds the products of them all in registers


def register_triton_backend() -> None:
    """Register the backend of the forward and of the backward pass."""
    module = f"{__package__}.triton_backend"
    register_triton("to_rgb", module, "to_rgb", refuse=_refuse)
    register_triton("to_rgb_backward", module, "backward", refuse=_refuse_backward)


def _refuse(x: Tensor, weight: Tensor, *rest: Any) -> str | None:
    f = rest[3]
    if f is not None and max(f.shape) > MAX_TAPS:
        return f"expected at most {MAX_TAPS} taps, got {tuple(f.shape)}"
    return _refuse_channels(weight) or refuse_triton("to_rgb", x, DOT_DTYPES)


def _refuse_backward(dz: Tensor, x: Tensor, weight: Tensor, styles: Tensor) -> str | None:
    return _refuse_channels(weight) or refuse_triton("to_rgb_backward", x, DOT_DTYPES)


def _refuse_channels(weight: Tensor) -> str | None:
    if weight.shape[0] <= MAX_IMAGE_CHANNELS:
        return None
    return f"expected at most {MAX_IMAGE_CHANNELS} image channels, got {weight.shape[0]}"
