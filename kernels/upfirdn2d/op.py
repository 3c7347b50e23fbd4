"""upfirdn2d as a torch op, linear in x: its gradient is the op itself, up and down exchanged."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..layout import memory_format, settle
from ..registry import select
from .reference import adjoint_padding, result_size


# Schemas with lists are spelt out: older releases of torch cannot infer them.
@torch.library.custom_op(
    "ganvas::upfirdn2d",
    mutates_args=(),
    schema=(
        "(Tensor x, Tensor f, SymInt[] up, SymInt[] down, SymInt[] padding, bool flip_filter, "
        "float gain) -> Tensor"
    ),
)
def upfirdn2d_op(
    x: Tensor,
    f: Tensor,
    up: Sequence[int],
    down: Sequence[int],
    padding: Sequence[int],
    flip_filter: bool,
    gain: float,
) -> Tensor:
    """See `reference.upfirdn2d`; in x's memory format."""
    settings = (tuple(up), tuple(down), tuple(padding), flip_filter, gain)
    shape = result_size(x, f, up, down, padding)
    if x.numel() == 0 or 0 in shape:
        return torch.zeros(
            (*x.shape[:2], *shape), dtype=x.dtype, device=x.device
        ).contiguous(memory_format=memory_format(x))  # fmt: skip
    y = select("upfirdn2d", x, f, *settings)(x, f, *settings)
    return settle(y, x, memory_format(x))


@upfirdn2d_op.register_fake
def _(x, f, up, down, padding, flip_filter, gain):
    shape = (*x.shape[:2], *result_size(x, f, up, down, padding))
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=memory_format(x))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, f, up, down, padding, ctx.flip, ctx.gain = inputs
    ctx.save_for_backward(f)
    ctx.arguments = (down, up, adjoint_padding(x, output, f, up, down, padding))


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    (f,) = ctx.saved_tensors
    dx = upfirdn2d_op(dy, f, *ctx.arguments, not ctx.flip, ctx.gain)
    return dx, None, None, None, None, None, None


upfirdn2d_op.register_autograd(_backward, setup_context=_setup)
