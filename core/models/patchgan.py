"""A discriminator of image patches (Isola et al. 2017, section 3.2.2)."""

from dataclasses import asdict, dataclass

from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class PatchDiscriminatorConfig:
    """Everything that `PatchDiscriminator` is built from; its constructor's keyword arguments.

    Attributes:
        img_channels: 3 for RGB; 6 where the condition is concatenated.
        base_channels, channel_max: layer i has min(base_channels * 2**i, channel_max) channels.
        num_layers: convolutions of stride 2; 3 see patches of 54 x 54 pixels.
    """

    img_channels: int = 3
    base_channels: int = 32
    channel_max: int = 256
    num_layers: int = 3


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
        wrong = {key: value for key, value in asdict(self.config).items() if value < 1}
        if wrong:
            raise ValueError(f"PatchDiscriminator: expected sizes >= 1, got {wrong}")
        layers = []
        features = img_channels
        for index in range(num_layers):
            out = min(base_channels * 2**index, channel_max)
            layers.append(nn.Conv2d(features, out, 4, stride=2, padding=1))
            features = out
        layers.append(nn.Conv2d(features, features, 3, padding=1))
        self.layers = nn.ModuleList(layers)
        self.logits = nn.Conv2d(features, 1, 3, padding=1)

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
            x = functional.leaky_relu(layer(x), 0.2)
        return self.logits(x)
