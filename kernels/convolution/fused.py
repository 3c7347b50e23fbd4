"""A 3x3 convolution with bias and leaky ReLU; on a CPU without gradients, in one compiled pass.

Its weight is transformed at each call: that costs as much as the convolution of some 2000 pixels,
and no memory stays behind.
"""

import torch
from torch import Tensor
from torch.nn import functional

from ..cpu_convolution import compiled
from ..registry import register, select
from . import cpu_backend

# From this size on, transforming the weight pays (64 to 512 channels, two Zen 4 cores).
_LEAST_PIXELS = 64 * 64


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, slope: float = 1.0) -> Tensor:
    """Compute lrelu(conv(x) + bias) with a padding of 1, stride 1.

    Where autograd records, under autocast and for small images, this is plain PyTorch. A sample's
    algorithm does not depend on its batch. On a CPU, 64 to 64 channels of 256 x 256 pixels take
    9 ms, 22 ms in oneDNN; the result is within 2e-6 (relative L2) of float64, oneDNN's within 9e-7.

    Args:
        x: [N, I, H, W], fastest in channels_last.
        weight: [O, I, 3, 3].
        bias: [O] or None.
        slope: of the leaky ReLU, at most 1, which is none.

    Returns:
        [N, O, H, W].

    Raises:
        ValueError: an argument is not as above.
    """
    if x.ndim != 4 or weight.ndim != 4 or tuple(weight.shape[1:]) != (x.shape[1], 3, 3):
        raise ValueError(
            "conv2d: expected x [N, I, H, W] and weight [O, I, 3, 3], "
            f"got {tuple(x.shape)} and {tuple(weight.shape)}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"conv2d: expected bias ({weight.shape[0]},), got {tuple(bias.shape)}")
    if not slope <= 1:
        raise ValueError(f"conv2d: expected slope <= 1, got {slope}")
    tensors = (x, weight) if bias is None else (x, weight, bias)
    records = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    plain = records or torch.is_autocast_enabled(x.device.type) or torch.compiler.is_compiling()
    if plain:
        return _eager(x, weight, bias, slope)
    return select("conv2d", x, weight, bias, slope)(x, weight, bias, slope)


def _eager(x: Tensor, weight: Tensor, bias: Tensor | None, slope: float) -> Tensor:
    y = functional.conv2d(x, weight, bias, padding=1)
    return y if slope == 1.0 else functional.leaky_relu(y, slope)


def _cpu(x: Tensor, weight: Tensor, bias: Tensor | None, slope: float) -> Tensor:
    bias = None if bias is None else bias.detach().contiguous()
    return cpu_backend.convolution(
        x.detach(), weight, 1, 1.0, bias=bias, slope=slope, workspace=compiled.Workspace()
    )


def _refuse_cpu(x: Tensor, weight: Tensor, bias: Tensor | None, slope: float) -> str | None:
    if bias is not None and (bias.device.type != "cpu" or bias.dtype != torch.float32):
        return f"expected a float32 bias on a CPU, got {bias.dtype} on {bias.device.type}"
    if x.shape[2] * x.shape[3] < _LEAST_PIXELS:
        return f"expected at least {_LEAST_PIXELS} pixels, got {x.shape[2]} x {x.shape[3]}"
    if not x.is_contiguous(memory_format=torch.channels_last):
        return f"expected x in channels_last, got strides {x.stride()}"
    return cpu_backend.refuse(x, weight, 1, 1.0)


register("conv2d", "cpu", _cpu, refuse=_refuse_cpu)
register("conv2d", "eager", _eager)
