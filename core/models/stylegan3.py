"""StyleGAN3's generators T and R (Karras et al. 2021, "Alias-Free GANs").

Parameter and buffer names are those of published checkpoints, which therefore load as they are.
Sizes, rates and filters of the layers come from `kernels.filtered_lrelu.geometry`.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...kernels import filtered_lrelu
from ...kernels.filtered_lrelu.geometry import LayerGeometry, layer_geometry
from .layers import FullyConnectedLayer
from .noise import NoiseMode, NoiseSource
from .style_generator import StyleGenerator, check_ws

DEMODULATION_EPSILON = 1e-8

__all__ = ["Generator", "GeneratorConfig", "SynthesisNetwork"]


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything that `Generator` was built from: the keyword arguments of its constructor.

    Attributes:
        z_dim, w_dim: features of z and of one w.
        c_dim: classes (one-hot labels), 0 for an unconditional network.
        img_resolution: height and width, a power of 2 from 32.
        img_channels: 3 for RGB.
        channel_base, channel_max: channels of a layer that passes frequencies up to f (in cycles
            an image) are min(channel_base / 2 / f, channel_max), rounded. R doubles both.
        num_mapping_layers: linear layers between z and w.
        conv_kernel: 3 for T, 1 for R.
        use_radial_filters: filter down radially symmetrically, as R does.
        conv_clamp: bound of every activation, None for no bound.
        output_scale: factor of the last layer's result.
        magnitude_ema_beta: decay of the running mean of every layer's squared input.
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
    conv_kernel: int
    use_radial_filters: bool
    conv_clamp: float | None
    output_scale: float
    magnitude_ema_beta: float
    mapping_lr_multiplier: float
    w_avg_beta: float


class SynthesisInput(nn.Module):
    """Fourier features of a plane that w turns and shifts (section 3.2, appendix F).

    Shapes: w [N, w_dim], transform [3, 3] or [N, 3, 3] -> [N, C, size, size], channels_last.
    """

    freqs: Tensor
    phases: Tensor
    transform: Tensor

    def __init__(
        self, channels: int, *, w_dim: int, size: int, sampling_rate: float, bandwidth: float
    ) -> None:
        super().__init__()
        self.size = size
        self.sampling_rate = sampling_rate
        self.bandwidth = bandwidth
        self.weight_gain = 1 / math.sqrt(channels)
        # Uniform in the disc of radius `bandwidth`.
        angle = 2 * math.pi * torch.rand(channels)
        radius = bandwidth * torch.rand(channels).sqrt()
        freqs = torch.stack([angle.cos(), angle.sin()], dim=1) * radius[:, None]
        self.weight = nn.Parameter(torch.randn(channels, channels))
        self.affine = FullyConnectedLayer(w_dim, 4)
        with torch.no_grad():  # neither rotation nor translation: (cos, sin, x, y)
            self.affine.weight.zero_()
            self.affine.bias.zero_()
            self.affine.bias[0] = 1.0
        self.register_buffer("freqs", freqs)  # [C, 2]
        self.register_buffer("phases", torch.rand(channels) - 0.5)
        self.register_buffer("transform", torch.eye(3))

    def forward(self, w: Tensor, transform: Tensor | None = None) -> Tensor:
        transform = self.transform if transform is None else transform.to(self.transform)
        plane = placement(self.affine(w)) @ transform  # [N, 3, 3]
        phases = self.phases + (self.freqs @ plane[:, :2, 2:]).squeeze(2)  # [N, C]
        freqs = self.freqs @ plane[:, :2, :2]  # [N, C, 2]
        # A frequency that a transform has raised fades out before it would alias.
        fade = (freqs.norm(dim=2) - self.bandwidth) / (self.sampling_rate / 2 - self.bandwidth)
        amplitudes = (1 - fade).clamp(0, 1)
        half = 0.5 * self.size / self.sampling_rate  # the canvas reaches beyond the image, -.5..5
        corners = torch.diag(freqs.new_tensor([half, half, 1.0]))[None, :2]
        grid = functional.affine_grid(corners, [1, 1, self.size, self.size], align_corners=False)
        x = grid.reshape(1, -1, 2) @ freqs.transpose(1, 2) + phases[:, None]  # [N, size^2, C]
        x = torch.sin(2 * math.pi * x) * amplitudes[:, None]
        x = x @ (self.weight * self.weight_gain).t()
        return x.unflatten(1, (self.size, self.size)).permute(0, 3, 1, 2)


def placement(t: Tensor) -> Tensor:
    """Where an image's point lies in the input plane, for (cos, sin, x, y) of any scale.

    Shapes: t [N, 4] -> [N, 3, 3], translation by -(x, y) and then rotation, in units of the image.
    """
    t = t / t[:, :2].norm(dim=1, keepdim=True)
    cos, sin, x, y = t.unbind(dim=1)
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    rotation = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], dim=1)
    translation = torch.stack([one, zero, -x, zero, one, -y, zero, zero, one], dim=1)
    return rotation.unflatten(1, (3, 3)) @ translation.unflatten(1, (3, 3))


class SynthesisLayer(nn.Module):
    """Modulated convolution and filtered leaky ReLU, or toRGB (section 3.2, figure 4b).

    Shapes: x [N, C_in, in_size, in_size], w [N, w_dim] -> [N, C_out, out_size, out_size].
    """

    magnitude_ema: Tensor
    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(
        self,
        geometry: LayerGeometry,
        *,
        w_dim: int,
        conv_clamp: float | None,
        magnitude_ema_beta: float,
    ) -> None:
        super().__init__()
        self.geometry = geometry
        self.conv_clamp = conv_clamp
        self.magnitude_ema_beta = magnitude_ema_beta
        self.affine = FullyConnectedLayer(w_dim, geometry.in_channels, bias_init=1.0)
        shape = (geometry.out_channels, geometry.in_channels, geometry.kernel, geometry.kernel)
        self.weight = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(torch.zeros(geometry.out_channels))
        self.register_buffer("magnitude_ema", torch.ones([]))
        self.register_buffer("up_filter", _on_device(geometry.up_filter()))
        self.register_buffer("down_filter", _on_device(geometry.down_filter()))

    def forward(self, x: Tensor, w: Tensor, update_emas: bool = False) -> Tensor:
        geometry = self.geometry
        if update_emas:
            self._update_magnitude(x)
        input_gain = self.magnitude_ema.rsqrt()
        styles = self.affine(w)
        if geometry.is_torgb:
            y = self._convolve(x, self.weight, styles * (self.weight_gain * input_gain))
        else:
            y = self._convolve(x, self.weight, styles * input_gain)
            y = y * self._demodulation(styles).to(y.dtype)[:, :, None, None]
        return filtered_lrelu(
            y,
            self.up_filter,
            self.down_filter,
            self.bias.to(y.dtype),
            up=geometry.up,
            down=geometry.down,
            padding=geometry.padding,
            gain=1.0 if geometry.is_torgb else math.sqrt(2),
            slope=1.0 if geometry.is_torgb else 0.2,
            clamp=self.conv_clamp,
        )

    @property
    def weight_gain(self) -> float:
        """Factor of toRGB's styles; other layers are demodulated."""
        return 1 / math.sqrt(self.geometry.in_channels)

    def _convolve(self, x: Tensor, weight: Tensor, styles: Tensor) -> Tensor:
        x = x * styles.to(x.dtype)[:, :, None, None]
        return functional.conv2d(x, weight.to(x.dtype), padding=self.geometry.kernel - 1)

    def _demodulation(self, styles: Tensor) -> Tensor:
        """Factor of every sample's every output channel, [N, C_out].

        The published network divides weights by their rms, and all styles by their rms over the
        batch, before it demodulates. Both divisions cancel but for their part in the epsilon, to
        which alone they are applied here: no pass over the weights is needed, and a sample depends
        on its batch by far less than float32 resolves.
        """
        precise = not self.training and styles.device.type == "cpu"
        dtype = torch.float64 if precise else styles.dtype
        with torch.autocast(styles.device.type, enabled=False):
            squares = self.weight.square().sum((2, 3)).to(dtype)  # [C_out, C_in]
            power = styles.to(dtype).square()
            scale = power.mean() * squares.mean(dim=1) / self.geometry.kernel**2
            sums = power @ squares.t() + DEMODULATION_EPSILON * scale
            return sums.rsqrt().to(styles.dtype)

    @torch.no_grad()
    def _update_magnitude(self, x: Tensor) -> None:
        mean = x.detach().to(self.magnitude_ema.dtype).square().mean()
        self.magnitude_ema.copy_(mean.lerp(self.magnitude_ema, self.magnitude_ema_beta))


