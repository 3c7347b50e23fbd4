"""Real-ESRGAN's compact network: plain convolutions at the input's size (Wang et al. 2021)."""

from dataclasses import asdict, dataclass
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional

from .conv import conv2d, fastest_format
from .levels import check_sizes

Activation = Literal["prelu", "relu", "leakyrelu"]

_LEAKY_SLOPE = 0.1
_PRELU_START = 0.25


@dataclass(frozen=True)
class SRVGGConfig:
    """Everything that an `SRVGG` was built from: its constructor's keyword arguments.

    Attributes:
        in_channels, out_channels: of the images, 3 for RGB; equal, since the input is added.
        num_feat: channels of every hidden layer.
        num_conv: hidden convolutions after the first one.
        scale: output size / input size.
        activation: "prelu" has weights in the file, "relu" and "leakyrelu" have none.
    """

    in_channels: int
    out_channels: int
    num_feat: int
    num_conv: int
    scale: int
    activation: Activation


class SRVGG(nn.Module):
    """Convolutions, a pixel shuffle, and the enlarged input added; see `SRVGGConfig`.

    Shapes: [N, in_channels, H, W] in 0..1 -> [N, out_channels, H * scale, W * scale], not clamped.

    Raises:
        ValueError: the config does not describe a network.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int = 3,
        num_feat: int = 64,
        num_conv: int = 16,
        scale: int = 4,
        activation: Activation = "prelu",
    ) -> None:
        super().__init__()
        self.config = SRVGGConfig(
            in_channels=in_channels,
            out_channels=out_channels,
            num_feat=num_feat,
            num_conv=num_conv,
            scale=scale,
            activation=activation,
        )
        sizes = asdict(self.config)
        del sizes["activation"], sizes["num_conv"]
        check_sizes("SRVGG", sizes)
        if activation not in get_args(Activation) or num_conv < 0 or in_channels != out_channels:
            raise ValueError(
                f"SRVGG: expected activation of {get_args(Activation)}, num_conv >= 0 and equal "
                f"channels, got {activation!r}, {num_conv} and {in_channels}, {out_channels}"
            )
        self.body = nn.ModuleList([nn.Conv2d(in_channels, num_feat, 3, padding=1)])
        self.body.append(_activation(activation, num_feat))
        for _ in range(num_conv):
            self.body.append(nn.Conv2d(num_feat, num_feat, 3, padding=1))
            self.body.append(_activation(activation, num_feat))
        self.body.append(nn.Conv2d(num_feat, out_channels * scale**2, 3, padding=1))

    @classmethod
    def from_config(cls, config: SRVGGConfig) -> "SRVGG":
        """Build an untrained network."""
        return cls(**asdict(config))

    def forward(self, img: Tensor) -> Tensor:
        """Enlarge images.

        Raises:
            ValueError: img is no [N, in_channels, H, W] with at least one pixel.
        """
        channels, scale = self.config.in_channels, self.config.scale
        if img.ndim != 4 or img.shape[1] != channels or 0 in img.shape[2:]:
            raise ValueError(f"SRVGG: expected img [N, {channels}, H, W], got {tuple(img.shape)}")
        x = fastest_format(img)
        for layer in self.body:
            x = conv2d(x, layer) if isinstance(layer, nn.Conv2d) else layer(x)
        base = functional.interpolate(img, scale_factor=float(scale), mode="nearest")
        return functional.pixel_shuffle(x.contiguous(), scale) + base


def _activation(name: Activation, channels: int) -> nn.Module:
    if name == "prelu":
        return nn.PReLU(channels, init=_PRELU_START)
    return nn.ReLU() if name == "relu" else nn.LeakyReLU(_LEAKY_SLOPE)
