"""What all Triton backends share on the host; triton itself is not imported, and may be absent."""

import importlib.util
import os
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from .refusal import refuse_tensor
from .registry import is_forced, register

# Kernel, signature, compile-time arguments, warps, stages, label.
AotCase = tuple[Any, dict[str, str], dict[str, Any], int, int, str]

# What kernels take whose accumulator is chosen by the dtype; of tensor cores only the first three.
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
DOT_DTYPES = DTYPES[:3]

# How an `AotCase` names pointers to these.
POINTERS = dict(zip(DOT_DTYPES, ("*fp32", "*fp16", "*bf16"), strict=True))


def register_triton(
    op: str, module: str, function: str, *, refuse: Callable[..., str | None] | None = None
) -> None:
    """Register `function` of `module` as Triton backend of `op`; imported when it first runs.

    Args:
        op: name of the op.
        module: absolute name of the module that imports triton.
        function: takes the op's positional arguments, the first being a tensor.
        refuse: see `registry.register`; None is `refuse_triton` of the first argument.

    Raises:
        BackendError: the op has a Triton backend already.
    """

    def run(*arguments: Any) -> Any:
        # A launch goes to the current device, which need not be the tensors'.
        with torch.cuda.device_of(arguments[0]):
            return getattr(import_module(module), function)(*arguments)

    def refuse_first(x: Tensor, *_: Any) -> str | None:
        return refuse_triton(op, x)

    register(op, "triton", run, refuse=refuse or refuse_first)


def refuse_triton(op: str, x: Tensor, dtypes: Sequence[torch.dtype] = DTYPES) -> str | None:
    """Why a Triton kernel of `op` cannot take x, or None.

    CPU tensors are taken by its interpreter, where that was chosen and the backend is forced: so
    nothing runs interpreted by accident.
    """
    on = x.device.type if interpreted() and is_forced("triton", op) else "cuda"
    reason = refuse_tensor(x, on, dtypes)
    if reason is not None:
        return reason
    return None if _installed() else "expected triton, found none"


def interpreted() -> bool:
    """Whether Triton, once imported, runs kernels in its interpreter."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def launcher(kernel: Any, *grid: int) -> Any:
    """The kernel over a grid, as a callable that type checkers leave alone."""
    return kernel[grid]


def divide_up(n: int, by: int) -> int:
    """n / by, rounded up; `triton.cdiv` for the host."""
    return -(-n // by)


def next_power_of_2(n: int) -> int:
    """The smallest power of 2 that is not below n >= 1."""
    return 1 << (n - 1).bit_length()


def signature(
    kernel: Any, constants: dict[str, Any], types: dict[str, str] | None = None
) -> dict[str, str]:
    """Types of a kernel's arguments in their order, for an `AotCase`.

    Args:
        kernel: a jitted function.
        constants: its compile-time arguments.
        types: of arguments that are neither pointers to float32 nor 32-bit integers.
    """
    types = types or {}
    found: dict[str, str] = {}
    for name in kernel.arg_names:
        usual = "*fp32" if name.endswith("_ptr") else "i32"
        found[name] = "constexpr" if name in constants else types.get(name, usual)
    return found


@cache
def _installed() -> bool:
    return importlib.util.find_spec("triton") is not None
