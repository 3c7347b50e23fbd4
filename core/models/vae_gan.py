"""The discriminator of a VAE-GAN, whose inner features say how alike two images are.

Source: Larsen et al. 2016, "Autoencoding beyond pixels using a learned similarity metric".
"""

from dataclasses import asdict, dataclass

from torch import Tensor, nn

from .levels import check_sizes, level_channels
from .vae import COARSEST, Halvings, activate, check_img, check_resolution, halvings_of


@dataclass(frozen=True)
class FeatureDiscriminatorConfig:
    """Everything that a `FeatureDiscriminator` was built from: its keyword arguments.

    Attributes:
        img_resolution: side of the images, 8, 16, ...
        img_channels: 3 for RGB.
        base_channels, channel_max: the level at 1 / 2**(i + 1) of the size has
            min(base_channels * 2**i, channel_max) channels.
        feature_level: level whose features are given out, 0 being half the size.
    """

    img_resolution: int
    img_channels: int
    base_channels: int
    channel_max: int
    feature_level: int


class FeatureDiscriminator(nn.Module):
    """Images to logits, and to the features of one level; see `FeatureDiscriminatorConfig`.

    Group normalisation keeps the features at one scale, so that a distance between them cannot be
    made small by shrinking them, and treats every image by itself.

    Shapes: [N, img_channels, R, R] in -1..1 -> logits [N, 1], features [N, F].

    Raises:
        ValueError: the config does not describe a network.
    """

    def __init__(
        self,
        *,
        img_resolution: int,
        img_channels: int = 3,
        base_channels: int = 32,
        channel_max: int = 256,
        feature_level: int = 2,
    ) -> None:
        super().__init__()
        self.config = FeatureDiscriminatorConfig(
            img_resolution=img_resolution,
            img_channels=img_channels,
            base_channels=base_channels,
            channel_max=channel_max,
            feature_level=feature_level,
        )
        sizes = {"img": img_channels, "base": base_channels, "max": channel_max}
        check_sizes("FeatureDiscriminator", sizes)
        check_resolution("FeatureDiscriminator", img_resolution)
        levels = halvings_of(img_resolution)
        if not 0 <= feature_level < levels:
            raise ValueError(
                f"FeatureDiscriminator: expected feature_level of 0..{levels - 1}, "
                f"got {feature_level}"
            )
        widths = level_channels(base_channels, channel_max, levels)
        self.halvings = Halvings(img_channels, widths)
        self.logits = nn.Linear(widths[-1] * COARSEST**2, 1)

    @classmethod
    def from_config(cls, config: FeatureDiscriminatorConfig) -> "FeatureDiscriminator":
        """Build an untrained network."""
        return cls(**asdict(config))

    def forward(self, img: Tensor) -> tuple[Tensor, Tensor]:
        """Score images and give their features, before the level's activation.

        Raises:
            ValueError: img is not as the class says.
        """
        config = self.config
        check_img("FeatureDiscriminator", img, config.img_channels, config.img_resolution)
        maps = self.halvings(img)
        return self.logits(activate(maps[-1]).flatten(1)), maps[config.feature_level].flatten(1)
