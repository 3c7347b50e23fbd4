"""Drawing with a StyleGAN2 generator that is not being trained: the same images, faster."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ...kernels.registry import select
from ...kernels.synthesis import (
    Affine,
    Block,
    ConvLayer,
    Executor,
    RGBLayer,
    Synthesis,
    separate,
    without_graph,
)
from .layers import FullyConnectedLayer
from .stylegan2 import (
    Generator,
    NoiseMode,
    NoiseSource,
    SynthesisBlock,
    SynthesisLayer,
    SynthesisNetwork,
    ToRGBLayer,
)

# Of each network the last prepared executor of each dtype. It goes when the network goes, and a
# copy of the network has none.
_prepared: WeakKeyDictionary[SynthesisNetwork, dict[torch.dtype, "_Prepared"]]
_prepared = WeakKeyDictionary()


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
        state = _state(self.synthesis)
        known = _prepared.setdefault(self.synthesis, {})
        prepared = known.get(self.dtype)
        if prepared is None or not _same(prepared.state, state):
            synthesis = describe(self.synthesis)
            prepared = None
        else:
            synthesis = prepared.synthesis
        # Asked each time, since `use_backend` may have changed the answer.
        run = select("synthesis", synthesis, self.dtype)
        if prepared is None or prepared.run is not run:
            prepared = _Prepared(state, synthesis, run, run(synthesis, self.dtype))
            known[self.dtype] = prepared
        return prepared.executor


def plan_of(generator: Generator) -> SynthesisPlan:
    """The plan that draws in the dtype of the generator's weights."""
    first = _blocks(generator.synthesis)[0]
    return SynthesisPlan(generator.synthesis, dtype=first.const.dtype)


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


@dataclass(frozen=True)
class _Prepared:
    state: "_State"
    synthesis: Synthesis
    run: Callable[[Synthesis, torch.dtype], Executor]
    executor: Executor


_State = Sequence[tuple[Tensor, int, int | None]]


def _state(network: SynthesisNetwork) -> _State:
    """Every tensor that is prepared, where it lies, and how often it was written to."""
    tensors = [*network.parameters(), *(b for n, b in network.named_buffers() if "filter" in n)]
    return [(x, x.data_ptr(), None if x.is_inference() else x._version) for x in tensors]


def _same(a: _State, b: _State) -> bool:
    return len(a) == len(b) and all(
        x is y and before == now for (x, *before), (y, *now) in zip(a, b, strict=True)
    )


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
        affine=_affine(layer.affine, index, 1.0),
        noise_strength=layer.noise_strength.detach(),
        up=layer.up,
        f=f,
        taps=separate(f) if layer.up == 2 else None,
        gain=math.sqrt(2) * gain,
        clamp=None if layer.conv_clamp is None else layer.conv_clamp * gain,
    )


def _rgb_layer(layer: ToRGBLayer, index: int) -> RGBLayer:
    weight = layer.weight.detach()[:, :, 0, 0]
    affine = _affine(layer.affine, index, layer.weight_gain)
    return RGBLayer(weight, layer.bias.detach(), affine, layer.conv_clamp)


def _affine(layer: FullyConnectedLayer, index: int, gain: float) -> Affine:
    weight = layer.weight.detach() * (layer.weight_gain * gain)
    return Affine(weight, layer.bias.detach() * (layer.bias_gain * gain), index)
