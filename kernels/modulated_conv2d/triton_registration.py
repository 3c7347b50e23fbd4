"""What the Triton backend accepts and prefers, told without importing triton."""

from functools import partial
from typing import Any

from torch import Tensor

from ..triton_host import DOT_DTYPES, refuse_triton, register_triton
from .backward import INVERTIBLE

MAX_TAPS = 4  # of an axis of a filter, which `pack_filter` fills up to

# Where an implicit product of ours is taken rather than cuDNN's convolution: for tiny images, which
# leave it idle, and for large ones of few channels, where memory is the limit and the epilogue in
# it saves passes. By a model of an H200's rates; what is measured goes to `synthesis/tuning.json`.
OWN_SMALL_SIZE = 8  # height and width, at most
OWN_LARGE_SIZE = 256  # height and width, at least
OWN_CHANNELS = 128  # at most, of a large image and its result


def register_triton_backend() -> None:
    """Register the backend of the forward pass and of both parts of the backward pass."""
    module = f"{__package__}.triton_backend"
    register_triton("modulated_conv2d", module, "modulated_conv2d", refuse=_refuse_forward)
    for part in ("epilogue_backward", "styles_backward"):
        op = f"modulated_conv2d_{part}"
        register_triton(op, module, part, refuse=partial(_refuse_backward, op))


def _refuse_forward(x: Tensor, *rest: Any) -> str | None:
    f, act, gain = rest[7], rest[9], rest[10]
    if act not in INVERTIBLE or gain <= 0:
        return f"expected act of {INVERTIBLE} and gain above 0, got {act!r}, {gain}"
    if f is not None and max(f.shape) > MAX_TAPS:
        return f"expected at most {MAX_TAPS} taps, got {tuple(f.shape)}"
    return refuse_triton("modulated_conv2d", x, DOT_DTYPES)


def _refuse_backward(op: str, dy: Tensor, *_: Any) -> str | None:
    return refuse_triton(op, dy, DOT_DTYPES)
