"""StackGAN (Zhang et al. 2017): a first network sketches, a second one draws at twice the size.

Both see the labels through conditioning augmentation, whose random numbers are part of z.
"""

from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from . import dcgan
from .blocks import block_resolutions
from .plain_generator import PlainConfig, PlainGenerator, check_inputs, check_plain
from .progressive import doubled

__all__ = ["Discriminator", "DiscriminatorConfig", "Gaussian", "Generator", "GeneratorConfig"]

_SLOPE = 0.2
_COARSE = 4  # times that the second stage is coarser than its input where it joins the labels


@dataclass(frozen=True)
class GeneratorConfig(PlainConfig):
    """Everything that `Generator` was built from; other fields as in `PlainConfig`.

    Attributes:
        z_dim: noise, then `embed_dim` numbers for the conditioning augmentation of each stage.
        embed_dim: features of the augmented labels.
        channel_base, channel_max: channels at r x r are min(channel_base // r, channel_max).
        num_blocks: residual blocks of the second stage.
    """

    embed_dim: int
    channel_base: int
    channel_max: int
    num_blocks: int


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Everything that `Discriminator` was built from; fields as in `GeneratorConfig`.

    Attributes:
        norm: of the convolutions, "batch", "layer" or "none".
    """

    c_dim: int
    img_resolution: int
    img_channels: int
    embed_dim: int
    channel_base: int
    channel_max: int
    norm: dcgan.Norm


class Gaussian(NamedTuple):
    """A normal distribution of augmented labels: mean and log deviation, [N, embed_dim] each."""

    mean: Tensor
    log_std: Tensor


class ConditioningAugmentation(nn.Module):
    """Labels to a normal distribution, and a draw from it (section 3.2).

    Shapes: c [N, c_dim], noise [N, embed_dim] -> [N, embed_dim], `Gaussian`.
    """

    def __init__(self, c_dim: int, embed_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(c_dim, 2 * embed_dim)

    def forward(self, c: Tensor, noise: Tensor) -> tuple[Tensor, Gaussian]:
        gaussian = Gaussian(*self.linear(c).float().chunk(2, dim=1))
        return gaussian.mean + gaussian.log_std.exp() * noise, gaussian


class FirstStage(nn.Module):
    """Noise and augmented labels to a small image. [N, features] -> [N, C, R/2, R/2]."""

    def __init__(self, features: int, widths: list[int], img_channels: int) -> None:
        super().__init__()
        self.widths = widths
        self.linear = nn.Linear(features, widths[0] * 16, bias=False)
        self.norm = nn.BatchNorm2d(widths[0])
        self.ups = nn.ModuleList(map(UpBlock, widths[:-1], widths[1:]))
        self.to_rgb = nn.Conv2d(widths[-1], img_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.linear(x).unflatten(1, (-1, 4, 4))).relu()
        for up in self.ups:
            x = up(x)
        return self.to_rgb(x).tanh()


class SecondStage(nn.Module):
    """A small image and augmented labels to one of twice the size.

    Shapes: img [N, C, R/2, R/2], labels [N, embed_dim] -> [N, C, R, R].
    """

    def __init__(
        self, embed_dim: int, widths: list[int], img_channels: int, num_blocks: int
    ) -> None:
        super().__init__()
        coarse, *others = widths  # from 1 / _COARSE of the input's size up to twice that size
        self.encode = nn.Sequential(
            nn.Conv2d(img_channels, others[1], 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(others[1], others[0], 4, 2, 1, bias=False),
            nn.BatchNorm2d(others[0]),
            nn.ReLU(),
            nn.Conv2d(others[0], coarse, 4, 2, 1, bias=False),
            nn.BatchNorm2d(coarse),
            nn.ReLU(),
        )
        self.join = nn.Sequential(
            nn.Conv2d(coarse + embed_dim, coarse, 3, padding=1, bias=False),
            nn.BatchNorm2d(coarse),
            nn.ReLU(),
        )
        self.blocks = nn.Sequential(*(ResidualBlock(coarse) for _ in range(num_blocks)))
        self.ups = nn.Sequential(*map(UpBlock, widths[:-1], widths[1:]))
        self.to_rgb = nn.Conv2d(widths[-1], img_channels, 3, padding=1)

    def forward(self, img: Tensor, labels: Tensor) -> Tensor:
        x = _joined(self.encode(img), labels)
        return self.to_rgb(self.ups(self.blocks(self.join(x)))).tanh()


class UpBlock(nn.Module):
    """Twice the size, convolution, normalisation. [N, I, H, W] -> [N, O, 2H, 2W]."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(doubled(x))).relu()


