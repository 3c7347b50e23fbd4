"""Images in pairs, for pix2pix, and two domains without pairs, for CycleGAN."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ..errors import InputError
from ..files import kind_of
from .dataset import CACHE_BYTES, ImageDataset
from .description import Description
from .geometry import HALVES
from .opening import Opening, open_source, plain_layout, reading_of, store_at
from .sources import EncodedSource, Layout
from .spec import Spec, parse_spec

ORDERS = ("AB", "BA")
_DOMAIN_FOLDERS = (("trainA", "trainB"), ("A", "B"))


class PairSource:
    """Pairs of images as images of six channels: the input's three, then the target's three."""

    channels = 6
    annotations: dict[str, Any] | None = None
    description = Description()

    def __init__(self, first: EncodedSource, second: EncodedSource, where: str) -> None:
        if first.resolution != second.resolution:
            raise InputError(
                f"{where}: images of A have {first.resolution} px, those of B "
                f"{second.resolution} px; `ganvas prepare` brings them to one size"
            )
        self._first, self._second = first, second
        places = {_key(name): row for row, name in enumerate(second.names)}
        rows = [(row, places.get(_key(name))) for row, name in enumerate(first.names)]
        self._rows = [(row, other) for row, other in rows if other is not None]
        if not self._rows:
            raise InputError(f"{where}: no image of A has one of the same name in B")
        self.name = first.name
        self.resolution = first.resolution
        self.skipped: Sequence[tuple[str, str]] = [*first.skipped, *second.skipped]
        text = f"{first.content_hash} {second.content_hash}"
        self.content_hash = hashlib.sha256(text.encode()).hexdigest()

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, indices: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Pairs [B, H, W, 6] under these numbers."""
        first = self._first.read([self._rows[i][0] for i in indices])
        second = self._second.read([self._rows[i][1] for i in indices])
        return np.concatenate([first, second], axis=3)


def _key(name: str) -> str:
    """What the two images of a pair share: the path below A or B, without its ending."""
    path = PurePosixPath(name)
    parts = path.with_suffix("").parts
    return "/".join(part for part in parts if part not in ("A", "B"))


def pair_source(spec: Spec, opening: Opening) -> PairSource:
    """The pairs of a folder or archive.

    They lie as `A/NAME` and `B/NAME` (endings may differ), or side by side in one image of twice
    its height, A on the left. `order=BA` makes B the input and A the target.

    Raises:
        InputError: images without a partner, none at all, of mixed sizes, or grey wanted.
    """
    layout = plain_layout(store_at(spec.path), replace(spec, kind="folder"))
    reading = reading_of(spec, opening, layout.resized)
    if reading.channels != 3:
        raise InputError(f"{spec}: pairs are given out in colour, expected channels=3")
    sides = [
        [name for name in layout.names if side in PurePosixPath(name).parts[:-1]] for side in "AB"
    ]
    if sides[0] or sides[1]:
        _check_partners(sides, layout.store.where)
        layouts = [replace(layout, names=names) for names in sides]
    else:
        if layout.crop != "none":
            raise InputError(f"{spec}: images side by side take no crop")
        layouts = [replace(layout, crop=half) for half in HALVES]
    sources = [EncodedSource(_bare(one), reading) for one in layouts]
    if spec.choice("order", ORDERS) == "BA":
        sources.reverse()
    return PairSource(sources[0], sources[1], layout.store.where)


def _bare(layout: Layout) -> Layout:
    """A layout without labels, whose rows belong to other images."""
    return replace(layout, description=Description(), annotations=None)


def _check_partners(sides: list[list[str]], where: str) -> None:
    keys = [{_key(name): name for name in names} for names in sides]
    for own, other, letter in ((keys[0], keys[1], "B"), (keys[1], keys[0], "A")):
        alone = sorted(name for key, name in own.items() if key not in other)
        if alone:
            raise InputError(
                f"{where}: {len(alone)} images lack a partner in {letter}, as {alone[0]}"
            )


@dataclass(frozen=True)
class ImageDomains:
    """Two sets of images of one size, without pairs."""

    a: ImageDataset
    b: ImageDataset

    @property
    def resolution(self) -> int:
        """Side of the images."""
        return self.a.resolution

    @property
    def content_hash(self) -> str:
        """Hash of both sets."""
        text = f"{self.a.content_hash} {self.b.content_hash}"
        return hashlib.sha256(text.encode()).hexdigest()


def split_pair(images: Tensor) -> tuple[Tensor, Tensor]:
    """Input and target, [B, 3, H, W] each, of pairs [B, 6, H, W].

    Raises:
        ValueError: images that are no pairs.
    """
    if images.ndim != 4 or images.shape[1] != 6:
        raise ValueError(f"split_pair: expected [B, 6, H, W], got {tuple(images.shape)}")
    return images[:, :3], images[:, 3:]


def open_domains(
    name: str,
    resolution: int | None = None,
    *,
    cache: str | Path | None = None,
    cache_bytes: int = CACHE_BYTES,
) -> ImageDomains:
    """Open two domains of images.

    Args:
        name: `domains:PATH_A,PATH_B`, each path a folder, an archive or another data set without
            commas, or `domains:PATH` of a folder that holds trainA and trainB (or A and B);
            options behind them hold for both.
        resolution: side of the images, as in `open_dataset`.
        cache: as in `open_dataset`.
        cache_bytes: memory for decoded images, half for each.

    Raises:
        InputError: not two domains, of two sizes, or not readable.
    """
    spec = parse_spec(name)
    if spec is None or spec.kind != "domains":
        raise InputError(f"{name[:200]}: expected two domains, like domains:horses,zebras")
    paths = _domain_paths(spec)
    options = "".join(f",{key}={value}" for key, value in spec.options.items())
    opening = Opening(resolution, cache=None if cache is None else Path(cache))
    opened = [
        ImageDataset(open_source(path + options, opening), resolution, cache_bytes=cache_bytes // 2)
        for path in paths
    ]
    if opened[0].resolution != opened[1].resolution or opened[0].channels != opened[1].channels:
        raise InputError(
            f"{spec}: the domains differ, {opened[0].resolution} px with {opened[0].channels} "
            f"channels and {opened[1].resolution} px with {opened[1].channels}"
        )
    return ImageDomains(opened[0], opened[1])


def _domain_paths(spec: Spec) -> list[str]:
    paths = [path.strip() for path in spec.path.split(",")]
    if len(paths) == 1:
        for names in _DOMAIN_FOLDERS:
            inside = [Path(paths[0]) / name for name in names]
            if all(kind_of(path) == "a folder" for path in inside):
                return [str(path) for path in inside]
    if len(paths) != 2 or not all(paths):
        raise InputError(
            f"{spec}: expected two paths, like domains:horses,zebras, or a folder that holds "
            "trainA and trainB"
        )
    return paths
