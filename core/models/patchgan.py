"""Discriminators of image patches (Isola et al. 2017, section 3.2.2): ours and the published."""

import itertools
from dataclasses import asdict, dataclass

from torch import Tensor, nn
from torch.nn import functional

from .image_translation import Norm, check_norm, has_bias, norm_layer
from .levels import check_sizes, level_channels

_SLOPE = 0.2
_MAX_FACTOR = 8  # layers of the published networks have 1, 2, 4, 8, 8, ... times `ndf` channels


@dataclass(frozen=True)
class PatchDiscriminatorConfig:
    """Everything that a `PatchDiscriminator` was built from: its constructor's keyword arguments.

    Attributes:
        img_channels: 3 for RGB; 6 where the condition is concatenated.
        base_channels, channel_max: layer i has min(base_channels * 2**i, channel_max) channels.
        num_layers: convolutions of stride 2; 3 see patches of 54 x 54 pixels.
    """

    img_channels: int
    base_channels: int
    channel_max: int
    num_layers: int


class PatchDiscriminator(nn.Module):
    """Images to a map of logits, one for each patch; no normalisation, so R1 applies as it is.

    See `PatchDiscriminatorConfig` for the arguments.

    Shapes: [N, img_channels, H, W] nominally -1..1 -> [N, 1, h, w], H and W halved (rounding
    down) `num_layers` times.

    Raises:
        ValueError: the config does not describe a network.
    """

    def __init__(
        self,
        *,
        img_channels: int = 3,
        base_channels: int = 32,
        channel_max: int = 256,
        num_layers: int = 3,
    ) -> None:
        super().__init__()
        self.config = PatchDiscriminatorConfig(
            img_channels=img_channels,
            base_channels=base_channels,
            channel_max=channel_max,
            num_layers=num_layers,
        )
        check_sizes("PatchDiscriminator", asdict(self.config))
        channels = [img_channels, *level_channels(base_channels, channel_max, num_layers)]
        last = channels[-1]
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride=2, padding=1)
            for before, after in itertools.pairwise(channels)
        )
        self.layers.append(nn.Conv2d(last, last, 3, padding=1))
        self.logits = nn.Conv2d(last, 1, 3, padding=1)

    @classmethod
    def from_config(cls, config: PatchDiscriminatorConfig) -> "PatchDiscriminator":
        """Build an untrained network."""
        return cls(**asdict(config))

    def forward(self, img: Tensor) -> Tensor:
        """Score patches.

        Raises:
            ValueError: img is no [N, img_channels, H, W] with sides of at least 2**num_layers.
        """
        channels, least = self.config.img_channels, 2**self.config.num_layers
        if img.ndim != 4 or img.shape[1] != channels or min(img.shape[2:]) < least:
            raise ValueError(
                f"PatchDiscriminator: expected img [N, {channels}, H, W] with H, W >= {least}, "
                f"got {tuple(img.shape)}"
            )
        x = img
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), _SLOPE)
        return self.logits(x)


@dataclass(frozen=True)
class PatchGANConfig:
    """Everything that a `PatchGAN` was built from: its constructor's keyword arguments.

    Attributes:
        in_channels: 3 for RGB; 6 where the condition is concatenated, as pix2pix does.
        ndf: channels of the first layer.
        num_layers: layers of stride 2, 3 for the published "basic" one of 70 x 70 pixels; 0 scores
            single pixels.
        norm: "batch", "instance" or "none".
    """

    in_channels: int
    ndf: int
    num_layers: int
    norm: Norm


class PatchGAN(nn.Module):
    """pix2pix's and CycleGAN's discriminator, with the published parameter names.

    Normalisation runs as in training where the module is in training mode; else with the running
    statistics.

    Shapes: [N, in_channels, H, W] in -1..1 -> logits [N, 1, h, w].

    Raises:
        ValueError: the config does not describe a network.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        ndf: int = 64,
        num_layers: int = 3,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        self.config = PatchGANConfig(
            in_channels=in_channels, ndf=ndf, num_layers=num_layers, norm=norm
        )
        check_sizes("PatchGAN", {"in_channels": in_channels, "ndf": ndf})
        check_norm("PatchGAN", norm)
        if num_layers < 0:
            raise ValueError(f"PatchGAN: expected num_layers >= 0, got {num_layers}")
        layers = _patch_layers(self.config) if num_layers else _pixel_layers(self.config)
        self.add_module("model" if num_layers else "net", nn.Sequential(*layers))

    @classmethod
    def from_config(cls, config: PatchGANConfig) -> "PatchGAN":
        """Build an untrained network."""
        return cls(**asdict(config))

    def forward(self, img: Tensor) -> Tensor:
        """Score patches.

        Raises:
            ValueError: img is no [N, in_channels, H, W] large enough for one patch.
        """
        channels, num_layers = self.config.in_channels, self.config.num_layers
        # Each of the two last layers takes one pixel of what the halving leaves.
        least = 3 * 2**num_layers if num_layers else 1
        if img.ndim != 4 or img.shape[1] != channels or min(img.shape[2:]) < least:
            raise ValueError(
                f"PatchGAN: expected img [N, {channels}, H, W] with H, W >= {least}, "
                f"got {tuple(img.shape)}"
            )
        return self.get_submodule("model" if num_layers else "net")(img)


def _patch_layers(config: PatchGANConfig) -> list[nn.Module]:
    bias = has_bias(config.norm)
    layers: list[nn.Module] = [
        nn.Conv2d(config.in_channels, config.ndf, 4, stride=2, padding=1),
        nn.LeakyReLU(_SLOPE),
    ]
    widths = [config.ndf * min(2**i, _MAX_FACTOR) for i in range(config.num_layers + 1)]
    for index, (before, after) in enumerate(itertools.pairwise(widths), start=1):
        stride = 2 if index < config.num_layers else 1
        layers += [
            nn.Conv2d(before, after, 4, stride=stride, padding=1, bias=bias),
            norm_layer(config.norm, after),
            nn.LeakyReLU(_SLOPE),
        ]
    return [*layers, nn.Conv2d(widths[-1], 1, 4, padding=1)]


def _pixel_layers(config: PatchGANConfig) -> list[nn.Module]:
    ndf, bias = config.ndf, has_bias(config.norm)
    return [
        nn.Conv2d(config.in_channels, ndf, 1),
        nn.LeakyReLU(_SLOPE),
        nn.Conv2d(ndf, 2 * ndf, 1, bias=bias),
        norm_layer(config.norm, 2 * ndf),
        nn.LeakyReLU(_SLOPE),
        nn.Conv2d(2 * ndf, 1, 1, bias=bias),
    ]
