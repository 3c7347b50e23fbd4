"""What the CUDA backends share on the host."""

import ctypes

import torch
from torch import Tensor

from .build import cuda_library
from .errors import BackendError

# Numbers of `DType` in common/csrc/dtype.cuh.
DTYPES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}


def launch(op: str, call: ctypes.Structure, x: Tensor) -> None:
    """Run an op's kernel on x's device, in the stream that is current there.

    Args:
        op: its name; the library has a function ganvas_<op>_cuda.
        call: what the function takes.
        x: a tensor of the call, whose dtype is in `DTYPES`.

    Raises:
        BuildError: the library cannot be built here.
        BackendError: CUDA reports an error.
    """
    run = getattr(cuda_library(), f"ganvas_{op}_cuda")
    with torch.cuda.device_of(x):
        status = run(ctypes.byref(call), DTYPES[x.dtype], ctypes.c_void_p(_stream(x)))
    if status:
        raise BackendError(f"{op}: the CUDA kernel failed with error {status}")


def _stream(x: Tensor) -> int:
    return torch.cuda.current_stream(x.device).cuda_stream
