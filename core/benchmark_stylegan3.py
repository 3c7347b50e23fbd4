"""Rows of the benchmark that draw with whole StyleGAN3 networks."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..kernels import use_backend
from ..kernels.bench import COMPOSED, EAGER, OURS, Case, Entry
from ..kernels.bench import stylegan3 as functional
from ..kernels.bench.phases import FORWARD, Inputs, Outputs
from ..kernels.synthesis.stylegan3 import OP, FilteredSynthesis
from ..kernels.synthesis.stylegan3_eager import EagerFilteredExecutor
from .models.stylegan3 import Generator, geometry_of
from .models.stylegan3_plan import SynthesisPlan, describe

_SEED = 0
_BIAS = 0.1


@dataclass(frozen=True)
class AliasFree:
    """A network row: images drawn from W latents by StyleGAN3-T, or -R if radial.

    The "eager" column, our reference in plain PyTorch, takes as long as "composed" does, which is
    most of a minute a call with all its rounds: large networks leave it out.
    """

    resolution: int
    radial: bool
    batch: int = 1
    channel_base: int = 32768  # R doubles both
    channel_max: int = 512
    eager: bool = False

    @property
    def name(self) -> str:
        return f"stylegan3-{'r' if self.radial else 't'}-{self.resolution}"


CPU = (AliasFree(256, radial=False), AliasFree(256, radial=True))
QUICK = tuple(
    AliasFree(32, radial, batch=2, channel_base=64, channel_max=4, eager=True)
    for radial in (False, True)
)


def entry(net: AliasFree) -> Entry:
    """The row of a network, on a CPU."""
    return Entry(
        name=net.name,
        group="network",
        op=OP,
        phase=FORWARD,
        dtype=torch.float32,
        make=partial(_drawing, net),
    )


def _drawing(net: AliasFree) -> Case:
    generator = _generator(net)
    synthesis = generator.synthesis
    description = describe(synthesis)
    plan = SynthesisPlan(synthesis)
    rng = torch.Generator().manual_seed(_SEED)
    ws = torch.randn(net.batch, generator.num_ws, synthesis.w_dim, generator=rng)
    columns: dict[str, Callable[[Inputs], Outputs]] = {
        COMPOSED: lambda inputs: (_composed(description, inputs["ws"]),),
        OURS: lambda inputs: (plan(inputs["ws"]),),
    }
    if net.eager:
        columns[EAGER] = lambda inputs: (_eager(description, inputs["ws"]),)
    work = functional.synthesis_work(geometry_of(generator.config), net.batch, torch.float32)
    return Case(
        inputs={"ws": ws},
        columns=columns,
        exact=lambda inputs: (_exact(generator, inputs["ws"]),),
        work=work,
        shape={"N": net.batch, "R": net.resolution, "channel_base": generator.config.channel_base},
        missing={} if net.eager else {EAGER: "left out: takes as long as composed"},
    )


def _generator(net: AliasFree) -> Generator:
    widen = 2 if net.radial else 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        generator = Generator(
            img_resolution=net.resolution,
            channel_base=net.channel_base * widen,
            channel_max=net.channel_max * widen,
            conv_kernel=1 if net.radial else 3,
            use_radial_filters=net.radial,
            num_mapping_layers=1,
        )
        generator.eval().requires_grad_(False)
        # What starts at zero gets a value, so that leaving it out is an error that shows.
        for name, parameter in generator.named_parameters():
            if name.endswith("bias"):
                parameter.add_(torch.randn(parameter.shape) * _BIAS)
    return generator


@torch.no_grad()
def _composed(description: FilteredSynthesis, ws: Tensor) -> Tensor:
    return functional.synthesis(description, ws)


def _eager(description: FilteredSynthesis, ws: Tensor) -> Tensor:
    with use_backend("eager", ops=["filtered_lrelu"]):
        return EagerFilteredExecutor(description, ws.dtype)(ws)


@torch.no_grad()
def _exact(generator: Generator, ws: Tensor) -> Tensor:
    precise = copy.deepcopy(generator.synthesis).double()
    return functional.synthesis(describe(precise), ws, functional.filters_by_matrices)
