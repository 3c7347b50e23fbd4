"""GFPGAN: a U-Net that steers a StyleGAN2 generator of faces (Wang et al. 2021, section 3).

The "clean" networks of the published versions 1.2 to 1.4, whose parameter names these are. Against
StyleGAN2 itself, images are enlarged bilinearly before a convolution, not filtered after it.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...kernels import modulated_conv2d
from .conv import ConvPair, conv2d, conv_after_bilinear, enlarge_bilinear, fastest_format
from .layers import normalize_2nd_moment
from .noise import NoiseMode, NoiseSource, check_noise, draw_noise

_SLOPE = 0.2
_CHANNEL_MAX = 512
_CHANNEL_BASE = 16384  # channels at r x r above 32 px: channel_multiplier * 16384 / r
_UNET_NARROW = 0.5  # the U-Net has half of the decoder's channels


@dataclass(frozen=True)
class GFPGANConfig:
    """Everything that a `GFPGAN` was built from: its constructor's keyword arguments.

    Attributes:
        out_size: height and width, a power of 2 from 8.
        num_style_feat: features of one style.
        channel_multiplier: factor of the channels above 32 px.
        num_mlp: linear layers of the decoder's mapping network.
        input_is_latent: the U-Net gives styles themselves; else they are mapped first. No tensor's
            shape tells it.
        different_w: each layer has a style of its own, which needs `input_is_latent`.
        narrow: factor of all channels.
        sft_half: only the second half of the decoder's channels is modulated.
    """

    out_size: int
    num_style_feat: int
    channel_multiplier: int
    num_mlp: int
    input_is_latent: bool
    different_w: bool
    narrow: float
    sft_half: bool


def block_channels(config: GFPGANConfig, resolution: int) -> int:
    """Channels of the decoder at `resolution`."""
    if resolution <= 32:
        return int(_CHANNEL_MAX * config.narrow)
    return int(_CHANNEL_BASE // resolution * config.channel_multiplier * config.narrow)


def unet_channels(config: GFPGANConfig, resolution: int) -> int:
    """Channels of the U-Net at `resolution`."""
    if resolution <= 32:
        return int(_CHANNEL_MAX * config.narrow * _UNET_NARROW)
    width = _CHANNEL_BASE // resolution * config.channel_multiplier
    return int(width * config.narrow * _UNET_NARROW)


class ResBlock(nn.Module):
    """Two convolutions with a change of size before the second, added to the resized input.

    Shapes: [N, in_channels, H, W] -> [N, out_channels, H * 2, W * 2], or half the size.
    """

    def __init__(self, in_channels: int, out_channels: int, *, up: bool) -> None:
        super().__init__()
        self.up = up
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.skip = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = conv2d(x, self.conv1, slope=_SLOPE)
        if self.up:
            # A 1x1 convolution without bias commutes with enlarging, and is cheaper before it.
            y = conv_after_bilinear(y, self.conv2, slope=_SLOPE)
            return y + enlarge_bilinear(self.skip(x))
        # Halving bilinearly is the mean of 2 x 2 pixels.
        y = conv2d(functional.avg_pool2d(y, 2), self.conv2, slope=_SLOPE)
        return y + self.skip(functional.avg_pool2d(x, 2))


class ModulatedConv2d(nn.Module):
    """The weight of a modulated convolution, and the linear layer that gives its styles."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, num_style_feat: int
    ) -> None:
        super().__init__()
        shape = (1, out_channels, in_channels, kernel_size, kernel_size)
        self.weight = nn.Parameter(torch.randn(shape) / math.sqrt(in_channels * kernel_size**2))
        self.modulation = nn.Linear(num_style_feat, in_channels)
        nn.init.ones_(self.modulation.bias)


class StyleConv(nn.Module):
    """Modulated convolution times sqrt 2, noise, bias and leaky ReLU.

    Shapes: x [N, in_channels, H, W], style [N, num_style_feat], noise [N or 1, 1, H', W'] or None
    -> [N, out_channels, H', W'], H' = 2H where `up`.
    """

    def __init__(
        self, in_channels: int, out_channels: int, num_style_feat: int, *, up: bool = False
    ) -> None:
        super().__init__()
        self.up = up
        self.modulated_conv = ModulatedConv2d(in_channels, out_channels, 3, num_style_feat)
        self.weight = nn.Parameter(torch.zeros(1))  # strength of the noise
        self.bias = nn.Parameter(torch.zeros(1, out_channels, 1, 1))

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        # lrelu(sqrt 2 conv + rest) is sqrt 2 lrelu(conv + rest / sqrt 2), the kernel's order.
        half = math.sqrt(0.5)
        return modulated_conv2d(
            enlarge_bilinear(x) if self.up else x,
            self.modulated_conv.weight[0],
            self.modulated_conv.modulation(style),
            noise=noise,
            noise_strength=None if noise is None else self.weight * half,
            bias=self.bias.flatten() * half,
            act="lrelu",
            gain=math.sqrt(2),
        )


