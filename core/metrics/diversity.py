"""How much the images of a set differ from each other: the collapse that SWD does not name."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from .distances import squared_distances
from .inputs import as_float

SMALL = 16
_CHUNK = 512


class Diversity(NamedTuple):
    """Differences inside a set of images; distances are RMS over pixels of values in 0..1.

    Attributes:
        rms_small: between two random images reduced to 16 px (pose, colours, hair).
        rms_full: between two random images at full size.
        duplicates: fraction of images with a near copy in the set, see `pairwise_diversity`.
        ratio_small: rms_small over that of the reference, None without one.
        ratio_full: likewise for rms_full.
    """

    rms_small: float
    rms_full: float
    duplicates: float
    ratio_small: float | None = None
    ratio_full: float | None = None


def thumbnails(images: Tensor) -> Tensor:
    """Images [N, C, H, W] reduced to 16 px by means over areas, flattened: float32 [N, D]."""
    size = [min(SMALL, side) for side in images.shape[2:]]
    parts = [
        interpolate(as_float("diversity", part), size=size, mode="area").flatten(1)
        for part in images.split(_CHUNK)
    ]
    return torch.cat(parts)


def _rms_between_pairs(images: Tensor) -> float:
    """Root mean square difference of all pairs of [N, ...], uint8 in 0..255 or float in 0..1.

    The mean of (x_i - x_j)^2 over the pairs is twice the unbiased variance, so that all pairs are
    counted exactly without visiting any.
    """
    unit = 255 if images.dtype == torch.uint8 else 1
    flat = images.flatten(1)
    total = torch.zeros((), dtype=torch.float64)
    for columns in flat.split(4096, dim=1):
        total += columns.to(torch.float64).div_(unit).var(dim=0, correction=1).sum().cpu()
    return float((2 * total / flat.shape[1]).sqrt())


def nearest_neighbours(images: Tensor, reference: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The nearest image for each image, by RMS difference at 16 px.

    Args:
        images: uint8 in 0..255 or float in 0..1, [N, C, H, W].
        reference: the images searched, [M, C, H', W']; None searches the set itself, leaving out
            each image's own place.

    Returns:
        Indices int64 [N] and distances float32 [N].

    Raises:
        ValueError: other shapes, dtypes or ranges, or fewer than two images to compare.
    """
    ours = thumbnails(images)
    theirs = ours if reference is None else thumbnails(reference)
    if ours.shape[1] != theirs.shape[1] or (reference is None and len(ours) < 2):
        raise ValueError(
            f"nearest_neighbours: comparable sets expected, got {tuple(images.shape)} and "
            f"{'itself' if reference is None else tuple(reference.shape)}"
        )
    indices, distances = [], []
    for first in range(0, len(ours), _CHUNK):
        part = ours[first : first + _CHUNK]
        d = squared_distances(part, theirs)
        if reference is None:
            rows = torch.arange(len(part), device=d.device)
            d[rows, rows + first] = torch.inf
        nearest = d.min(dim=1)
        indices.append(nearest.indices)
        distances.append((nearest.values / theirs.shape[1]).sqrt().float())
    return torch.cat(indices), torch.cat(distances)


def pairwise_diversity(
    images: Tensor, reference: Tensor | None = None, *, near: float = 0.2
) -> Diversity:
    """Mean difference between the images of a set, and its near duplicates.

    Args:
        images: uint8 in 0..255 or float in 0..1, [N, C, H, W], N >= 2.
        reference: real images to compare with; a ratio near 1 means equal diversity.
        near: two images are near copies if they differ at 16 px by less than this fraction of the
            mean difference of the reference (without one, of the set itself).

    Returns:
        `Diversity`; all pairs are counted, nothing is random.

    Raises:
        ValueError: fewer than two images, other shapes, dtypes or ranges.
    """
    if images.shape[0] < 2 or (reference is not None and reference.shape[0] < 2):
        raise ValueError("pairwise_diversity: at least two images are needed")
    small = _rms_between_pairs(thumbnails(images))
    full = _rms_between_pairs(images)
    _, distances = nearest_neighbours(images)
    if reference is None:
        return Diversity(small, full, float((distances < near * small).double().mean()))
    reference_small = _rms_between_pairs(thumbnails(reference))
    reference_full = _rms_between_pairs(reference)
    return Diversity(
        rms_small=small,
        rms_full=full,
        duplicates=float((distances < near * reference_small).double().mean()),
        ratio_small=small / reference_small if reference_small > 0 else None,
        ratio_full=full / reference_full if reference_full > 0 else None,
    )
