"""Counter-based random numbers: every draw is a hash of (seed, stream), never of a state."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

# As in core.data.counter, whose numpy hash stays on the CPU: this one runs on the faces' device.
# torch has no uint64 arithmetic, so the constants are written as int64, modulo 2**64.
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_2 = 0x94D049BB133111EB - (1 << 64)


def _shift(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def hash64(x: Tensor) -> Tensor:
    """SplitMix64 finaliser on int64 (Steele, Lea and Flood 2014); wraps modulo 2**64."""
    x = x + _GOLDEN
    x = (x ^ _shift(x, 30)) * _MIX_1
    x = (x ^ _shift(x, 27)) * _MIX_2
    return x ^ _shift(x, 31)


def _stream(name: str) -> int:
    return zlib.crc32(name.encode("ascii"))


def uniform(seeds: Tensor, name: str) -> Tensor:
    """Uniform numbers in [0, 1), one per seed, float32 [N].

    Args:
        seeds: int64 [N].
        name: the stream; draws of different streams are independent.
    """
    bits = hash64(hash64(seeds) ^ _stream(name))
    return (_shift(bits, 40).double() / (1 << 24)).float()


def normal(seeds: Tensor, name: str) -> Tensor:
    """Standard normal numbers, one per seed, float32 [N]."""
    u = (uniform(seeds, name).double() * (1 << 24) + 0.5) / (1 << 24)
    return torch.special.ndtri(u).float()


def lattice(phase: Tensor, name: str, size: int) -> Tensor:
    """A grid of uniform noise per face.

    Args:
        phase: float [N] in 0..1, the texture number of each face.
        name: the stream.
        size: grid points along each axis.

    Returns:
        float32 [N, 1, size, size] in [0, 1).
    """
    key = hash64((phase.double() * (1 << 24)).round().long()) ^ _stream(name)
    cells = torch.arange(size * size, device=phase.device)
    bits = hash64(hash64(key)[:, None] + hash64(cells)[None])
    return (_shift(bits, 40).float() / (1 << 24)).view(len(phase), 1, size, size)
