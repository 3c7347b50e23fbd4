"""Encoded images as training data: one size, known before any of them is decoded."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from ..errors import InputError, printable
from ..files import atomic_write
from .decode import decode_rgb, jpeg_size, png_size, probe, refuse_transparent
from .description import Description
from .geometry import FACE_CROPS, NO_LANDMARKS, choose_square, cut
from .names import no_images
from .stores import MAX_ENTRY_BYTES, Store

LOG = logging.getLogger("ganvas.data")
MAX_SIDE = 8192
SKIP_HINT = "; on_error=skip leaves such images out"
_SHOWN = 10
_OPAQUE_CHECKS = 256  # decoding every image with an alpha channel at each start takes long
_TRIED = 16
_LUMA = np.array([19595, 38470, 7471], dtype=np.int64)  # ITU-R BT.601, times 2**16

Progress = Callable[[int, int], None]
Size = tuple[int, int]
Row = tuple[str, int, int]


class Source(Protocol):
    """Encoded or rendered images under numbers, all square and of one size.

    Attributes:
        resolution: side in pixels.
        channels: 1 or 3; 6 for pairs.
        annotations: the parsed dataset.json, or None.
        skipped: (name, reason) of images that were left out by choice.
    """

    name: str
    resolution: int
    channels: int
    content_hash: str
    description: Description
    annotations: dict[str, Any] | None
    skipped: Sequence[tuple[str, str]]

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Images [B, H, W, channels] under these numbers."""
        ...


@dataclass(frozen=True)
class Layout:
    """Which files of a store are the images, in order, and what is known of them.

    Attributes:
        resized: whether the images may be cut and resized as they are read, to any size. It is
            so for published data sets, and for others where the user asks for it.
        rows: (name, length, checksum) of further files that belong to the content.
        choices: the choices that change images or labels, part of the content hash.
    """

    store: Store
    names: Sequence[str]
    description: Description = field(default_factory=Description)
    annotations: dict[str, Any] | None = None
    crop: str = "none"
    resized: bool = False
    rows: Sequence[Row] = ()
    choices: str = ""


@dataclass(frozen=True)
class Reading:
    """How images are read.

    Attributes:
        size: side of the images; None for their own.
        channels: 3, or 1 for grey.
        skip_errors: leave unreadable images out instead of stopping at the first.
        cache: folder that remembers which images are unreadable.
        progress: called with (images checked, count) while all are decoded for `skip_errors`.
    """

    size: int | None = None
    channels: int = 3
    skip_errors: bool = False
    cache: Path | None = None
    progress: Progress | None = None


def digest(rows: Sequence[Row], choices: str = "") -> str:
    """Hash of the (name, length, checksum) rows of a data set and of the choices made."""
    text = "\n".join(f"{name}\t{size}\t{crc:08x}" for name, size, crc in rows)
    text += f"\n\n{choices}" if choices else ""
    # Names of files need not be Unicode; Python holds their other bytes as surrogates.
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def common_size(sizes: Sequence[Size], names: Sequence[str], where: str) -> Size:
    """The one size of all images, or one InputError that says what differs."""
    if not sizes:
        raise no_images(where)
    counts = Counter(sizes)
    (width, height), _ = counts.most_common(1)[0]
    if len(counts) > 1:
        odd = next(i for i, size in enumerate(sizes) if size != (width, height))
        raise InputError(
            f"{where}: images differ in size ({len(counts)} sizes; {counts[(width, height)]} of "
            f"{len(sizes)} are {width}x{height}, but {names[odd]} is "
            f"{sizes[odd][0]}x{sizes[odd][1]}); `ganvas prepare` brings them to one size"
        )
    return width, height


