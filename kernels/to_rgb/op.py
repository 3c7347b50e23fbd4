"""toRGB as torch ops: `ganvas::to_rgb` and its first-order gradients; see the reference."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..autograd import differentiable_gradients
from ..layout import channels_last
from ..registry import select
from ..upfirdn2d import upfirdn2d
from . import reference

# Leading inputs of the op that have gradients: x to image.
_DIFFERENTIABLE = 5


@torch.library.custom_op("ganvas::to_rgb", mutates_args=())
def to_rgb_op(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    bias: Tensor | None,
    image: Tensor | None,
    f: Tensor | None,
    clamp: float | None,
) -> Tensor:
    """See `reference.to_rgb`, which has these arguments."""
    arguments = (x, weight, styles, bias, image, f, clamp)
    with torch.autocast(x.device.type, enabled=False):
        return select("to_rgb", *arguments)(*arguments).contiguous()


# Schemas with lists are spelt out: older releases of torch cannot infer them.
@torch.library.custom_op(
    "ganvas::to_rgb_backward",
    mutates_args=(),
    schema=(
        "(Tensor dy, Tensor x, Tensor weight, Tensor styles, Tensor? bias, Tensor? f, float? "
        "clamp, bool[] needs) -> Tensor[]"
    ),
)
def to_rgb_backward_op(
    dy: Tensor,
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    bias: Tensor | None,
    f: Tensor | None,
    clamp: float | None,
    needs: Sequence[bool],
) -> list[Tensor]:
    """Those gradients of (x, weight, styles, bias, image) that `needs` asks for."""
    with torch.autocast(x.device.type, enabled=False):
        dz = dy
        if clamp is not None:
            free = (x, weight, styles, bias, None, None, None)
            inside = select("to_rgb", *free)(*free).abs() <= clamp
            dz = torch.where(inside, dy, 0.0)
        gradients: list[Tensor | None] = [None] * _DIFFERENTIABLE
        if any(needs[:3]):
            run = select("to_rgb_backward", dz, x, weight, styles)
            dx, down = run(dz, x, weight, styles)
            gradients[0] = channels_last(dx)
            gradients[1] = (down * styles[:, None]).sum(0)
            gradients[2] = (down * weight).sum(1)
        if needs[3]:
            gradients[3] = dz.sum((0, 2, 3))
        if needs[4]:
            assert f is not None
            left, _, top, _ = reference.upsample_padding(f)
            padding = (f.shape[-1] - 1 - left, left - 1, f.shape[0] - 1 - top, top - 1)
            dimage = upfirdn2d(dy, f, down=2, padding=padding, flip_filter=True, gain=4.0)
            gradients[4] = dimage.contiguous()
    return [g for g, need in zip(gradients, needs, strict=True) if need and g is not None]


@to_rgb_op.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    bias: Tensor | None,
    image: Tensor | None,
    f: Tensor | None,
    clamp: float | None,
) -> Tensor:
    return weight.new_empty(x.shape[0], weight.shape[0], x.shape[2], x.shape[3])


@to_rgb_backward_op.register_fake
def _(
    dy: Tensor,
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    bias: Tensor | None,
    f: Tensor | None,
    clamp: float | None,
    needs: Sequence[bool],
) -> list[Tensor]:
    batch, out, height, width = dy.shape
    dx = channels_last(x.new_empty(x.shape))
    others = [weight.new_empty(shape) for shape in (weight.shape, styles.shape, (out,))]
    image = weight.new_empty(batch, out, height // 2, width // 2)
    gradients = (dx, *others, image)
    return [g for g, need in zip(gradients, needs, strict=True) if need]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, clamp = inputs
    ctx.save_for_backward(*tensors)
    ctx.clamp = clamp


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    *inputs, f = ctx.saved_tensors
    x, weight, styles, bias, _ = inputs
    needs = list(ctx.needs_input_grad[:_DIFFERENTIABLE])
    if torch.is_grad_enabled():
        composite = partial(reference.to_rgb, f=f, clamp=ctx.clamp)
        return *differentiable_gradients(composite, inputs, needs, dy), None, None
    found = iter(to_rgb_backward_op(dy, x, weight, styles, bias, f, ctx.clamp, needs))
    return *(next(found) if need else None for need in needs), None, None


to_rgb_op.register_autograd(_backward, setup_context=_setup_context)
