"""The compiled CPU pass."""

import ctypes
from typing import Any

import torch
from torch import Tensor

from ..build import cpu_library, unavailable
from ..refusal import refuse_tensor
from . import packing

MAX_FACTOR = 64  # of `up` and `down`; keeps every position in 32 bits


def refuse(x: Tensor, *rest: Any) -> str | None:
    """Why the compiled pass cannot take the forward call."""
    _, _, _, up, down, _, gain, *_ = rest
    reason = refuse_tensor(x, "cpu", (torch.float32,))
    if reason is not None:
        return reason
    if gain <= 0:
        return f"expected a gain > 0, got {gain}"
    if max(up, down) > MAX_FACTOR:
        return f"expected up and down of at most {MAX_FACTOR}, got {max(up, down)}"
    return unavailable("cpu")


def refuse_derivative(direction: Tensor, x: Tensor, *rest: Any) -> str | None:
    """Why the compiled pass cannot take a derivative along `direction`."""
    if direction.dtype != torch.float32:
        return f"expected a float32 direction, got {direction.dtype}"
    return refuse(x, *rest)


def filtered_lrelu(x: Tensor, *rest: Any) -> Tensor:
    """See `reference.filtered_lrelu`."""
    return packing.forward(_launch, x, *rest)


def filtered_lrelu_into(y: Tensor, x: Tensor, *rest: Any) -> None:
    """Write the result into y of its shape, float32 of any strides, such as a part of an image."""
    packing.forward_into(_launch, y, x, *rest)


def filtered_lrelu_vjp(dy: Tensor, x: Tensor, *rest: Any) -> Tensor:
    """See `reference.filtered_lrelu_vjp`."""
    return packing.vjp(_launch, dy, x, *rest)


def filtered_lrelu_jvp(tangent: Tensor, x: Tensor, *rest: Any) -> Tensor:
    """See `reference.filtered_lrelu_jvp`."""
    return packing.jvp(_launch, tangent, x, *rest)


def _launch(call: packing.FilteredLrelu) -> None:
    if cpu_library().ganvas_filtered_lrelu_cpu(ctypes.byref(call)):
        raise MemoryError("filtered_lrelu: no memory for the tiles of the compiled CPU pass")
