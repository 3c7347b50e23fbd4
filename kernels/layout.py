"""Memory formats of the ops' results, and what backends ask of a tensor first."""

import importlib.util
import os
from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from .registry import is_forced, register

_TRITON_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def memory_format(x: Tensor) -> torch.memory_format:
    """channels_last for images that are, contiguous for all else."""
    if x.is_contiguous() or x.ndim != 4:
        return torch.contiguous_format
    last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def new_like(x: Tensor) -> Tensor:
    """Memory for a tensor of x's shape, dtype and device, in `memory_format(x)`."""
    return torch.empty(x.shape, dtype=x.dtype, device=x.device, memory_format=memory_format(x))


def settle(y: Tensor, x: Tensor, layout: torch.memory_format) -> Tensor:
    """y in `layout`, as a tensor of its own, which a view or x itself is not."""
    y = y.contiguous(memory_format=layout)
    return y.clone() if y.data_ptr() == x.data_ptr() and y.numel() else y


def refuse_triton(op: str, x: Tensor) -> str | None:
    """Why a Triton kernel of `op` cannot take x, or None; triton itself is not imported.

    CPU tensors are taken by its interpreter, where that was chosen and the backend is forced.
    """
    if x.device.type != "cuda" and not (
        os.environ.get("TRITON_INTERPRET") == "1" and is_forced("triton", op)
    ):
        return f"expected a CUDA tensor, got {x.device.type}"
    if x.dtype not in _TRITON_DTYPES:
        return f"expected a dtype of up to 64 bits, got {x.dtype}"
    return None if _has_triton() else "expected triton, found none"


def divide_up(n: int, by: int) -> int:
    """n / by, rounded up; `triton.cdiv` for the host."""
    return -(-n // by)


def next_power_of_2(n: int) -> int:
    """The smallest power of 2 that is not below n >= 1."""
    return 1 << (n - 1).bit_length()


@cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def register_triton(op: str, module: str, function: str) -> None:
    """Register `function` of `module` as Triton backend of `op`; imported when it first runs."""

    def run(*arguments: Any) -> Any:
        return getattr(import_module(module), function)(*arguments)

    def refuse(x: Tensor, *_: Any) -> str | None:
        return refuse_triton(op, x)

    register(op, "triton", run, refuse=refuse)
