"""Layers that StyleGAN networks share: equalised linear and convolution layers, the FIR filter."""

import math

import torch
from torch import Tensor, nn

from ...kernels import bias_act, convolution, setup_filter, upfirdn2d

# The [1, 3, 3, 1] binomial filter of StyleGAN2 (Karras et al. 2020, appendix B), separable.
FIR_TAPS = (1.0, 3.0, 3.0, 1.0)


def normalize_2nd_moment(x: Tensor, eps: float = 1e-8) -> Tensor:
    """x / rms over features, [N, C] -> [N, C] (Karras et al. 2018, section 4.2)."""
    return x * (x.square().mean(dim=1, keepdim=True) + eps).rsqrt()


def fir_filter() -> Tensor:
    """The 4x4 filter as published checkpoints store it, [4, 4] with sum 1."""
    f = setup_filter(FIR_TAPS)
    return torch.outer(f, f)


def upsample(x: Tensor, f: Tensor) -> Tensor:
    """Double height and width, [N, C, H, W] -> [N, C, 2H, 2W]."""
    return upfirdn2d(x, f, up=2, padding=(2, 1, 2, 1), gain=4.0)


def downsample(x: Tensor, f: Tensor) -> Tensor:
    """Halve height and width, [N, C, 2H, 2W] -> [N, C, H, W]."""
    return upfirdn2d(x, f, down=2, padding=(1, 1, 1, 1))


class FullyConnectedLayer(nn.Module):
    """Linear layer with equalised learning rate (Karras et al. 2018, section 4.1).

    `weight` is stored N(0, 1) / lr_multiplier. The result has the weight's own dtype, always.

    Shapes: x [N, in_features] -> [N, out_features].
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activation: str = "linear",
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), float(bias_init)))

    def forward(self, x: Tensor) -> Tensor:
        # A matrix product sums in another order for another batch size; in evaluation on a CPU the
        # sums are taken in float64, so that a sample does not depend on its batch.
        precise = not self.training and x.device.type == "cpu"
        dtype = torch.float64 if precise else self.weight.dtype
        with torch.autocast(x.device.type, enabled=False):
            y = torch.addmm(
                self.bias.to(dtype),
                x.to(dtype),
                self.weight.t().to(dtype),
                beta=self.bias_gain,
                alpha=self.weight_gain,
            ).to(self.weight.dtype)
            return bias_act(y, act=self.activation)


class Conv2dLayer(nn.Module):
    """Convolution with equalised learning rate, activation, and FIR up- or down-sampling by 2.

    Shapes: x [N, in_channels, H, W] -> [N, out_channels, H * up / down, W * up / down].
    """

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        bias: bool = True,
        activation: str = "linear",
        up: int = 1,
        down: int = 1,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        if up != 1 and (kernel_size != 1 or down != 1):
            raise ValueError(
                "Conv2dLayer: expected kernel_size 1 and down 1 with up 2, "
                f"got kernel_size {kernel_size}, down {down}"
            )
        self.kernel_size = kernel_size
        self.activation = activation
        self.up = up
        self.down = down
        self.conv_clamp = conv_clamp
        self.weight_gain = 1 / math.sqrt(in_channels * kernel_size**2)
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        self.weight = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.register_buffer("resample_filter", fir_filter())

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        half = self.kernel_size // 2
        stride = 1
        if self.down == 2 and self.kernel_size == 1:
            x = downsample(x, self.resample_filter)
        elif self.down == 2:
            # The filter's own padding (1, 1) and the convolution's, so the latter needs none.
            x = upfirdn2d(x, self.resample_filter, padding=1 + half)
            stride = 2
        y = convolution(x, self.weight, stride=stride, gain=self.weight_gain)
        if self.up == 2:  # a 1x1 convolution commutes with the filter, and is cheaper before it
            y = upsample(y, self.resample_filter)
        root = math.sqrt(2) if self.activation == "lrelu" else 1.0
        clamp = None if self.conv_clamp is None else self.conv_clamp * gain
        return bias_act(y, self.bias, act=self.activation, gain=root * gain, clamp=clamp)
