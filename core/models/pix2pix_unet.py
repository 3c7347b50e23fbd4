"""pix2pix's U-Net (Isola et al. 2017, section 3.2.1 and appendix 6.1).

Parameter names are those of the published files, in which each level lies within the one above.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from .image_translation import (
    DROPPED,
    Dropout,
    Norm,
    Statistics,
    Usage,
    check_norm,
    check_usage,
    has_bias,
    norm_layer,
    run_layer,
)
from .levels import check_sizes
from .noise import NoiseSource
from .unet import pad_to_multiple

_SLOPE = 0.2
_MIN_DOWNS, _MAX_DOWNS = 5, 12
_MAX_FACTOR = 8  # levels have 1, 2, 4, 8, 8, ... times the first one's channels


@dataclass(frozen=True)
class Pix2PixUNetConfig:
    """Everything that a `Pix2PixUNet` was built from: its constructor's keyword arguments.

    Attributes:
        in_channels, out_channels: of the images, 3 for RGB.
        num_downs: how often the size is halved, 8 for unet_256 and 7 for unet_128.
        ngf: channels of the first level.
        norm: "batch", "instance" or "none".
        use_dropout: dropout in the inner levels. No tensor tells it; it matters only where it is
            asked for.
    """

    in_channels: int
    out_channels: int
    num_downs: int
    ngf: int
    norm: Norm
    use_dropout: bool


class UNetLevel(nn.Module):
    """One level: halve, run the levels within, double; the outermost also ends the network.

    `model` holds the layers in order, the next level among them.

    Shapes: [N, C, H, W] -> [N, 2C, H, W], the input and the result; outermost [N, out, H, W].
    """

    def __init__(
        self,
        channels: tuple[int, int, int],
        *,
        within: "UNetLevel | None",
        outermost: bool,
        norm: Norm,
        dropout: bool,
    ) -> None:
        super().__init__()
        self.outermost = outermost
        before, inner, after = channels
        bias = has_bias(norm)
        layers: list[nn.Module] = [] if outermost else [nn.LeakyReLU(_SLOPE)]
        layers.append(nn.Conv2d(before, inner, 4, stride=2, padding=1, bias=bias))
        if within is not None:
            layers += [within] if outermost else [norm_layer(norm, inner), within]
        wide = inner if within is None else 2 * inner
        layers.append(nn.ReLU())
        up = nn.ConvTranspose2d(wide, after, 4, stride=2, padding=1, bias=bias or outermost)
        layers += [up, nn.Tanh()] if outermost else [up, norm_layer(norm, after)]
        if dropout:
            layers.append(nn.Dropout(DROPPED))
        self.model = nn.ModuleList(layers)

    def forward(self, x: Tensor, usage: Usage) -> Tensor:
        y = x
        for layer in self.model:
            y = layer(y, usage) if isinstance(layer, UNetLevel) else run_layer(layer, y, usage)
        return y if self.outermost else torch.cat([x, y], dim=1)


class Pix2PixUNet(nn.Module):
    """Translate images; see `Pix2PixUNetConfig` for the arguments.

    Sides that 2**num_downs does not divide are padded at the right and bottom by reflection, and
    the result is cropped.

    Shapes: [N, in_channels, H, W] in -1..1 -> [N, out_channels, H, W] in -1..1.

    Raises:
        ValueError: the config does not describe a network.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int = 3,
        num_downs: int = 8,
        ngf: int = 64,
        norm: Norm = "batch",
        use_dropout: bool = True,
    ) -> None:
        super().__init__()
        self.config = Pix2PixUNetConfig(
            in_channels=in_channels,
            out_channels=out_channels,
            num_downs=num_downs,
            ngf=ngf,
            norm=norm,
            use_dropout=use_dropout,
        )
        check_sizes("Pix2PixUNet", {"in": in_channels, "out": out_channels, "ngf": ngf})
        check_norm("Pix2PixUNet", norm)
        if not _MIN_DOWNS <= num_downs <= _MAX_DOWNS:
            raise ValueError(
                f"Pix2PixUNet: expected num_downs of {_MIN_DOWNS}..{_MAX_DOWNS}, got {num_downs}"
            )
        widths = [ngf * min(2**level, _MAX_FACTOR) for level in range(num_downs)]
        level = None
        for index in reversed(range(num_downs)):
            outermost = index == 0
            above = widths[max(index - 1, 0)]
            level = UNetLevel(
                (in_channels, widths[0], out_channels)
                if outermost
                else (above, widths[index], above),
                within=level,
                outermost=outermost,
                norm=norm,
                # Levels with the most channels on both sides, but for the innermost.
                dropout=use_dropout and 4 <= index < num_downs - 1,
            )
        assert level is not None
        self.model = level

    @classmethod
    def from_config(cls, config: Pix2PixUNetConfig) -> "Pix2PixUNet":
        """Build an untrained network."""
        return cls(**asdict(config))

    def forward(
        self,
        img: Tensor,
        bn: Statistics = "batch",
        dropout: Dropout = "off",
        generator: NoiseSource = None,
    ) -> Tensor:
        """Translate images.

        Args:
            img: as the class says.
            bn, dropout: see `image_translation.Usage`; the published scripts use "batch" and
                dropout. Training mode goes without them.
            generator: source of dropout: one torch.Generator for the batch; a list of N of them,
                or int64 [N] seeds, which make a sample independent of its batch.

        Raises:
            ValueError: an argument is not as above.
        """
        channels = self.config.in_channels
        if img.ndim != 4 or img.shape[1] != channels or 0 in img.shape[2:]:
            raise ValueError(
                f"Pix2PixUNet: expected img [N, {channels}, H, W], got {tuple(img.shape)}"
            )
        usage = check_usage("Pix2PixUNet", bn, dropout, generator, img.shape[0])
        height, width = img.shape[2:]
        padded = pad_to_multiple(img, 2**self.config.num_downs)
        return self.model(padded, usage)[:, :, :height, :width].contiguous()
