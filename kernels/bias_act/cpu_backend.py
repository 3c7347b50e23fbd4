"""Argument packing for the compiled CPU passes (csrc/bias_act.cpp)."""

import ctypes
import math
from functools import cache
from typing import Any

import torch
from torch import Tensor

from .. import build
from ..layout import memory_format, new_like
from ..refusal import refuse_tensor
from .reference import is_piecewise, negative_slope, rounded, sum_dtype

_DTYPES = (torch.float32, torch.bfloat16)
_SHAPE = [ctypes.c_int64] * 3
_SETTINGS = [ctypes.c_float] * 3 + [ctypes.c_int] * 2


def refuse(
    x: Tensor, b: Tensor | None, dim: int, act: str, alpha: float, gain: float, clamp: float | None
) -> str | None:
    """Why the compiled pass cannot take the call, or None."""
    reason = refuse_tensor(x, "cpu", _DTYPES)
    if reason is not None:
        return reason
    if not is_piecewise(act, alpha, gain):
        return (
            "expected linear, relu or lrelu with alpha >= 0 and gain > 0, "
            f"got {act}, alpha {alpha}, gain {gain}"
        )
    return build.unavailable("cpu")


def refuse_backward(dy: Tensor, saved: Tensor | None, *rest: Any) -> str | None:
    """Why the compiled backward pass cannot take the call, or None."""
    return refuse(dy, *rest[:-1])


def bias_act(
    x: Tensor, b: Tensor | None, dim: int, act: str, alpha: float, gain: float, clamp: float | None
) -> Tensor:
    """See `reference.bias_act`."""
    layout = memory_format(x)
    x = x.contiguous(memory_format=layout)
    y = new_like(x)
    if b is not None:
        b = b.to(torch.float32).contiguous()
    bound = math.inf if clamp is None else clamp
    _functions()[0](
        y.data_ptr(),
        x.data_ptr(),
        None if b is None else b.data_ptr(),
        *_shape(x, dim, layout, flat=b is None),
        *_settings(x, act, alpha, gain, bound),
    )
    return y


def bias_act_backward(
    dy: Tensor,
    saved: Tensor | None,
    b: Tensor | None,
    dim: int,
    act: str,
    alpha: float,
    gain: float,
    clamp: float | None,
    sums: bool,
) -> tuple[Tensor, Tensor]:
    """See `reference.bias_act_backward`; dy and the saved result are laid out alike."""
    dx = new_like(dy)
    db = dy.new_empty(dy.shape[dim] if sums else 0, dtype=sum_dtype(dy.dtype))
    bound = math.inf if clamp is None else rounded(clamp, dy.dtype)
    _functions()[1](
        dx.data_ptr(),
        db.data_ptr() if sums else None,
        dy.data_ptr(),
        (dy if saved is None else saved).data_ptr(),
        *_shape(dy, dim, memory_format(dy), flat=not sums),
        *_settings(dy, act, alpha, gain, bound),
    )
    return dx, db


def _shape(x: Tensor, dim: int, layout: torch.memory_format, *, flat: bool) -> tuple[int, int, int]:
    """x as [outer, channels, inner] in memory."""
    if flat:
        return 1, 1, x.numel()
    outer, inner = math.prod(x.shape[:dim]), math.prod(x.shape[dim + 1 :])
    if layout is torch.channels_last:
        # [N, H, W, C] in memory.
        size = {0: (1, inner), 1: (outer * inner, 1)}.get(dim)
        if size is None:
            size = (outer // x.shape[1], inner * x.shape[1])
        outer, inner = size
    return outer, x.shape[dim], inner


def _settings(
    x: Tensor, act: str, alpha: float, gain: float, bound: float
) -> tuple[float, float, float, bool, int]:
    negative = gain * negative_slope(act, alpha)
    return gain, negative, bound, x.dtype is torch.bfloat16, torch.get_num_threads()


@cache
def _functions() -> tuple[Any, Any]:
    library = build.cpu_library()
    forward, backward = library.ganvas_bias_act_cpu, library.ganvas_bias_act_backward_cpu
    pointer = ctypes.c_void_p
    forward.argtypes = [pointer, pointer, pointer, *_SHAPE, *_SETTINGS]
    backward.argtypes = [pointer, pointer, pointer, pointer, *_SHAPE, *_SETTINGS]
    forward.restype = backward.restype = None
    return forward, backward
