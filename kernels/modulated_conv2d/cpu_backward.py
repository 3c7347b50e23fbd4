"""Argument packing for the compiled elementwise parts of the backward pass (csrc/backward.cpp)."""

import ctypes
from typing import Any

import torch
from torch import Tensor

from ..build import cpu_library, unavailable
from ..layout import channels_last, contiguous
from ..refusal import refuse_tensor
from .backward import SLOPES

# Pixels of one sample whose sums are taken together; the same whatever the number of threads.
CHUNK = 128

_TENSORS = ("dy", "y", "d", "noise", "bias", "du", "parts", "pixel_sums")
_SIZES = ("n", "pixels", "channels", "noise_stride", "chunk", "chunks", "threads")
_NUMBERS = ("strength", "gain", "alpha", "clamp")


class _EpilogueBackward(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in _TENSORS),
        *((name, ctypes.c_int64) for name in _SIZES),
        *((name, ctypes.c_float) for name in _NUMBERS),
    )


def refuse(x: Tensor, *_: Any) -> str | None:
    """Why the compiled passes cannot take x, or None."""
    return refuse_tensor(x, "cpu", (torch.float32,)) or unavailable("cpu")


def epilogue_backward(
    dy: Tensor,
    y: Tensor,
    d: Tensor | None,
    noise: Tensor | None,
    strength: Tensor | None,
    bias: Tensor | None,
    act: str,
    gain: float,
    clamp: float | None,
    per_pixel: bool,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Arguments and results as in `backward.epilogue_backward`."""
    dy, y = channels_last(dy), channels_last(y)
    batch, channels, height, width = y.shape
    pixels = height * width
    chunks = -(-pixels // CHUNK)
    d, noise, bias = contiguous(d), contiguous(noise), contiguous(bias)
    du = torch.empty_like(dy)
    parts = y.new_empty(3, batch, chunks, channels)
    pixel_sums = y.new_empty(batch, 1, height, width) if per_pixel else None
    tensors = (dy, y, d, noise, bias, du, parts, pixel_sums)
    arguments = _EpilogueBackward(
        *(None if t is None else t.data_ptr() for t in tensors),
        batch,
        pixels,
        channels,
        0 if noise is None or noise.shape[0] == 1 else pixels,
        CHUNK,
        chunks,
        torch.get_num_threads(),
        1.0 if strength is None else float(strength),
        gain,
        SLOPES[act],
        -1.0 if clamp is None else clamp,
    )
    cpu_library().ganvas_epilogue_backward(ctypes.byref(arguments))
    sums, products, weighted = parts.sum(2)
    dd = None if d is None else products / d
    return du, sums, dd, None if noise is None else weighted, pixel_sums


def styles_backward(dxs: Tensor, x: Tensor, styles: Tensor) -> tuple[Tensor, Tensor]:
    """Arguments and results as in `backward.styles_backward`."""
    dxs, x, styles = channels_last(dxs), channels_last(x), styles.contiguous()
    batch, channels, height, width = x.shape
    chunks = -(-height * width // CHUNK)
    dx = torch.empty_like(dxs)
    parts = x.new_empty(batch, chunks, channels)
    sizes = (batch, height * width, channels, CHUNK, chunks, torch.get_num_threads())
    cpu_library().ganvas_styles_backward(
        *(ctypes.c_void_p(t.data_ptr()) for t in (dxs, x, styles, dx, parts)),
        *(ctypes.c_int64(size) for size in sizes),
    )
    return dx, parts.sum(1)
