"""StyleGAN1's generator (Karras et al. 2019).

Published files of two kinds load into it, see `core.checkpoints.published.stylegan1`.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...kernels import upfirdn2d
from .blocks import block_resolutions
from .layers import FullyConnectedLayer
from .noise import NoiseMode, NoiseSource, check_noise, draw_noise
from .progressive import GAIN, SLOPE, check_sizes, check_stage, doubled
from .style_generator import StyleGenerator, check_ws

INSTANCE_EPSILON = 1e-5
BLUR_TAPS = (0.25, 0.5, 0.25)
_PRECISE_SIZE = 8  # blocks up to it run in float64 in evaluation on a CPU

__all__ = ["Generator", "GeneratorConfig", "SynthesisNetwork"]


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything that `Generator` was built from: the keyword arguments of its constructor.

    Attributes:
        z_dim, w_dim: features of z and of one w.
        c_dim: classes (one-hot labels), 0 for an unconditional network.
        img_resolution: height and width of the images, a power of 2 from 4.
        max_resolution: the last block's; above `img_resolution` where a network was never grown to
            its end. None is `img_resolution`.
        img_channels: 3 for RGB.
        channel_base, channel_max: channels at r x r are min(channel_base // r, channel_max).
        num_mapping_layers: linear layers between z and w.
        progressive: every block can make an image, as growing needs; else only the last one.
        blur_bias: an up-sampling layer adds its bias before it blurs, which darkens or lightens
            the border; the paper's network adds it afterwards.
        mapping_lr_multiplier: learning-rate multiplier of the mapping network.
        w_avg_beta: decay of the running mean of w.
    """

    z_dim: int
    c_dim: int
    w_dim: int
    img_resolution: int
    max_resolution: int | None
    img_channels: int
    channel_base: int
    channel_max: int
    num_mapping_layers: int
    progressive: bool
    blur_bias: bool
    mapping_lr_multiplier: float
    w_avg_beta: float


class SynthesisLayer(nn.Module):
    """Convolution, blur, bias, noise, leaky ReLU and AdaIN (Karras et al. 2019, figure 1).

    The very first layer (in_channels 0) has no convolution. With up 2, the weight is that of a
    convolution of the doubled image, in whatever way it is computed.

    Shapes: x [N, C_in, R / up, R / up], w [N, w_dim] -> [N, C_out, R, R].
    """

    noise_const: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        w_dim: int,
        resolution: int,
        up: int = 1,
        blur_bias: bool = False,
    ) -> None:
        super().__init__()
        self.up = up
        self.blur_bias = blur_bias
        self.weight_gain = GAIN / math.sqrt(max(in_channels, 1) * 9)
        self.weight: nn.Parameter | None = None
        if in_channels > 0:
            self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros(out_channels))
        self.affine = FullyConnectedLayer(w_dim, 2 * out_channels)
        self.register_buffer("noise_const", torch.randn(resolution, resolution))

    def forward(
        self, x: Tensor, w: Tensor, noise_mode: NoiseMode, generator: NoiseSource
    ) -> Tensor:
        bias = self.bias.to(x.dtype)[:, None, None]
        if self.weight is None:
            x = x + bias
        elif self.up == 1:
            x = functional.conv2d(x, self._weight(x), self.bias.to(x.dtype), padding=1)
        else:
            x = _convolve_doubled(x, self._weight(x))
            taps = torch.tensor(BLUR_TAPS, dtype=self.noise_const.dtype, device=x.device)
            if self.blur_bias:
                x = upfirdn2d(x + bias, taps, padding=1)
            else:
                x = upfirdn2d(x, taps, padding=1) + bias
        noise = draw_noise(self.noise_const, x.shape[0], noise_mode, generator)
        if noise is not None:
            wide = torch.promote_types(x.dtype, noise.dtype)
            strength = self.noise_strength.to(wide)[:, None, None]
            x = x + (noise.to(wide) * strength).to(x.dtype)
        x = functional.instance_norm(functional.leaky_relu(x, SLOPE), eps=INSTANCE_EPSILON)
        scale, offset = self.affine(w).to(x.dtype)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(offset, x, scale + 1)

    def _weight(self, x: Tensor) -> Tensor:
        assert self.weight is not None
        wide = torch.promote_types(x.dtype, self.weight.dtype)
        return (self.weight.to(wide) * self.weight_gain).to(x.dtype)


