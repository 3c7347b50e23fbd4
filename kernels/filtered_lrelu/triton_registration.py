"""What the Triton backend of filtered_lrelu accepts, told without importing triton."""

import math
from functools import partial
from typing import Any

from torch import Tensor

from ..triton_host import DOT_DTYPES, refuse_triton, register_triton
from .reference import taps

MAX_WIDE = 128  # extent of a tile between the filters


def register_triton_backend() -> None:
    """Register the backend of the forward pass and both derivatives."""
    module = f"{__package__}.triton_backend"
    register_triton("filtered_lrelu", module, "filtered_lrelu", refuse=_refuse_forward)
    for name in ("filtered_lrelu_vjp", "filtered_lrelu_jvp"):
        register_triton(name, module, name, refuse=partial(_refuse_derivative, name))


def _refuse_forward(x: Tensor, *rest: Any) -> str | None:
    return _refuse("filtered_lrelu", x, *rest)


def _refuse_derivative(op: str, direction: Tensor, x: Tensor, *rest: Any) -> str | None:
    if direction.dtype != x.dtype:
        return f"expected a direction in x's {x.dtype}, got {direction.dtype}"
    return _refuse(op, x, *rest)


def _refuse(op: str, x: Tensor, *rest: Any) -> str | None:
    fu, fd, _, up, down, _, gain, *_ = rest
    reason = refuse_triton(op, x, DOT_DTYPES)
    if reason is not None:
        return reason
    if min(up, down) < 2:  # tiles of as many samples as wide pixels would spill registers
        return f"expected up and down of at least 2, got {up}, {down}"
    if gain <= 0:
        return f"expected a gain > 0, got {gain}"
    least = math.lcm(up, down) * max(up, down) + max(*taps(fu), *taps(fd))
    if least > MAX_WIDE:
        return f"expected factors and taps for a tile of {MAX_WIDE}, got one of {least}"
    return None
