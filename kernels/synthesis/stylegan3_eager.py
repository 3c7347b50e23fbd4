"""StyleGAN3's synthesis in the public ops: the readable form, for any device and dtype."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from ..filtered_lrelu import filtered_lrelu
from ..modulated_conv2d.reference import EPSILON
from .description import RGBLayer
from .eager import styles_of
from .stylegan3_description import FilteredLayer, FilteredSynthesis, FourierInput


class EagerFilteredExecutor:
    """A `FilteredExecutor` that prepares nothing; styles keep the weights' dtype."""

    def __init__(self, synthesis: FilteredSynthesis, dtype: torch.dtype) -> None:
        self._synthesis = synthesis
        self._dtype = dtype

    @torch.no_grad()
    def __call__(self, ws: Tensor, transform: Tensor | None = None) -> Tensor:
        synthesis = self._synthesis
        x = features(synthesis.input, ws, transform).to(self._dtype)
        for layer in synthesis.layers:
            x = _filtered_layer(layer, x, ws)
        image = _to_rgb(synthesis.torgb, x, ws)
        return image.to(torch.promote_types(image.dtype, torch.float32)) * synthesis.output_scale


def features(layer: FourierInput, ws: Tensor, transform: Tensor | None) -> Tensor:
    """What the first layer gets, [N, C, size, size]."""
    freqs, phases, amplitudes = waves(layer, styles_of(layer.affine, ws), transform)
    at = positions(layer).to(freqs)
    turns = (
        at[:, None] * freqs[:, None, None, :, 0] + at[:, None, None] * freqs[:, None, None, :, 1]
    )
    x = torch.sin(2 * math.pi * (turns + phases[:, None, None])) * amplitudes[:, None, None]
    return functional.linear(x, layer.weight).permute(0, 3, 1, 2)


def waves(
    layer: FourierInput, style: Tensor, transform: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Frequencies [N, C, 2], phases [N, C] and amplitudes [N, C] as the style places the plane.

    A point p of the image lies at R (T p - s), where T is the transform, s the style's shift and R
    its rotation.
    """
    style = style / style[:, :2].norm(dim=1, keepdim=True)
    cos, sin, x, y = style.unbind(dim=1)
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    rotation = torch.stack([cos, -sin, sin, cos], dim=1).unflatten(1, (2, 2))
    shift = torch.stack([one, zero, -x, zero, one, -y], dim=1).unflatten(1, (2, 3))
    plane = rotation @ shift @ (layer.transform if transform is None else transform).to(style)
    freqs = layer.freqs.to(style)
    phases = layer.phases.to(style) + (freqs @ plane[:, :, 2:]).squeeze(2)
    freqs = freqs @ plane[:, :, :2]  # [N, C, 2]
    fade = (freqs.norm(dim=2) - layer.bandwidth) / (layer.rate / 2 - layer.bandwidth)
    return freqs, phases, (1 - fade).clamp(0, 1)


def positions(layer: FourierInput) -> Tensor:
    """Where samples lie along an axis of the image, whose middle is 0 and whose width is 1."""
    at = torch.arange(layer.size, dtype=torch.float32, device=layer.freqs.device)
    return (at - (layer.size - 1) / 2) / layer.rate


def _filtered_layer(layer: FilteredLayer, x: Tensor, ws: Tensor) -> Tensor:
    styles = styles_of(layer.affine, ws)
    weight = layer.weight.to(x.dtype)
    x = x * (styles * layer.input_gain).to(x.dtype)[:, :, None, None]
    y = functional.conv2d(x, weight, padding=weight.shape[2] - 1)
    y = y * _demodulation(layer.weight, styles).to(y.dtype)[:, :, None, None]
    return filtered_lrelu(
        y,
        layer.fu,
        layer.fd,
        layer.bias.to(y.dtype),
        up=layer.up,
        down=layer.down,
        padding=layer.padding,
        gain=layer.gain,
        slope=layer.slope,
        clamp=layer.clamp,
    )


def _demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """Factor of each sample's output channels, [N, O].

    All styles are to be divided by their rms over the batch first. That cancels but for its part in
    the epsilon, to which alone it is applied: a sample is the same in any batch.
    """
    dtype = torch.float64 if styles.device.type == "cpu" else styles.dtype
    power = styles.to(dtype).square()
    energy = weight.to(dtype).square().sum((2, 3))
    return (power @ energy.t() + EPSILON * power.mean()).rsqrt().to(styles.dtype)


def _to_rgb(layer: RGBLayer, x: Tensor, ws: Tensor) -> Tensor:
    x = x * styles_of(layer.affine, ws).to(x.dtype)[:, :, None, None]
    y = functional.conv2d(x, layer.weight.to(x.dtype)[:, :, None, None])
    y = y + layer.bias.to(y.dtype)[:, None, None]
    return y if layer.clamp is None else y.clamp(-layer.clamp, layer.clamp)