class ToRGBLayer(nn.Module):
    """1x1 convolution, [N, C, R, R] -> [N, img_channels, R, R]."""

    def __init__(self, in_channels: int, img_channels: int) -> None:
        super().__init__()
        self.weight_gain = 1 / math.sqrt(in_channels)
        self.weight = nn.Parameter(torch.randn(img_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(img_channels))

    def forward(self, x: Tensor) -> Tensor:
        weight = (self.weight * self.weight_gain).to(x.dtype)
        return functional.conv2d(x, weight, self.bias.to(x.dtype))


class SynthesisBlock(nn.Module):
    """Both layers at one resolution; the first block (in_channels 0) starts from `const`.

    Shapes: x [N, C_in, R/2, R/2] or None, ws [N, 2, w_dim] -> [N, C_out, R, R].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        resolution: int,
        has_torgb: bool,
        config: GeneratorConfig,
    ) -> None:
        super().__init__()
        self.resolution = resolution
        if in_channels == 0:
            self.const = nn.Parameter(torch.ones(out_channels, resolution, resolution))
        self.layer0 = SynthesisLayer(
            in_channels,
            out_channels,
            w_dim=config.w_dim,
            resolution=resolution,
            up=1 if in_channels == 0 else 2,
            blur_bias=config.blur_bias,
        )
        self.layer1 = SynthesisLayer(
            out_channels, out_channels, w_dim=config.w_dim, resolution=resolution
        )
        if has_torgb:
            self.torgb = ToRGBLayer(out_channels, config.img_channels)

    def forward(
        self, x: Tensor | None, ws: Tensor, noise_mode: NoiseMode, generator: NoiseSource
    ) -> Tensor:
        y = self.const.expand(ws.shape[0], -1, -1, -1) if x is None else x
        dtype = y.dtype
        # Instance normalisation of almost constant features, of which a constant input makes many,
        # blows rounding up: an image of 64 px with random weights was wrong by 6e-6 (relative L2)
        # without these blocks in float64, which cost next to nothing, and by 7e-7 with them.
        if not self.training and y.device.type == "cpu" and self.resolution <= _PRECISE_SIZE:
            y = y.double()
        for layer, w in zip((self.layer0, self.layer1), ws.unbind(dim=1), strict=True):
            y = layer(y, w, noise_mode, generator)
        return y.to(dtype)


class SynthesisNetwork(nn.Module):
    """Blocks b4, b8, ... of doubling resolution.

    Shapes: ws [N, num_ws, w_dim] -> image [N, img_channels, R, R] in at least float32, nominally
    -1..1.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.w_dim = config.w_dim
        self.img_resolution = config.img_resolution
        self.progressive = config.progressive
        in_channels, last = 0, config.max_resolution or config.img_resolution
        for resolution in block_resolutions(last):
            out_channels = min(config.channel_base // resolution, config.channel_max)
            block = SynthesisBlock(
                in_channels,
                out_channels,
                resolution=resolution,
                has_torgb=config.progressive or resolution == last,
                config=config,
            )
            self.add_module(f"b{resolution}", block)
            in_channels = out_channels
        self.num_ws = 2 * len(block_resolutions(config.img_resolution))

    def forward(
        self,
        ws: Tensor,
        noise_mode: NoiseMode = "const",
        generator: NoiseSource = None,
        *,
        resolution: int | None = None,
        alpha: float = 1.0,
    ) -> Tensor:
        """Draw the images.

        Args:
            ws: [N, num_ws, w_dim], of which the first two a block are used.
            noise_mode: "const" uses the stored noise, "random" draws it, "none" adds none.
            generator: source of random noise: one torch.Generator for the batch; a list of N
                of them, or int64 [N] seeds, which make a sample independent of its batch.
            resolution: of the images, where a progressive network is still growing.
            alpha: weight of the last resolution's image; the rest is the one before, doubled.

        Raises:
            ValueError: an argument is not as above.
        """
        check_ws(ws, self.num_ws, self.w_dim)
        stage = check_stage("synthesis", self.img_resolution, resolution, alpha)
        if not self.progressive and (alpha != 1 or stage[-1] != self.img_resolution):
            raise ValueError("synthesis: expected a progressive network with resolution or alpha")
        generator = check_noise("synthesis", noise_mode, generator, ws.shape[0])
        x = before = None
        for index, size in enumerate(stage):
            part = ws[:, 2 * index : 2 * index + 2]
            before, x = x, self._block(size)(x, part, noise_mode, generator)
        image = _wide(self._block(stage[-1]).torgb(x))
        if alpha == 1 or before is None:
            return image
        return doubled(_wide(self._block(stage[-2]).torgb(before))).lerp(image, alpha)

    def _block(self, resolution: int) -> SynthesisBlock:
        block = self.get_submodule(f"b{resolution}")
        assert isinstance(block, SynthesisBlock)
        return block


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
        max_resolution: int | None = None,
        img_channels: int = 3,
        channel_base: int = 16384,
        channel_max: int = 512,
        num_mapping_layers: int = 8,
        progressive: bool = False,
        blur_bias: bool = False,
        mapping_lr_multiplier: float = 0.01,
        w_avg_beta: float = 0.995,
    ) -> None:
        config = GeneratorConfig(
            z_dim=z_dim,
            c_dim=c_dim,
            w_dim=w_dim,
            img_resolution=img_resolution,
            max_resolution=max_resolution,
            img_channels=img_channels,
            channel_base=channel_base,
            channel_max=channel_max,
            num_mapping_layers=num_mapping_layers,
            progressive=progressive,
            blur_bias=blur_bias,
            mapping_lr_multiplier=mapping_lr_multiplier,
            w_avg_beta=w_avg_beta,
        )
        last = img_resolution if max_resolution is None else max_resolution
        counts = {
            "z_dim": z_dim,
            "w_dim": w_dim,
            "img_channels": img_channels,
            "num_mapping_layers": num_mapping_layers,
        }
        for size in (img_resolution, last):
            check_sizes("Generator", size, channel_base, channel_max, counts, c_dim)
        if last < img_resolution or (last > img_resolution and not progressive):
            raise ValueError(
                "Generator: expected max_resolution >= img_resolution, above it only if "
                f"progressive, got {last} and {img_resolution}"
            )
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
        *,
        resolution: int | None = None,
        alpha: float = 1.0,
    ) -> Tensor:
        """Map with truncation, then draw; arguments as in `mapping` and `synthesis`."""
        ws = self.mapping(z, c, truncation_psi, truncation_cutoff)
        return self.synthesis(ws, noise_mode, generator, resolution=resolution, alpha=alpha)


def _convolve_doubled(x: Tensor, weight: Tensor) -> Tensor:
    """The 3x3 convolution of the doubled image, in one transposed convolution of 4 x 4.

    Of the nine products that make up a pixel, those that meet the same pixel of x are summed first.
    """
    wide = functional.pad(weight.flip(2, 3).transpose(0, 1), (1, 1, 1, 1))
    rows = wide[:, :, 1:] + wide[:, :, :-1]
    return functional.conv_transpose2d(x, rows[..., 1:] + rows[..., :-1], stride=2, padding=1)


def _wide(image: Tensor) -> Tensor:
    return image.to(torch.promote_types(image.dtype, torch.float32))
