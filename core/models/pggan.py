"""PGGAN's generator and discriminator (Karras et al. 2018, "Progressive Growing of GANs").

Parameter names are those of checkpoints of PyTorch's GAN zoo, which therefore load as they are.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...kernels import minibatch_stddev
from .labels import checked_labels
from .layers import normalize_2nd_moment
from .noise import NoiseMode, NoiseSource
from .progressive import GAIN, SLOPE, check_sizes, check_stage, doubled, halved

__all__ = ["Discriminator", "DiscriminatorConfig", "Generator", "GeneratorConfig"]

StatisticRule = Literal["paper", "zoo"]
_EPSILON = 1e-8


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything that `Generator` was built from: the keyword arguments of its constructor.

    Attributes:
        z_dim: features of z.
        c_dim: classes (one-hot labels, appended to z), 0 for an unconditional network.
        img_resolution: height and width, a power of 2 from 4.
        img_channels: 3 for RGB.
        channel_base, channel_max: channels at r x r are min(channel_base // r, channel_max).
    """

    z_dim: int
    c_dim: int
    img_resolution: int
    img_channels: int
    channel_base: int
    channel_max: int


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Everything that `Discriminator` was built from; other fields as in `GeneratorConfig`.

    Attributes:
        mbstd_group_size: min(mbstd_group_size, N) must divide a batch of N. None compares all
            samples of the batch with one another, as the paper does (section 3); groups came later.
        mbstd_num_channels: statistic channels at 4x4; 0 for none.
        mbstd_rule: "paper", or "zoo" as the GAN zoo's program computes it, see `zoo_statistic`.
    """

    c_dim: int
    img_resolution: int
    img_channels: int
    channel_base: int
    channel_max: int
    mbstd_group_size: int | None
    mbstd_num_channels: int
    mbstd_rule: StatisticRule


class EqualisedLayer(nn.Module):
    """Convolution or linear layer whose result, bias included, is scaled (section 4.1).

    Shapes: [N, in_channels, H, W] -> [N, out_channels, H, W] for an odd kernel_size, and
    [N, in_channels] -> [N, out_channels] for kernel_size None.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int | None) -> None:
        super().__init__()
        self.padding = 0 if kernel_size is None else kernel_size // 2
        self.gain = GAIN / math.sqrt(in_channels * (kernel_size or 1) ** 2)
        if kernel_size is None:
            self.module = nn.Linear(in_channels, out_channels)
        else:
            self.module = nn.Conv2d(in_channels, out_channels, kernel_size)
        self.module.weight = nn.Parameter(torch.randn_like(self.module.weight))
        self.module.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        assert self.module.bias is not None
        weight, bias = self.module.weight * self.gain, self.module.bias * self.gain
        if isinstance(self.module, nn.Linear):
            return functional.linear(x, weight, bias)
        return functional.conv2d(x, weight, bias, padding=self.padding)


