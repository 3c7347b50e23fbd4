"""Random numbers of training: pure functions of (seed, stream, sample number).

A sample's number is its place in the whole run, `step * batch + place in the global batch`. No
generator state is kept, so that a resumed run, another number of ranks or another split of the
batch draws the same numbers for the same sample.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from ..core.data.counter import torch_seeds, uniform

_TRAINING = 0x7472  # keeps these streams apart from those of other parts of ganvas


class Stream(IntEnum):
    """What a draw is for; numbers are part of a run's identity, never changed nor reused."""

    Z = 1
    Z_MIX = 2
    MIX_COIN = 3
    NOISE = 5
    PATH_Z = 6
    PATH_NOISE = 7
    PATH_IMAGE = 8
    AUGMENT_REAL = 9
    AUGMENT_FAKE = 10
    DEGRADE = 11
    CLEAN = 12
    GRID = 13
    HELDOUT = 14
    EVALUATE = 15
    SYNTHETIC = 16
    PATH_Z_MIX = 17
    GAN_Z_D = 20
    GAN_Z_G = 21
    BETWEEN = 22
    CONSISTENCY = 23
    DRAWN_LABEL = 24
    WRONG_LABEL = 25
    POSTERIOR = 30
    PRIOR = 31
    DROPOUT = 32
    POOL_A = 33
    POOL_B = 34
    GROW_Z_D = 40
    GROW_Z_G = 41
    GROW_MIX_D = 42
    GROW_MIX_G = 43
    GROW_NOISE_D = 44
    GROW_NOISE_G = 45
    GROW_BETWEEN = 46


def numbers(step: int, batch: int) -> np.ndarray:
    """Sample numbers of a step: int64 [batch]."""
    return np.arange(step * batch, (step + 1) * batch, dtype=np.int64)


def parts(batch: int, group: int, count: int) -> list[np.ndarray]:
    """Cut the places of a batch into `count` parts that keep the minibatch-stddev groups whole.

    The discriminator groups a batch [N] as [group, N / group], one column a group; so a part is a
    block of columns. Ranks and gradient accumulation then see the very groups of the whole batch.

    Returns:
        `count` arrays int64 [batch / count].

    Raises:
        ValueError: batch is no multiple of group x count.
    """
    if batch % (group * count):
        raise ValueError(f"parts: batch {batch} is no multiple of group {group} x {count} parts")
    columns = np.arange(batch).reshape(group, -1)
    return [part.reshape(-1) for part in np.split(columns, count, axis=1)]


def seeds(seed: int, stream: Stream, sample: np.ndarray) -> list[int]:
    """One 63-bit seed a sample."""
    return torch_seeds(seed, _TRAINING, int(stream), sample)


def normal(seed: int, stream: Stream, sample: np.ndarray, shape: tuple[int, ...]) -> Tensor:
    """Standard normal float32 [N, *shape] on the CPU, row i a function of sample[i] alone."""
    out = torch.empty(len(sample), *shape)
    generator = torch.Generator()
    for row, value in zip(out, seeds(seed, stream, sample), strict=True):
        generator.manual_seed(value)
        row.normal_(generator=generator)
    return out


def uniforms(seed: int, stream: Stream, sample: np.ndarray, count: int) -> Tensor:
    """Uniform float32 [N, count] in [0, 1)."""
    columns = [uniform(seed, _TRAINING, int(stream), sample, i) for i in range(count)]
    return torch.from_numpy(np.stack(columns, axis=1).astype(np.float32)).clamp_(max=1 - 2**-24)
