"""Doubling images and features with the compiled FIR filter."""

import ctypes
from functools import cache

import torch
from torch import Tensor

from .. import build
from ..taps import Taps


def upsample_image(x: Tensor, taps: Taps) -> Tensor:
    """Filter contiguous float32 [N, C, H, W] to [N, C, 2H, 2W]; `taps` as of `separate`."""
    count, channels, height, width = x.shape
    threads = torch.get_num_threads()
    y = x.new_empty(count, channels, 2 * height, 2 * width)
    lines = x.new_empty(threads * (width + 2))
    _library().ganvas_upsample_image(
        x.data_ptr(),
        y.data_ptr(),
        count * channels,
        height,
        width,
        *_pointers(taps),
        lines.data_ptr(),
        threads,
    )
    return y


def upsample_add(x: Tensor, y: Tensor, taps: Taps) -> None:
    """Add channels-last x [N, H, W, C], filtered to [N, 2H, 2W, C], to y; C is padded."""
    threads = torch.get_num_threads()
    _library().ganvas_upsample_add(x.data_ptr(), y.data_ptr(), *x.shape, *_pointers(taps), threads)


def _pointers(taps: Taps) -> tuple[ctypes.Array[ctypes.c_float], ...]:
    return tuple((ctypes.c_float * 4)(*axis) for axis in taps)


@cache
def _library() -> ctypes.CDLL:
    library = build.cpu_library()
    integer, address = ctypes.c_int64, ctypes.c_void_p
    library.ganvas_upsample_image.argtypes = (
        *(address, address, integer, integer, integer, address, address, address, integer),
    )
    library.ganvas_upsample_image.restype = None
    library.ganvas_upsample_add.argtypes = (
        *(address, address, integer, integer, integer, integer, address, address, integer),
    )
    library.ganvas_upsample_add.restype = None
    return library