class Generator(nn.Module):
    """z and labels to images; see `GeneratorConfig` for the arguments.

    Shapes: z [N, z_dim], c [N, c_dim] or None -> [N, img_channels, R, R], nominally -1..1.

    Raises:
        ValueError: the config does not describe a network.
    """

    def __init__(
        self,
        *,
        z_dim: int = 512,
        c_dim: int = 0,
        img_resolution: int,
        img_channels: int = 3,
        channel_base: int = 16384,
        channel_max: int = 512,
    ) -> None:
        super().__init__()
        self.config = GeneratorConfig(
            z_dim=z_dim,
            c_dim=c_dim,
            img_resolution=img_resolution,
            img_channels=img_channels,
            channel_base=channel_base,
            channel_max=channel_max,
        )
        counts = {"z_dim": z_dim, "img_channels": img_channels}
        check_sizes("Generator", img_resolution, channel_base, channel_max, counts, c_dim)
        first, *others = _channels(self.config)
        self.formatLayer = EqualisedLayer(z_dim + c_dim, first * 16, None)
        self.groupScale0 = nn.ModuleList([EqualisedLayer(first, first, 3)])
        self.scaleLayers = nn.ModuleList()
        self.toRGBLayers = nn.ModuleList([EqualisedLayer(first, img_channels, 1)])
        before = first
        for channels in others:
            layers = (EqualisedLayer(before, channels, 3), EqualisedLayer(channels, channels, 3))
            self.scaleLayers.append(nn.ModuleList(layers))
            self.toRGBLayers.append(EqualisedLayer(channels, img_channels, 1))
            before = channels

    @classmethod
    def from_config(cls, config: GeneratorConfig) -> "Generator":
        """Build an untrained network."""
        return cls(**asdict(config))

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        noise_mode: NoiseMode = "const",
        generator: NoiseSource = None,
        *,
        resolution: int | None = None,
        alpha: float = 1.0,
    ) -> Tensor:
        """Draw the images.

        Args:
            z: [N, z_dim]; its length has no effect.
            c: [N, c_dim] one-hot labels.
            truncation_psi: 1; this network has no w to truncate.
            truncation_cutoff, noise_mode, generator: taken as StyleGAN2 takes them, and ignored.
            resolution: of the images, where the network is still growing; None is all of it.
            alpha: weight of the last resolution's image; the rest is the one before, doubled.

        Raises:
            ValueError: an argument is not as above.
        """
        stage = check_stage("generator", self.config.img_resolution, resolution, alpha)
        if truncation_psi != 1.0:
            raise ValueError(
                f"generator: expected truncation_psi 1, as PGGAN has no w, got {truncation_psi}"
            )
        x = normalize_2nd_moment(self._inputs(z, c))
        x = functional.leaky_relu(self.formatLayer(x), SLOPE).unflatten(1, (-1, 4, 4))
        x = _through(self.groupScale0, normalize_2nd_moment(x))
        before: Tensor | None = None
        for level in range(1, len(stage)):
            before, x = x, _through(self.scaleLayers[level - 1], doubled(x))
        image = self.toRGBLayers[len(stage) - 1](x)
        if alpha == 1 or before is None:
            return image
        return doubled(self.toRGBLayers[len(stage) - 2](before)).lerp(image, alpha)

    def _inputs(self, z: Tensor, c: Tensor | None) -> Tensor:
        z_dim, c_dim = self.config.z_dim, self.config.c_dim
        if z.ndim != 2 or z.shape[1] != z_dim:
            raise ValueError(f"generator: expected z [N, {z_dim}], got {tuple(z.shape)}")
        z = z.to(self.formatLayer.module.weight.dtype)
        if c_dim == 0:
            return z
        return torch.cat([z, checked_labels("generator", c, z.shape[0], c_dim).to(z)], dim=1)


