"""What the Triton backend accepts, told without importing triton."""

import importlib.util
import math
import os
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ..registry import is_forced, register
from .reference import taps

_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
MAX_WIDE = 128  # extent of a tile between the filters


def register_triton() -> None:
    """Register the backend of the forward pass and both derivatives."""
    register("filtered_lrelu", "triton", _lazy("filtered_lrelu"), refuse=_refuse)
    for name in ("filtered_lrelu_vjp", "filtered_lrelu_jvp"):
        register(name, "triton", _lazy(name), refuse=_refuse_derivative)


def _refuse(x: Tensor, *rest: Any) -> str | None:
    return _refuse_call("filtered_lrelu", x, *rest)


def _refuse_derivative(direction: Tensor, x: Tensor, *rest: Any) -> str | None:
    if direction.dtype != x.dtype:
        return f"expected a direction in x's {x.dtype}, got {direction.dtype}"
    return _refuse_call("filtered_lrelu_vjp", x, *rest)


def _refuse_call(op: str, x: Tensor, *rest: Any) -> str | None:
    fu, fd, _, up, down, _, gain, *_ = rest
    interpreted = os.environ.get("TRITON_INTERPRET") == "1" and is_forced("triton", op)
    if x.device.type != "cuda" and not interpreted:
        return f"expected a CUDA tensor, got {x.device.type}"
    if x.dtype not in _DTYPES:
        return f"expected float32, float16 or bfloat16, got {x.dtype}"
    if min(up, down) < 2:  # tiles of as many samples as wide pixels would spill registers
        return f"expected up and down of at least 2, got {up}, {down}"
    if gain <= 0:
        return f"expected a gain > 0, got {gain}"
    least = math.lcm(up, down) * max(up, down) + max(*taps(fu), *taps(fd))
    if least > MAX_WIDE:
        return f"expected factors and taps for a tile of {MAX_WIDE}, got one of {least}"
    return None if _installed() else "expected triton, found none"


@cache
def _installed() -> bool:
    return importlib.util.find_spec("triton") is not None


def _lazy(name: str) -> Callable[..., Tensor]:
    def run(*arguments: Any) -> Tensor:
        from . import triton_backend

        return getattr(triton_backend, name)(*arguments)

    return run
