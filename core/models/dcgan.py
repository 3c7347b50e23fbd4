"""DCGAN (Radford et al. 2016), conditional where there are labels, and WGAN-GP's critic.

Layer numbers of an unconditional network of 64 px are those of PyTorch's DCGAN example.
"""

from dataclasses import asdict, dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from .blocks import block_resolutions
from .plain_generator import (
    PlainConfig,
    PlainGenerator,
    check_images,
    check_inputs,
    check_plain,
)

__all__ = ["Discriminator", "DiscriminatorConfig", "Generator", "GeneratorConfig"]

LabelUse = Literal["concat", "projection"]
"""How labels enter the discriminator; the generator has them beside z (Mirza and Osindero 2014).

"concat": as constant planes beside the image (Mirza and Osindero 2014).
"projection": by their inner product with the features (Miyato and Koyama 2018, equation 3).
"""

Norm = Literal["batch", "layer", "none"]

_SLOPE = 0.2
_STD = 0.02  # of initial weights (Radford et al. 2016, section 4)


@dataclass(frozen=True)
class GeneratorConfig(PlainConfig):
    """Everything that `Generator` was built from; other fields as in `PlainConfig`.

    Attributes:
        channel_base, channel_max: channels at r x r are min(channel_base // r, channel_max).
    """

    channel_base: int
    channel_max: int


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Everything that `Discriminator` was built from; other fields as in `GeneratorConfig`.

    Attributes:
        norm: "batch"; or "layer" or "none", which leave samples apart from each other, as
            penalties of gradients need (Gulrajani et al. 2017, section 4).
        labels: how labels enter; without effect where c_dim is 0.
    """

    c_dim: int
    img_resolution: int
    img_channels: int
    channel_base: int
    channel_max: int
    norm: Norm
    labels: LabelUse


class Generator(PlainGenerator):
    """Transposed convolutions from 4x4 up; see `GeneratorConfig` for the arguments.

    Shapes: z [N, z_dim], c [N, c_dim] or None -> [N, img_channels, R, R] in -1..1.

    Raises:
        ValueError: the config does not describe a network.
    """

    config: GeneratorConfig

    def __init__(
        self,
        *,
        z_dim: int = 100,
        c_dim: int = 0,
        img_resolution: int,
        img_channels: int = 3,
        channel_base: int = 2048,
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
        counts = {"channel_max": channel_max}
        check_plain("Generator", self.config, counts)
        widths = _widths("Generator", img_resolution, channel_base, channel_max)
        before = self.config.w_dim
        layers: list[nn.Module] = []
        for level, channels in enumerate(widths):
            stride, padding = (1, 0) if level == 0 else (2, 1)
            layers += [
                nn.ConvTranspose2d(before, channels, 4, stride, padding, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            ]
            before = channels
        layers += [nn.ConvTranspose2d(before, img_channels, 4, 2, 1, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*layers)
        _initialise(self)

    def draw(self, w: Tensor) -> Tensor:
        return self.main(w[:, :, None, None])


class Discriminator(nn.Module):
    """Strided convolutions down to 4x4, and a logit; see `DiscriminatorConfig` for the arguments.

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
        channel_base: int = 2048,
        channel_max: int = 512,
        norm: Norm = "batch",
        labels: LabelUse = "concat",
    ) -> None:
        super().__init__()
        self.config = DiscriminatorConfig(
            c_dim=c_dim,
            img_resolution=img_resolution,
            img_channels=img_channels,
            channel_base=channel_base,
            channel_max=channel_max,
            norm=norm,
            labels=labels,
        )
        counts = {"channel_max": channel_max}
        check_images("Discriminator", img_resolution, img_channels, c_dim, counts)
        widths = _widths("Discriminator", img_resolution, channel_base, channel_max)[::-1]
        if norm not in get_args(Norm) or labels not in get_args(LabelUse):
            raise ValueError(
                f"Discriminator: expected norm of {get_args(Norm)} and labels of "
                f"{get_args(LabelUse)}, got {norm!r} and {labels!r}"
            )
        self._appends = c_dim > 0 and labels == "concat"
        before = img_channels + (c_dim if self._appends else 0)
        layers: list[nn.Module] = []
        # Batch normalisation takes a bias away again. Without one, layer normalisation would make
        # the logit blind to the contrast of an image.
        bias = norm != "batch"
        for level, channels in enumerate(widths):
            layers.append(nn.Conv2d(before, channels, 4, 2, 1, bias=bias))
            if level > 0:
                layers.append(norm_layer(norm, channels))
            layers.append(nn.LeakyReLU(_SLOPE))
            before = channels
        self.main = nn.Sequential(*layers, nn.Conv2d(before, 1, 4, bias=False))
        self.embed = nn.Linear(c_dim, before, bias=False) if c_dim and not self._appends else None
        _initialise(self)

    @classmethod
    def from_config(cls, config: DiscriminatorConfig) -> "Discriminator":
        """Build an untrained network."""
        return cls(**asdict(config))

    def features(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """What the logit is read off, [N, C, 4, 4].

        Raises:
            ValueError: img or c has the wrong shape, or c is missing.
        """
        config = self.config
        c = check_inputs(img, c, config.img_resolution, config.img_channels, config.c_dim)
        if c is not None and self._appends:
            planes = c.to(img)[:, :, None, None].expand(-1, -1, *img.shape[2:])
            img = torch.cat([img, planes], dim=1)
        return self.main[:-1](img)

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """Score images.

        Raises:
            ValueError: img or c has the wrong shape, or c is missing.
        """
        x = self.features(img, c)
        logits = self.main[-1](x).flatten(1)
        if self.embed is None or c is None:
            return logits
        return logits + (self.embed(c.to(x)) * x.sum(dim=[2, 3])).sum(dim=1, keepdim=True)


def _widths(network: str, resolution: int, base: int, maximum: int) -> list[int]:
    """Channels at 4, 8, ... resolution / 2.

    Raises:
        ValueError: there is no such resolution, or no channel is left.
    """
    if resolution < 8 or base < resolution // 2:
        raise ValueError(
            f"{network}: expected img_resolution >= 8 and channel_base >= half of it, "
            f"got {resolution} and {base}"
        )
    return [min(base // r, maximum) for r in block_resolutions(resolution // 2)]


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """One group of all channels is layer normalisation."""
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(1, channels) if norm == "layer" else nn.Identity()


def _initialise(network: nn.Module) -> None:
    """Normal weights of deviation 0.02 (Radford et al. 2016, section 4)."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, std=_STD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d) and module.affine:
            nn.init.normal_(module.weight, mean=1.0, std=_STD)