class ToRGB(nn.Module):
    """1x1 modulated convolution without demodulation, added to the image of half the size.

    Shapes: x [N, in_channels, H, W], style, image [N, 3, H / 2, W / 2] or None -> [N, 3, H, W].
    """

    def __init__(self, in_channels: int, num_style_feat: int) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv2d(in_channels, 3, 1, num_style_feat)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor, style: Tensor, image: Tensor | None = None) -> Tensor:
        y = modulated_conv2d(
            x,
            self.modulated_conv.weight[0],
            self.modulated_conv.modulation(style),
            demodulate=False,
            bias=self.bias.flatten(),
        )
        return y if image is None else y + enlarge_bilinear(image)


class _Constant(nn.Module):
    """The learned input of the decoder, [1, channels, 4, 4]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, channels, 4, 4))


class StyleDecoder(nn.Module):
    """StyleGAN2's synthesis, its features scaled and shifted by those of the U-Net.

    Shapes: styles [N, num_ws, num_style_feat], conditions: (scale, shift) from 8 px up
    -> [N, 3, out_size, out_size].
    """

    def __init__(self, config: GFPGANConfig) -> None:
        super().__init__()
        self.sft_half = config.sft_half
        features = config.num_style_feat
        mapping = [nn.Identity()]
        for _ in range(config.num_mlp):
            mapping += [nn.Linear(features, features), nn.LeakyReLU(_SLOPE)]
        self.style_mlp = nn.Sequential(*mapping)
        channels = block_channels(config, 4)
        self.constant_input = _Constant(channels)
        self.style_conv1 = StyleConv(channels, channels, features)
        self.to_rgb1 = ToRGB(channels, features)
        self.style_convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        self.noises = nn.Module()
        self.noises.register_buffer("noise0", torch.randn(1, 1, 4, 4))
        for index, resolution in enumerate(_resolutions(config)):
            before, channels = channels, block_channels(config, resolution)
            self.style_convs.append(StyleConv(before, channels, features, up=True))
            self.style_convs.append(StyleConv(channels, channels, features))
            self.to_rgbs.append(ToRGB(channels, features))
            for number in (2 * index + 1, 2 * index + 2):
                noise = torch.randn(1, 1, resolution, resolution)
                self.noises.register_buffer(f"noise{number}", noise)

    def map(self, z: Tensor) -> Tensor:
        """Map latents to styles, [..., num_style_feat] each."""
        return self.style_mlp(normalize_2nd_moment(z.flatten(0, -2))).view_as(z)

    def forward(
        self,
        styles: Tensor,
        conditions: Sequence[tuple[Tensor, Tensor]],
        noise_mode: NoiseMode,
        generator: NoiseSource,
    ) -> Tensor:
        count = styles.shape[0]
        layer = styles.unbind(dim=1)
        noise = iter(
            [draw_noise(stored[0, 0], count, noise_mode, generator)
             for stored in self.noises.buffers()]
        )  # fmt: skip
        x = fastest_format(self.constant_input.weight.expand(count, -1, -1, -1))
        x = self.style_conv1(x, layer[0], next(noise))
        image = self.to_rgb1(x, layer[1])
        for index, (scale, shift) in enumerate(conditions):
            start = 2 * index + 1
            x = self.style_convs[2 * index](x, layer[start], next(noise))
            x = self._modulate(x, scale, shift)
            x = self.style_convs[2 * index + 1](x, layer[start + 1], next(noise))
            image = self.to_rgbs[index](x, layer[start + 2], image)
        return image

    def _modulate(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Spatial feature transform (Wang et al. 2021, equation 5)."""
        if not self.sft_half:
            return torch.addcmul(shift, x, scale)
        same, changed = x.chunk(2, dim=1)
        return torch.cat([same, torch.addcmul(shift, changed, scale)], dim=1)


