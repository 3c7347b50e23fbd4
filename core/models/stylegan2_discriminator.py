"""StyleGAN2's discriminator (Karras et al. 2020, figure 7; label projection as in ADA, 2020)."""

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from ...kernels import minibatch_stddev
from .blocks import BlockWiring, block_channels, block_resolutions, check_config
from .layers import Conv2dLayer, FullyConnectedLayer, downsample, fir_filter
from .mapping import MappingNetwork


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Everything that `Discriminator` is built from; other fields as in `GeneratorConfig`.

    Attributes:
        architecture: "resnet" adds skip connections, "skip" feeds every block an RGB image too.
        cmap_dim: features of the mapped label; None takes the channels at 4x4.
        mbstd_group_size: min(mbstd_group_size, N) must divide a batch of N; None takes the batch.
        mbstd_num_channels: statistic channels at 4x4; 0 for none.
    """

    c_dim: int
    img_resolution: int
    img_channels: int
    channel_base: int
    channel_max: int
    architecture: BlockWiring
    conv_clamp: float | None
    cmap_dim: int | None
    num_mapping_layers: int
    mapping_lr_multiplier: float
    mbstd_group_size: int | None
    mbstd_num_channels: int


class DiscriminatorBlock(nn.Module):
    """Two convolutions that halve the resolution; the first block (in_channels 0) starts from RGB.

    Shapes: x [N, C_in, R, R] or None, img [N, 3, R, R] or None -> x [N, C_out, R/2, R/2] and
    img [N, 3, R/2, R/2] (architecture "skip") or None.
    """

    resample_filter: Tensor

    def __init__(
        self, in_channels: int, channels: int, out_channels: int, *, config: DiscriminatorConfig
    ) -> None:
        super().__init__()
        self.architecture = config.architecture
        self.has_fromrgb = in_channels == 0 or config.architecture == "skip"
        clamp = config.conv_clamp
        self.register_buffer("resample_filter", fir_filter())
        if self.has_fromrgb:
            self.fromrgb = Conv2dLayer(
                config.img_channels, channels, 1, activation="lrelu", conv_clamp=clamp
            )
        self.conv0 = Conv2dLayer(channels, channels, 3, activation="lrelu", conv_clamp=clamp)
        self.conv1 = Conv2dLayer(
            channels, out_channels, 3, activation="lrelu", down=2, conv_clamp=clamp
        )
        if config.architecture == "resnet":
            self.skip = Conv2dLayer(channels, out_channels, 1, bias=False, down=2)

    def forward(self, x: Tensor | None, img: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if self.has_fromrgb:
            assert img is not None
            y = self.fromrgb(img)
            x = y if x is None else x + y
            img = downsample(img, self.resample_filter) if self.architecture == "skip" else None
        assert x is not None
        if self.architecture == "resnet":
            y = self.skip(x, gain=math.sqrt(0.5))
            return self.conv1(self.conv0(x), gain=math.sqrt(0.5)) + y, img
        return self.conv1(self.conv0(x)), img


class DiscriminatorEpilogue(nn.Module):
    """Minibatch statistic, convolution and two linear layers at 4x4.

    Shapes: x [N, C, 4, 4], img [N, 3, 4, 4] or None, cmap [N, cmap_dim] or None -> logits [N, 1].
    """

    def __init__(self, channels: int, *, cmap_dim: int, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.cmap_dim = cmap_dim
        self.group_size = config.mbstd_group_size
        self.num_channels = config.mbstd_num_channels
        clamp = config.conv_clamp
        self.has_fromrgb = config.architecture == "skip" or config.img_resolution == 4
        if self.has_fromrgb:
            self.fromrgb = Conv2dLayer(
                config.img_channels, channels, 1, activation="lrelu", conv_clamp=clamp
            )
        self.conv = Conv2dLayer(
            channels + self.num_channels, channels, 3, activation="lrelu", conv_clamp=clamp
        )
        self.fc = FullyConnectedLayer(channels * 16, channels, activation="lrelu")
        self.out = FullyConnectedLayer(channels, cmap_dim if cmap_dim > 0 else 1)

    def forward(self, x: Tensor | None, img: Tensor | None, cmap: Tensor | None) -> Tensor:
        if self.has_fromrgb:
            assert img is not None
            y = self.fromrgb(img)
            x = y if x is None else x + y
        assert x is not None
        if self.num_channels > 0:
            size = x.shape[0] if self.group_size is None else self.group_size
            x = minibatch_stddev(x, group_size=size, num_channels=self.num_channels)
        features: Tensor = self.conv(x)
        logits = self.out(self.fc(features.flatten(1)))
        if cmap is None:
            return logits
        return (logits * cmap).sum(dim=1, keepdim=True) / math.sqrt(self.cmap_dim)


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
        img_channels: int = 3,
        channel_base: int = 32768,
        channel_max: int = 512,
        architecture: BlockWiring = "resnet",
        conv_clamp: float | None = None,
        cmap_dim: int | None = None,
        num_mapping_layers: int = 8,
        mapping_lr_multiplier: float = 0.01,
        mbstd_group_size: int | None = 4,
        mbstd_num_channels: int = 1,
    ) -> None:
        super().__init__()
        self.config = DiscriminatorConfig(
            c_dim=c_dim,
            img_resolution=img_resolution,
            img_channels=img_channels,
            channel_base=channel_base,
            channel_max=channel_max,
            architecture=architecture,
            conv_clamp=conv_clamp,
            cmap_dim=cmap_dim,
            num_mapping_layers=num_mapping_layers,
            mapping_lr_multiplier=mapping_lr_multiplier,
            mbstd_group_size=mbstd_group_size,
            mbstd_num_channels=mbstd_num_channels,
        )
        check_config("Discriminator", self.config)
        if mbstd_group_size is not None and mbstd_group_size < 1:
            raise ValueError(
                f"Discriminator: expected mbstd_group_size >= 1 or None, got {mbstd_group_size}"
            )
        self.block_resolutions = block_resolutions(img_resolution)[:0:-1]  # R, ... 8
        in_channels = 0
        for resolution in self.block_resolutions:
            channels = block_channels(self.config, resolution)
            out_channels = block_channels(self.config, resolution // 2)
            block = DiscriminatorBlock(in_channels, channels, out_channels, config=self.config)
            self.add_module(f"b{resolution}", block)
            in_channels = out_channels
        last = block_channels(self.config, 4)
        mapped = 0
        if c_dim > 0:
            mapped = last if cmap_dim is None else cmap_dim
            self.mapping = MappingNetwork(
                z_dim=0,
                c_dim=c_dim,
                w_dim=mapped,
                num_ws=None,
                num_layers=num_mapping_layers,
                lr_multiplier=mapping_lr_multiplier,
            )
        self.b4 = DiscriminatorEpilogue(last, cmap_dim=mapped, config=self.config)

    @classmethod
    def from_config(cls, config: DiscriminatorConfig) -> "Discriminator":
        """Build an untrained network."""
        return cls(**asdict(config))

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """Score images; logits are in at least float32.

        Raises:
            ValueError: img or c has the wrong shape, or c is missing.
        """
        size, channels = self.config.img_resolution, self.config.img_channels
        if img.ndim != 4 or tuple(img.shape[1:]) != (channels, size, size):
            raise ValueError(
                f"discriminator: expected img [N, {channels}, {size}, {size}], "
                f"got {tuple(img.shape)}"
            )
        cmap = self.mapping(None, c) if self.config.c_dim > 0 else None
        if cmap is not None and cmap.shape[0] != img.shape[0]:
            raise ValueError(
                f"discriminator: expected {img.shape[0]} labels c, got {cmap.shape[0]}"
            )
        x: Tensor | None = None
        rest: Tensor | None = img.to(torch.promote_types(img.dtype, torch.float32))
        for resolution in self.block_resolutions:
            x, rest = self.get_submodule(f"b{resolution}")(x, rest)
        return self.b4(x, rest, cmap)
