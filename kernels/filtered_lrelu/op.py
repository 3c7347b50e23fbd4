"""filtered_lrelu as PyTorch ops: forward and its two derivatives, each the other's adjoint.

The forward pass saves its inputs alone; the derivatives work out the slopes again from x, which
takes less memory than the up-sampled image's signs and needs no layout shared by all backends.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..registry import select
from .layout import empty_like, result_like

_NO_GRADIENTS = (None,) * 7


# Schemas with lists are spelt out: older releases of torch cannot infer them.
@torch.library.custom_op(
    "ganvas::filtered_lrelu",
    mutates_args=(),
    schema=(
        "(Tensor x, Tensor? fu, Tensor? fd, Tensor? b, SymInt up, SymInt down, SymInt[] "
        "padding, float gain, float slope, float? clamp, bool flip_filter) -> Tensor"
    ),
)
def filtered_lrelu(
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    b: Tensor | None,
    up: int,
    down: int,
    padding: Sequence[int],
    gain: float,
    slope: float,
    clamp: float | None,
    flip_filter: bool,
) -> Tensor:
    """[N, C, H, W] to [N, C, H', W'], in x's memory format."""
    rest = (fu, fd, b, up, down, tuple(padding), gain, slope, clamp, flip_filter)
    like = result_like(x, fu, fd, up, down, padding, device="meta")
    return _run("filtered_lrelu", like, x, *rest)


@torch.library.custom_op(
    "ganvas::filtered_lrelu_vjp",
    mutates_args=(),
    schema=(
        "(Tensor dy, Tensor x, Tensor? fu, Tensor? fd, Tensor? b, SymInt up, SymInt down, "
        "SymInt[] padding, float gain, float slope, float? clamp, bool flip_filter) -> Tensor"
    ),
)
def filtered_lrelu_vjp(
    dy: Tensor,
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    b: Tensor | None,
    up: int,
    down: int,
    padding: Sequence[int],
    gain: float,
    slope: float,
    clamp: float | None,
    flip_filter: bool,
) -> Tensor:
    """Gradient of x against `dy`, of x's shape and memory format."""
    rest = (fu, fd, b, up, down, tuple(padding), gain, slope, clamp, flip_filter)
    return _run("filtered_lrelu_vjp", empty_like(x, x.shape, device="meta"), dy, x, *rest)


@torch.library.custom_op(
    "ganvas::filtered_lrelu_jvp",
    mutates_args=(),
    schema=(
        "(Tensor tangent, Tensor x, Tensor? fu, Tensor? fd, Tensor? b, SymInt up, SymInt "
        "down, SymInt[] padding, float gain, float slope, float? clamp, bool flip_filter) -> "
        "Tensor"
    ),
)
def filtered_lrelu_jvp(
    tangent: Tensor,
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    b: Tensor | None,
    up: int,
    down: int,
    padding: Sequence[int],
    gain: float,
    slope: float,
    clamp: float | None,
    flip_filter: bool,
) -> Tensor:
    """Change of the result along `tangent`, of the result's shape and x's memory format."""
    rest = (fu, fd, b, up, down, tuple(padding), gain, slope, clamp, flip_filter)
    like = result_like(x, fu, fd, up, down, padding, device="meta")
    return _run("filtered_lrelu_jvp", like, tangent, x, *rest)


@filtered_lrelu.register_fake
def _(x, fu, fd, b, up, down, padding, gain, slope, clamp, flip_filter):
    return result_like(x, fu, fd, up, down, padding)


@filtered_lrelu_vjp.register_fake
def _(dy, x, fu, fd, b, up, down, padding, gain, slope, clamp, flip_filter):
    return empty_like(x, x.shape)


@filtered_lrelu_jvp.register_fake
def _(tangent, x, fu, fd, b, up, down, padding, gain, slope, clamp, flip_filter):
    return result_like(x, fu, fd, up, down, padding)


def _setup_forward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, fu, fd, b, *ctx.rest = inputs
    ctx.save_for_backward(x, fu, fd, b)


def _setup_derivative(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, x, fu, fd, b, *ctx.rest = inputs
    ctx.save_for_backward(x, fu, fd, b)


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    x, fu, fd, b = ctx.saved_tensors
    needs_x, needs_b = ctx.needs_input_grad[0], ctx.needs_input_grad[3]
    if not (needs_x or needs_b):
        return (None, None, None, None, *_NO_GRADIENTS)
    dx = filtered_lrelu_vjp(dy, x, fu, fd, b, *ctx.rest)
    # The padding lies around x + b, so each sample of x, and no other, carries b once.
    db = dx.sum((0, 2, 3)).to(b.dtype) if needs_b else None
    return (dx if needs_x else None, None, None, db, *_NO_GRADIENTS)


def _vjp_backward(ctx: Any, ddx: Tensor) -> tuple[Tensor | None, ...]:
    x, fu, fd, b = ctx.saved_tensors
    ddy = None
    if ctx.needs_input_grad[0]:
        ddy = filtered_lrelu_jvp(ddx, x, fu, fd, b, *ctx.rest)
    return (ddy, None, None, None, None, *_NO_GRADIENTS)


def _jvp_backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    x, fu, fd, b = ctx.saved_tensors
    dtangent = None
    if ctx.needs_input_grad[0]:
        dtangent = filtered_lrelu_vjp(dy, x, fu, fd, b, *ctx.rest)
    return (dtangent, None, None, None, None, *_NO_GRADIENTS)


filtered_lrelu.register_autograd(_backward, setup_context=_setup_forward)
filtered_lrelu_vjp.register_autograd(_vjp_backward, setup_context=_setup_derivative)
filtered_lrelu_jvp.register_autograd(_jvp_backward, setup_context=_setup_derivative)


def _run(op: str, like: Tensor, *args: Any) -> Tensor:
    """Result of the backend that takes the call, laid out as `like`, which has no values."""
    if like.numel() == 0:
        return torch.empty_like(like, device=args[0].device)
    y = select(op, *args)(*args)
    if y.stride() == like.stride() and not any(y is x for x in args):
        return y
    return torch.empty_like(like, device=y.device).copy_(y)
