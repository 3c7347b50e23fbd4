"""bias_act as torch ops: forward, and a backward pass that is linear in dy.

A piecewise linear activation saves its result, which whatever follows keeps anyway; its slopes are
constant, so the backward pass differentiates to any order by calling itself. The others save x and
b; where autograd records their backward pass, the reference is differentiated in its place.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..autograd import differentiable_gradients
from ..layout import memory_format, new_like, settle
from ..registry import select
from . import reference

_SETTINGS = 5  # arguments after x and b


@torch.library.custom_op("ganvas::bias_act", mutates_args=())
def bias_act_op(
    x: Tensor, b: Tensor | None, dim: int, act: str, alpha: float, gain: float, clamp: float | None
) -> Tensor:
    """See `reference.bias_act`; in x's memory format."""
    arguments = (x, b, dim, act, alpha, gain, clamp)
    y = select("bias_act", *arguments)(*arguments)
    return settle(y, x, memory_format(x))


@torch.library.custom_op("ganvas::bias_act_backward", mutates_args=())
def bias_act_backward_op(
    dy: Tensor,
    saved: Tensor | None,
    b: Tensor | None,
    dim: int,
    act: str,
    alpha: float,
    gain: float,
    clamp: float | None,
    sums: bool,
) -> tuple[Tensor, Tensor]:
    """See `reference.bias_act_backward`; dx is in the saved tensor's memory format."""
    layout = memory_format(dy if saved is None else saved)
    arguments = (
        dy.contiguous(memory_format=layout),
        None if saved is None else saved.contiguous(memory_format=layout),
        *(b, dim, act, alpha, gain, clamp, sums),
    )
    dx, db = select("bias_act_backward", *arguments)(*arguments)
    return settle(dx, dy, layout), db


@bias_act_op.register_fake
def _(x, b, dim, act, alpha, gain, clamp):
    return new_like(x)


@bias_act_backward_op.register_fake
def _(dy, saved, b, dim, act, alpha, gain, clamp, sums):
    dx = new_like(dy if saved is None else saved)
    return dx, dx.new_empty(dx.shape[dim] if sums else 0, dtype=reference.sum_dtype(dx.dtype))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, b, *ctx.settings = inputs
    _, act, alpha, gain, clamp = ctx.settings
    ctx.piecewise = reference.is_piecewise(act, alpha, gain)
    ctx.b_dtype = None if b is None else b.dtype
    if not ctx.piecewise:
        ctx.save_for_backward(x, b)
    elif act != "linear" or clamp is not None:
        ctx.save_for_backward(output, None)
    else:
        ctx.save_for_backward(None, None)


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    saved, b = ctx.saved_tensors
    dim, act, alpha, gain, clamp = ctx.settings
    needs_x, needs_b = ctx.needs_input_grad[:2]
    rest = (None,) * _SETTINGS
    if not ctx.piecewise and torch.is_grad_enabled():
        function = partial(
            reference.bias_act, dim=dim, act=act, alpha=alpha, gain=gain, clamp=clamp
        )
        return *differentiable_gradients(function, (saved, b), (needs_x, needs_b), dy), *rest
    dx, db = bias_act_backward_op(dy, saved, b, dim, act, alpha, gain, clamp, needs_b)
    return dx if needs_x else None, db.to(ctx.b_dtype) if needs_b else None, *rest


def _setup_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    dy, saved, b, *ctx.settings, _ = inputs
    _, act, alpha, gain, _ = ctx.settings
    ctx.piecewise = reference.is_piecewise(act, alpha, gain)
    ctx.set_materialize_grads(False)
    ctx.shape, ctx.dtype = dy.shape, dy.dtype
    ctx.save_for_backward(None if ctx.piecewise else dy, saved, b)


def _backward_backward(
    ctx: Any, ddx: Tensor | None, ddb: Tensor | None
) -> tuple[Tensor | None, ...]:
    dy, saved, b = ctx.saved_tensors
    dim, act, alpha, gain, clamp = ctx.settings
    rest = (None,) * (_SETTINGS + 1)
    if ddb is not None and ddb.numel():
        shape = [-1 if axis == dim else 1 for axis in range(len(ctx.shape))]
        ddb = ddb.to(ctx.dtype).reshape(shape)
        ddx = ddb.expand(ctx.shape) if ddx is None else ddx + ddb
    if ddx is None:
        return None, None, None, *rest
    if ctx.piecewise:
        ddy, _ = bias_act_backward_op(ddx, saved, b, dim, act, alpha, gain, clamp, False)
        return ddy, None, None, *rest

    def gradient_of_x(dy: Tensor, x: Tensor, b: Tensor | None) -> Tensor:
        settings = (dim, act, alpha, gain, clamp)
        return reference.bias_act_backward(dy, x, b, *settings, sums=False)[0]

    needs = ctx.needs_input_grad[:3]
    return *differentiable_gradients(gradient_of_x, (dy, saved, b), needs, ddx), *rest


bias_act_op.register_autograd(_backward, setup_context=_setup)
bias_act_backward_op.register_autograd(_backward_backward, setup_context=_setup_backward)
