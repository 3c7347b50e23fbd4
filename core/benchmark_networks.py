"""Rows of the benchmark for whole networks: `kernels.bench` knows no models, so they are made here.

Each row has the same weights in every column: ours are the modules and plans that ganvas
draws and trains with, the others the functions of a state dict in `kernels.bench.networks`.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from ..kernels.bench import COMPOSED, EAGER, OURS, Case, Entry
from ..kernels.bench import networks as functional
from ..kernels.bench.layers import synthesis_work
from ..kernels.bench.phases import FORWARD, TRAINING, Inputs, Networks, Outputs
from . import benchmark_stylegan3 as stylegan3
from .models.stylegan2 import Generator, SynthesisNetwork
from .models.stylegan2_discriminator import Discriminator
from .models.stylegan2_plan import SynthesisPlan

_SEED = 0
_CLAMP_16_BIT = 256.0  # as published networks bound 16-bit activations
_NOISE_STRENGTH = 0.1
_BIAS = 0.1

Phase = Callable[[Networks, Inputs], Outputs]


@dataclass(frozen=True)
class _Drawing:
    """A network row: images drawn from W latents."""

    resolution: int
    batch: int = 1
    dtype: torch.dtype = torch.float32
    compile: bool = False
    channel_base: int = 32768
    channel_max: int = 512

    @property
    def name(self) -> str:
        parts = [f"stylegan2-{self.resolution}"]
        if self.batch > 1:
            parts.append(f"n{self.batch}")
        if self.dtype == torch.bfloat16:
            parts.append("bf16")
        return "-".join(parts)


@dataclass(frozen=True)
class _Training:
    """Four rows: the phases of a training step."""

    resolution: int
    batch: int
    channel_base: int
    channel_max: int = 512

    @property
    def name(self) -> str:
        return f"stylegan2-{self.resolution}-training"


_BF16 = torch.bfloat16
_CPU = (
    _Drawing(256, compile=True),
    _Drawing(512),
    _Drawing(1024, compile=True),
    _Drawing(256, batch=8),
    _Drawing(1024, dtype=_BF16),
    _Training(64, batch=8, channel_base=8192),
)
_CUDA = (
    _Drawing(1024, dtype=_BF16, compile=True),
    _Drawing(1024, batch=8, dtype=_BF16, compile=True),
    _Drawing(1024, batch=32, dtype=_BF16),
    _Drawing(256, dtype=_BF16),
    _Drawing(256, batch=8, dtype=_BF16, compile=True),
    _Training(64, batch=8, channel_base=8192),
)
_QUICK = (
    _Drawing(16, channel_base=128, channel_max=8),
    _Drawing(16, batch=2, dtype=_BF16, channel_base=128, channel_max=8),
    _Training(8, batch=4, channel_base=64, channel_max=8),
)


def network_entries(device: torch.device, *, quick: bool = False) -> dict[str, list[Entry]]:
    """Rows of every network for a device, by the network's name, the most important first."""
    nets = _QUICK if quick else _CUDA if device.type == "cuda" else _CPU
    rows = {net.name: _entries(net, device) for net in nets}
    if device.type == "cpu":
        alias_free = stylegan3.QUICK if quick else stylegan3.CPU
        rows |= {net.name: [stylegan3.entry(net)] for net in alias_free}
    return rows


def _entries(net: _Drawing | _Training, device: torch.device) -> list[Entry]:
    cache = "warm" if device.type == "cuda" else None
    if isinstance(net, _Drawing):
        return [
            Entry(
                name=net.name,
                group="network",
                op="synthesis",
                phase=FORWARD,
                dtype=net.dtype,
                make=partial(_drawing, net, device),
                cache=cache,
                compile=net.compile,
            )
        ]
    return [
        Entry(
            name=net.name,
            group="training",
            op="training",
            phase=phase,
            dtype=torch.float32,
            make=partial(_training, net, run, device),
            cache=cache,
            part_of=f"step of {net.name}",
            weight=share,
        )
        for phase, (run, share) in TRAINING.items()
    ]


def _drawing(net: _Drawing, device: torch.device) -> Case:
    clamp = _CLAMP_16_BIT if net.dtype == _BF16 else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        generator = Generator(
            img_resolution=net.resolution,
            channel_base=net.channel_base,
            channel_max=net.channel_max,
            num_mapping_layers=1,
            conv_clamp=clamp,
        )
        _disturb(generator)
        ws = torch.randn(net.batch, generator.num_ws, generator.synthesis.w_dim)
    synthesis = generator.synthesis.eval().requires_grad_(False).to(device)
    parameters = synthesis.state_dict()
    fast = _channels_last(parameters)

    def draw(style: functional.Style, p: functional.Parameters) -> Callable[[Inputs], Outputs]:
        def run(inputs: Inputs) -> Outputs:
            with torch.no_grad():
                return (functional.synthesis(style, p, inputs["ws"], dtype=net.dtype, clamp=clamp),)

        return run

    # Images do not depend on one another: first and last tell whether their places are right.
    part = (0,) if net.batch == 1 else (0, net.batch - 1)

    def exact(inputs: Inputs) -> Outputs:
        precise = _double(parameters)
        with torch.no_grad():  # one by one: float64 convolutions on a CPU unfold their whole input
            images = [
                functional.synthesis(
                    functional.REFERENCE,
                    precise,
                    inputs["ws"][index : index + 1],
                    dtype=torch.float64,
                    clamp=clamp,
                )
                for index in part
            ]
        return (torch.cat(images),)

    return Case(
        inputs={"ws": ws.to(device)},
        columns={
            COMPOSED: draw(functional.COMPOSED, parameters),
            EAGER: draw(functional.REFERENCE, fast),
            OURS: _ours(synthesis, net.dtype),
        },
        exact=exact,
        work=synthesis_work(
            net.resolution, net.batch, net.dtype, net.channel_base, net.channel_max
        ),
        shape={"N": net.batch, "R": net.resolution, "channel_base": net.channel_base},
        part=part,
    )


