"""Sliced Wasserstein distance between the patches of two image sets, scale by scale.

Source: Karras et al. 2018, "Progressive growing of GANs", section 5: 7x7 patches from each level
of a Laplacian pyramid down to 16 px, each channel normalised over the set, compared along random
directions. Numbers are multiplied by 1000 as in that paper. They fall as the sets become alike,
depend on the number of images and patches, and are comparable only at equal settings.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from ..data.counter import hash64, torch_seeds
from .inputs import as_float, same_shape

PATCH = 7
COARSEST = 16
SCALE = 1e3
PATCHES = 64
_CHUNK = 256
_STREAM_PATCHES = 201
_STREAM_DIRECTIONS = 202


def _smooth(images: Tensor) -> Tensor:
    """The binomial 5x5 filter of the pyramid, borders reflected.

    Its taps 1 4 6 4 1 are applied by adding shifted images: PyTorch's depthwise convolution takes
    nine times as long on a CPU.
    """
    height, width = images.shape[2:]
    x = pad(images, (2, 2, 2, 2), mode="reflect")
    y = _binomial([x[:, :, i : i + height] for i in range(5)])
    return _binomial([y[..., i : i + width] for i in range(5)]).div_(256)


def _binomial(shifted: list[Tensor]) -> Tensor:
    """The sum of five shifts of an image under the weights 1 4 6 4 1."""
    a, b, c, d, e = shifted
    return (c * 6).add_(b, alpha=4).add_(d, alpha=4).add_(a).add_(e)


def pyramid_sides(side: int, coarsest: int = COARSEST) -> list[int]:
    """Sides of a pyramid's levels, finest first.

    Raises:
        ValueError: a side that cannot be halved so.
    """
    halvings = max(0, (side // coarsest).bit_length() - 1)
    if side > coarsest and coarsest << halvings != side:
        raise ValueError(f"laplacian_pyramid: sides {coarsest} * 2**k expected, got {side}")
    return [side >> level for level in range(halvings + 1)]


def laplacian_pyramid(images: Tensor, coarsest: int = COARSEST) -> list[Tensor]:
    """Band-pass levels of halving size, finest first; the last one is the low-pass remainder.

    Args:
        images: float [N, C, H, H], H halving exactly down to `coarsest` (or not above it).
        coarsest: side of the last level.

    Returns:
        Levels [N, C, H, H], [N, C, H/2, H/2], ...; from the last one on, enlarging and adding
        the next finer level gives back the images.

    Raises:
        ValueError: images that are not square, or sides that cannot be halved so.

    Source: Burt and Adelson 1983, "The Laplacian pyramid as a compact image code".
    """
    side = images.shape[-1]
    if images.shape[-2] != side:
        raise ValueError(f"laplacian_pyramid: square images expected, got {tuple(images.shape)}")
    levels = []
    for _ in pyramid_sides(side, coarsest)[1:]:
        smaller = _smooth(images)[:, :, ::2, ::2]
        levels.append(images - enlarge(smaller))
        images = smaller
    return [*levels, images]


def bytes_of_patches(count: int, channels: int, side: int) -> int:
    """Memory that `sliced_wasserstein` takes for the patches of two sets of `count` images.

    Both sets hold theirs of every level as float32, and one level once more as float64 and float32.
    """
    one = count * PATCHES * channels * PATCH**2
    return one * 4 * (2 * len(pyramid_sides(side)) + 3)


def enlarge(images: Tensor) -> Tensor:
    """Twice the size by the pyramid's filter: [N, C, H, W] -> [N, C, 2H, 2W]."""
    spread = torch.zeros_like(interpolate(images, scale_factor=2))
    spread[:, :, ::2, ::2] = images
    return _smooth(spread) * 4


