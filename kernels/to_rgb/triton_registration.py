"""What the Triton backend of toRGB accepts, told without importing triton."""

from typing import Any

from torch import Tensor

from ..modulated_conv2d.triton_registration import MAX_TAPS, refuse_tensor
from ..registry import register

MAX_IMAGE_CHANNELS = 4


def register_triton() -> None:
    """Register the backend of the forward and of the backward pass."""
    register("to_rgb", "triton", _forward, refuse=_refuse_forward)
    register("to_rgb_backward", "triton", _backward, refuse=_refuse_backward)


def _refuse_forward(x: Tensor, weight: Tensor, *rest: Any) -> str | None:
    f = rest[3]
    if f is not None and max(f.shape) > MAX_TAPS:
        return f"expected at most {MAX_TAPS} taps, got {tuple(f.shape)}"
    return _refuse_channels(weight) or refuse_tensor("to_rgb", x)


def _refuse_backward(dz: Tensor, x: Tensor, weight: Tensor, styles: Tensor) -> str | None:
    return _refuse_channels(weight) or refuse_tensor("to_rgb_backward", x)


def _refuse_channels(weight: Tensor) -> str | None:
    if weight.shape[0] <= MAX_IMAGE_CHANNELS:
        return None
    return f"expected at most {MAX_IMAGE_CHANNELS} image channels, got {weight.shape[0]}"


def _forward(*arguments: Any) -> Any:
    from . import triton_backend

    return triton_backend.to_rgb(*arguments)


def _backward(*arguments: Any) -> Any:
    from . import triton_backend

    return triton_backend.backward(*arguments)
