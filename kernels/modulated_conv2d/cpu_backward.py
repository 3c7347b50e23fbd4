"""Argument packing for the compiled elementwise parts of the backward pass (csrc/backward.cpp)."""

import ctypes
from typing import Any

import torch
from torch import Tensor

from ..bias_act.reference import ACTIVATIONS
from ..build import cpu_library, unavailable

# Pixels of one sample whose sums are taken together; the same whatever the number of threads.
CHUNK = 128

_TENSORS = ("dy", "y", "d", "noise", "bias", "du", "parts", "pixel_sums")
_SIZES = ("n", "pixels", "channels", "noise_stride", "chunk", "chunks", "threads")
_NUMBERS = ("strength", "gain", "alpha", "clamp")
_SLOPES = {"linear": 1.0, "relu": 0.0, "lrelu": ACTIVATIONS["lrelu"].alpha}


class _EpilogueBackward(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in _TENSORS),
        *((name, ctypes.c_int64) for name in _SIZES),
        *((name, ctypes.c_float) for name in _NUMBERS),
    )


def refuse(x: Tensor, *_: Any) -> str | None:
    """Why the compiled passes cannot take x, or None."""
    if x.device.type != "cpu":
        return f"expected a CPU tensor, got {x.device.type}"
    if x.dtype != torch.float32:
        return f"expected float32, got {x.dtype}"
    return unavailable("cpu")


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
    dy, y = _channels_last(dy), _channels_last(y)
    batch, channels, height, width = y.shape
    pixels = height * width
    chunks = -(-pixels // CHUNK)
    d, noise, bias = _dense(d), _dense(noise), _dense(bias)
    du = torch.empty_like(dy)
    parts = torch.empty(3, batch, chunks, channels)
    pixel_sums = torch.empty(batch, 1, height, width) if per_pixel else None
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
        _SLOPES[act],
        -1.0 if clamp is None else clamp,
    )
    cpu_library().ganvas_epilogue_backward(ctypes.byref(arguments))
    sums, products, weighted = parts.sum(2)
    dd = None if d is None else products / d
    return du, sums, dd, None if noise is None else weighted, pixel_sums


def styles_backward(dxs: Tensor, x: Tensor, styles: Tensor) -> tuple[Tensor, Tensor]:
    """Arguments and results as in `backward.styles_backward`."""
    dxs, x, styles = _channels_last(dxs), _channels_last(x), styles.contiguous()
    batch, channels, height, width = x.shape
    chunks = -(-height * width // CHUNK)
    dx = torch.empty_like(dxs)
    parts = torch.empty(batch, chunks, channels)
    sizes = (batch, height * width, channels, CHUNK, chunks, torch.get_num_threads())
    cpu_library().ganvas_styles_backward(
        *(ctypes.c_void_p(t.data_ptr()) for t in (dxs, x, styles, dx, parts)),
        *(ctypes.c_int64(size) for size in sizes),
    )
    return dx, parts.sum(1)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _dense(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.contiguous()