def _patches(level: Tensor, first: int, count: int, seed: int) -> Tensor:
    """`count` random patches from each image, [N * count, C, PATCH, PATCH].

    The places depend on the seed, the level's side and the image's number in its set.
    """
    n, _, side, _ = level.shape
    places = side - PATCH + 1
    numbers = np.arange(first * count, (first + n) * count, dtype=np.uint64)
    bits = hash64(seed, _STREAM_PATCHES, side, numbers)
    place = torch.from_numpy((bits % np.uint64(places * places)).astype(np.int64))
    row, column = (place // places).to(level.device), (place % places).to(level.device)
    windows = level.unfold(2, PATCH, 1).unfold(3, PATCH, 1)  # [N, C, places, places, k, k]
    image = torch.arange(n, device=level.device).repeat_interleave(count)
    return windows[image, :, row, column]


def _descriptors(images: Tensor, count: int, seed: int) -> list[Tensor]:
    """Patches of every level, finest first: float32 [N * count, C, PATCH, PATCH] each."""
    chunks = []
    for first in range(0, images.shape[0], _CHUNK):
        pyramid = laplacian_pyramid(as_float("sliced_wasserstein", images[first : first + _CHUNK]))
        chunks.append([_patches(level, first, count, seed) for level in pyramid])
    return [torch.cat(parts) for parts in zip(*chunks, strict=True)]


def _statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel over a set, float64 [1, C, 1, 1]."""
    values = patches.transpose(0, 1).flatten(1).to(torch.float64)
    return values.mean(1).view(1, -1, 1, 1), values.std(1, correction=0).view(1, -1, 1, 1)


def _distance(a: Tensor, b: Tensor, directions: int, seed: int) -> float:
    """Mean 1-D Wasserstein-1 distance of two point sets [M, D] over random unit directions."""
    generator = torch.Generator().manual_seed(torch_seeds(seed, _STREAM_DIRECTIONS)[0])
    axes = torch.randn(a.shape[1], directions, generator=generator)
    axes = (axes / axes.norm(dim=0)).to(a.device)
    total = 0.0
    for some in axes.split(32, dim=1):
        difference = _sorted(some.T @ a.T) - _sorted(some.T @ b.T)
        total += float(difference.abs().sum(dtype=torch.float64))
    return total / (a.shape[0] * directions)


def _sorted(rows: Tensor) -> Tensor:
    """Each row in rising order; NumPy's sort is three times as fast as PyTorch's on a CPU."""
    if rows.is_cuda:
        return rows.sort(dim=1).values
    return torch.from_numpy(np.sort(rows.numpy(), axis=1))


def sliced_wasserstein(
    a: Tensor,
    b: Tensor,
    *,
    seed: int = 0,
    patches: int = PATCHES,
    directions: int = 128,
    normalise: Literal["each", "reference"] = "each",
) -> dict[str, float]:
    """Distance between two sets of images at each scale.

    Args:
        a: images, uint8 in 0..255 or float in 0..1, [N, C, H, H], H = 16 * 2**k, or 7..16.
        b: the reference, the same number and size.
        seed: of the patches' places and of the directions.
        patches: per image and level.
        directions: random projections per level.
        normalise: "each" brings every channel of both sets to zero mean and unit variance as
            published (blind to a common shift of colour or contrast); "reference" applies the
            reference's mean and deviation to both.

    Returns:
        {"64": ..., "32": ..., "16": ..., "mean": ...}: the distance times 1000 by level side, and
        the mean of the levels. 0 for identical sets; sums are taken in float64.

    Raises:
        ValueError: batches that differ in shape, images too small or not square.
    """
    same_shape("sliced_wasserstein", a, b)
    as_float("sliced_wasserstein", a[:1])  # refuses empty batches and other ranks or dtypes
    if normalise not in ("each", "reference") or patches < 1 or directions < 1:
        raise ValueError(
            "sliced_wasserstein: normalise each|reference, patches and directions >= 1 expected, "
            f"got {normalise}, {patches}, {directions}"
        )
    if min(a.shape[2:]) < PATCH:
        raise ValueError(f"sliced_wasserstein: sides >= {PATCH} expected, got {tuple(a.shape)}")
    result: dict[str, float] = {}
    for ours, reference in zip(
        _descriptors(a, patches, seed), _descriptors(b, patches, seed), strict=True
    ):
        reference_statistics = _statistics(reference)
        statistics = reference_statistics if normalise == "reference" else _statistics(ours)
        sets = []
        for values, (mean, deviation) in ((ours, statistics), (reference, reference_statistics)):
            scaled = (values.to(torch.float64) - mean) / deviation.clamp_min(1e-8)
            sets.append(scaled.flatten(1).to(torch.float32))
        side = a.shape[-1] >> len(result)
        result[str(side)] = SCALE * _distance(sets[0], sets[1], directions, seed)
    result["mean"] = sum(result.values()) / len(result)
    return result
