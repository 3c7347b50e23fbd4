"""A modern baseline without tricks: R3GAN's networks (Huang et al. 2024, config E).

Both networks are plain residual ones: inverted bottlenecks with grouped convolutions (ResNeXt),
bilinear resampling, no normalisation at all; fix-up initialisation keeps them stable. Written from
the paper; its channel counts are a matter of `channel_base` and `channel_max`.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks import block_resolutions
from .plain_generator import (
    PlainConfig,
    PlainGenerator,
    check_images,
    check_inputs,
    check_plain,
)
from .progressive import SLOPE, halved

__all__ = ["Discriminator", "DiscriminatorConfig", "Generator", "GeneratorConfig"]

_EXPANSION = 2  # of the inverted bottleneck
_LAYERS = 3  # convolutions of a residual branch


@dataclass(frozen=True)
class GeneratorConfig(PlainConfig):
    """Everything that `Generator` was built from; other fields as in `PlainConfig`.

    Attributes:
        channel_base, channel_max: channels at r x r are min(channel_base // r, channel_max).
        num_blocks: residual blocks of a resolution.
        group_width: channels of a group of the 3x3 convolutions.
    """

    channel_base: int
    channel_max: int
    num_blocks: int
    group_width: int


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Everything that `Discriminator` was built from; fields as in `GeneratorConfig`."""

    c_dim: int
    img_resolution: int
    img_channels: int
    channel_base: int
    channel_max: int
    num_blocks: int
    group_width: int


class ResidualBlock(nn.Module):
    """x + conv1x1(act(conv3x3(act(conv1x1(x))))), at first the identity.

    Shapes: [N, C, H, W] -> the same.

    Fix-up: the last convolution begins at 0 and the others are scaled by L^(-1 / (2m - 2)), with L
    blocks in the network and m convolutions in the branch (Zhang et al. 2019, section 3).
    """

    def __init__(self, channels: int, group_width: int, total_blocks: int) -> None:
        super().__init__()
        inner = channels * _EXPANSION
        groups = inner // min(group_width, inner)
        self.conv0 = nn.Conv2d(channels, inner, 1)
        self.conv1 = nn.Conv2d(inner, inner, 3, padding=1, groups=groups)
        self.conv2 = nn.Conv2d(inner, channels, 1, bias=False)
        scale = total_blocks ** (-1 / (2 * _LAYERS - 2))
        for conv in (self.conv0, self.conv1):
            _he(conv, scale)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.leaky_relu(self.conv0(x), SLOPE)
        y = functional.leaky_relu(self.conv1(y), SLOPE)
        return x + self.conv2(y)


class Generator(PlainGenerator):
    """A learned 4x4 map scaled by the latent, then residual stages of doubling size.

    See `GeneratorConfig` for the arguments.

    Shapes: z [N, z_dim], c [N, c_dim] or None -> [N, img_channels, R, R], nominally -1..1.

    Raises:
        ValueError: the config does not describe a network.
    """

    config: GeneratorConfig

    def __init__(
        self,
        *,
        z_dim: int = 64,
        c_dim: int = 0,
        img_resolution: int,
        img_channels: int = 3,
        channel_base: int = 16384,
        channel_max: int = 512,
        num_blocks: int = 2,
        group_width: int = 16,
    ) -> None:
        super().__init__()
        self.config = GeneratorConfig(
            z_dim=z_dim,
            c_dim=c_dim,
            img_resolution=img_resolution,
            img_channels=img_channels,
            channel_base=channel_base,
            channel_max=channel_max,
            num_blocks=num_blocks,
            group_width=group_width,
        )
        counts = {"num_blocks": num_blocks, "group_width": group_width}
        check_plain("Generator", self.config, counts)
        widths = _widths("Generator", self.config)
        self.basis = nn.Parameter(torch.randn(widths[0], 4, 4))
        self.affine = nn.Linear(self.config.w_dim, widths[0], bias=False)
        nn.init.normal_(self.affine.weight, std=self.config.w_dim**-0.5)
        self.stages = nn.ModuleList(
            _stage(self.config, widths, level) for level in range(len(widths))
        )
        self.changes = nn.ModuleList(map(_change, widths[:-1], widths[1:]))
        self.to_rgb = nn.Conv2d(widths[-1], img_channels, 1)
        _he(self.to_rgb, 1.0, activated=False)

    def draw(self, w: Tensor) -> Tensor:
        x = self.stages[0](self.basis * self.affine(w)[:, :, None, None])
        for change, stage in zip(self.changes, self.stages[1:], strict=True):
            x = functional.interpolate(change(x), scale_factor=2.0, mode="bilinear")
            x = stage(x)
        return self.to_rgb(x)


class Discriminator(nn.Module):
    """The generator's mirror image; see `DiscriminatorConfig` for the arguments.

    Labels add their inner product with the features (Miyato and Koyama 2018).

    Shapes: img [N, img_channels, R, R], c [N, c_dim] or None -> [N, 1].

    Raises:
        ValueError: the config does not describe a network.
    """

    def __init__(
        self,
        *,
        c_dim: int = 0,
        img_resolution: int,
        img_channels: int = 3,
        channel_base: int = 16384,
        channel_max: int = 512,
        num_blocks: int = 2,
        group_width: int = 16,
    ) -> None:
        super().__init__()
        self.config = DiscriminatorConfig(
            c_dim=c_dim,
            img_resolution=img_resolution,
            img_channels=img_channels,
            channel_base=channel_base,
            channel_max=channel_max,
            num_blocks=num_blocks,
            group_width=group_width,
        )
        counts = {"num_blocks": num_blocks, "group_width": group_width}
        check_images("Discriminator", img_resolution, img_channels, c_dim, counts)
        widths = _widths("Discriminator", self.config)[::-1]
        self.from_rgb = nn.Conv2d(img_channels, widths[0], 1)
        _he(self.from_rgb, 1.0, activated=False)
        self.stages = nn.ModuleList(
            _stage(self.config, widths, level) for level in range(len(widths))
        )
        self.changes = nn.ModuleList(map(_change, widths[:-1], widths[1:]))
        self.gather = nn.Conv2d(widths[-1], widths[-1], 4, groups=widths[-1], bias=False)
        _he(self.gather, 1.0, activated=False)
        self.logit = nn.Linear(widths[-1], 1, bias=False)
        nn.init.normal_(self.logit.weight, std=widths[-1] ** -0.5)
        self.embed = nn.Linear(c_dim, widths[-1], bias=False) if c_dim else None

    @classmethod
    def from_config(cls, config: DiscriminatorConfig) -> "Discriminator":
        """Build an untrained network."""
        return cls(**asdict(config))

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """Score images.

        Raises:
            ValueError: img or c has the wrong shape, or c is missing.
        """
        config = self.config
        c = check_inputs(img, c, config.img_resolution, config.img_channels, config.c_dim)
        x = self.stages[0](self.from_rgb(img))
        for change, stage in zip(self.changes, self.stages[1:], strict=True):
            x = stage(change(halved(x)))
        x = self.gather(x).flatten(1)
        logits = self.logit(x)
        if self.embed is None or c is None:
            return logits
        return logits + (self.embed(c.to(x)) * x).sum(dim=1, keepdim=True)


def _widths(network: str, config: GeneratorConfig | DiscriminatorConfig) -> list[int]:
    """Channels at 4, 8, ... img_resolution.

    Raises:
        ValueError: no channel is left, or groups do not divide them.
    """
    size, base = config.img_resolution, config.channel_base
    if config.channel_max < 1 or base < size:
        raise ValueError(
            f"{network}: expected channel_base >= img_resolution and channel_max >= 1, "
            f"got {base} and {config.channel_max}"
        )
    widths = [min(base // r, config.channel_max) for r in block_resolutions(size)]
    for width in widths:
        inner = width * _EXPANSION
        if inner % min(config.group_width, inner):
            raise ValueError(
                f"{network}: expected channels whose {_EXPANSION}-fold is a multiple of "
                f"group_width {config.group_width}, got {width}"
            )
    return widths


def _stage(
    config: GeneratorConfig | DiscriminatorConfig, widths: list[int], level: int
) -> nn.Module:
    total = config.num_blocks * len(widths)
    blocks = (
        ResidualBlock(widths[level], config.group_width, total) for _ in range(config.num_blocks)
    )
    return nn.Sequential(*blocks)


def _change(before: int, after: int) -> nn.Module:
    """A 1x1 convolution where the number of channels changes."""
    if before == after:
        return nn.Identity()
    conv = nn.Conv2d(before, after, 1, bias=False)
    _he(conv, 1.0, activated=False)
    return conv


def _he(conv: nn.Conv2d, scale: float, activated: bool = True) -> None:
    """Normal weights that keep the variance (He et al. 2015), times `scale`; bias 0."""
    nonlinearity = "leaky_relu" if activated else "linear"
    nn.init.kaiming_normal_(conv.weight, a=SLOPE, nonlinearity=nonlinearity)
    with torch.no_grad():
        conv.weight.mul_(scale)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