class GFPGAN(nn.Module):
    """Restore aligned faces; see `GFPGANConfig` for the arguments.

    Shapes: [N, 3, out_size, out_size] nominally -1..1 -> the same, not clamped.

    Raises:
        ValueError: the config does not describe a network.
    """

    def __init__(
        self,
        *,
        out_size: int = 512,
        num_style_feat: int = 512,
        channel_multiplier: int = 2,
        num_mlp: int = 8,
        input_is_latent: bool = True,
        different_w: bool = True,
        narrow: float = 1.0,
        sft_half: bool = True,
    ) -> None:
        super().__init__()
        config = self.config = GFPGANConfig(
            out_size=out_size,
            num_style_feat=num_style_feat,
            channel_multiplier=channel_multiplier,
            num_mlp=num_mlp,
            input_is_latent=input_is_latent,
            different_w=different_w,
            narrow=narrow,
            sft_half=sft_half,
        )
        _check(config)
        rising = _resolutions(config)
        channels = unet_channels(config, out_size)
        self.conv_body_first = nn.Conv2d(3, channels, 1)
        self.conv_body_down = nn.ModuleList()
        for resolution in reversed([4, *rising[:-1]]):
            before, channels = channels, unet_channels(config, resolution)
            self.conv_body_down.append(ResBlock(before, channels, up=False))
        self.final_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.num_ws = 2 * len(rising) + 2
        rows = self.num_ws if different_w else 1
        self.final_linear = nn.Linear(channels * 16, rows * num_style_feat)
        self.conv_body_up = nn.ModuleList()
        self.toRGB = nn.ModuleList()
        self.condition_scale = nn.ModuleList()
        self.condition_shift = nn.ModuleList()
        for resolution in rising:
            before, channels = channels, unet_channels(config, resolution)
            self.conv_body_up.append(ResBlock(before, channels, up=True))
            self.toRGB.append(nn.Conv2d(channels, 3, 1))
            modulated = channels if sft_half else 2 * channels
            self.condition_scale.append(ConvPair(channels, modulated, slope=_SLOPE))
            self.condition_shift.append(ConvPair(channels, modulated, slope=_SLOPE))
        self.stylegan_decoder = StyleDecoder(config)

    @classmethod
    def from_config(cls, config: GFPGANConfig) -> "GFPGAN":
        """Build an untrained network."""
        return cls(**asdict(config))

    def forward(
        self, img: Tensor, noise_mode: NoiseMode = "const", generator: NoiseSource = None
    ) -> Tensor:
        """Restore faces.

        Args:
            img: as the class says.
            noise_mode: "const" uses the stored noise, "random" draws it, "none" adds none.
            generator: source of random noise, as in `stylegan2.SynthesisNetwork.forward`.

        Raises:
            ValueError: an argument is not as above.
        """
        features, styles = self._encode(img)
        return self._draw(features, styles, noise_mode, generator)

    def restore(
        self, img: Tensor, noise_mode: NoiseMode = "const", generator: NoiseSource = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Restored faces and the U-Net's own images of 8 px and up; see `forward`."""
        features, styles = self._encode(img)
        images = [layer(x) for layer, x in zip(self.toRGB, features, strict=True)]
        return self._draw(features, styles, noise_mode, generator), images

    def _encode(self, img: Tensor) -> tuple[list[Tensor], Tensor]:
        """The U-Net: features from 8 px up, and styles [N, num_ws, num_style_feat]."""
        size, features = self.config.out_size, self.config.num_style_feat
        if img.ndim != 4 or tuple(img.shape[1:]) != (3, size, size):
            raise ValueError(f"GFPGAN: expected img [N, 3, {size}, {size}], got {tuple(img.shape)}")
        x = fastest_format(img)
        x = functional.leaky_relu(self.conv_body_first(x), _SLOPE)
        skips = []
        for block in self.conv_body_down:
            x = block(x)
            skips.append(x)
        x = conv2d(x, self.final_conv, slope=_SLOPE)
        styles = self.final_linear(x.flatten(1)).view(img.shape[0], -1, features)
        if not self.config.input_is_latent:
            styles = self.stylegan_decoder.map(styles)
        rising = []
        for block in self.conv_body_up:
            x = block(x + skips.pop())
            rising.append(x)
        return rising, styles.expand(-1, self.num_ws, -1)

    def _draw(
        self,
        features: Sequence[Tensor],
        styles: Tensor,
        noise_mode: NoiseMode,
        generator: NoiseSource,
    ) -> Tensor:
        conditions = [
            (scale(x), shift(x))
            for x, scale, shift in zip(
                features, self.condition_scale, self.condition_shift, strict=True
            )
        ]
        generator = check_noise("GFPGAN", noise_mode, generator, styles.shape[0])
        return self.stylegan_decoder(styles, conditions, noise_mode, generator).contiguous()


def _resolutions(config: GFPGANConfig) -> list[int]:
    """Sizes that the U-Net and the decoder rise through: 8, 16, ... out_size."""
    return [2**i for i in range(3, config.out_size.bit_length())]


def _check(config: GFPGANConfig) -> None:
    size = config.out_size
    if size < 8 or size & (size - 1):
        raise ValueError(f"GFPGAN: expected out_size 8, 16, 32, ..., got {size}")
    if min(config.num_style_feat, config.channel_multiplier) < 1 or config.num_mlp < 0:
        raise ValueError(
            "GFPGAN: expected num_style_feat, channel_multiplier >= 1 and num_mlp >= 0, got "
            f"{config.num_style_feat}, {config.channel_multiplier} and {config.num_mlp}"
        )
    if config.different_w and not config.input_is_latent:
        raise ValueError("GFPGAN: expected input_is_latent with different_w, got none")
    sizes = [4, *_resolutions(config)]
    if any(block_channels(config, r) != 2 * unet_channels(config, r) for r in sizes) or not (
        unet_channels(config, size) >= 1
    ):
        raise ValueError(
            f"GFPGAN: expected narrow with an even number of channels at each size, "
            f"got {config.narrow}"
        )
