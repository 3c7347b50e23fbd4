"""The modulated convolution as torch ops: one forward pass, one fused first-order backward pass.

`ganvas::modulated_conv2d` takes styles and demodulation factors as unrelated inputs; how the
factors follow from styles and weight is plain PyTorch around it, in `__init__`. Its results are
always channels_last. Where autograd records the backward pass itself (`create_graph=True`), the
reference is differentiated in place of the fused pass, so every higher order is exact.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..autograd import differentiable_gradients
from ..convolution import convolution, is_own, transposed_convolution
from ..convolution.op import convolution_op, input_gradient_op, weight_gradient_op
from ..layout import channels_last, memory_format
from ..registry import register, select
from ..upfirdn2d import upfirdn2d
from . import backward, cpu_backend, cpu_backward, reference
from .triton_registration import register_triton_backend

register("modulated_conv2d", "eager", reference.modulated_conv2d)
register("modulated_conv2d_epilogue_backward", "eager", backward.epilogue_backward)
register("modulated_conv2d_styles_backward", "eager", backward.styles_backward)
register(
    "modulated_conv2d_epilogue_backward",
    "cpu",
    cpu_backward.epilogue_backward,
    refuse=cpu_backward.refuse,
)
register(
    "modulated_conv2d_styles_backward",
    "cpu",
    cpu_backward.styles_backward,
    refuse=cpu_backward.refuse,
)
register("modulated_conv2d", "cpu", cpu_backend.run, refuse=cpu_backend.refuse)
register_triton_backend()

# Leading inputs of the op that have gradients: x to bias.
_DIFFERENTIABLE = 7


@torch.library.custom_op("ganvas::modulated_conv2d", mutates_args=())
def modulated_conv2d_op(
    x: Tensor,
    weight: Tensor,
    styles: Tensor | None,
    d: Tensor | None,
    noise: Tensor | None,
    strength: Tensor | None,
    bias: Tensor | None,
    next_styles: Tensor | None,
    f: Tensor | None,
    up: int,
    act: str,
    gain: float,
    clamp: float | None,
) -> Tensor:
    """See `reference.modulated_conv2d`, which has these arguments."""
    arguments = (x, weight, styles, d, noise, strength, bias, next_styles, f, up, act, gain, clamp)
    with torch.autocast(x.device.type, enabled=False):
        y = select("modulated_conv2d", *arguments)(*arguments)
    return channels_last(y)


# Schemas with lists are spelt out: older releases of torch cannot infer them.
@torch.library.custom_op(
    "ganvas::modulated_conv2d_backward",
    mutates_args=(),
    schema=(
        "(Tensor dy, Tensor y, Tensor x, Tensor weight, Tensor? styles, Tensor? d, Tensor? "
        "noise, Tensor? strength, Tensor? bias, Tensor? f, SymInt up, str act, float gain, "
        "float? clamp, bool[] needs) -> Tensor[]"
    ),
)
def modulated_conv2d_backward_op(
    dy: Tensor,
    y: Tensor,
    x: Tensor,
    weight: Tensor,
    styles: Tensor | None,
    d: Tensor | None,
    noise: Tensor | None,
    strength: Tensor | None,
    bias: Tensor | None,
    f: Tensor | None,
    up: int,
    act: str,
    gain: float,
    clamp: float | None,
    needs: Sequence[bool],
) -> list[Tensor]:
    """Those gradients of (x, weight, styles, d, noise, strength, bias) that `needs` asks for."""
    need_x, need_weight, need_styles, _, need_noise, need_strength, need_bias = needs
    with torch.autocast(x.device.type, enabled=False):
        epilogue = (dy, y, d, noise, strength, bias, act, gain, clamp, need_noise)
        run = select("modulated_conv2d_epilogue_backward", *epilogue)
        du, sums, dd, weighted, pixels = run(*epilogue)
        dx = dweight = dstyles = None
        if need_x or need_weight or need_styles:
            if up == 2:
                du = _filter_backward(du, f)
            mask = (need_x or need_styles, need_weight)
            dx, dweight = _convolution_backward(du, x, weight, styles, up, mask)
        if dx is not None and styles is not None:
            dx, dstyles = select("modulated_conv2d_styles_backward", dx, x, styles)(dx, x, styles)
    dnoise = None
    if pixels is not None and noise is not None:
        dnoise = pixels if strength is None else pixels * strength
        dnoise = dnoise.sum_to_size(noise.shape).contiguous()
    dstrength = weighted.sum() if need_strength and weighted is not None else None
    if dx is not None:
        dx = channels_last(dx)
    if dweight is not None:
        dweight = dweight.contiguous(memory_format=memory_format(weight))
    gradients = (dx, dweight, dstyles, dd, dnoise, dstrength, sums.sum(0) if need_bias else None)
    return [g for g, need in zip(gradients, needs, strict=True) if need and g is not None]


def _filter_backward(du: Tensor, f: Tensor | None) -> Tensor:
    """Adjoint of the filter behind a transposed convolution: 2H samples to 2H + 1."""
    assert f is not None
    left, _, top, _ = reference.filter_padding(f)
    padding = (f.shape[-1] - 1 - left, left + 1, f.shape[0] - 1 - top, top + 1)
    return upfirdn2d(du, f, padding=padding, flip_filter=True, gain=4.0)


def _convolution_backward(
    du: Tensor, x: Tensor, weight: Tensor, styles: Tensor | None, up: int, mask: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of the convolution's input x * styles and of the weight, where `mask` asks."""
    if mask[1] and styles is not None:
        x = x * styles.to(x.dtype)[:, :, None, None]
    if is_own(x, weight) and weight.shape[2] in (1, 3):
        return _own_convolution_backward(du, x, weight, up, mask)
    transposed = up == 2
    kernel = weight.transpose(0, 1) if transposed else weight
    padding = 0 if transposed else weight.shape[2] // 2
    dx, dweight, _ = torch.ops.aten.convolution_backward(
        du, x, kernel, None, (up, up), (padding, padding), (1, 1), transposed, (0, 0), 1,
        (*mask, False),
    )  # fmt: skip
    if transposed and dweight is not None:
        dweight = dweight.transpose(0, 1)
    return dx, dweight


