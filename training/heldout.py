"""Keeping some images of a data set apart, to measure on what training never sees."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.errors import InputError
from .images import Images, TwoSets


class Chosen:
    """The images of a data set that have some numbers.

    Args:
        dataset: all images.
        numbers: int64 [n], of those that this one has as 0, 1, ...
    """

    def __init__(self, dataset: Images, numbers: Tensor) -> None:
        self.content_hash = dataset.content_hash
        self.resolution = dataset.resolution
        self.labels = None if dataset.labels is None else dataset.labels[numbers]
        self._dataset = dataset
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def images(self, indices: Tensor) -> Tensor:
        """uint8 [B, C, H, W] under these numbers."""
        return self._dataset.images(self._numbers[indices])


def split(dataset: Images | TwoSets, count: int) -> tuple[Images | TwoSets, Images | TwoSets]:
    """A data set without `count` of its images, and these; of two sets, as many of each.

    They lie at equal distances, so that data which are sorted by class or person have all of them
    on both sides. Of pairs, image and target stay together.

    Raises:
        InputError: no image would be left to give out.
    """
    if isinstance(dataset, TwoSets):
        first, second = (_split(images, count) for images in (dataset.first, dataset.second))
        given, apart = (
            TwoSets(*both, dataset.paired, dataset.content_hash)
            for both in zip(first, second, strict=True)
        )
        return given, apart
    return _split(dataset, count)


def _split(dataset: Images, count: int) -> tuple[Images, Images]:
    if len(dataset) <= count:
        raise InputError(
            f"train: the data set has {len(dataset)} images, more than {count} are needed: as many "
            "are held out to measure on (heldout=N sets another number)"
        )
    apart = (2 * torch.arange(count) + 1) * len(dataset) // max(1, 2 * count)
    if count == 0:
        return dataset, Chosen(dataset, apart)
    kept = torch.ones(len(dataset), dtype=torch.bool)
    kept[apart] = False
    return Chosen(dataset, kept.nonzero()[:, 0]), Chosen(dataset, apart)
