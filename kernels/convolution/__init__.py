"""Plain convolutions: one that is fast to differentiate to any order, one fused for inference."""

import torch
from torch import Tensor
from torch.nn import functional

from ..registry import register
from . import cpu_backend, reference
from .fused import conv2d
from .op import convolution_op, input_gradient_op

__all__ = ["conv2d", "convolution", "is_own", "transposed_convolution"]

register("convolution", "eager", reference.convolution)
register("convolution_input_gradient", "eager", reference.input_gradient)
register("convolution_weight_gradient", "eager", reference.weight_gradient)
register("convolution", "cpu", cpu_backend.convolution, refuse=cpu_backend.refuse)
register(
    "convolution_input_gradient", "cpu", cpu_backend.input_gradient, refuse=cpu_backend.refuse_input
)
register(
    "convolution_weight_gradient",
    "cpu",
    cpu_backend.weight_gradient,
    refuse=cpu_backend.refuse_weight,
)


def convolution(x: Tensor, weight: Tensor, *, stride: int = 1, gain: float = 1.0) -> Tensor:
    """Compute gain * conv(x, weight), differentiable to any order in both.

    On CPUs float32 images run by minimal filtering (Winograd's algorithm) forward and in every
    gradient; elsewhere this is `torch.nn.functional.conv2d`. A sample's algorithm does not depend
    on its batch.

    Args:
        x: [N, I, H, W]; for stride 2 of odd height and width.
        weight: [O, I, k, k], k odd.
        stride: 1, padded by k // 2; or 2, without padding.
        gain: factor, applied to the weight.

    Returns:
        [N, O, H', W'], channels_last on CPUs.

    Raises:
        ValueError: an argument is not as above.
    """
    if x.ndim != 4 or weight.ndim != 4 or weight.shape[1] != x.shape[1]:
        raise ValueError(
            "convolution: expected x [N, I, H, W] and weight [O, I, k, k], "
            f"got {tuple(x.shape)} and {tuple(weight.shape)}"
        )
    if weight.shape[2] != weight.shape[3] or weight.shape[2] % 2 == 0:
        raise ValueError(f"convolution: expected an odd square k, got {tuple(weight.shape[2:])}")
    if stride not in (1, 2):
        raise ValueError(f"convolution: expected stride 1 or 2, got {stride!r}")
    odd = x.shape[2] % 2 == 1 and x.shape[3] % 2 == 1
    if stride == 2 and not (odd and min(x.shape[2:]) >= weight.shape[2]):
        raise ValueError(
            f"convolution: expected an odd height and width of at least {weight.shape[2]} for "
            f"stride 2, got {tuple(x.shape[2:])}"
        )
    if not is_own(x, weight):
        padding = reference.padding(weight, stride)
        return functional.conv2d(x, (weight * gain).to(x.dtype), stride=stride, padding=padding)
    return convolution_op(x, weight, stride, float(gain))


def transposed_convolution(x: Tensor, weight: Tensor) -> Tensor:
    """The adjoint of `convolution` with stride 2, differentiable to any order in both.

    Shapes: x [N, I, H, W], weight [O, I, 3, 3] -> [N, O, 2H + 1, 2W + 1].
    """
    weight = weight.transpose(0, 1)
    if not is_own(x, weight):
        return functional.conv_transpose2d(x, weight, stride=2)
    return input_gradient_op(x, weight, 2, 1.0)


def is_own(x: Tensor, weight: Tensor) -> bool:
    """Whether ops of ours run: in float32 on a CPU, where they are worth it."""
    return (
        x.device.type == "cpu"
        and x.dtype is torch.float32
        and weight.dtype is torch.float32
        and not torch.is_autocast_enabled("cpu")
    )
