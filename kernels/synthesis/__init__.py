"""StyleGAN2's whole synthesis as one op, for drawing images without gradients.

`core` describes a network in the plain terms of `description`; an executor prepares its weights
once and draws from then on. Executors are backends of the op "synthesis":

    run = select("synthesis", synthesis, dtype)  # a class or function
    executor = run(synthesis, dtype)             # prepares the weights; slow
    image = executor(ws, noise)                  # draws; `Executor` says what
"""

import torch

from .. import build
from ..modulated_conv2d.triton_registration import MAX_TAPS
from ..registry import register, select
from ..taps import separate
from ..triton_host import DOT_DTYPES, refuse_triton
from .cpu import CpuExecutor
from .description import Affine, Block, ConvLayer, Executor, RGBLayer, Synthesis
from .eager import EagerExecutor
from .graphs import graphed, without_graph

__all__ = [
    "Affine",
    "Block",
    "ConvLayer",
    "Executor",
    "RGBLayer",
    "Synthesis",
    "prepare",
    "separate",
    "without_graph",
]


def prepare(synthesis: Synthesis, dtype: torch.dtype = torch.float32) -> Executor:
    """An executor of the fastest backend that takes the network, its weights prepared.

    Args:
        synthesis: what to draw with; its tensors are read now, and not again.
        dtype: of the convolutions' arithmetic, at the least: on a CPU, the compiled executor
            computes in float32 for bfloat16 too, since no plain bfloat16 convolution there has as
            few operations as minimal filtering, which bfloat16 is too coarse for.

    Raises:
        BackendError: no backend takes it, or the forced one does not.
    """
    return select("synthesis", synthesis, dtype)(synthesis, dtype)


def _refuse_cpu(synthesis: Synthesis, dtype: torch.dtype) -> str | None:
    if synthesis.const.device.type != "cpu":
        return f"expected CPU tensors, got {synthesis.const.device.type}"
    weights = {layer.weight.dtype for layer in synthesis.layers}
    if weights != {torch.float32} or dtype not in (torch.float32, torch.bfloat16):
        names = ", ".join(map(str, weights))
        return f"expected float32 weights and float32 or bfloat16, got {names} and {dtype}"
    if any(layer.taps is None for layer in synthesis.layers if layer.up == 2):
        return "expected a separable 4x4 filter, got another"
    if synthesis.taps is None:
        return "expected a separable 4x4 filter, got another"
    if any(layer.gain <= 0 for layer in synthesis.layers):
        return "expected gains above 0, got others"
    return build.unavailable("cpu")


def _refuse_gpu(synthesis: Synthesis, dtype: torch.dtype) -> str | None:
    weights = {layer.weight.dtype for layer in synthesis.layers}
    if weights != {torch.float32} or dtype not in DOT_DTYPES:
        names = ", ".join(map(str, weights))
        return f"expected float32 weights and at most 32 bits, got {dtype} for weights in {names}"
    filters = [synthesis.f, *(layer.f for layer in synthesis.layers if layer.up == 2)]
    if any(max(f.shape) > MAX_TAPS for f in filters):
        return f"expected filters of at most {MAX_TAPS} taps, got more"
    if any(layer.gain <= 0 for layer in synthesis.layers):
        return "expected gains above 0, got others"
    return refuse_triton("synthesis", synthesis.const)


def _prepare_gpu(synthesis: Synthesis, dtype: torch.dtype) -> Executor:
    from .gpu import GpuExecutor  # imports triton, which takes time and may be absent

    return graphed(GpuExecutor(synthesis, dtype), synthesis.const.device)


register("synthesis", "triton", _prepare_gpu, refuse=_refuse_gpu)
register("synthesis", "cpu", CpuExecutor, refuse=_refuse_cpu)
register("synthesis", "eager", EagerExecutor)