def _ours(synthesis: SynthesisNetwork, dtype: torch.dtype) -> Callable[[Inputs], Outputs]:
    plan = SynthesisPlan(synthesis, dtype=dtype)
    return lambda inputs: (plan(inputs["ws"], noise_mode="const"),)


def _training(net: _Training, phase: Phase, device: torch.device) -> Case:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        g = Generator(
            img_resolution=net.resolution,
            channel_base=net.channel_base,
            channel_max=net.channel_max,
        )
        d = Discriminator(
            img_resolution=net.resolution,
            channel_base=net.channel_base,
            channel_max=net.channel_max,
        )
        _disturb(g)
        _disturb(d)
        z = torch.randn(net.batch, 512)
        shape = (net.batch, 3, net.resolution, net.resolution)
        real, noise = torch.randn(shape), torch.randn(shape)
    g, d = g.train().to(device), d.train().to(device)
    states = _named(g), _named(d)
    ours_g, ours_d = copy.deepcopy(g), copy.deepcopy(d)
    _move(ours_g)
    _move(ours_d)
    fast = _channels_last(states[0]), _channels_last(states[1])
    nets = {
        COMPOSED: _functional_networks(functional.COMPOSED, *states, g, d),
        EAGER: _functional_networks(functional.REFERENCE, *fast, g, d),
        OURS: Networks(
            mapping=lambda z: ours_g.mapping(z, None),
            synthesis=lambda ws: ours_g.synthesis(ws, noise_mode="const"),
            discriminator=ours_d,
            g_parameters=list(ours_g.parameters()),
            d_parameters=list(ours_d.parameters()),
        ),
    }

    def exact(inputs: Inputs) -> Outputs:
        both = _double(states[0]), _double(states[1])
        return phase(_functional_networks(functional.REFERENCE, *both, g, d), inputs)

    def column(name: str) -> Callable[[Inputs], Outputs]:
        return lambda inputs: phase(nets[name], inputs)

    return Case(
        inputs={"z": z.to(device), "real": real.to(device), "noise": noise.to(device)},
        columns={name: column(name) for name in nets},
        exact=exact,
        work=[],
        shape={"N": net.batch, "R": net.resolution, "channel_base": net.channel_base},
    )


def _functional_networks(
    style: functional.Style,
    g_state: functional.Parameters,
    d_state: functional.Parameters,
    g: Generator,
    d: Discriminator,
) -> Networks:
    """Networks over tensors that need no module; gradients in the order of the modules' own."""
    dtype = g_state["synthesis.b4.const"].dtype
    mapping = _below(g_state, "mapping.")
    synthesis = _below(g_state, "synthesis.")
    return Networks(
        mapping=lambda z: functional.mapping(mapping, z, g.num_ws),
        synthesis=lambda ws: functional.synthesis(style, synthesis, ws, dtype=dtype),
        discriminator=lambda img: functional.discriminator(style, d_state, img),
        g_parameters=[g_state[name] for name, _ in g.named_parameters()],
        d_parameters=[d_state[name] for name, _ in d.named_parameters()],
    )


def _named(module: nn.Module) -> dict[str, Tensor]:
    """A state dict whose parameters still require gradients."""
    return dict([*module.named_parameters(), *module.named_buffers()])


def _below(state: functional.Parameters, prefix: str) -> dict[str, Tensor]:
    return {
        name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)
    }


def _double(state: functional.Parameters) -> dict[str, Tensor]:
    return {
        name: tensor.detach().double().requires_grad_(tensor.requires_grad)
        for name, tensor in state.items()
    }


def _channels_last(state: functional.Parameters) -> dict[str, Tensor]:
    return {
        name: _laid_out(tensor).requires_grad_(tensor.requires_grad)
        for name, tensor in state.items()
    }


def _laid_out(tensor: Tensor) -> Tensor:
    layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
    return tensor.detach().contiguous(memory_format=layout)


def _move(module: nn.Module) -> None:
    """Lay the weights of convolutions out as training does."""
    for parameter in module.parameters():
        parameter.data = _laid_out(parameter)


def _disturb(module: nn.Module) -> None:
    """Give what starts at zero a value, so that leaving it out is an error that shows."""
    for name, parameter in module.named_parameters():
        with torch.no_grad():
            if name.endswith("noise_strength"):
                parameter.fill_(_NOISE_STRENGTH)
            elif name.endswith("bias"):
                parameter.add_(torch.randn(parameter.shape) * _BIAS)