def _own_convolution_backward(
    du: Tensor, x: Tensor, weight: Tensor, up: int, mask: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """The same through the ops of `convolution`; the transposed one is an adjoint itself."""
    dx = dweight = None
    if up == 2:
        back = weight.transpose(0, 1)
        dx = convolution_op(du, back, 2, 1.0) if mask[0] else None
        dweight = weight_gradient_op(x, du, 3, 2, 1.0).transpose(0, 1) if mask[1] else None
    else:
        dx = input_gradient_op(du, weight, 1, 1.0) if mask[0] else None
        dweight = weight_gradient_op(du, x, weight.shape[2], 1, 1.0) if mask[1] else None
    return dx, dweight


def _convolve(
    x: Tensor, weight: Tensor, styles: Tensor | None, f: Tensor | None, up: int
) -> Tensor:
    """`reference.convolve` through ops whose gradients run compiled too."""
    if styles is not None:
        x = x * styles.to(x.dtype)[:, :, None, None]
    if up == 1:
        return convolution(x, weight)
    assert f is not None
    y = transposed_convolution(x, weight)
    return upfirdn2d(y, f, padding=reference.filter_padding(f), gain=4.0)


@modulated_conv2d_op.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    styles: Tensor | None,
    d: Tensor | None,
    noise: Tensor | None,
    strength: Tensor | None,
    bias: Tensor | None,
    next_styles: Tensor | None,
    f: Tensor | None,
    up: int,
    act: str,
    gain: float,
    clamp: float | None,
) -> Tensor:
    shape = (x.shape[0], weight.shape[0], x.shape[2] * up, x.shape[3] * up)
    return channels_last(x.new_empty(shape))


@modulated_conv2d_backward_op.register_fake
def _(
    dy: Tensor,
    y: Tensor,
    x: Tensor,
    weight: Tensor,
    styles: Tensor | None,
    d: Tensor | None,
    noise: Tensor | None,
    strength: Tensor | None,
    bias: Tensor | None,
    f: Tensor | None,
    up: int,
    act: str,
    gain: float,
    clamp: float | None,
    needs: Sequence[bool],
) -> list[Tensor]:
    inputs = (x, weight, styles, d, noise, strength, bias)
    formats = (torch.channels_last, memory_format(weight), *[torch.contiguous_format] * 5)
    return [
        tensor.new_empty(tensor.shape).contiguous(memory_format=layout)
        for tensor, layout, need in zip(inputs, formats, needs, strict=True)
        if need and tensor is not None
    ]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, up, act, gain, clamp = inputs
    if act not in backward.INVERTIBLE or gain <= 0 or tensors[7] is not None:
        # The public function composes such calls from others where a gradient is wanted.
        following = None if tensors[7] is None else tuple(tensors[7].shape)
        raise ValueError(
            f"modulated_conv2d: expected act of {backward.INVERTIBLE}, gain above 0 and no "
            f"next_styles in the op where it is differentiated, got {act!r}, {gain}, {following}"
        )
    ctx.save_for_backward(*tensors, output)
    ctx.settings = (up, act, gain, clamp)


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, f, y = ctx.saved_tensors
    inputs = tensors[:_DIFFERENTIABLE]
    up, act, gain, clamp = ctx.settings
    needs = list(ctx.needs_input_grad[:_DIFFERENTIABLE])
    rest = (None,) * (len(ctx.needs_input_grad) - _DIFFERENTIABLE)
    if torch.is_grad_enabled():
        composite = partial(
            reference.modulated_conv2d,
            next_styles=None, f=f, up=up, act=act, gain=gain, clamp=clamp, convolve=_convolve,
        )  # fmt: skip
        return *differentiable_gradients(composite, inputs, needs, dy), *rest
    gradients = iter(modulated_conv2d_backward_op(dy, y, *inputs, f, up, act, gain, clamp, needs))
    return *(next(gradients) if need else None for need in needs), *rest


modulated_conv2d_op.register_autograd(_backward, setup_context=_setup_context)
