"""A convolution and its two gradients in plain PyTorch; each is linear in both of its tensors."""

import torch
from torch import Tensor
from torch.nn import functional


def convolution(x: Tensor, weight: Tensor, stride: int, gain: float) -> Tensor:
    """gain * conv(x, weight), x [N, I, H, W], weight [O, I, k, k], padded as `padding` says."""
    return functional.conv2d(x, weight * gain, stride=stride, padding=padding(weight, stride))


def input_gradient(dy: Tensor, weight: Tensor, stride: int, gain: float) -> Tensor:
    """Adjoint of `convolution` in x: dy [N, O, H', W'] to [N, I, H, W].

    For stride 2, H is 2 H' + 1.
    """
    return functional.conv_transpose2d(
        dy, weight * gain, stride=stride, padding=padding(weight, stride)
    )


def weight_gradient(dy: Tensor, x: Tensor, size: int, stride: int, gain: float) -> Tensor:
    """Adjoint of `convolution` in the weight: [O, I, size, size]."""
    weight = x.new_empty((1,)).expand(dy.shape[1], x.shape[1], size, size)
    pad = padding(weight, stride)
    _, dweight, _ = torch.ops.aten.convolution_backward(
        dy, x, weight, None, (stride, stride), (pad, pad), (1, 1), False, (0, 0), 1,
        (False, True, False),
    )  # fmt: skip
    return dweight * gain


def padding(weight: Tensor, stride: int) -> int:
    """Zeros on every side: those that keep the size, none for stride 2."""
    return weight.shape[2] // 2 if stride == 1 else 0
