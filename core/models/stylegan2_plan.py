"""Drawing with a StyleGAN2 generator that is not being trained: the same images, faster."""

import math

import torch
from torch import Tensor

from ...kernels.synthesis import (
    Block,
    ConvLayer,
    Executor,
    RGBLayer,
    Synthesis,
    separate,
    without_graph,
)
from .noise import NoiseMode, NoiseSource
from .prepared import PreparedExecutors, affine_of
from .stylegan2 import (
    Generator,
    SynthesisBlock,
    SynthesisLayer,
    SynthesisNetwork,
    ToRGBLayer,
)


def _tensors(network: SynthesisNetwork) -> list[Tensor]:
    """What `describe` reads of a network."""
    return [*network.parameters(), *(b for n, b in network.named_buffers() if "filter" in n)]


_prepared: PreparedExecutors[SynthesisNetwork, Synthesis, Executor]
_prepared = PreparedExecutors("synthesis", lambda network: describe(network), _tensors)


class SynthesisPlan:
    """A synthesis network prepared for drawing without gradients.

    The first call prepares the weights for the fastest backend (`kernels.synthesis`), and so does
    the first one after they changed; all plans of one network share this work. On a CPU an image
    does not depend on its batch, bit for bit. Writes through `.data` go unnoticed.

    Args:
        synthesis: the network; it is never changed.
        dtype: of the convolutions' arithmetic, at the least; the image is float32 or wider.
        graph: on a GPU, record what the second call of one batch size does as a CUDA graph, and
            replay it from then on.
    """

    def __init__(
        self,
        synthesis: SynthesisNetwork,
        *,
        dtype: torch.dtype = torch.float32,
        graph: bool = True,
    ) -> None:
        self.synthesis = synthesis
        self.dtype = dtype
        self.graph = graph

    @torch.no_grad()
    def __call__(
        self, ws: Tensor, noise_mode: NoiseMode = "const", generator: NoiseSource = None
    ) -> Tensor:
        """Draw the images [N, C, R, R]; arguments and errors as of `SynthesisNetwork.forward`."""
        network = self.synthesis
        generator = network.check(ws, noise_mode, generator)
        noise = [layer.noise(ws.shape[0], noise_mode, generator) for layer in _layers(network)]
        executor = self._executor()
        return (executor if self.graph else without_graph(executor))(ws, noise)

    def _executor(self) -> Executor:
        """The executor of the network as it is now."""
        return _prepared.get(self.synthesis, self.dtype)


def plan_of(generator: Generator) -> SynthesisPlan:
    """The plan that draws in the dtype of the generator's weights."""
    first = _blocks(generator.synthesis)[0]
    return SynthesisPlan(generator.synthesis, dtype=first.const.dtype)


def fits(network: SynthesisNetwork) -> bool:
    """Whether a plan can draw the network: all its images are filtered alike, as ever so far."""
    first, *others = _blocks(network)
    filters = [block.resample_filter for block in others]
    if first.architecture == "resnet":
        filters += [block.skip.resample_filter for block in others]
    return all(torch.equal(f, first.resample_filter) for f in filters)


def describe(network: SynthesisNetwork) -> Synthesis:
    """The network in the terms of the executors: its own tensors, and affine weights with gains."""
    blocks, start = [], 0
    first = _blocks(network)[0]
    for block in _blocks(network):
        residual = block.architecture == "resnet" and block.in_channels != 0
        last = start + block.num_conv
        conv0 = None
        if block.in_channels != 0:
            conv0 = _conv_layer(block.conv0, start, 1.0)
        conv1 = _conv_layer(block.conv1, last - 1, math.sqrt(0.5) if residual else 1.0)
        skip = None
        if residual:
            gain = block.skip.weight_gain * math.sqrt(0.5)
            skip = block.skip.weight.detach()[:, :, 0, 0] * gain
        torgb = _rgb_layer(block.torgb, last) if block.has_torgb else None
        blocks.append(Block(conv0, conv1, skip, torgb))
        start = last
    f = first.resample_filter
    const = first.const.detach()
    return Synthesis(const, tuple(blocks), f, separate(f), network.num_ws, network.w_dim)


def _blocks(network: SynthesisNetwork) -> list[SynthesisBlock]:
    blocks = []
    for resolution in network.block_resolutions:
        block = network.get_submodule(f"b{resolution}")
        assert isinstance(block, SynthesisBlock)
        blocks.append(block)
    return blocks


def _layers(network: SynthesisNetwork) -> list[SynthesisLayer]:
    """All convolutions in the order in which they run, and draw their noise."""
    return [
        layer
        for block in _blocks(network)
        for layer in ([block.conv1] if block.in_channels == 0 else [block.conv0, block.conv1])
    ]


def _conv_layer(layer: SynthesisLayer, index: int, gain: float) -> ConvLayer:
    f = layer.resample_filter
    return ConvLayer(
        weight=layer.weight.detach(),
        bias=layer.bias.detach(),
        affine=affine_of(layer.affine, index),
        noise_strength=layer.noise_strength.detach(),
        up=layer.up,
        f=f,
        taps=separate(f) if layer.up == 2 else None,
        gain=math.sqrt(2) * gain,
        clamp=None if layer.conv_clamp is None else layer.conv_clamp * gain,
    )


def _rgb_layer(layer: ToRGBLayer, index: int) -> RGBLayer:
    weight = layer.weight.detach()[:, :, 0, 0]
    affine = affine_of(layer.affine, index, layer.weight_gain)
    return RGBLayer(weight, layer.bias.detach(), affine, layer.conv_clamp)
