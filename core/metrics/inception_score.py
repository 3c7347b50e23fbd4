"""Inception score: how sure a classifier is of each image, and how varied it finds them.

exp of the mean KL divergence of p(class | image) from p(class). Source: Salimans et al. 2016,
"Improved techniques for training GANs", section 4; mean and deviation over consecutive splits.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .statistics import Reducer

SPLITS = 10


class Score(NamedTuple):
    """Mean over the splits, and their standard deviation; 1 is the worst, K classes the best."""

    mean: float
    deviation: float


class InceptionScore:
    """Gathers class probabilities of a known number of images, split by their numbers.

    Args:
        classes: K.
        total: images that will be added, over all ranks.
        splits: parts whose scores are averaged; at most one per image.

    Raises:
        ValueError: a number below 1.
    """

    def __init__(self, classes: int, total: int, splits: int = SPLITS) -> None:
        if min(classes, total, splits) < 1:
            raise ValueError(
                "InceptionScore: expected classes, total and splits >= 1, "
                f"got {classes}, {total} and {splits}"
            )
        self.total = total
        self.splits = min(splits, total)
        # By split: the sum of p, then the sum of p log p over classes, then the number of images.
        self._sums = torch.zeros(self.splits, classes + 2, dtype=torch.float64)

    def add(self, logits: Tensor, first: int) -> None:
        """Add the logits [N, K] of images `first` .. `first + N - 1`.

        Raises:
            ValueError: another number of classes, images out of range, or logits not finite.
        """
        classes = self._sums.shape[1] - 2
        if logits.ndim != 2 or logits.shape[1] != classes or not bool(logits.isfinite().all()):
            raise ValueError(
                f"InceptionScore: expected finite logits [N, {classes}], got {list(logits.shape)}"
            )
        if first < 0 or first + len(logits) > self.total:
            raise ValueError(
                f"InceptionScore: expected images 0..{self.total - 1}, "
                f"got {first}..{first + len(logits) - 1}"
            )
        p = logits.detach().to("cpu", torch.float64).softmax(1)
        entropy = torch.special.xlogy(p, p).sum(1, keepdim=True)
        rows = torch.cat([p, entropy, torch.ones_like(entropy)], 1)
        split = torch.arange(first, first + len(logits)) * self.splits // self.total
        self._sums.index_add_(0, split, rows)

    def all_reduce(self, reducer: Reducer, device: torch.device | str = "cpu") -> None:
        """Replace the sums by those of all ranks; every rank must call this.

        Args:
            reducer: sums a tensor over ranks in place.
            device: where the reducer wants its tensor, "cuda" for nccl.
        """
        sums = self._sums.to(device, copy=True)
        reducer(sums)
        self._sums = sums.cpu()

    def result(self) -> Score:
        """The score.

        Raises:
            ValueError: images are missing.
        """
        count = self._sums[:, -1:]
        if int(count.sum()) != self.total:
            raise ValueError(
                f"InceptionScore: expected {self.total} images, got {int(count.sum())}"
            )
        marginal = self._sums[:, :-2] / count
        kl = self._sums[:, -2] / count[:, 0] - torch.special.xlogy(marginal, marginal).sum(1)
        scores = kl.exp()
        return Score(float(scores.mean()), float(scores.std(correction=0)))


def inception_score(logits: Tensor, splits: int = SPLITS) -> Score:
    """The score of all logits [N, K] at once; they may be log-probabilities.

    Raises:
        ValueError: no such logits.
    """
    if logits.ndim != 2 or logits.shape[0] < 1:
        raise ValueError(f"inception_score: expected logits [N, K], got {list(logits.shape)}")
    sums = InceptionScore(logits.shape[1], len(logits), splits)
    sums.add(logits, 0)
    return sums.result()
