"""StyleGAN2's generator and discriminator (Karras et al. 2020; conditioning as in ADA, 2020).

Parameter and buffer names are those of published checkpoints, which therefore load as they are.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...kernels import modulated_conv2d
from ...kernels.to_rgb import to_rgb
from .blocks import BlockWiring, block_channels, block_resolutions, check_config
from .layers import Conv2dLayer, FullyConnectedLayer, fir_filter
from .mapping import MappingNetwork, mix_styles
from .noise import NoiseMode, NoiseSource, check_noise, draw_noise
from .style_generator import StyleGenerator, check_ws
from .stylegan2_discriminator import Discriminator, DiscriminatorConfig

__all__ = [
    "Discriminator",
    "DiscriminatorConfig",
    "Generator",
    "GeneratorConfig",
    "MappingNetwork",
    "SynthesisNetwork",
    "mix_styles",
]


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything that `Generator` was built from: the keyword arguments of its constructor.

    Attributes:
        z_dim, w_dim: features of z and of one w.
        c_dim: classes (one-hot labels), 0 for an unconditional network.
        img_resolution: height and width, a power of 2 from 4.
        img_channels: 3 for RGB.
        channel_base, channel_max: channels at r x r are min(channel_base // r, channel_max).
        num_mapping_layers: linear layers between z and w.
        architecture: "skip" sums an RGB image per block, "resnet" and "orig" make one at the end.
        conv_clamp: bound of every activation (256 for fp16), None for no bound.
        mapping_lr_multiplier: learning-rate multiplier of the mapping network.
        w_avg_beta: decay of the running mean of w.
    """

    z_dim: int
    c_dim: int
    w_dim: int
    img_resolution: int
    img_channels: int
    channel_base: int
    channel_max: int
    num_mapping_layers: int
    architecture: BlockWiring
    conv_clamp: float | None
    mapping_lr_multiplier: float
    w_avg_beta: float


class SynthesisLayer(nn.Module):
    """Modulated convolution, noise, bias and activation (Karras et al. 2020, figure 2c).

    Shapes: x [N, C_in, H, W], w [N, w_dim] -> [N, C_out, H * up, W * up].
    """

    noise_const: Tensor
    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        w_dim: int,
        resolution: int,
        up: int = 1,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.resolution = resolution
        self.up = up
        self.conv_clamp = conv_clamp
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("resample_filter", fir_filter())

    def forward(
        self,
        x: Tensor,
        w: Tensor,
        noise_mode: NoiseMode = "const",
        generator: NoiseSource = None,
        gain: float = 1.0,
    ) -> Tensor:
        noise = self.noise(x.shape[0], noise_mode, generator)
        return modulated_conv2d(
            x,
            self.weight,
            self.affine(w),
            up=self.up,
            f=self.resample_filter,
            noise=noise,
            noise_strength=None if noise is None else self.noise_strength,
            bias=self.bias,
            act="lrelu",
            gain=math.sqrt(2) * gain,
            clamp=None if self.conv_clamp is None else self.conv_clamp * gain,
        )

    def noise(self, count: int, noise_mode: NoiseMode, generator: NoiseSource) -> Tensor | None:
        """Noise of this layer for `count` samples, [count or 1, 1, R, R], or None for "none"."""
        return draw_noise(self.noise_const, count, noise_mode, generator)