class EncodedSource:
    """The images of a layout, decoded as they are asked for."""

    def __init__(self, layout: Layout, reading: Reading) -> None:
        self._store = layout.store
        self._between = "/" if Path(layout.store.where).is_dir() else ":"
        self._crop = layout.crop
        self._hint = "" if reading.skip_errors else SKIP_HINT
        self.name = layout.store.name
        self.channels = reading.channels
        self.annotations = layout.annotations
        where = layout.store.where
        self._names, sizes, rows, skipped = self._inspect(layout, reading)
        if not self._names and skipped:
            raise InputError(f"{where}: none of {len(skipped)} images is readable")
        self.resolution = reading.size or _own_side(layout, sizes, self._names)
        check_squares(layout, sizes, self._names)
        if not 1 <= self.resolution <= MAX_SIDE:
            raise InputError(f"{where}: a side of {self.resolution} px, expected 1..{MAX_SIDE}")
        self._resized = layout.crop != "none" or reading.size is not None
        kept = {name: number for number, name in enumerate(layout.names)}
        whole = layout.description
        known = whole if not skipped else whole.select([kept[name] for name in self._names])
        self._points, self._point_names = known.landmarks, known.landmark_names
        self.description = self._in_result(known, sizes)
        self.skipped: Sequence[tuple[str, str]] = skipped
        choices = [layout.choices] if layout.choices else []
        if self._resized:
            choices.append(f"crop={layout.crop},size={self.resolution}")
        if reading.channels != 3:
            choices.append(f"channels={reading.channels}")
        choices += [f"skipped={name}" for name, _ in skipped]
        self.content_hash = digest([*rows, *layout.rows], "\n".join(choices))

    def _inspect(
        self, layout: Layout, reading: Reading
    ) -> tuple[list[str], list[Size], list[Row], list[tuple[str, str]]]:
        """Names, sizes and hash rows of the usable images, and the others with the reason."""
        names, sizes, rows, decoded = [], [], [], 0
        skipped: list[tuple[str, str]] = []
        for name in layout.names:
            try:
                entry = layout.store.entry(name)
                if entry.length > MAX_ENTRY_BYTES:
                    raise InputError(
                        f"{layout.store.where}: {name} is larger than {MAX_ENTRY_BYTES} bytes"
                    )
                size = png_size(entry.head) or jpeg_size(entry.head)
                if size is None:
                    data = layout.store.read(name)
                    size = probe(data, self._called(name))
                    if decoded < _OPAQUE_CHECKS:
                        decoded += refuse_transparent(data, self._called(name))
            except InputError as error:
                if not reading.skip_errors:
                    raise InputError(f"{error}{SKIP_HINT}") from error
                skipped.append((name, str(error)))
                continue
            names.append(name)
            sizes.append(size)
            rows.append((name, entry.length, entry.crc))
        if reading.skip_errors:
            key = digest([*rows, *layout.rows], layout.crop)
            bad = self._damaged(layout, names, key, reading)
            skipped = sorted([*skipped, *bad.items()])
            kept = [i for i, name in enumerate(names) if name not in bad]
            names, sizes, rows = ([column[i] for i in kept] for column in (names, sizes, rows))
            _report(skipped, len(layout.names), layout.store.where)
        return names, sizes, rows, skipped

    def _damaged(
        self, layout: Layout, names: list[str], key: str, reading: Reading
    ) -> dict[str, str]:
        """The images that cannot be decoded or cut, and why; remembered in the cache folder."""
        memory = None if reading.cache is None else reading.cache / f"skipped-{key[:24]}.json"
        if memory is not None and memory.is_file():
            return _remembered(memory)
        bad = {}
        rows = {name: row for row, name in enumerate(layout.names)}
        known = layout.description
        for number, name in enumerate(names, 1):
            try:
                image = decode_rgb(self._store.read(name), self._called(name))
                if layout.crop in FACE_CROPS and known.landmarks is not None:
                    points = known.landmarks[rows[name]].numpy()
                    with named(self._called(name)):
                        _cut(image, layout.crop, points, known.landmark_names, 8)
            except InputError as error:
                bad[name] = str(error)
            if reading.progress is not None and (number % 64 == 0 or number == len(names)):
                reading.progress(number, len(names))
        if memory is not None:
            atomic_write(memory, json.dumps(bad))
        return bad

    def _called(self, name: str) -> str:
        """What errors call an image."""
        return f"{self._store.where}{self._between}{name}"

    def _in_result(self, known: Description, sizes: Sequence[Size]) -> Description:
        """The description with its landmarks moved along with the pixels."""
        if known.landmarks is None or not self._resized:
            return known
        moved = []
        for name, size, points in zip(self._names, sizes, known.landmarks.numpy(), strict=True):
            with named(self._called(name)):
                square = choose_square(self._crop, *size, points, known.landmark_names)
            moved.append(square.to_result(points, self.resolution))
        return replace(known, landmarks=torch.from_numpy(np.stack(moved)))

    @property
    def names(self) -> Sequence[str]:
        """The images' names in the store, in order."""
        return self._names

    def __len__(self) -> int:
        return len(self._names)

    def read(self, indices: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Images [B, H, W, channels] under these numbers."""
        return np.stack([self._read_one(i) for i in indices])

    def _read_one(self, row: int) -> npt.NDArray[np.uint8]:
        where = self._called(self._names[row])
        try:
            image = decode_rgb(self._store.read(self._names[row]), where)
        except InputError as error:
            raise InputError(f"{error}{self._hint}") from error
        if self._resized:
            points = None if self._points is None else self._points[row].numpy()
            with named(where):
                image = _cut(image, self._crop, points, self._point_names, self.resolution)
        elif image.shape != (self.resolution, self.resolution, 3):
            raise InputError(f"{where}: changed since the data set was opened")
        return image if self.channels == 3 else grey(image)


@contextmanager
def named(where: str) -> Iterator[None]:
    """Put an image's name before what is wrong with it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _cut(
    image: npt.NDArray[np.uint8],
    crop: str,
    points: npt.NDArray[np.float32] | None,
    names: Sequence[str] | None,
    size: int,
) -> npt.NDArray[np.uint8]:
    """What a crop shows of an image, at this size."""
    height, width = image.shape[:2]
    return cut(image, choose_square(crop, width, height, points, names), size)


