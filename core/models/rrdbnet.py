"""ESRGAN's residual-in-residual dense network for enlarging images (Wang et al. 2018).

Real-ESRGAN's networks (Wang et al. 2021) are the same, with pixel unshuffling in front for scales
below 4. Parameter names are those of Real-ESRGAN's files.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .conv import conv2d, conv_after_nearest, fastest_format
from .levels import check_sizes
from .unet import pad_to_multiple

_SLOPE = 0.2
_RESIDUAL_SCALE = 0.2  # Wang et al. 2018, section 3.1: beta
_UNSHUFFLES = (1, 2, 4)
_MAX_SCALE = 16


@dataclass(frozen=True)
class RRDBNetConfig:
    """Everything that an `RRDBNet` was built from: its constructor's keyword arguments.

    Attributes:
        in_channels, out_channels: of the images, 3 for RGB.
        scale: output size / input size, a power of 2.
        unshuffle: 1, or 2 or 4: blocks of so many pixels squared become channels first. The
            published networks of scale 2 and 1 have 2 and 4.
        num_feat: channels between blocks.
        num_block: residual-in-residual dense blocks.
        num_grow_ch: channels that each convolution of a dense block adds.
    """

    in_channels: int
    out_channels: int
    scale: int
    unshuffle: int
    num_feat: int
    num_block: int
    num_grow_ch: int


class ResidualDenseBlock(nn.Module):
    """Five convolutions, each on everything before it (Wang et al. 2018, figure 4).

    Shapes: [N, num_feat, H, W] -> the same.
    """

    def __init__(self, num_feat: int, num_grow_ch: int) -> None:
        super().__init__()
        for index in range(4):
            channels = num_feat + index * num_grow_ch
            conv = nn.Conv2d(channels, num_grow_ch, 3, padding=1)
            self.add_module(f"conv{index + 1}", conv)
        self.conv5 = nn.Conv2d(num_feat + 4 * num_grow_ch, num_feat, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for index in range(4):
            conv = self.get_submodule(f"conv{index + 1}")
            assert isinstance(conv, nn.Conv2d)
            features.append(conv2d(torch.cat(features, dim=1), conv, slope=_SLOPE))
        return torch.add(x, conv2d(torch.cat(features, dim=1), self.conv5), alpha=_RESIDUAL_SCALE)


class RRDB(nn.Module):
    """Three dense blocks in a residual connection. [N, num_feat, H, W] -> the same."""

    def __init__(self, num_feat: int, num_grow_ch: int) -> None:
        super().__init__()
        self.rdb1 = ResidualDenseBlock(num_feat, num_grow_ch)
        self.rdb2 = ResidualDenseBlock(num_feat, num_grow_ch)
        self.rdb3 = ResidualDenseBlock(num_feat, num_grow_ch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x))), alpha=_RESIDUAL_SCALE)


class RRDBNet(nn.Module):
    """Enlarge images of any size; see `RRDBNetConfig` for the arguments.

    Sides that `unshuffle` does not divide are padded at the right and bottom by reflection, and
    the result is cropped.

    Shapes: [N, in_channels, H, W] in 0..1 -> [N, out_channels, H * scale, W * scale], not clamped.

    Raises:
        ValueError: the config does not describe a network.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int = 3,
        scale: int = 4,
        unshuffle: int = 1,
        num_feat: int = 64,
        num_block: int = 23,
        num_grow_ch: int = 32,
    ) -> None:
        super().__init__()
        self.config = RRDBNetConfig(
            in_channels=in_channels,
            out_channels=out_channels,
            scale=scale,
            unshuffle=unshuffle,
            num_feat=num_feat,
            num_block=num_block,
            num_grow_ch=num_grow_ch,
        )
        check_sizes("RRDBNet", asdict(self.config))
        if scale & (scale - 1) or scale > _MAX_SCALE or unshuffle not in _UNSHUFFLES:
            raise ValueError(
                f"RRDBNet: expected scale 1, 2, 4, ... {_MAX_SCALE} and unshuffle of "
                f"{_UNSHUFFLES}, got {scale} and {unshuffle}"
            )
        self.num_upsamples = (scale * unshuffle).bit_length() - 1
        self.conv_first = nn.Conv2d(in_channels * unshuffle**2, num_feat, 3, padding=1)
        self.body = nn.Sequential(*(RRDB(num_feat, num_grow_ch) for _ in range(num_block)))
        self.conv_body = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        for index in range(self.num_upsamples):
            self.add_module(f"conv_up{index + 1}", nn.Conv2d(num_feat, num_feat, 3, padding=1))
        self.conv_hr = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.conv_last = nn.Conv2d(num_feat, out_channels, 3, padding=1)

    @classmethod
    def from_config(cls, config: RRDBNetConfig) -> "RRDBNet":
        """Build an untrained network."""
        return cls(**asdict(config))

    def forward(self, img: Tensor) -> Tensor:
        """Enlarge images.

        Raises:
            ValueError: img is no [N, in_channels, H, W] with at least one pixel.
        """
        channels, unshuffle = self.config.in_channels, self.config.unshuffle
        if img.ndim != 4 or img.shape[1] != channels or 0 in img.shape[2:]:
            raise ValueError(f"RRDBNet: expected img [N, {channels}, H, W], got {tuple(img.shape)}")
        height, width = (side * self.config.scale for side in img.shape[2:])
        x = functional.pixel_unshuffle(pad_to_multiple(img, unshuffle), unshuffle)
        x = conv2d(fastest_format(x), self.conv_first)
        x = x + conv2d(self.body(x), self.conv_body)
        for index in range(self.num_upsamples):
            conv = self.get_submodule(f"conv_up{index + 1}")
            assert isinstance(conv, nn.Conv2d)
            x = conv_after_nearest(x, conv, slope=_SLOPE)
        x = conv2d(x, self.conv_hr, slope=_SLOPE)
        return conv2d(x, self.conv_last)[:, :, :height, :width].contiguous()
