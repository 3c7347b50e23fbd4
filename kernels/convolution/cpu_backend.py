"""Compiled minimal filtering for float32 convolutions on a CPU and for both of their gradients."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import build
from ..cpu_convolution import compiled, tuning
from ..cpu_convolution.compiled import Form, Method


def refuse(x: Tensor, weight: Tensor, stride: int, gain: float) -> str | None:
    """Why `convolution` cannot take these images and weights, or None."""
    reason = _refuse(x, weight, weight.shape[2], stride, weight.shape[:2])
    if reason is None and stride == 2 and min(x.shape[2:]) < 3:
        return f"expected images of at least 3x3 for stride 2, got {tuple(x.shape)}"
    return reason


def refuse_input(dy: Tensor, weight: Tensor, stride: int, gain: float) -> str | None:
    """Why `input_gradient` cannot take these images and weights, or None."""
    return _refuse(dy, weight, weight.shape[2], stride, weight.shape[:2])


def refuse_weight(dy: Tensor, x: Tensor, size: int, stride: int, gain: float) -> str | None:
    """Why `weight_gradient` cannot take these images, or None."""
    return _refuse(x, dy, size, stride, (x.shape[1], dy.shape[1]))


def _refuse(
    x: Tensor, other: Tensor, size: int, stride: int, channels: Sequence[int]
) -> str | None:
    if size not in (1, 3):
        return f"expected a 1x1 or 3x3 weight, got {size}x{size}"
    if size == 1 and stride != 1:
        return f"expected stride 1 for a 1x1 weight, got {stride}"
    for tensor in (x, other):
        if tensor.device.type != "cpu" or tensor.dtype != torch.float32:
            return f"expected float32 on a CPU, got {tensor.dtype} on {tensor.device.type}"
    if 0 in x.shape or 0 in other.shape:
        return f"expected images of some size, got {tuple(x.shape)}"
    reason = build.unavailable("cpu")
    if reason is None and size == 3 and any(compiled.padded(n) != n for n in channels):
        return f"expected channels in whole vectors, got {tuple(channels)}"
    return reason


def convolution(
    x: Tensor,
    weight: Tensor,
    stride: int,
    gain: float,
    *,
    bias: Tensor | None = None,
    slope: float = 1.0,
    workspace: compiled.Workspace | None = None,
) -> Tensor:
    """See `reference.convolution`; the result is channels_last.

    With 3x3 weights it takes a bias [O] and a leaky ReLU of `slope` along. A `workspace` is used in
    place of those that this thread keeps.
    """
    if weight.shape[2] == 1:
        return _multiply(x, weight[:, :, 0, 0], gain)
    out, channels = weight.shape[:2]
    height, width = x.shape[2:]
    if stride == 2:
        height, width = (height - 1) // 2, (width - 1) // 2
        method = _down((channels, out), min(height, width))
    else:
        method = tuning.choose((channels, out), min(height, width), 1)
    kept = compiled.kept("weight") if workspace is None else None
    packed = compiled.pack_weight(weight, method.form, gain=gain, workspace=kept)
    return _run(
        x, packed, (channels, out), method, (height, width), bias=bias, slope=slope,
        workspace=workspace,
    )  # fmt: skip


def input_gradient(dy: Tensor, weight: Tensor, stride: int, gain: float) -> Tensor:
    """See `reference.input_gradient`; the result is channels_last."""
    if weight.shape[2] == 1:
        return _multiply(dy, weight[:, :, 0, 0].t(), gain)
    out, channels = weight.shape[:2]
    height, width = dy.shape[2:]
    if stride == 2:
        method = _up((out, channels), min(height, width))
        packed = compiled.pack_weight(
            weight.transpose(0, 1), method.form, gain=gain, workspace=compiled.kept("weight")
        )
        height, width = 2 * height + 1, 2 * width + 1
    else:
        method = tuning.choose((out, channels), min(height, width), 1)
        packed = compiled.pack_weight(
            weight, method.form, adjoint=True, gain=gain, workspace=compiled.kept("weight")
        )
    return _run(dy, packed, (out, channels), method, (height, width))


def weight_gradient(dy: Tensor, x: Tensor, size: int, stride: int, gain: float) -> Tensor:
    """See `reference.weight_gradient`; the result is channels_last."""
    shape = (dy.shape[1], x.shape[1], size, size)
    dweight = torch.empty_like(x.new_empty(shape), memory_format=torch.channels_last)
    if size == 1:
        rows = _rows(dy).flatten(0, 2).t()
        torch.mm(rows, _rows(x).flatten(0, 2), out=dweight[:, :, 0, 0])
        return dweight.mul_(gain)
    small = min(dy.shape[2:])
    if stride == 2:
        form = Form.DOWN_DIRECT if small <= 4 else Form.DOWN_WINOGRAD4
    else:
        form = Form.DIRECT if small <= 4 else Form.WINOGRAD2 if small <= 8 else Form.WINOGRAD4
    compiled.weight_gradient(_rows(x), _rows(dy), dweight, form, compiled.kept("points"), gain)
    return dweight


def _up(channels: tuple[int, int], size: int) -> Method:
    return tuning.choose(channels, size, 2)


def _down(channels: tuple[int, int], size: int) -> Method:
    own = tuning.choose(channels, size, 1)
    form = Form.DOWN_DIRECT if size <= 8 else Form.DOWN_WINOGRAD4
    return Method(form, own.shared, own.tiles)


def _run(
    x: Tensor,
    packed: Tensor,
    channels: tuple[int, int],
    method: Method,
    size: tuple[int, int],
    *,
    bias: Tensor | None = None,
    slope: float = 1.0,
    workspace: compiled.Workspace | None = None,
) -> Tensor:
    y = compiled.new_floats(x.shape[0], *size, channels[1])
    points = compiled.kept("points") if workspace is None else workspace
    compiled.convolve(_rows(x), packed, channels, method, points, bias=bias, alpha=slope, y=y)
    return y.permute(0, 3, 1, 2)


def _multiply(x: Tensor, weight: Tensor, gain: float) -> Tensor:
    """A 1x1 convolution; the gain goes to the weight, which is small."""
    return torch.matmul(_rows(x), (weight * gain).t()).permute(0, 3, 1, 2)


def _rows(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).contiguous()
