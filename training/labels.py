"""The labels under which a conditional system draws its grids and the samples that are measured."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from .feed import Feed
from .streams import Stream, uniforms

MAX_COLUMNS = 10
"""Of a grid that is ordered by class."""
GRID_SHOWS = "A column for each class, a row for each z."


def drawn_labels(feed: Feed, seed: int, sample: np.ndarray) -> Tensor | None:
    """Labels of random images among those that are given out; None where the data have none.

    Returns:
        float32 [n, L], row i a function of the seed and sample[i].
    """
    labels = feed.dataset.labels
    if labels is None:
        return None
    share = uniforms(seed, Stream.DRAWN_LABEL, sample, 1)[:, 0].double()
    return labels[(share * feed.count).long()]


def column_labels(feed: Feed, most: int = MAX_COLUMNS) -> Tensor | None:
    """Labels of a grid's columns [K <= most, L], one-hot ones in the order of the classes."""
    labels = feed.dataset.labels
    return None if labels is None else frequent_labels(labels, most)


def frequent_labels(labels: Tensor, count: int) -> Tensor:
    """The most frequent labels of [N, L], at most `count`, one-hot ones in the classes' order."""
    values, numbers = labels.unique(dim=0, return_counts=True)
    kept = numbers.argsort(descending=True, stable=True)[:count].sort().values
    return values[kept].flip(0)