class Discriminator(nn.Module):
    """Images and labels to logits; see `DiscriminatorConfig` for the arguments.

    With classes there is one logit a class, of which the label picks one (Mescheder et al. 2018).

    Shapes: img [N, img_channels, R, R] nominally -1..1, c [N, c_dim] or None -> [N, 1].

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
        mbstd_group_size: int | None = None,
        mbstd_num_channels: int = 1,
        mbstd_rule: StatisticRule = "paper",
    ) -> None:
        super().__init__()
        self.config = DiscriminatorConfig(
            c_dim=c_dim,
            img_resolution=img_resolution,
            img_channels=img_channels,
            channel_base=channel_base,
            channel_max=channel_max,
            mbstd_group_size=mbstd_group_size,
            mbstd_num_channels=mbstd_num_channels,
            mbstd_rule=mbstd_rule,
        )
        group = 1 if mbstd_group_size is None else mbstd_group_size
        counts = {"img_channels": img_channels, "mbstd_group_size": group}
        check_sizes("Discriminator", img_resolution, channel_base, channel_max, counts, c_dim)
        rules = get_args(StatisticRule)
        if mbstd_rule not in rules or (mbstd_rule == "zoo" and mbstd_num_channels > 1):
            raise ValueError(
                f"Discriminator: expected mbstd_rule of {rules}, and at most one channel of the "
                f"zoo's, got {mbstd_rule!r} and {mbstd_num_channels}"
            )
        first, *others = _channels(self.config)
        self.scaleLayers = nn.ModuleList()
        self.fromRGBLayers = nn.ModuleList([EqualisedLayer(img_channels, first, 1)])
        before = first
        for channels in others:
            layers = (EqualisedLayer(channels, channels, 3), EqualisedLayer(channels, before, 3))
            self.scaleLayers.append(nn.ModuleList(layers))
            self.fromRGBLayers.append(EqualisedLayer(img_channels, channels, 1))
            before = channels
        self.groupScaleZero = nn.ModuleList(
            [
                EqualisedLayer(first + mbstd_num_channels, first, 3),
                EqualisedLayer(first * 16, first, None),
            ]
        )
        self.decisionLayer = EqualisedLayer(first, max(c_dim, 1), None)

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
        if img.ndim != 4 or tuple(img.shape[1:]) != (config.img_channels, stage[-1], stage[-1]):
            raise ValueError(
                f"discriminator: expected img [N, {config.img_channels}, {stage[-1]}, "
                f"{stage[-1]}], got {tuple(img.shape)}"
            )
        if config.c_dim > 0:
            c = checked_labels("discriminator", c, img.shape[0], config.c_dim)
        top = len(stage) - 1
        x = functional.leaky_relu(self.fromRGBLayers[top](img), SLOPE)
        for level in range(top, 0, -1):
            x = halved(_through(self.scaleLayers[level - 1], x, normalise=False))
            if level == top and alpha < 1:
                before = functional.leaky_relu(self.fromRGBLayers[top - 1](halved(img)), SLOPE)
                x = before.lerp(x, alpha)
        if config.mbstd_num_channels > 0:
            group = config.mbstd_group_size or x.shape[0]
            if config.mbstd_rule == "zoo":
                x = zoo_statistic(x, group)
            else:
                x = minibatch_stddev(x, group_size=group, num_channels=config.mbstd_num_channels)
        x = functional.leaky_relu(self.groupScaleZero[0](x), SLOPE)
        x = functional.leaky_relu(self.groupScaleZero[1](x.flatten(1)), SLOPE)
        logits = self.decisionLayer(x)
        return logits if c is None or config.c_dim == 0 else (logits * c).sum(1, keepdim=True)


def zoo_statistic(x: Tensor, group_size: int) -> Tensor:
    """Append the minibatch statistic as the GAN zoo computes it, [N, C, H, W] -> [N, C + 1, H, W].

    Against the paper's, deviations are those of a sample (N - 1), a batch that `group_size` does
    not divide is one group, a single sample's statistic is 0, and of G groups, the one of samples
    g, g + G, ... goes to the samples after g N / G.
    """
    count = x.shape[0]
    size = min(group_size, count)
    size = size if count % size == 0 else count
    if size == 1:
        return functional.pad(x, (0, 0, 0, 0, 0, 1))
    groups = x.unflatten(0, (size, count // size))
    statistic = (groups.var(dim=0) + _EPSILON).sqrt().mean(dim=(1, 2, 3))  # [N / size]
    maps = statistic.repeat_interleave(size)[:, None, None, None]
    return torch.cat([x, maps.expand(-1, 1, *x.shape[2:])], dim=1)


def _channels(config: GeneratorConfig | DiscriminatorConfig) -> list[int]:
    """Channels at 4, 8, ... img_resolution."""
    stage = check_stage("network", config.img_resolution, None, 1.0)
    return [min(config.channel_base // r, config.channel_max) for r in stage]


def _through(layers: Sequence[nn.Module] | nn.Module, x: Tensor, normalise: bool = True) -> Tensor:
    """Convolutions, each with a leaky ReLU and pixel normalisation (section 4.2)."""
    assert isinstance(layers, nn.ModuleList)
    for layer in layers:
        x = functional.leaky_relu(layer(x), SLOPE)
        x = normalize_2nd_moment(x) if normalise else x
    return x
