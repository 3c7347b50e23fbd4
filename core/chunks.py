"""Run a per-sample function over a batch a few samples at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Report = Callable[[int, int, Tensor], None]
"""Called after each chunk with (samples done, samples in all, that chunk's result)."""


def in_chunks(
    function: Callable[[int, int], Tensor], count: int, chunk: int, report: Report | None = None
) -> Tensor:
    """Concatenate `function(start, stop)` over the range 0..count cut into chunks.

    Memory then depends on `chunk` and not on the batch. `report` may raise to interrupt the work.

    Args:
        function: returns the results of samples start..stop-1, shape [stop-start, ...].
        count: number of samples, at least 1.
        chunk: samples per call, at least 1.
        report: called after each chunk.

    Returns:
        Tensor [count, ...].

    Raises:
        ValueError: `count` or `chunk` is below 1.
    """
    if count < 1 or chunk < 1:
        raise ValueError(f"in_chunks: count and chunk must be at least 1, got {count} and {chunk}")
    results = []
    for start in range(0, count, chunk):
        stop = min(start + chunk, count)
        results.append(function(start, stop))
        if report is not None:
            report(stop, count, results[-1])
    return torch.cat(results)
