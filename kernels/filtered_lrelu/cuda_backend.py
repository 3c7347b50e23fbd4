"""The CUDA kernel in csrc: a tile of one channel at a time, all of it in shared memory."""

from functools import partial
from typing import Any

from torch import Tensor

from .. import cuda_host
from ..build import unavailable
from ..refusal import refuse_tensor
from . import packing
from .reference import taps

MAX_TAPS = 32  # of an axis; with these, and the factors below, a tile always fits
MAX_FACTOR = 8


def refuse(x: Tensor, *rest: Any) -> str | None:
    """Why the kernel cannot take the forward call."""
    fu, fd, _, up, down, _, gain, *_ = rest
    reason = refuse_tensor(x, "cuda", cuda_host.DTYPES)
    if reason is not None:
        return reason
    if gain <= 0:
        return f"expected a gain > 0, got {gain}"
    if max(up, down) > MAX_FACTOR:
        return f"expected up and down of at most {MAX_FACTOR}, got {max(up, down)}"
    most = max(*taps(fu), *taps(fd))
    if most > MAX_TAPS:
        return f"expected at most {MAX_TAPS} taps an axis, got {most}"
    return unavailable("cuda")


def refuse_derivative(direction: Tensor, x: Tensor, *rest: Any) -> str | None:
    """Why the kernel cannot take a derivative along `direction`."""
    if direction.dtype != x.dtype:
        return f"expected a direction in x's {x.dtype}, got {direction.dtype}"
    return refuse(x, *rest)


def filtered_lrelu(x: Tensor, *rest: Any) -> Tensor:
    """See `reference.filtered_lrelu`."""
    return packing.forward(_launch_for(x), x, *rest)


def filtered_lrelu_vjp(dy: Tensor, x: Tensor, *rest: Any) -> Tensor:
    """See `reference.filtered_lrelu_vjp`."""
    return packing.vjp(_launch_for(x), dy, x, *rest)


def filtered_lrelu_jvp(tangent: Tensor, x: Tensor, *rest: Any) -> Tensor:
    """See `reference.filtered_lrelu_jvp`."""
    return packing.jvp(_launch_for(x), tangent, x, *rest)


def _launch_for(x: Tensor) -> packing.Launch:
    return partial(cuda_host.launch, "filtered_lrelu", x=x)
