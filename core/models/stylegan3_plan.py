"""Drawing with a StyleGAN3 generator that is not being trained: the same images, faster."""

import torch
from torch import Tensor

from ...kernels.synthesis.stylegan3 import (
    OP,
    FilteredExecutor,
    FilteredLayer,
    FilteredSynthesis,
    FourierInput,
    RGBLayer,
)
from .noise import NoiseMode, NoiseSource
from .prepared import PreparedExecutors, affine_of
from .stylegan3 import Generator, SynthesisLayer, SynthesisNetwork

_ROOT = 2**0.5
_SLOPE = 0.2


def _tensors(network: SynthesisNetwork) -> list[Tensor]:
    """What `describe` reads of a network."""
    return [*network.parameters(), *network.buffers()]


_prepared: PreparedExecutors[SynthesisNetwork, FilteredSynthesis, FilteredExecutor]
_prepared = PreparedExecutors(OP, lambda network: describe(network), _tensors)


class SynthesisPlan:
    """A synthesis network prepared for drawing without gradients.

    The first call prepares the weights for the fastest backend (`kernels.synthesis.stylegan3`), and
    so does the first one after they changed; all plans of one network share this work. Writes
    through `.data` go unnoticed.

    Args:
        synthesis: the network; it is never changed.
        dtype: of the features, at the least; the image is float32 or wider.
    """

    def __init__(self, synthesis: SynthesisNetwork, *, dtype: torch.dtype = torch.float32) -> None:
        self.synthesis = synthesis
        self.dtype = dtype

    @torch.no_grad()
    def __call__(
        self,
        ws: Tensor,
        noise_mode: NoiseMode = "const",
        generator: NoiseSource = None,
        *,
        transform: Tensor | None = None,
    ) -> Tensor:
        """Draw the images [N, C, R, R]; arguments and errors as of `SynthesisNetwork.forward`."""
        self.synthesis.check(ws, transform)
        return self._executor()(ws, transform)

    def _executor(self) -> FilteredExecutor:
        """The executor of the network as it is now."""
        return _prepared.get(self.synthesis, self.dtype)


def plan_of(generator: Generator) -> SynthesisPlan:
    """The plan that draws in the dtype of the generator's weights."""
    return SynthesisPlan(generator.synthesis, dtype=generator.synthesis.input.weight.dtype)


@torch.no_grad()
def describe(network: SynthesisNetwork) -> FilteredSynthesis:
    """The network in the terms of the executors: weights and affine layers with their gains."""
    source = network.input
    fourier = FourierInput(
        weight=source.weight * source.weight_gain,
        freqs=source.freqs,
        phases=source.phases,
        transform=source.transform,
        affine=affine_of(source.affine, 0),
        size=source.size,
        rate=source.sampling_rate,
        bandwidth=source.bandwidth,
    )
    *layers, last = _layers(network)
    gain = last.magnitude_ema.rsqrt() * last.weight_gain
    torgb = RGBLayer(
        weight=last.weight.detach()[:, :, 0, 0],
        bias=last.bias.detach(),
        affine=affine_of(last.affine, len(layers) + 1, gain),
        clamp=last.conv_clamp,
    )
    described = tuple(_layer(layer, index) for index, layer in enumerate(layers, start=1))
    return FilteredSynthesis(
        fourier, described, torgb, network.output_scale, network.num_ws, network.w_dim
    )


def _layers(network: SynthesisNetwork) -> list[SynthesisLayer]:
    """All layers in the order in which they run, toRGB last."""
    layers = []
    for name in network.layer_names:
        layer = network.get_submodule(name)
        assert isinstance(layer, SynthesisLayer)
        layers.append(layer)
    return layers


def _layer(layer: SynthesisLayer, index: int) -> FilteredLayer:
    geometry, fu, fd = layer.geometry, layer.up_filter, layer.down_filter
    assert fu is not None and fd is not None
    weight = layer.weight.detach()
    return FilteredLayer(
        weight=weight * weight.square().mean((1, 2, 3), keepdim=True).rsqrt(),
        bias=layer.bias.detach(),
        affine=affine_of(layer.affine, index),
        input_gain=layer.magnitude_ema.rsqrt(),
        fu=fu,
        fd=fd,
        up=geometry.up,
        down=geometry.down,
        padding=geometry.padding,
        gain=_ROOT,
        slope=_SLOPE,
        clamp=layer.conv_clamp,
    )
