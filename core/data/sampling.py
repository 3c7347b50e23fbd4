"""Which images a training step sees: a pure function of (seed, step).

Image number `step * batch + j` of a run lies in epoch `number // n`; each epoch walks its own
permutation of the data, so that every image is seen exactly once in it. A resumed run, another
number of workers or of ranks, or a look at any single step gives the same images.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .counter import hash64, permute

_STREAM_ORDER = 1
_STREAM_MIRROR = 2
_STREAM_SECOND = 3


def _numbers(step: int, batch: int) -> np.ndarray:
    """Running numbers of the images of a step, uint64 [batch]."""
    if step < 0 or batch < 1:
        raise ValueError(f"sampling: step >= 0 and batch >= 1 expected, got {step} and {batch}")
    return np.arange(step * batch, (step + 1) * batch, dtype=np.uint64)


def batch_indices(seed: int, step: int, batch: int, n: int) -> Tensor:
    """Indices of the images of one step.

    Args:
        seed: the run's seed.
        step: number of the step, from 0.
        batch: images of a step, over all ranks; a rank takes its own slice of the result.
        n: images in the data set.

    Returns:
        int64 tensor [batch] of values in range(n). Consecutive blocks of n draws (epochs) are
        permutations of range(n); a batch may span two epochs.

    Raises:
        ValueError: n or batch below 1, or a negative step.
    """
    if n < 1:
        raise ValueError(f"batch_indices: n >= 1 expected, got {n}")
    numbers = _numbers(step, batch)
    size = np.uint64(n)
    return permute(numbers % size, n, seed, _STREAM_ORDER, numbers // size)


def mirror_flags(seed: int, step: int, batch: int) -> Tensor:
    """Which images of a step are mirrored: bool tensor [batch], fair and independent coins."""
    bits = hash64(seed, _STREAM_MIRROR, _numbers(step, batch)) >> np.uint64(63)
    return torch.from_numpy(bits.astype(bool))


def domain_indices(seed: int, step: int, batch: int, n_a: int, n_b: int) -> tuple[Tensor, Tensor]:
    """Indices of the images of one step from two domains without pairs, drawn independently.

    Args:
        seed: the run's seed.
        step: number of the step, from 0.
        batch: images of a step from each domain, over all ranks.
        n_a: images of the first domain; its order is that of `batch_indices`.
        n_b: images of the second.

    Returns:
        Two int64 tensors [batch]. Each domain walks epochs of its own length.

    Raises:
        ValueError: an empty domain, or an impossible step or batch.
    """
    if n_b < 1:
        raise ValueError(f"domain_indices: n_b >= 1 expected, got {n_b}")
    numbers = _numbers(step, batch)
    size = np.uint64(n_b)
    second = permute(numbers % size, n_b, seed, _STREAM_SECOND, numbers // size)
    return batch_indices(seed, step, batch, n_a), second