class ToRGBLayer(nn.Module):
    """1x1 modulated convolution without demodulation: features to an image or a part of it.

    Shapes: x [N, C, H, W], w [N, w_dim], img [N, img_channels, H/2, W/2] with the filter f that
    up-samples it, or None -> [N, img_channels, H, W] in at least float32.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, w_dim: int, conv_clamp: float | None = None
    ) -> None:
        super().__init__()
        self.conv_clamp = conv_clamp
        self.weight_gain = 1 / math.sqrt(in_channels)
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(
        self, x: Tensor, w: Tensor, img: Tensor | None = None, f: Tensor | None = None
    ) -> Tensor:
        styles = self.affine(w) * self.weight_gain
        return to_rgb(x, self.weight, styles, bias=self.bias, clamp=self.conv_clamp, image=img, f=f)


class SynthesisBlock(nn.Module):
    """All layers at one resolution; the first block (in_channels 0) starts from `const`.

    Shapes: x [N, C_in, R/2, R/2], img [N, 3, R/2, R/2], ws [N, num_conv + 1, w_dim]
    -> x [N, C_out, R, R], img [N, 3, R, R] or None.
    """

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        w_dim: int,
        resolution: int,
        img_channels: int,
        is_last: bool,
        architecture: BlockWiring,
        conv_clamp: float | None,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.architecture = architecture
        self.num_conv = 1 if in_channels == 0 else 2
        self.has_torgb = is_last or architecture == "skip"
        self.register_buffer("resample_filter", fir_filter())
        layer = {"w_dim": w_dim, "resolution": resolution}
        if in_channels == 0:
            self.const = nn.Parameter(torch.randn(out_channels, resolution, resolution))
        else:
            self.conv0 = SynthesisLayer(
                in_channels, out_channels, up=2, conv_clamp=conv_clamp, **layer
            )
        self.conv1 = SynthesisLayer(out_channels, out_channels, conv_clamp=conv_clamp, **layer)
        if self.has_torgb:
            self.torgb = ToRGBLayer(out_channels, img_channels, w_dim=w_dim, conv_clamp=conv_clamp)
        if in_channels != 0 and architecture == "resnet":
            self.skip = Conv2dLayer(in_channels, out_channels, 1, bias=False, up=2)

    def forward(
        self,
        x: Tensor | None,
        img: Tensor | None,
        ws: Tensor,
        noise_mode: NoiseMode,
        generator: NoiseSource,
    ) -> tuple[Tensor, Tensor | None]:
        layer = ws.unbind(dim=1)
        y: Tensor
        if x is None:
            y = self.const.expand(ws.shape[0], -1, -1, -1)
            y = self.conv1(y, layer[0], noise_mode, generator)
        elif self.architecture == "resnet":
            y = self.conv0(x, layer[0], noise_mode, generator)
            y = self.conv1(y, layer[1], noise_mode, generator, gain=math.sqrt(0.5))
            y = self.skip(x, gain=math.sqrt(0.5)) + y
        else:
            y = self.conv0(x, layer[0], noise_mode, generator)
            y = self.conv1(y, layer[1], noise_mode, generator)
        if self.has_torgb:
            img = self.torgb(y, layer[self.num_conv], img, self.resample_filter)
        return y, img


class SynthesisNetwork(nn.Module):
    """Blocks b4, b8, ... of doubling resolution.

    Shapes: ws [N, num_ws, w_dim] -> image [N, img_channels, R, R], nominally -1..1. Convolutions
    run in autocast's dtype where a region is active; the image is always summed in float32.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.w_dim = config.w_dim
        self.block_resolutions = block_resolutions(config.img_resolution)
        in_channels = 0
        for resolution in self.block_resolutions:
            out_channels = block_channels(config, resolution)
            block = SynthesisBlock(
                in_channels,
                out_channels,
                w_dim=config.w_dim,
                resolution=resolution,
                img_channels=config.img_channels,
                is_last=resolution == config.img_resolution,
                architecture=config.architecture,
                conv_clamp=config.conv_clamp,
            )
            self.add_module(f"b{resolution}", block)
            in_channels = out_channels
        self.num_ws = 2 * len(self.block_resolutions)  # one a convolution, and the last torgb's

    def forward(
        self, ws: Tensor, noise_mode: NoiseMode = "const", generator: NoiseSource = None
    ) -> Tensor:
        """Draw the images.

        Args:
            ws: [N, num_ws, w_dim].
            noise_mode: "const" uses the stored noise, "random" draws it, "none" adds none.
            generator: source of random noise: one torch.Generator for the batch; a list of N
                of them, or int64 [N] seeds, which make a sample independent of its batch.

        Raises:
            ValueError: an argument is not as above.
        """
        generator = self.check(ws, noise_mode, generator)
        x = img = None
        start = 0
        for resolution in self.block_resolutions:
            block = self.get_submodule(f"b{resolution}")
            assert isinstance(block, SynthesisBlock)
            part = ws[:, start : start + block.num_conv + 1]
            x, img = block(x, img, part, noise_mode, generator)
            start += block.num_conv
        assert img is not None
        return img

    def check(self, ws: Tensor, noise_mode: NoiseMode, generator: NoiseSource) -> NoiseSource:
        """Refuse what `forward` does not take; give the noise source with seeds made generators.

        Raises:
            ValueError: an argument is not as `forward` says.
        """
        check_ws(ws, self.num_ws, self.w_dim)
        return check_noise("synthesis", noise_mode, generator, ws.shape[0])


class Generator(StyleGenerator[GeneratorConfig, SynthesisNetwork]):
    """z and labels to images; see `GeneratorConfig` for the arguments.

    Shapes: z [N, z_dim], c [N, c_dim] or None -> [N, img_channels, R, R], nominally -1..1.

    Raises:
        ValueError: the config does not describe a network.
    """

    def __init__(
        self,
        *,
        z_dim: int = 512,
        c_dim: int = 0,
        w_dim: int = 512,
        img_resolution: int,
        img_channels: int = 3,
        channel_base: int = 32768,
        channel_max: int = 512,
        num_mapping_layers: int = 8,
        architecture: BlockWiring = "skip",
        conv_clamp: float | None = None,
        mapping_lr_multiplier: float = 0.01,
        w_avg_beta: float = 0.995,
    ) -> None:
        config = GeneratorConfig(
            z_dim=z_dim,
            c_dim=c_dim,
            w_dim=w_dim,
            img_resolution=img_resolution,
            img_channels=img_channels,
            channel_base=channel_base,
            channel_max=channel_max,
            num_mapping_layers=num_mapping_layers,
            architecture=architecture,
            conv_clamp=conv_clamp,
            mapping_lr_multiplier=mapping_lr_multiplier,
            w_avg_beta=w_avg_beta,
        )
        check_config("Generator", config)
        if z_dim < 1 or w_dim < 1:
            raise ValueError(f"Generator: expected z_dim, w_dim >= 1, got {z_dim}, {w_dim}")
        synthesis = SynthesisNetwork(config)
        super().__init__(config, synthesis, synthesis.num_ws)

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        noise_mode: NoiseMode = "const",
        generator: NoiseSource = None,
    ) -> Tensor:
        """Map with truncation, then draw; arguments as in `mapping` and `synthesis`."""
        ws = self.mapping(z, c, truncation_psi, truncation_cutoff)
        return self.synthesis(ws, noise_mode=noise_mode, generator=generator)
