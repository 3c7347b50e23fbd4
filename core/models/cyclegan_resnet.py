"""CycleGAN's generator of residual blocks (Zhu et al. 2017, appendix 7.2; Johnson et al. 2016).

Parameter names are those of the published files: layer numbers of one sequence.
"""

from dataclasses import asdict, dataclass

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
    run_layers,
)
from .levels import check_sizes
from .noise import NoiseSource
from .unet import pad_to_multiple

_DOWNS = 2


@dataclass(frozen=True)
class CycleGANResNetConfig:
    """Everything that a `CycleGANResNet` was built from: its constructor's keyword arguments.

    Attributes:
        in_channels, out_channels: of the images, 3 for RGB.
        ngf: channels at full size; the blocks have four times as many.
        num_blocks: residual blocks, 9 for resnet_9blocks.
        norm: "batch", "instance" or "none".
        use_dropout: dropout in the residual blocks.
    """

    in_channels: int
    out_channels: int
    ngf: int
    num_blocks: int
    norm: Norm
    use_dropout: bool


class ResnetBlock(nn.Module):
    """Two convolutions added to the input. [N, channels, H, W] -> the same."""

    def __init__(self, channels: int, *, norm: Norm, dropout: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for first in (True, False):
            layers += [
                nn.ReflectionPad2d(1),
                nn.Conv2d(channels, channels, 3, bias=has_bias(norm)),
                norm_layer(norm, channels),
            ]
            if first:
                layers += [nn.ReLU(), nn.Dropout(DROPPED)] if dropout else [nn.ReLU()]
        self.conv_block = nn.ModuleList(layers)

    def forward(self, x: Tensor, usage: Usage) -> Tensor:
        return x + run_layers(self.conv_block, x, usage)


class CycleGANResNet(nn.Module):
    """Translate images; see `CycleGANResNetConfig` for the arguments.

    Sides that 4 does not divide are padded at the right and bottom by reflection, and the result
    is cropped.

    Shapes: [N, in_channels, H, W] in -1..1 -> [N, out_channels, H, W] in -1..1.

    Raises:
        ValueError: the config does not describe a network.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int = 3,
        ngf: int = 64,
        num_blocks: int = 9,
        norm: Norm = "instance",
        use_dropout: bool = False,
    ) -> None:
        super().__init__()
        self.config = CycleGANResNetConfig(
            in_channels=in_channels,
            out_channels=out_channels,
            ngf=ngf,
            num_blocks=num_blocks,
            norm=norm,
            use_dropout=use_dropout,
        )
        check_sizes("CycleGANResNet", {"in": in_channels, "out": out_channels, "ngf": ngf})
        check_norm("CycleGANResNet", norm)
        if num_blocks < 0:
            raise ValueError(f"CycleGANResNet: expected num_blocks >= 0, got {num_blocks}")
        bias = has_bias(norm)
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(in_channels, ngf, 7, bias=bias),
            norm_layer(norm, ngf),
            nn.ReLU(),
        ]
        for level in range(_DOWNS):
            width = ngf * 2**level
            layers += [
                nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=bias),
                norm_layer(norm, 2 * width),
                nn.ReLU(),
            ]
        for _ in range(num_blocks):
            layers.append(ResnetBlock(ngf * 2**_DOWNS, norm=norm, dropout=use_dropout))
        for level in reversed(range(_DOWNS)):
            width = ngf * 2**level
            layers += [
                nn.ConvTranspose2d(
                    2 * width, width, 3, stride=2, padding=1, output_padding=1, bias=bias
                ),
                norm_layer(norm, width),
                nn.ReLU(),
            ]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, out_channels, 7), nn.Tanh()]
        self.model = nn.ModuleList(layers)

    @classmethod
    def from_config(cls, config: CycleGANResNetConfig) -> "CycleGANResNet":
        """Build an untrained network."""
        return cls(**asdict(config))

    def forward(
        self,
        img: Tensor,
        bn: Statistics = "batch",
        dropout: Dropout = "off",
        generator: NoiseSource = None,
    ) -> Tensor:
        """Translate images of at least 8 x 8 pixels.

        Args:
            img: as the class says.
            bn, dropout: see `image_translation.Usage`. Training mode goes without them.
            generator: source of dropout: one torch.Generator for the batch; a list of N of them,
                or int64 [N] seeds, which make a sample independent of its batch.

        Raises:
            ValueError: an argument is not as above.
        """
        channels = self.config.in_channels
        if img.ndim != 4 or img.shape[1] != channels or min(img.shape[2:]) < 8:
            raise ValueError(
                f"CycleGANResNet: expected img [N, {channels}, H, W] with H, W >= 8, "
                f"got {tuple(img.shape)}"
            )
        usage = check_usage("CycleGANResNet", bn, dropout, generator, img.shape[0])
        height, width = img.shape[2:]
        x = pad_to_multiple(img, 2**_DOWNS)
        for layer in self.model:
            x = layer(x, usage) if isinstance(layer, ResnetBlock) else run_layer(layer, x, usage)
        return x[:, :, :height, :width].contiguous()
