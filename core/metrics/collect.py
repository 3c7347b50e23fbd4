"""Gathers the features of one set of images, batch by batch, and compares two such sets."""

from __future__ import annotations

import torch
from torch import Tensor

from .extractors import Features
from .frechet import frechet_distance, frechet_from_features
from .inception_score import InceptionScore, Score
from .shares import Group, add_up
from .statistics import Statistics

FEW = 1024
"""Sets of at most this many images are compared by their features, without covariances."""

MAX_KEPT_BYTES = 8 * 2**30


class Collected:
    """Features of a set of a known number of images.

    Args:
        dims: width D of the features.
        total: images that will be added.
        keep: whether all features are needed, as by neighbours and kernels; memory is then
            total * D * 4 bytes, else [D, D] float64 or `FEW` rows.
        classes: width of the logits for an inception score, 0 for none.

    Attributes:
        count: images added so far.
    """

    def __init__(self, dims: int, total: int, *, keep: bool = False, classes: int = 0) -> None:
        self.dims = dims
        self.total = total
        self.count = 0
        few = total <= min(FEW, dims)
        self._rows = torch.zeros(total, dims) if keep or few else None
        self._statistics = None if few else Statistics(dims)
        self._score = InceptionScore(classes, total) if classes else None

    def add(self, batch: Features, first: int) -> None:
        """Add the features of images `first` .. `first + n - 1`, each image once.

        Raises:
            ValueError: more than announced, of another width, or not finite.
        """
        n = len(batch.features)
        if max(self.count, first) + n > self.total or batch.features.shape[1] != self.dims:
            raise ValueError(
                f"Collected.add: expected at most {self.total} features of width {self.dims}, got "
                f"{max(self.count, first) + n} of width {batch.features.shape[1]}"
            )
        if self._rows is not None:
            self._rows[first : first + n] = batch.features
        if self._statistics is not None:
            self._statistics.add(batch.features)
        if self._score is not None:
            if batch.logits is None:
                raise ValueError("Collected.add: an inception score needs logits, got none")
            self._score.add(batch.logits, first)
        self.count += n

    def all_reduce(self, group: Group) -> None:
        """Add what the other processes gathered; every one of them must call this."""
        if group.world == 1:
            return
        count = torch.tensor([self.count])
        add_up(group, count)
        self.count = int(count)
        if self._rows is not None:
            add_up(group, self._rows)
        if self._statistics is not None:
            self._statistics.all_reduce(group.sum_, group.device)
        if self._score is not None:
            self._score.all_reduce(group.sum_, group.device)

    @property
    def features(self) -> Tensor:
        """All features [N, D] in the order of the images.

        Raises:
            ValueError: they were not kept, or some are missing.
        """
        if self._rows is None or self.count != self.total:
            raise ValueError(
                f"Collected.features: expected {self.total} kept features, got {self.count}"
            )
        return self._rows

    def statistics(self) -> Statistics:
        """Their number, mean and covariance."""
        if self._statistics is None:
            statistics = Statistics(self.dims)
            statistics.add(self.features)
            return statistics
        return self._statistics

    def frechet(self, other: Collected) -> float:
        """Frechet distance to another set."""
        if self._statistics is None and other._statistics is None:
            return frechet_from_features(self.features, other.features)
        return frechet_distance(self.statistics(), other.statistics())

    def score(self) -> Score:
        """Inception score.

        Raises:
            ValueError: no logits were gathered.
        """
        if self._score is None:
            raise ValueError("Collected.score: no logits were gathered")
        return self._score.result()
