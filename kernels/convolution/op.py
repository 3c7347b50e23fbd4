"""A plain convolution as torch ops that are each other's derivatives, so every order is fast.

The convolution is linear in image and weight; so are its two gradients, and each gradient of any of
the three is one of the three again. Results are channels_last.
"""

from typing import Any

import torch
from torch import Tensor

from ..registry import select

_LAST = torch.channels_last


@torch.library.custom_op("ganvas::convolution", mutates_args=())
def convolution_op(x: Tensor, weight: Tensor, stride: int, gain: float) -> Tensor:
    """See `reference.convolution`."""
    with torch.autocast(x.device.type, enabled=False):
        run = select("convolution", x, weight, stride, gain)
        return run(x, weight, stride, gain).contiguous(memory_format=_LAST)


@torch.library.custom_op("ganvas::convolution_input_gradient", mutates_args=())
def input_gradient_op(dy: Tensor, weight: Tensor, stride: int, gain: float) -> Tensor:
    """See `reference.input_gradient`."""
    with torch.autocast(dy.device.type, enabled=False):
        run = select("convolution_input_gradient", dy, weight, stride, gain)
        return run(dy, weight, stride, gain).contiguous(memory_format=_LAST)


@torch.library.custom_op("ganvas::convolution_weight_gradient", mutates_args=())
def weight_gradient_op(dy: Tensor, x: Tensor, size: int, stride: int, gain: float) -> Tensor:
    """See `reference.weight_gradient`."""
    with torch.autocast(x.device.type, enabled=False):
        run = select("convolution_weight_gradient", dy, x, size, stride, gain)
        return run(dy, x, size, stride, gain).contiguous(memory_format=_LAST)


@convolution_op.register_fake
def _(x: Tensor, weight: Tensor, stride: int, gain: float) -> Tensor:
    trim = 0 if stride == 1 else weight.shape[2] - 1
    size = ((n - trim - 1) // stride + 1 for n in x.shape[2:])
    return _empty(x, (x.shape[0], weight.shape[0], *size))


@input_gradient_op.register_fake
def _(dy: Tensor, weight: Tensor, stride: int, gain: float) -> Tensor:
    more = 1 if stride == 1 else weight.shape[2]
    size = ((n - 1) * stride + more for n in dy.shape[2:])
    return _empty(dy, (dy.shape[0], weight.shape[1], *size))


@weight_gradient_op.register_fake
def _(dy: Tensor, x: Tensor, size: int, stride: int, gain: float) -> Tensor:
    return _empty(x, (dy.shape[1], x.shape[1], size, size))


def _empty(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    return like.new_empty(shape).contiguous(memory_format=_LAST)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    first, second, *ctx.settings = inputs
    ctx.save_for_backward(first, second)


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    x, weight = ctx.saved_tensors
    need_x, need_weight = ctx.needs_input_grad[:2]
    dx = input_gradient_op(dy, weight, *ctx.settings) if need_x else None
    dweight = weight_gradient_op(dy, x, weight.shape[2], *ctx.settings) if need_weight else None
    return dx, dweight, None, None


def _input_gradient_backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    dy, weight = ctx.saved_tensors
    need_dy, need_weight = ctx.needs_input_grad[:2]
    ddy = convolution_op(g, weight, *ctx.settings) if need_dy else None
    dweight = weight_gradient_op(dy, g, weight.shape[2], *ctx.settings) if need_weight else None
    return ddy, dweight, None, None


def _weight_gradient_backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    dy, x = ctx.saved_tensors
    settings = ctx.settings[1:]
    need_dy, need_x = ctx.needs_input_grad[:2]
    ddy = convolution_op(x, g, *settings) if need_dy else None
    dx = input_gradient_op(dy, g, *settings) if need_x else None
    return ddy, dx, None, None, None


convolution_op.register_autograd(_backward, setup_context=_setup)
input_gradient_op.register_autograd(_input_gradient_backward, setup_context=_setup)
weight_gradient_op.register_autograd(_weight_gradient_backward, setup_context=_setup)
