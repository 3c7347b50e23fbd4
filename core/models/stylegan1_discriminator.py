"""StyleGAN1's discriminator: PGGAN's, with a blur before each halving (Karras et al. 2019).

Published files load into it, see `core.checkpoints.published.stylegan1_discriminator`.
"""

import math
from dataclasses import asdict, dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...kernels import minibatch_stddev, upfirdn2d
from .blocks import block_resolutions
from .labels import checked_labels
from .progressive import GAIN, SLOPE, check_sizes, check_stage, halved
from .stylegan1 import BLUR_TAPS

__all__ = ["Discriminator", "DiscriminatorConfig"]

Activation = Literal["lrelu", "linear"]


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Everything that `Discriminator` was built from: the keyword arguments of its constructor.

    Attributes:
        c_dim: classes (one-hot labels), each with a logit of its own; 0 for one logit.
        img_resolution: height and width of the images, a power of 2 from 4.
        max_resolution: the first block's; above `img_resolution` where a network was never grown to
            its end. None is `img_resolution`.
        img_channels: 3 for RGB.
        channel_base, channel_max: channels at r x r are min(channel_base // r, channel_max).
        progressive: every block can start from an image, as growing needs; else only the first.
        widen_first: the first convolution of a block changes its channels, not the second.
        fromrgb_activation: after the layer that takes the image; "linear" is none.
        mbstd_group_size: min(mbstd_group_size, N) must divide a batch of N; None takes the batch.
        mbstd_num_channels: statistic channels at 4x4; 0 for none.
    """

    c_dim: int
    img_resolution: int
    max_resolution: int | None
    img_channels: int
    channel_base: int
    channel_max: int
    progressive: bool
    widen_first: bool
    fromrgb_activation: Activation
    mbstd_group_size: int | None
    mbstd_num_channels: int


class Layer(nn.Module):
    """Convolution or linear layer with equalised learning rate, its bias apart from the factor.

    Shapes: [N, in_channels, H, W] -> [N, out_channels, H, W] for an odd kernel_size, and
    [N, in_channels] -> [N, out_channels] for kernel_size None.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int | None, *, gain: float = GAIN
    ) -> None:
        super().__init__()
        self.gain = gain / math.sqrt(in_channels * (kernel_size or 1) ** 2)
        size = () if kernel_size is None else (kernel_size, kernel_size)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, *size))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.gain
        if weight.ndim == 2:
            return functional.linear(x, weight, self.bias)
        return functional.conv2d(x, weight, self.bias, padding=weight.shape[2] // 2)


class Block(nn.Module):
    """Two convolutions, the second on the blurred image and halved.

    Shapes: x [N, C_in, R, R] -> [N, C_out, R/2, R/2].
    """

    def __init__(self, in_channels: int, out_channels: int, config: DiscriminatorConfig) -> None:
        super().__init__()
        middle = out_channels if config.widen_first else in_channels
        self.conv0 = Layer(in_channels, middle, 3)
        self.conv1 = Layer(middle, out_channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.leaky_relu(self.conv0(x), SLOPE)
        taps = torch.tensor(BLUR_TAPS, dtype=torch.promote_types(x.dtype, torch.float32))
        x = upfirdn2d(x, taps.to(x.device), padding=1)
        return functional.leaky_relu(halved(self.conv1(x)), SLOPE)


class Epilogue(nn.Module):
    """Minibatch statistic, convolution and two linear layers. [N, C, 4, 4] -> logits [N, c_dim]."""

    def __init__(self, channels: int, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.group_size = config.mbstd_group_size
        self.num_channels = config.mbstd_num_channels
        self.conv = Layer(channels + self.num_channels, channels, 3)
        self.fc = Layer(channels * 16, channels, None)
        self.out = Layer(channels, max(config.c_dim, 1), None, gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        if self.num_channels > 0:
            size = x.shape[0] if self.group_size is None else self.group_size
            x = minibatch_stddev(x, group_size=size, num_channels=self.num_channels)
        x = functional.leaky_relu(self.conv(x), SLOPE)
        return self.out(functional.leaky_relu(self.fc(x.flatten(1)), SLOPE))


class Discriminator(nn.Module):
    """Images and labels to logits; see `DiscriminatorConfig` for the arguments.

    Shapes: img [N, img_channels, R, R] nominally -1..1, c [N, c_dim] or None -> [N, 1].

    Raises:
        ValueError: the config does not describe a network.
    """

    def __init__(
        self,
        *,
        c_dim: int = 0,
        img_resolution: int,
        max_resolution: int | None = None,
        img_channels: int = 3,
        channel_base: int = 16384,
        channel_max: int = 512,
        progressive: bool = False,
        widen_first: bool = False,
        fromrgb_activation: Activation = "lrelu",
        mbstd_group_size: int | None = 4,
        mbstd_num_channels: int = 1,
    ) -> None:
        super().__init__()
        config = self.config = DiscriminatorConfig(
            c_dim=c_dim,
            img_resolution=img_resolution,
            max_resolution=max_resolution,
            img_channels=img_channels,
            channel_base=channel_base,
            channel_max=channel_max,
            progressive=progressive,
            widen_first=widen_first,
            fromrgb_activation=fromrgb_activation,
            mbstd_group_size=mbstd_group_size,
            mbstd_num_channels=mbstd_num_channels,
        )
        last = _check(config)
        before = 0
        for resolution in block_resolutions(last):
            channels = min(channel_base // resolution, channel_max)
            block = Epilogue(channels, config) if before == 0 else Block(channels, before, config)
            self.add_module(f"b{resolution}", block)
            if progressive or resolution == last:
                self.add_module(f"fromrgb{resolution}", Layer(img_channels, channels, 1))
            before = channels

    @classmethod
    def from_config(cls, config: DiscriminatorConfig) -> "Discriminator":
        """Build an untrained network."""
        return cls(**asdict(config))

    def forward(
        self,
        img: Tensor,
        c: Tensor | None = None,
        *,
        resolution: int | None = None,
        alpha: float = 1.0,
    ) -> Tensor:
        """Score images, which are of `resolution` where the networks are still growing.

        Raises:
            ValueError: img or c has the wrong shape, c is missing, or the stage is none.
        """
        config = self.config
        stage = check_stage("discriminator", config.img_resolution, resolution, alpha)
        size = stage[-1]
        if not config.progressive and (alpha != 1 or size != config.img_resolution):
            raise ValueError(
                "discriminator: expected a progressive network with resolution or alpha"
            )
        if img.ndim != 4 or tuple(img.shape[1:]) != (config.img_channels, size, size):
            raise ValueError(
                f"discriminator: expected img [N, {config.img_channels}, {size}, {size}], "
                f"got {tuple(img.shape)}"
            )
        if config.c_dim > 0:
            c = checked_labels("discriminator", c, img.shape[0], config.c_dim)
        x = self._from_rgb(img, size)
        for r in reversed(stage[1:]):
            x = self.get_submodule(f"b{r}")(x)
            if r == size and alpha < 1:
                x = self._from_rgb(halved(img), r // 2).lerp(x, alpha)
        logits = self.get_submodule("b4")(x)
        return logits if c is None or config.c_dim == 0 else (logits * c).sum(1, keepdim=True)

    def _from_rgb(self, img: Tensor, resolution: int) -> Tensor:
        x = self.get_submodule(f"fromrgb{resolution}")(img)
        linear = self.config.fromrgb_activation == "linear"
        return x if linear else functional.leaky_relu(x, SLOPE)


def _check(config: DiscriminatorConfig) -> int:
    """Refuse sizes that describe no network; give the first block's resolution."""
    size = config.img_resolution
    last = size if config.max_resolution is None else config.max_resolution
    group = 1 if config.mbstd_group_size is None else config.mbstd_group_size
    counts = {"img_channels": config.img_channels, "mbstd_group_size": group}
    for r in (size, last):
        base, most = config.channel_base, config.channel_max
        check_sizes("Discriminator", r, base, most, counts, config.c_dim)
    if last < size or (last > size and not config.progressive):
        raise ValueError(
            "Discriminator: expected max_resolution >= img_resolution, above it only if "
            f"progressive, got {last} and {size}"
        )
    if config.fromrgb_activation not in get_args(Activation):
        raise ValueError(
            f"Discriminator: expected fromrgb_activation of {get_args(Activation)}, "
            f"got {config.fromrgb_activation!r}"
        )
    return last
