"""Memory formats of the ops' results."""

import torch
from torch import Tensor


def memory_format(x: Tensor) -> torch.memory_format:
    """channels_last for images that are, contiguous for all else."""
    if x.is_contiguous() or x.ndim != 4:
        return torch.contiguous_format
    last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def channels_last(x: Tensor) -> Tensor:
    """x [N, C, H, W] in channels_last; x itself where it is."""
    return x.contiguous(memory_format=torch.channels_last)


def contiguous(x: Tensor | None) -> Tensor | None:
    """x without gaps, or None as it is; for optional arguments of kernels."""
    return None if x is None else x.contiguous()


def new_like(x: Tensor) -> Tensor:
    """Memory for a tensor of x's shape, dtype and device, in `memory_format(x)`."""
    return torch.empty(x.shape, dtype=x.dtype, device=x.device, memory_format=memory_format(x))


def settle(y: Tensor, x: Tensor, layout: torch.memory_format) -> Tensor:
    """y in `layout`, as a tensor of its own, which a view or x itself is not."""
    y = y.contiguous(memory_format=layout)
    return y.clone() if y.data_ptr() == x.data_ptr() and y.numel() else y
