"""minibatch_stddev as torch ops; where autograd records the backward pass, the reference is."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..autograd import differentiable_gradients
from ..layout import memory_format, settle
from ..registry import select
from . import reference


@torch.library.custom_op("ganvas::minibatch_stddev", mutates_args=())
def minibatch_stddev_op(x: Tensor, group_size: int, num_channels: int, eps: float) -> Tensor:
    """See `reference.minibatch_stddev`; in x's memory format."""
    arguments = (x, group_size, num_channels, eps)
    y = select("minibatch_stddev", *arguments)(*arguments)
    return settle(y, x, memory_format(x))


@torch.library.custom_op("ganvas::minibatch_stddev_backward", mutates_args=())
def minibatch_stddev_backward_op(
    dy: Tensor, x: Tensor, group_size: int, num_channels: int, eps: float
) -> Tensor:
    """See `reference.minibatch_stddev_backward`; in x's memory format."""
    arguments = (dy, x, group_size, num_channels, eps)
    dx = select("minibatch_stddev_backward", *arguments)(*arguments)
    return settle(dx, dy, memory_format(x))


@minibatch_stddev_op.register_fake
def _(x, group_size, num_channels, eps):
    shape = (x.shape[0], x.shape[1] + num_channels, *x.shape[2:])
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=memory_format(x))


@minibatch_stddev_backward_op.register_fake
def _(dy, x, group_size, num_channels, eps):
    return torch.empty(x.shape, dtype=x.dtype, device=x.device, memory_format=memory_format(x))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, *ctx.settings = inputs
    ctx.save_for_backward(x)


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    (x,) = ctx.saved_tensors
    size, channels, eps = ctx.settings
    if torch.is_grad_enabled():
        function = partial(
            reference.minibatch_stddev, group_size=size, num_channels=channels, eps=eps
        )
        return *differentiable_gradients(function, (x,), (True,), dy), None, None, None
    return minibatch_stddev_backward_op(dy, x, size, channels, eps), None, None, None


def _setup_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    dy, x, *ctx.settings = inputs
    ctx.save_for_backward(dy, x)


def _backward_backward(ctx: Any, ddx: Tensor) -> tuple[Tensor | None, ...]:
    def function(dy: Tensor, x: Tensor) -> Tensor:
        return reference.minibatch_stddev_backward(dy, x, *ctx.settings)

    needs = ctx.needs_input_grad[:2]
    return *differentiable_gradients(function, ctx.saved_tensors, needs, ddx), None, None, None


minibatch_stddev_op.register_autograd(_backward, setup_context=_setup)
minibatch_stddev_backward_op.register_autograd(_backward_backward, setup_context=_setup_backward)
