"""One data set class over every source of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import InputError
from .description import Description
from .sources import Source

CACHE_BYTES = 2 * 1024**3
_CHUNK = 32


class ImageDataset(Dataset[Tensor]):
    """Square images of one size: `dataset[i]` is a uint8 tensor [C, H, W].

    Args:
        source: where the images come from.
        resolution: side of the images given out; the source's own, or smaller by a power of two
            (mean over blocks, as in progressive growing).
        cache_bytes: all decoded images are kept in memory if they fit in this many bytes.

    Attributes:
        channels: 3 (RGB) or 1 (grey); 6 for pairs, the input's three and the target's.
        description: labels and their names, splits, identities and landmarks, as far as known.
        labels: float32 [N, K], or None; those of the description.
        annotations: the parsed dataset.json (exact face parameters and landmarks), or None.
        skipped: (name, reason) of unreadable images that were left out by choice.
        content_hash: hash of the list of files, their sizes and checksums, and of every choice
            that changes images or labels; the same on every machine and in every place.

    Raises:
        InputError: a resolution that the source cannot serve.
    """

    def __init__(
        self, source: Source, resolution: int | None = None, *, cache_bytes: int = CACHE_BYTES
    ) -> None:
        self.source = source
        self.name = source.name
        self.resolution = source.resolution if resolution is None else resolution
        self.channels = source.channels
        self.annotations: dict[str, Any] | None = source.annotations
        self.skipped = source.skipped
        self.content_hash = source.content_hash
        factor, rest = divmod(source.resolution, max(1, self.resolution))
        if self.resolution < 1 or rest or factor & (factor - 1):
            raise InputError(
                f"{self.name}: images of {source.resolution} px cannot serve {self.resolution} px; "
                "the resolution must be the images' own, or smaller by a power of two"
            )
        self.description = _reduced(source.description, factor)
        self.labels: Tensor | None = self.description.labels
        fits = len(source) * self.channels * self.resolution**2 <= cache_bytes
        self._cached = torch.zeros(len(source) if fits else 0, dtype=torch.bool)
        self._cache = self._new_cache()

    def _new_cache(self) -> Tensor:
        """Room for all images if they are to be kept; the system grants it page by page."""
        size = self.resolution
        return torch.empty(len(self._cached), self.channels, size, size, dtype=torch.uint8)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Tensor:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.name}: image {index} of {len(self)}")
        return self.images([index % len(self)])[0]

    def __getstate__(self) -> dict[str, Any]:
        """Workers start with an empty cache instead of a copy of everything decoded so far."""
        return {**self.__dict__, "_cache": None, "_cached": torch.zeros_like(self._cached)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._cache = self._new_cache()

    def _read(self, indices: Sequence[int]) -> Tensor:
        """Images straight from the source, at the resolution given out."""
        parts = []
        for start in range(0, len(indices), _CHUNK):
            images = torch.from_numpy(self.source.read(indices[start : start + _CHUNK]))
            parts.append(area_downsample(images.permute(0, 3, 1, 2), self.resolution))
        return torch.cat(parts).contiguous()

    def images(self, indices: Sequence[int] | Tensor) -> Tensor:
        """A batch of images.

        Args:
            indices: B integers in range(len(self)).

        Returns:
            uint8 [B, C, H, W] in 0..255, a new tensor.

        Raises:
            IndexError: an index out of range.
            InputError: an image that cannot be decoded, by name.
        """
        # Threads may read side by side: an image is marked only once its pixels are in place.
        index = torch.as_tensor(indices, dtype=torch.int64).reshape(-1)
        size = self.resolution
        if index.numel() == 0:
            return torch.zeros(0, self.channels, size, size, dtype=torch.uint8)
        if int(index.min()) < 0 or int(index.max()) >= len(self):
            raise IndexError(f"{self.name}: indices must lie in range({len(self)})")
        if not self._cached.numel():
            return self._read(index.tolist())
        missing = index[~self._cached[index]].unique()
        if missing.numel():
            self._cache[missing] = self._read(missing.tolist())
            self._cached[missing] = True
        return self._cache[index]


def _reduced(known: Description, factor: int) -> Description:
    """The description of images that are smaller by a factor."""
    if known.landmarks is None or factor == 1:
        return known
    return replace(known, landmarks=known.landmarks / factor)


def area_downsample(images: Tensor, resolution: int) -> Tensor:
    """Mean over square blocks, rounded: uint8 [B, C, H, H] -> uint8 [B, C, resolution, resolution].

    Raises:
        InputError: the sides are not a power of two apart.
    """
    size = images.shape[-1]
    factor = size // resolution
    if factor * resolution != size or not math.log2(factor).is_integer():
        raise InputError(f"images of {size} px cannot serve {resolution} px: not a power of two")
    if factor == 1:
        return images
    blocks = images.unflatten(-1, (resolution, factor)).unflatten(-3, (resolution, factor))
    total = blocks.to(torch.int32).sum(dim=(-1, -3))
    return ((total + factor * factor // 2) // (factor * factor)).to(torch.uint8)