class SynthesisNetwork(nn.Module):
    """Fourier features, 14 layers and toRGB (appendix C).

    Shapes: ws [N, 16, w_dim] -> image [N, img_channels, R, R] in at least float32, nominally -1..1.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.w_dim = config.w_dim
        self.output_scale = config.output_scale
        layers = geometry_of(config)
        first = layers[0]
        self.input = SynthesisInput(
            first.in_channels,
            w_dim=config.w_dim,
            size=first.in_size,
            sampling_rate=first.in_rate,
            bandwidth=first.in_cutoff,
        )
        for geometry in layers:
            layer = SynthesisLayer(
                geometry,
                w_dim=config.w_dim,
                conv_clamp=config.conv_clamp,
                magnitude_ema_beta=config.magnitude_ema_beta,
            )
            self.add_module(geometry.name, layer)
        self.layer_names = [geometry.name for geometry in layers]
        self.num_ws = 1 + len(layers)

    def forward(
        self,
        ws: Tensor,
        noise_mode: NoiseMode = "const",
        generator: NoiseSource = None,
        *,
        transform: Tensor | None = None,
        update_emas: bool = False,
    ) -> Tensor:
        """Draw the images.

        Args:
            ws: [N, 16, w_dim]: the input's, then one a layer.
            noise_mode, generator: taken as StyleGAN2 takes them, and ignored: there is no noise.
            transform: [3, 3] or [N, 3, 3] in place of `input.transform`: where a point of the
                image (the middle is 0, the width 1) lies in the plane that is drawn, so the
                inverse of how the image is to move.
            update_emas: track the layers' magnitudes; for training only.

        Raises:
            ValueError: ws or transform has the wrong shape.
        """
        self.check(ws, transform)
        w = ws.unbind(dim=1)
        x = self.input(w[0], transform)
        for name, style in zip(self.layer_names, w[1:], strict=True):
            x = self.get_submodule(name)(x, style, update_emas)
        return x.to(torch.promote_types(x.dtype, torch.float32)) * self.output_scale

    def check(self, ws: Tensor, transform: Tensor | None) -> None:
        """Refuse what `forward` does not take.

        Raises:
            ValueError: an argument is not as `forward` says.
        """
        check_ws(ws, self.num_ws, self.w_dim)
        if transform is not None and transform.shape not in {(3, 3), (ws.shape[0], 3, 3)}:
            raise ValueError(
                f"synthesis: expected transform [3, 3] or [{ws.shape[0]}, 3, 3], "
                f"got {tuple(transform.shape)}"
            )


class Generator(StyleGenerator[GeneratorConfig, SynthesisNetwork]):
    """z and labels to images; see `GeneratorConfig` for the arguments, whose defaults are T's.

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
        num_mapping_layers: int = 2,
        conv_kernel: int = 3,
        use_radial_filters: bool = False,
        conv_clamp: float | None = 256.0,
        output_scale: float = 0.25,
        magnitude_ema_beta: float = 0.999,
        mapping_lr_multiplier: float = 0.01,
        w_avg_beta: float = 0.998,
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
            conv_kernel=conv_kernel,
            use_radial_filters=use_radial_filters,
            conv_clamp=conv_clamp,
            output_scale=output_scale,
            magnitude_ema_beta=magnitude_ema_beta,
            mapping_lr_multiplier=mapping_lr_multiplier,
            w_avg_beta=w_avg_beta,
        )
        _check_config(config)
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
        transform: Tensor | None = None,
        update_emas: bool = False,
    ) -> Tensor:
        """Map with truncation, then draw; arguments as in `mapping` and `synthesis`."""
        ws = self.mapping(z, c, truncation_psi, truncation_cutoff)
        return self.synthesis(
            ws, noise_mode, generator, transform=transform, update_emas=update_emas
        )


