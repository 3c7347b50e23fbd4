"""The CUDA kernel in csrc: a tile of one channel at a time, all of it in shared memory."""

import ctypes
from typing import Any

import torch
from torch import Tensor

from ..build import cuda_library, unavailable
from ..errors import BackendError
from . import packing
from .reference import taps

# Numbers of `DType` in common/csrc/dtype.cuh.
_DTYPES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}
MAX_TAPS = 32  # of an axis; with these, and the factors below, a tile always fits
MAX_FACTOR = 8


def refuse(x: Tensor, *rest: Any) -> str | None:
    """Why the kernel cannot take the forward call."""
    fu, fd, _, up, down, _, gain, *_ = rest
    if x.device.type != "cuda":
        return f"expected a CUDA tensor, got {x.device.type}"
    if x.dtype not in _DTYPES:
        return f"expected float32, float16 or bfloat16, got {x.dtype}"
    if gain <= 0:
        return f"expected a gain > 0, got {gain}"
    if max(up, down) > MAX_FACTOR:
        return f"expected up and down of at most {MAX_FACTOR}, got {max(up, down)}"
    most = max(*taps(fu), *taps(fd))
    if most > MAX_TAPS:
        return f"expected at most {MAX_TAPS} taps an axis, got {most}"
    return unavailable("cuda")


def refuse_derivative(direction: Tensor, x: Tensor, *rest: Any) -> str | None:
    """Why the kernel cannot take a derivative along `direction`."""
    if direction.dtype != x.dtype:
        return f"expected a direction in x's {x.dtype}, got {direction.dtype}"
    return refuse(x, *rest)


def filtered_lrelu(x: Tensor, *rest: Any) -> Tensor:
    """See `reference.filtered_lrelu`."""
    return packing.forward(_launch_for(x), x, *rest)


def filtered_lrelu_vjp(dy: Tensor, x: Tensor, *rest: Any) -> Tensor:
    """See `reference.filtered_lrelu_vjp`."""
    return packing.vjp(_launch_for(x), dy, x, *rest)


def filtered_lrelu_jvp(tangent: Tensor, x: Tensor, *rest: Any) -> Tensor:
    """See `reference.filtered_lrelu_jvp`."""
    return packing.jvp(_launch_for(x), tangent, x, *rest)


def _launch_for(x: Tensor) -> packing.Launch:
    def launch(call: packing.FilteredLrelu) -> None:
        with torch.cuda.device_of(x):
            stream = torch.cuda.current_stream(x.device).cuda_stream
            status = cuda_library().ganvas_filtered_lrelu_cuda(
                ctypes.byref(call), _DTYPES[x.dtype], ctypes.c_void_p(stream)
            )
        if status:
            raise BackendError(f"filtered_lrelu: the CUDA kernel failed with error {status}")

    return launch
