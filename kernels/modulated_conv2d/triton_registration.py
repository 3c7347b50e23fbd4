"""What the Triton backend accepts, told without importing triton."""

import importlib.util
import os
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ..registry import is_forced, register
from .backward import INVERTIBLE

_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# Largest number of taps of an axis of a filter.
MAX_TAPS = 4


def register_triton() -> None:
    """Register the backend of the forward pass and of both parts of the backward pass."""
    register("modulated_conv2d", "triton", _forward, refuse=_refuse_forward)
    register(
        "modulated_conv2d_epilogue_backward",
        "triton",
        _epilogue_backward,
        refuse=lambda dy, *_: refuse_tensor("modulated_conv2d_epilogue_backward", dy),
    )
    register(
        "modulated_conv2d_styles_backward",
        "triton",
        _styles_backward,
        refuse=lambda dxs, *_: refuse_tensor("modulated_conv2d_styles_backward", dxs),
    )


def refuse_tensor(op: str, x: Tensor) -> str | None:
    """Why Triton cannot take x, a tensor of the op `op`; None if it can."""
    if x.device.type != "cuda" and not (_interpreted() and is_forced("triton", op)):
        return f"expected a CUDA tensor, got {x.device.type}"
    if x.dtype not in _DTYPES:
        return f"expected float32, float16 or bfloat16, got {x.dtype}"
    return None if _installed() else "expected triton, found none"


def _refuse_forward(*arguments: Any) -> str | None:
    x, f, act, gain = arguments[0], arguments[8], arguments[10], arguments[11]
    if act not in INVERTIBLE or gain <= 0:
        return f"expected act of {INVERTIBLE} and gain above 0, got {act!r}, {gain}"
    if f is not None and max(f.shape) > MAX_TAPS:
        return f"expected at most {MAX_TAPS} taps, got {tuple(f.shape)}"
    return refuse_tensor("modulated_conv2d", x)


def _forward(*arguments: Any) -> Any:
    from . import triton_backend

    return triton_backend.modulated_conv2d(*arguments)


def _epilogue_backward(*arguments: Any) -> Any:
    from . import triton_backend

    return triton_backend.epilogue_backward(*arguments)


def _styles_backward(*arguments: Any) -> Any:
    from . import triton_backend

    return triton_backend.styles_backward(*arguments)


@cache
def _installed() -> bool:
    return importlib.util.find_spec("triton") is not None


def _interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"
