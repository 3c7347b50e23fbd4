"""Up-sampling, FIR filtering and down-sampling by the CUDA kernel in `csrc`."""

import ctypes

import torch
from torch import Tensor

from .. import build, cuda_host
from ..layout import memory_format
from ..refusal import refuse_tensor
from .reference import Padding, Pair, result_size

_MAX_TAPS = 1024  # kMaxTaps of csrc/upfirdn2d_kernel.cuh


class _Axis(ctypes.Structure):
    """`Upfirdn2dAxis` of csrc/upfirdn2d.h."""

    _fields_ = (
        ("size_in", ctypes.c_int64),
        ("size_out", ctypes.c_int64),
        ("stride_in", ctypes.c_int64),
        ("stride_out", ctypes.c_int64),
        ("up", ctypes.c_int32),
        ("down", ctypes.c_int32),
        ("before", ctypes.c_int32),
        ("taps", ctypes.c_int32),
    )


class _Params(ctypes.Structure):
    """`Upfirdn2dParams` of csrc/upfirdn2d.h."""

    _fields_ = (
        ("x", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
        ("f", ctypes.c_void_p),
        ("batch", ctypes.c_int64),
        ("channels", ctypes.c_int64),
        ("batch_stride_in", ctypes.c_int64),
        ("batch_stride_out", ctypes.c_int64),
        ("channel_stride_in", ctypes.c_int64),
        ("channel_stride_out", ctypes.c_int64),
        ("vertical", _Axis),
        ("horizontal", _Axis),
    )


def refuse(
    x: Tensor, f: Tensor, up: Pair, down: Pair, padding: Padding, flip_filter: bool, gain: float
) -> str | None:
    """Why the kernel cannot take the call, or None."""
    reason = refuse_tensor(x, "cuda", cuda_host.DTYPES)
    if reason is not None:
        return reason
    taps = f.numel() if f.ndim == 2 else f.numel() ** 2
    if taps > _MAX_TAPS:
        return f"expected at most {_MAX_TAPS} taps, got {taps}"
    return build.unavailable("cuda")


def upfirdn2d(
    x: Tensor, f: Tensor, up: Pair, down: Pair, padding: Padding, flip_filter: bool, gain: float
) -> Tensor:
    """See `reference.upfirdn2d`."""
    kernel = f.to(device=x.device, dtype=torch.float32)
    if kernel.ndim == 1:
        kernel = torch.outer(kernel, kernel)
    if not flip_filter:  # the kernel correlates
        kernel = kernel.flip((0, 1))
    kernel = (kernel * gain).contiguous()
    shape = (*x.shape[:2], *result_size(x, kernel, up, down, padding))
    y = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=memory_format(x))
    params = _Params(
        x.data_ptr(),
        y.data_ptr(),
        kernel.data_ptr(),
        *x.shape[:2],
        *(stride for pair in zip(x.stride()[:2], y.stride()[:2], strict=True) for stride in pair),
        _axis(x, y, 2, up[1], down[1], padding[2], kernel.shape[0]),
        _axis(x, y, 3, up[0], down[0], padding[0], kernel.shape[1]),
    )
    cuda_host.launch("upfirdn2d", params, x)
    return y


def _axis(x: Tensor, y: Tensor, dim: int, up: int, down: int, before: int, taps: int) -> _Axis:
    return _Axis(x.shape[dim], y.shape[dim], x.stride(dim), y.stride(dim), up, down, before, taps)