def geometry_of(config: GeneratorConfig) -> tuple[LayerGeometry, ...]:
    """The layers of a network, toRGB last."""
    return layer_geometry(
        config.img_resolution,
        radial=config.use_radial_filters,
        kernel=config.conv_kernel,
        channel_base=config.channel_base,
        channel_max=config.channel_max,
        image_channels=config.img_channels,
    )


def _check_config(config: GeneratorConfig) -> None:
    size = config.img_resolution
    if size < 32 or size & (size - 1):
        raise ValueError(f"Generator: expected img_resolution 32, 64, 128, ..., got {size}")
    if config.conv_kernel < 1 or config.conv_kernel % 2 == 0:
        raise ValueError(f"Generator: expected an odd conv_kernel, got {config.conv_kernel}")
    if config.channel_max < 1 or config.channel_base < size:
        raise ValueError(
            "Generator: expected channel_base >= img_resolution and channel_max >= 1, "
            f"got {config.channel_base}, {config.channel_max}"
        )
    counts = (config.z_dim, config.w_dim, config.img_channels, config.num_mapping_layers)
    if min(counts) < 1 or config.c_dim < 0:
        raise ValueError(
            "Generator: expected z_dim, w_dim, img_channels, num_mapping_layers >= 1 and "
            f"c_dim >= 0, got {counts} and {config.c_dim}"
        )


def _on_device(f: Tensor | None) -> Tensor | None:
    """Onto torch's current device; geometry computes its filters on the CPU."""
    return None if f is None else f.to(torch.empty(0).device)
