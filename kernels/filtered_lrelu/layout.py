"""Shape and memory format of results, the same in every backend."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..layout import memory_format
from .reference import sizes


def result_like(
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    up: int,
    down: int,
    padding: Sequence[int],
    device: str | None = None,
) -> Tensor:
    """New memory for the result of x, without values, on x's device if none is given."""
    left, right, top, bottom = padding
    _, (height, width) = sizes(x, fu, fd, up, down, (left, right, top, bottom))
    return empty_like(x, (x.shape[0], x.shape[1], height, width), device)


def empty_like(x: Tensor, shape: Sequence[int], device: str | None = None) -> Tensor:
    """New memory of `shape` in x's dtype and memory format, on x's device if none is given."""
    on = x.device if device is None else device
    return torch.empty(shape, dtype=x.dtype, device=on, memory_format=memory_format(x))