def _own_side(layout: Layout, sizes: Sequence[Size], names: Sequence[str]) -> int:
    """Side of what the crop shows, where no size is asked for: all images must be of one size."""
    width, height = common_size(sizes, names, layout.store.where)
    if layout.crop in FACE_CROPS:
        raise InputError(f"{layout.store.where}: crop={layout.crop} needs a size, like size=64")
    check_squares(layout, sizes, names)
    return round(choose_square(layout.crop, width, height, None, None).side)


def check_squares(layout: Layout, sizes: Sequence[Size], names: Sequence[str]) -> None:
    """Refuse images that the layout's crop cannot cut.

    Raises:
        InputError: no images; without a crop, one that is not square; of another shape than the
            crop is made for; or a crop around faces without landmarks.
    """
    if layout.crop in FACE_CROPS and layout.description.landmarks is None:
        raise InputError(f"{layout.store.where}: crop={layout.crop}: {NO_LANDMARKS}")
    if not sizes:
        raise no_images(layout.store.where)
    if layout.crop not in (*FACE_CROPS, "none"):
        for size, name in dict(zip(sizes, names, strict=True)).items():
            with named(f"{layout.store.where}: {name}"):
                choose_square(layout.crop, *size, None, None)
    odd = next((size for size in sizes if size[0] != size[1]), None)
    if layout.crop == "none" and odd is not None:
        raise InputError(
            f"{layout.store.where}: images must be square, these are {odd[0]}x{odd[1]}; "
            "`ganvas prepare` cuts and resizes them"
        )


def first_size(store: Store, names: Sequence[str]) -> Size | None:
    """Size of the first of these images that is readable, among a few."""
    for name in names[:_TRIED]:
        try:
            return probe(store.read(name), name)
        except InputError:
            continue
    return None


def grey(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Luma [H, W, 1] of RGB [H, W, 3], rounded; equal channels keep their value."""
    luma = (image.astype(np.int64) @ _LUMA + 32768) >> 16
    return luma.astype(np.uint8)[..., None]


def _report(skipped: Sequence[tuple[str, str]], count: int, where: str) -> None:
    """List what was left out in the log."""
    if not skipped:
        return
    LOG.warning("%s: %d of %d images are skipped", printable(where), len(skipped), count)
    for _, reason in skipped[:_SHOWN]:
        LOG.warning("  %s", printable(reason))
    if len(skipped) > _SHOWN:
        LOG.warning("  and %d more", len(skipped) - _SHOWN)


def _remembered(path: Path) -> dict[str, str]:
    try:
        bad = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): str(reason) for name, reason in bad.items()}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not a list of unreadable images, delete it ({error})") from error
