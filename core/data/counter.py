"""Counter-based random numbers: every draw is a pure function of its keys.

No generator state is carried anywhere, so a sample draws the same numbers whatever the batch,
the worker, the rank or the step at which a run was resumed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

UintArray = npt.NDArray[np.uint64]
FloatArray = npt.NDArray[np.float64]
Key = int | Sequence[int] | npt.NDArray[np.integer] | Tensor

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_MASK = (1 << 64) - 1
_ROUNDS = 8


def _as_uint64(key: Key) -> UintArray:
    """One key as a uint64 array; negative integers wrap modulo 2**64."""
    if isinstance(key, int):
        return np.array([key & _MASK], dtype=np.uint64)
    if isinstance(key, Tensor):
        if key.is_floating_point() or key.is_complex():
            raise TypeError(f"counter: keys must be integers, got a tensor of {key.dtype}")
        key = key.detach().cpu().numpy()
    if isinstance(key, np.ndarray):
        if key.dtype.kind not in "iu":
            raise TypeError(f"counter: keys must be integers, got an array of {key.dtype}")
        return np.atleast_1d(key).astype(np.uint64)
    return np.array([int(value) & _MASK for value in key], dtype=np.uint64)


def _mix(x: UintArray) -> UintArray:
    """The finaliser of SplitMix64: a bijection of the 64-bit integers."""
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))


def hash64(*keys: Key) -> UintArray:
    """64 well-mixed bits for each combination of keys, broadcast against each other.

    Args:
        keys: integers, integer sequences or integer arrays; the order matters.

    Returns:
        uint64 array of the broadcast shape, [N] for sequences of length N; [1] for integers.

    Source: SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
    generators"), chained over the keys.
    """
    if not keys:
        raise ValueError("hash64: at least one key is needed")
    h = np.zeros(1, dtype=np.uint64)
    for key in keys:
        h = _mix((h ^ _as_uint64(key)) + _GOLDEN)
    return h


def uniform(*keys: Key) -> FloatArray:
    """Float64 uniform numbers in [0, 1) with 53 random bits, one for each combination of keys."""
    return (hash64(*keys) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def torch_seeds(*keys: Key) -> list[int]:
    """Non-negative 63-bit seeds for `torch.Generator.manual_seed`, one for each combination."""
    return [int(value) for value in hash64(*keys) >> np.uint64(1)]


def permute(position: Key, n: int, *keys: Key) -> Tensor:
    """Images of positions under a pseudo-random permutation of range(n) chosen by the keys.

    A Feistel network over the smallest even number of bits that holds n, walked along its cycle
    until the value falls below n: constant memory, and any position without its neighbours.

    Args:
        position: positions in range(n).
        n: size of the permuted set, at least 1.
        keys: what chooses the permutation (for example seed and epoch), broadcast to positions.

    Returns:
        int64 tensor [N].

    Raises:
        ValueError: a position outside range(n).

    Source: Black and Rogaway 2002, "Ciphers with arbitrary finite domains", cycle walking.
    """
    x = _as_uint64(position)
    if n < 1 or bool((x >= np.uint64(n)).any()):
        raise ValueError(f"permute: positions must lie in range({n})")
    half = max(1, ((n - 1).bit_length() + 1) // 2)
    key = np.broadcast_to(hash64(*keys, half), x.shape)
    shift, mask = np.uint64(half), np.uint64((1 << half) - 1)
    mixed = hash64(key, np.arange(_ROUNDS)[:, None])  # [_ROUNDS, N]
    outside = np.arange(len(x))
    while len(outside):
        left, right, k = x[outside] >> shift, x[outside] & mask, mixed[:, outside]
        for round_ in range(_ROUNDS):
            # hash64(key, round_, right), whose first two keys are hashed already.
            left, right = right, left ^ (_mix((k[round_] ^ right) + _GOLDEN) & mask)
        x[outside] = (left << shift) | right
        outside = outside[x[outside] >= np.uint64(n)]
    return torch.from_numpy(x.astype(np.int64))
