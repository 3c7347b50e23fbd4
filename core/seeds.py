"""Seeds as the published tools take them; torch is not needed to know their limits."""

from __future__ import annotations

MAX_SEED = 2**32 - 1
"""Largest seed of numpy's RandomState, which the published tools use."""


def consecutive_seeds(seed: int, count: int) -> list[int]:
    """One seed for each image of a batch: `seed`, `seed` + 1 and so on; 0 follows the largest."""
    return [(seed + i) % (MAX_SEED + 1) for i in range(count)]
