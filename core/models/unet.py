"""A residual U-Net that restores images of any size (Ronneberger et al. 2015; He et al. 2016)."""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .levels import check_sizes, level_channels

_SLOPE = 0.2
_MAX_LEVELS = 12  # padding goes to multiples of 2**(levels - 1): beyond any image's side


@dataclass(frozen=True)
class RestorationUNetConfig:
    """Everything that a `RestorationUNet` was built from: its constructor's keyword arguments.

    Attributes:
        img_channels: 3 for RGB.
        base_channels, channel_max: level i has min(base_channels * 2**i, channel_max) channels.
        num_levels: resolutions, from full size down to 1 / 2**(num_levels - 1) of it.
    """

    img_channels: int
    base_channels: int
    channel_max: int
    num_levels: int


class ResidualBlock(nn.Module):
    """x + conv(lrelu(conv(lrelu(x)))), starting as the identity. [N, C, H, W] -> [N, C, H, W]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv1.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv0(functional.leaky_relu(x, _SLOPE))
        return x + self.conv1(functional.leaky_relu(y, _SLOPE))


class UNetLevel(nn.Module):
    """One resolution: a block, the levels below at half the size, and a block on both's channels.

    Shapes: [N, C, H, W] -> [N, C, H, W], with H and W multiples of 2**(levels below).
    """

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        here = channels[0]
        self.encode = ResidualBlock(here)
        self.below = UNetLevel(channels[1:]) if len(channels) > 1 else None
        if self.below is not None:
            self.down = nn.Conv2d(here, channels[1], 2, stride=2)
            self.up = nn.Conv2d(channels[1], here, 1)
            self.merge = nn.Conv2d(2 * here, here, 1)
            self.decode = ResidualBlock(here)

    def forward(self, x: Tensor) -> Tensor:
        x = self.encode(x)
        if self.below is None:
            return x
        y = self.up(self.below(self.down(x)))
        y = functional.interpolate(y, scale_factor=2.0, mode="nearest")
        return self.decode(self.merge(torch.cat([x, y], dim=1)))


class RestorationUNet(nn.Module):
    """Degraded to restored image: the input plus a learned residual, at first the input itself.

    See `RestorationUNetConfig` for the arguments. Fully convolutional: sides that do not halve
    often enough are padded at the right and bottom (by reflection, or by repeating the edge where
    the image is smaller than its padding), and the result is cropped.

    Shapes: [N, img_channels, H, W] nominally -1..1 -> the same, not clamped.

    Raises:
        ValueError: the config does not describe a network.
    """

    def __init__(
        self,
        *,
        img_channels: int = 3,
        base_channels: int = 32,
        channel_max: int = 128,
        num_levels: int = 4,
    ) -> None:
        super().__init__()
        self.config = RestorationUNetConfig(
            img_channels=img_channels,
            base_channels=base_channels,
            channel_max=channel_max,
            num_levels=num_levels,
        )
        check_sizes("RestorationUNet", asdict(self.config))
        if num_levels > _MAX_LEVELS:
            raise ValueError(
                f"RestorationUNet: expected num_levels <= {_MAX_LEVELS}, got {num_levels}"
            )
        channels = level_channels(base_channels, channel_max, num_levels)
        self.head = nn.Conv2d(img_channels, channels[0], 3, padding=1)
        self.body = UNetLevel(channels)
        self.tail = nn.Conv2d(channels[0], img_channels, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        if self.tail.bias is not None:
            nn.init.zeros_(self.tail.bias)

    @classmethod
    def from_config(cls, config: RestorationUNetConfig) -> "RestorationUNet":
        """Build an untrained network."""
        return cls(**asdict(config))

    def forward(self, img: Tensor) -> Tensor:
        """Restore images.

        Raises:
            ValueError: img is no [N, img_channels, H, W] with at least one pixel.
        """
        channels = self.config.img_channels
        if img.ndim != 4 or img.shape[1] != channels or 0 in img.shape[2:]:
            raise ValueError(
                f"RestorationUNet: expected img [N, {channels}, H, W], got {tuple(img.shape)}"
            )
        height, width = img.shape[2:]
        padded = pad_to_multiple(img, 2 ** (self.config.num_levels - 1))
        residual = self.tail(functional.leaky_relu(self.body(self.head(padded)), _SLOPE))
        return img + residual[:, :, :height, :width]


def pad_to_multiple(img: Tensor, multiple: int) -> Tensor:
    """Pad right and bottom, [N, C, H, W] -> sides that are the next multiples of `multiple`."""
    height, width = img.shape[2:]
    bottom, right = -height % multiple, -width % multiple
    if not bottom and not right:
        return img
    mode = "reflect" if bottom < height and right < width else "replicate"
    return functional.pad(img, (0, right, 0, bottom), mode=mode)