class ResidualBlock(nn.Module):
    """Two normalised convolutions added to the input. [N, C, H, W] -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm0 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm0(self.conv0(x)).relu()
        return (x + self.norm1(self.conv1(y))).relu()


class Generator(PlainGenerator):
    """z and labels to images in two stages; see `GeneratorConfig` for the arguments.

    Shapes: z [N, z_dim], c [N, c_dim] -> [N, img_channels, R, R] in -1..1.

    Raises:
        ValueError: the config does not describe a network.
    """

    config: GeneratorConfig

    def __init__(
        self,
        *,
        z_dim: int = 164,
        c_dim: int,
        img_resolution: int,
        img_channels: int = 3,
        embed_dim: int = 32,
        channel_base: int = 2048,
        channel_max: int = 512,
        num_blocks: int = 2,
    ) -> None:
        super().__init__()
        self.config = GeneratorConfig(
            z_dim=z_dim,
            c_dim=c_dim,
            img_resolution=img_resolution,
            img_channels=img_channels,
            embed_dim=embed_dim,
            channel_base=channel_base,
            channel_max=channel_max,
            num_blocks=num_blocks,
        )
        counts = {"c_dim": c_dim, "embed_dim": embed_dim, "num_blocks": num_blocks}
        check_plain("Generator", self.config, counts | {"channel_max": channel_max})
        noise_dim = z_dim - 2 * embed_dim
        if noise_dim < 1 or img_resolution < 16 or channel_base < img_resolution:
            raise ValueError(
                "Generator: expected z_dim > 2 embed_dim, img_resolution >= 16 and channel_base >= "
                f"img_resolution, got {z_dim}, {embed_dim}, {img_resolution} and {channel_base}"
            )
        widths = [min(channel_base // r, channel_max) for r in block_resolutions(img_resolution)]
        self.augment1 = ConditioningAugmentation(c_dim, embed_dim)
        self.augment2 = ConditioningAugmentation(c_dim, embed_dim)
        self.stage1 = FirstStage(noise_dim + embed_dim, widths[:-1], img_channels)
        coarse = img_resolution // 2 // _COARSE
        later = [min(channel_base // r, channel_max) for r in (coarse, *_doublings(coarse))]
        self.stage2 = SecondStage(embed_dim, later, img_channels, num_blocks)
        _initialise(self)

    def draw(self, w: Tensor) -> Tensor:
        return self.second(self.first(w)[0], w)[0]

    def first(self, w: Tensor) -> tuple[Tensor, Gaussian]:
        """The first stage's image [N, C, R/2, R/2] of latents [N, w_dim], and its labels."""
        noise, first, _, c = self._parts(w)
        labels, gaussian = self.augment1(c, first)
        return self.stage1(torch.cat([noise, labels], dim=1)), gaussian

    def second(self, img: Tensor, w: Tensor) -> tuple[Tensor, Gaussian]:
        """The second stage's image [N, C, R, R] of the first's and the same latents."""
        _, _, second, c = self._parts(w)
        labels, gaussian = self.augment2(c, second)
        return self.stage2(img, labels), gaussian

    def _parts(self, w: Tensor) -> tuple[Tensor, ...]:
        config = self.config
        noise_dim = config.z_dim - 2 * config.embed_dim
        return w.split([noise_dim, config.embed_dim, config.embed_dim, config.c_dim], dim=1)


class Discriminator(nn.Module):
    """Whether images of either stage are real and fit their labels; see `DiscriminatorConfig`.

    DCGAN's convolutions to 4x4, where the labels join the features.

    Shapes: img [N, img_channels, R, R], c [N, c_dim] -> [N, 1].

    Raises:
        ValueError: the config does not describe a network.
    """

    def __init__(
        self,
        *,
        c_dim: int,
        img_resolution: int,
        img_channels: int = 3,
        embed_dim: int = 32,
        channel_base: int = 2048,
        channel_max: int = 512,
        norm: dcgan.Norm = "batch",
    ) -> None:
        super().__init__()
        self.config = DiscriminatorConfig(
            c_dim=c_dim,
            img_resolution=img_resolution,
            img_channels=img_channels,
            embed_dim=embed_dim,
            channel_base=channel_base,
            channel_max=channel_max,
            norm=norm,
        )
        if c_dim < 1 or embed_dim < 1:
            raise ValueError(
                f"Discriminator: expected c_dim and embed_dim >= 1, got {c_dim} and {embed_dim}"
            )
        self.trunk = dcgan.Discriminator(
            img_resolution=img_resolution,
            img_channels=img_channels,
            channel_base=channel_base,
            channel_max=channel_max,
            norm=norm,
        ).main[:-1]
        channels = min(channel_base // 4, channel_max)
        self.embed = nn.Linear(c_dim, embed_dim)
        self.join = nn.Sequential(
            nn.Conv2d(channels + embed_dim, channels, 1),
            dcgan.norm_layer(norm, channels),
            nn.LeakyReLU(_SLOPE),
        )
        self.logit = nn.Conv2d(channels, 1, 4)
        _initialise(self)

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
        assert c is not None  # as c_dim >= 1
        labels = nn.functional.leaky_relu(self.embed(c.to(img)), _SLOPE)
        return self.logit(self.join(_joined(self.trunk(img), labels))).flatten(1)


def _joined(x: Tensor, labels: Tensor) -> Tensor:
    """Labels [N, K] as constant planes behind features [N, C, H, W]."""
    return torch.cat([x, labels.to(x)[:, :, None, None].expand(-1, -1, *x.shape[2:])], dim=1)


def _doublings(size: int) -> list[int]:
    """From twice to 2 * _COARSE times a size."""
    return [size * 2**i for i in range(1, _COARSE.bit_length() + 1)]


def _initialise(network: nn.Module) -> None:
    """Normal convolutions of deviation 0.02, as DCGAN has them."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
