"""A discriminator of image patches (Isola et al. 2017, section 3.2.2)."""

import itertools
from dataclasses import asdict, dataclass

from torch import Tensor, nn
from torch.nn import functional

from .levels import check_sizes, level_channels

_SLOPE = 0.2


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
