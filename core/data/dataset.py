"""One data set class over folders, zip archives and procedural faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import InputError
from ..files import kind_of
from .sources import FolderSource, Source, ZipSource, area_downsample

EXAMPLE = "faces:count=20000,size=64,seed=0"
CACHE_BYTES = 2 * 1024**3
_CHUNK = 32


class ImageDataset(Dataset[Tensor]):
    """Square RGB images of one size: `dataset[i]` is a uint8 tensor [3, H, W].

    Args:
        source: where the images come from.
        resolution: side of the images given out; the source's own, or smaller by a power of two
            (mean over blocks, as in progressive growing).
        cache_bytes: all decoded images are kept in memory if they fit in this many bytes.

    Attributes:
        labels: float32 [N, L], or None.
        annotations: the parsed dataset.json (exact face parameters and landmarks), or None.
        content_hash: hash of the list of files, their sizes and checksums.

    Raises:
        InputError: a resolution that the source cannot serve.
    """

    def __init__(
        self, source: Source, resolution: int | None = None, *, cache_bytes: int = CACHE_BYTES
    ) -> None:
        self.source = source
        self.name = source.name
        self.resolution = source.resolution if resolution is None else resolution
        self.labels: Tensor | None = source.labels
        self.annotations: dict[str, Any] | None = source.annotations
        self.content_hash = source.content_hash
        factor, rest = divmod(source.resolution, max(1, self.resolution))
        if self.resolution < 1 or rest or factor & (factor - 1):
            raise InputError(
                f"{self.name}: images of {source.resolution} px cannot serve {self.resolution} px; "
                "the resolution must be the images' own, or smaller by a power of two"
            )
        fits = len(source) * 3 * self.resolution**2 <= cache_bytes
        self._cached = torch.zeros(len(source) if fits else 0, dtype=torch.bool)
        self._cache = self._new_cache()

    def _new_cache(self) -> Tensor:
        """Room for all images if they are to be kept; the system grants it page by page."""
        size = self.resolution
        return torch.empty(len(self._cached), 3, size, size, dtype=torch.uint8)

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
            uint8 [B, 3, H, W] in 0..255, a new tensor.

        Raises:
            IndexError: an index out of range.
            InputError: an image that cannot be decoded, by name.
        """
        # Threads may read side by side: an image is marked only once its pixels are in place.
        index = torch.as_tensor(indices, dtype=torch.int64).reshape(-1)
        size = self.resolution
        if index.numel() == 0:
            return torch.zeros(0, 3, size, size, dtype=torch.uint8)
        if int(index.min()) < 0 or int(index.max()) >= len(self):
            raise IndexError(f"{self.name}: indices must lie in range({len(self)})")
        if not self._cached.numel():
            return self._read(index.tolist())
        missing = index[~self._cached[index]].unique()
        if missing.numel():
            self._cache[missing] = self._read(missing.tolist())
            self._cached[missing] = True
        return self._cache[index]


def open_dataset(
    spec: str | Path,
    resolution: int | None = None,
    *,
    cache: str | Path | None = None,
    cache_bytes: int = CACHE_BYTES,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> ImageDataset:
    """Open a data set.

    Args:
        spec: a folder of images, a zip archive (images and an optional dataset.json with
            `{"labels": [[name, label], ...]}`), or procedural faces as
            `faces:count=20000,size=64,seed=0`.
        resolution: side of the images given out, see `ImageDataset`.
        cache: folder in which procedural faces are rendered once to a zip archive; without it
            they are rendered as they are asked for.
        cache_bytes: memory for decoded images.
        workers: processes that render into the cache.
        progress: called with (faces done, count) while they do.

    Raises:
        InputError: nothing there, not a data set, images of mixed sizes, or a bad spec.
    """
    if isinstance(spec, str) and spec.startswith("faces:"):
        from .procedural import FacesSource, FacesSpec, cached_zip

        faces = FacesSpec.parse(spec)
        if cache is None:
            return ImageDataset(FacesSource(faces), resolution, cache_bytes=cache_bytes)
        archive = cached_zip(faces, Path(cache), workers=workers, progress=progress)
        return ImageDataset(ZipSource(archive), resolution, cache_bytes=cache_bytes)
    if not str(spec).strip():
        raise InputError(f"data set: expected a folder, a zip archive or {EXAMPLE}, got no name")
    path = Path(spec)
    kind = kind_of(path)
    if kind == "a folder":
        return ImageDataset(FolderSource(path), resolution, cache_bytes=cache_bytes)
    if kind == "a file":
        return ImageDataset(ZipSource(path), resolution, cache_bytes=cache_bytes)
    if kind == "nothing there":
        raise InputError(
            f"{path}: no such folder or zip archive (procedural faces are named like {EXAMPLE})"
        )
    raise InputError(f"{path}: expected a folder of images or a zip archive, got {kind}")
