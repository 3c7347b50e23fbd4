"""Argument packing for the compiled CPU pass (csrc/upfirdn2d.cpp)."""

import ctypes
from functools import cache
from typing import Any

import torch
from torch import Tensor

from .. import build
from ..layout import memory_format
from ..refusal import refuse_tensor
from ..registry import is_forced
from .reference import Padding, Pair, result_size

_DTYPES = (torch.float32, torch.bfloat16)
# Contiguous rows shorter than this are slower here than in eager PyTorch, save for few of them.
_MIN_WIDTH, _FEW = 64, 65536


def refuse(
    x: Tensor, f: Tensor, up: Pair, down: Pair, padding: Padding, flip_filter: bool, gain: float
) -> str | None:
    """Why the compiled pass cannot take the call, or None."""
    reason = refuse_tensor(x, "cpu", _DTYPES)
    if reason is not None:
        return reason
    if not is_forced("cpu", "upfirdn2d"):
        slower = _slower(x, f, up, down, padding)
        if slower is not None:
            return slower
    missing = build.unavailable("cpu")
    if missing is not None:
        return missing
    f = f.to(device=x.device, dtype=torch.float32).contiguous()
    if f.ndim == 2 and not _functions()[1](f.data_ptr(), *f.shape):
        return "expected a separable filter, got one of higher rank"
    return None


def _slower(x: Tensor, f: Tensor, up: Pair, down: Pair, padding: Padding) -> str | None:
    """What eager PyTorch was measured to be faster at, or None."""
    if x.dtype is torch.bfloat16 and up == down == (1, 1):
        return "expected float32 for up and down of 1, got bfloat16"
    if memory_format(x) is torch.contiguous_format and x.numel() > _FEW:
        widest = max(x.shape[3], result_size(x, f, up, down, padding)[1])
        if widest < _MIN_WIDTH:
            return f"expected channels_last or rows of at least {_MIN_WIDTH}, got {widest}"
    return None


def upfirdn2d(
    x: Tensor, f: Tensor, up: Pair, down: Pair, padding: Padding, flip_filter: bool, gain: float
) -> Tensor:
    """See `reference.upfirdn2d`."""
    layout = memory_format(x)
    x = x.contiguous(memory_format=layout)
    f = f.to(device=x.device, dtype=torch.float32).contiguous()
    batch, channels, height, width = x.shape
    size = result_size(x, f, up, down, padding)
    shape = (batch, channels, *size)
    y = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=layout)
    last = layout is torch.channels_last
    _functions()[0](
        y.data_ptr(),
        x.data_ptr(),
        f.data_ptr(),
        batch if last else batch * channels,
        channels if last else 1,
        height,
        width,
        *size,
        f.shape[0],
        f.shape[-1],
        up[1],
        up[0],
        down[1],
        down[0],
        padding[2],
        padding[0],
        gain,
        f.ndim == 2,
        flip_filter,
        x.dtype is torch.bfloat16,
        torch.get_num_threads(),
    )
    return y


@cache
def _functions() -> tuple[Any, Any]:
    library = build.cpu_library()
    run, separable = library.ganvas_upfirdn2d_cpu, library.ganvas_upfirdn2d_separable
    run.argtypes = (
        [ctypes.c_void_p] * 3
        + [ctypes.c_int64] * 6
        + [ctypes.c_int] * 6
        + [ctypes.c_int64] * 2
        + [ctypes.c_double]
        + [ctypes.c_int] * 4
    )
    run.restype = None
    separable.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
    return run, separable
