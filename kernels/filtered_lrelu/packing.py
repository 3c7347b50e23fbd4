"""Arguments of the compiled passes, packed as csrc/filtered_lrelu.h has them."""

import ctypes
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .layout import empty_like, result_like
from .reference import before, sizes, taps

# Runs the struct that it is given.
Launch = Callable[["FilteredLrelu"], None]


class _Upsampled(ctypes.Structure):
    """GanvasUpsampled."""

    _fields_ = (
        ("image", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("taps", ctypes.c_void_p),
        ("strides", ctypes.c_int64 * 4),
        ("height", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("up", ctypes.c_int32),
        ("pad_y", ctypes.c_int32),
        ("pad_x", ctypes.c_int32),
        ("square", ctypes.c_int32),
        ("taps_y", ctypes.c_int32),
        ("taps_x", ctypes.c_int32),
        ("scale", ctypes.c_float),
    )


class FilteredLrelu(ctypes.Structure):
    """GanvasFilteredLrelu."""

    _fields_ = (
        ("main", _Upsampled),
        ("guide", _Upsampled),
        ("taps", ctypes.c_void_p),
        ("result", ctypes.c_void_p),
        ("strides", ctypes.c_int64 * 4),
        ("batch", ctypes.c_int64),
        ("channels", ctypes.c_int64),
        ("height", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("wide_height", ctypes.c_int32),
        ("wide_width", ctypes.c_int32),
        ("down", ctypes.c_int32),
        ("offset_y", ctypes.c_int32),
        ("offset_x", ctypes.c_int32),
        ("square", ctypes.c_int32),
        ("taps_y", ctypes.c_int32),
        ("taps_x", ctypes.c_int32),
        ("scale", ctypes.c_float),
        ("slope", ctypes.c_float),
        ("clamp", ctypes.c_float),
        ("threads", ctypes.c_int32),
    )


def forward(launch: Launch, x: Tensor, *rest: Any) -> Tensor:
    """See `reference.filtered_lrelu`."""
    fu, fd, _, up, down, padding, *_ = rest
    y = result_like(x, fu, fd, up, down, padding)
    forward_into(launch, y, x, *rest)
    return y


def forward_into(launch: Launch, y: Tensor, x: Tensor, *rest: Any) -> None:
    """Write the result into y of its shape, float32 of any strides, such as a part of an image."""
    fu, fd, b, up, down, padding, gain, _, _, flip = rest
    call = _Call(x, rest)
    call.set_main(x, b, fu, flip, up, before(padding), up * up * gain)
    call.run(y, fd, flip, down, (0, 0), 1.0, launch)


def jvp(launch: Launch, tangent: Tensor, x: Tensor, *rest: Any) -> Tensor:
    """See `reference.filtered_lrelu_jvp`."""
    fu, fd, b, up, down, padding, gain, _, _, flip = rest
    y = result_like(x, fu, fd, up, down, padding)
    call = _Call(x, rest)
    call.set_main(tangent, None, fu, flip, up, before(padding), up * up * gain)
    call.set_guide(x, b, fu, flip, up, before(padding), up * up * gain)
    call.run(y, fd, flip, down, (0, 0), 1.0, launch)
    return y


def vjp(launch: Launch, dy: Tensor, x: Tensor, *rest: Any) -> Tensor:
    """See `reference.filtered_lrelu_vjp`."""
    fu, fd, b, up, down, padding, gain, _, _, flip = rest
    dx = empty_like(x, x.shape)
    call = _Call(x, rest)
    (taps_x, taps_y), (after_x, after_y) = taps(fu), taps(fd)
    pad_x, pad_y = before(padding)
    call.set_main(dy, None, fd, not flip, down, (after_x - 1, after_y - 1), gain)
    call.set_guide(x, b, fu, flip, up, (pad_x, pad_y), up * up * gain)
    offset = (pad_x - taps_x + 1, pad_y - taps_y + 1)
    call.run(dx, fu, not flip, up, offset, up * up, launch)
    return dx


class _Call:
    """The struct of one call, with the tensors that it points into."""

    def __init__(self, x: Tensor, rest: Sequence[Any]) -> None:
        fu, fd, _, up, down, padding, _, slope, clamp, _ = rest
        (height, width), _ = sizes(x, fu, fd, up, down, padding)
        self._tensors: list[Tensor] = []
        self._device = x.device
        self._struct = FilteredLrelu(
            batch=x.shape[0],
            channels=x.shape[1],
            wide_height=height,
            wide_width=width,
            slope=slope,
            clamp=math.inf if clamp is None else clamp,
            threads=torch.get_num_threads(),
        )

    def set_main(self, *arguments: Any) -> None:
        """What is passed through: see `_upsampled`."""
        self._struct.main = self._upsampled(*arguments)

    def set_guide(self, *arguments: Any) -> None:
        """What decides on the slopes: see `_upsampled`."""
        self._struct.guide = self._upsampled(*arguments)

    def run(
        self,
        result: Tensor,
        f: Tensor | None,
        flip: bool,
        down: int,
        offset: tuple[int, int],
        scale: float,
        launch: Launch,
    ) -> None:
        """Filter by `f` and keep every `down`-th sample from `offset` (x, y) on, into `result`."""
        struct = self._struct
        struct.taps, struct.square, struct.taps_y, struct.taps_x = self._taps(f, flip)
        struct.result = self._pointer(result)
        struct.strides[:] = result.stride()
        struct.height, struct.width = result.shape[2:]
        struct.down, struct.scale = down, scale
        struct.offset_x, struct.offset_y = offset
        launch(struct)

    def _upsampled(
        self,
        image: Tensor,
        b: Tensor | None,
        f: Tensor | None,
        flip: bool,
        up: int,
        pad: tuple[int, int],
        scale: float,
    ) -> _Upsampled:
        pointer, square, taps_y, taps_x = self._taps(f, flip)
        return _Upsampled(
            image=self._pointer(image),
            bias=None if b is None else self._pointer(b.float().contiguous()),
            taps=pointer,
            strides=image.stride(),
            height=image.shape[2],
            width=image.shape[3],
            up=up,
            pad_y=pad[1],
            pad_x=pad[0],
            square=square,
            taps_y=taps_y,
            taps_x=taps_x,
            scale=scale,
        )

    def _taps(self, f: Tensor | None, flip: bool) -> tuple[int, int, int, int]:
        """Pointer to the taps of a correlation, whether they are 2-D, taps_y, taps_x."""
        if f is None:
            f = torch.ones(1, device=self._device)
        axes = tuple(range(f.ndim))
        values = (f if flip else f.flip(axes)).float().contiguous()
        return self._pointer(values), int(f.ndim == 2), f.shape[0], f.shape[-1]

    def _pointer(self, tensor: Tensor) -> int:
        self._tensors.append(tensor)
        return tensor.data_ptr()
