"""StyleGAN3's whole synthesis as one op, for drawing images without gradients.

As of StyleGAN2 in the package itself, executors are backends of an op, here
"synthesis_stylegan3", which prepare the weights once.
"""

import torch

from .. import build
from ..registry import register, select
from .description import Affine, RGBLayer
from .stylegan3_cpu import KERNELS, CpuFilteredExecutor
from .stylegan3_description import (
    FilteredExecutor,
    FilteredLayer,
    FilteredSynthesis,
    FourierInput,
)
from .stylegan3_eager import EagerFilteredExecutor

__all__ = [
    "OP",
    "Affine",
    "FilteredExecutor",
    "FilteredLayer",
    "FilteredSynthesis",
    "FourierInput",
    "RGBLayer",
    "prepare",
]

OP = "synthesis_stylegan3"


def prepare(synthesis: FilteredSynthesis, dtype: torch.dtype = torch.float32) -> FilteredExecutor:
    """An executor of the fastest backend that takes the network, its weights prepared.

    Args:
        synthesis: what to draw with; its tensors are read now, and are not to change afterwards.
        dtype: of the features, at the least: the compiled executor for a CPU computes in float32.

    Raises:
        BackendError: no backend takes it, or the forced one does not.
    """
    return select(OP, synthesis, dtype)(synthesis, dtype)


def _refuse_cpu(synthesis: FilteredSynthesis, dtype: torch.dtype) -> str | None:
    weights = [layer.weight for layer in synthesis.layers]
    if any(weight.device.type != "cpu" for weight in weights):
        return f"expected CPU tensors, got {weights[0].device.type}"
    dtypes = {weight.dtype for weight in weights}
    if dtypes != {torch.float32} or dtype not in (torch.float32, torch.bfloat16):
        names = ", ".join(map(str, dtypes))
        return f"expected float32 weights and float32 or bfloat16, got {names} and {dtype}"
    kernels = {weight.shape[2] for weight in weights}
    if not kernels <= set(KERNELS):
        return f"expected 1x1 or 3x3 convolutions, got kernels of {sorted(kernels)}"
    if any(layer.gain <= 0 for layer in synthesis.layers):
        return "expected gains above 0, got others"
    return build.unavailable("cpu")


register(OP, "cpu", CpuFilteredExecutor, refuse=_refuse_cpu)
register(OP, "eager", EagerFilteredExecutor)
