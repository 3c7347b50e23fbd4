"""Convolutions of `nn.Conv2d` layers with what surrounds them: activation, enlarging before.

Networks call these in place of the layers, so that one file decides how they run fastest.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...kernels import conv2d as plain_conv2d


def fastest_format(x: Tensor) -> Tensor:
    """x in the memory format in which convolutions of it run fastest: channels last.

    On two Zen 4 cores, 64 to 64 channels at 256 px in float32: 39 ms as NCHW, 26 ms channels last.
    """
    return x.contiguous(memory_format=torch.channels_last)


def conv2d(x: Tensor, conv: nn.Conv2d, *, slope: float = 1.0) -> Tensor:
    """The layer, then a leaky ReLU of slope `slope`; 1 is none."""
    if conv.kernel_size == (3, 3) and conv.stride == (1, 1) and conv.padding == (1, 1):
        return plain_conv2d(x, conv.weight, conv.bias, slope=slope)
    y = conv(x)
    return y if slope == 1.0 else functional.leaky_relu(y, slope)


def conv_after_nearest(x: Tensor, conv: nn.Conv2d, *, slope: float = 1.0) -> Tensor:
    """Double height and width by repeating pixels, then as `conv2d`."""
    return conv2d(functional.interpolate(x, scale_factor=2.0, mode="nearest"), conv, slope=slope)


def conv_after_bilinear(x: Tensor, conv: nn.Conv2d, *, slope: float = 1.0) -> Tensor:
    """Double height and width bilinearly, then as `conv2d`."""
    return conv2d(enlarge_bilinear(x), conv, slope=slope)


def enlarge_bilinear(x: Tensor) -> Tensor:
    """Double height and width bilinearly, corners not aligned."""
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class ConvPair(nn.Sequential):
    """Two convolutions with a leaky ReLU between them. [N, C, H, W] -> [N, out_channels, H, W]."""

    def __init__(self, channels: int, out_channels: int, *, slope: float) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.LeakyReLU(slope),
            nn.Conv2d(channels, out_channels, 3, padding=1),
        )
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        first, second = self[0], self[2]
        assert isinstance(first, nn.Conv2d) and isinstance(second, nn.Conv2d)
        return conv2d(conv2d(x, first, slope=self.slope), second)
