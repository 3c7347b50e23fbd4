"""Where training images come from: a folder of image files, or a StyleGAN-style zip archive."""

from __future__ import annotations

import hashlib
import json
import math
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import InputError
from ..files import check_input_file
from .decode import EXTENSIONS, HEADER_BYTES, decode_rgb, png_size, probe

LABEL_FILE = "dataset.json"
MAX_ENTRY_BYTES = 256 * 1024 * 1024
MAX_LABEL_BYTES = 1024 * 1024 * 1024
MAX_ONE_HOT = 2**28  # numbers in the one-hot table, 1 GiB
MAX_RATIO = 1100  # deflate reaches 1032:1 at most; more is not an honest archive


class Source(Protocol):
    """Encoded or rendered images under numbers, all square and of one size."""

    name: str
    resolution: int
    content_hash: str
    labels: Tensor | None
    annotations: dict[str, Any] | None

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Images [B, H, W, 3] under these numbers."""
        ...


def _common_resolution(sizes: list[tuple[int, int]], names: list[str], where: str) -> int:
    """The one side length of all images, or one InputError that says what differs."""
    if not sizes:
        raise InputError(f"{where}: no images found ({', '.join(sorted(EXTENSIONS))})")
    counts = Counter(sizes)
    (width, height), _ = counts.most_common(1)[0]
    if len(counts) > 1:
        odd = next(i for i, size in enumerate(sizes) if size != (width, height))
        raise InputError(
            f"{where}: images differ in size ({len(counts)} sizes; {counts[(width, height)]} of "
            f"{len(sizes)} are {width}x{height}, but {names[odd]} is "
            f"{sizes[odd][0]}x{sizes[odd][1]}); bring them to one size first"
        )
    if width != height:
        raise InputError(f"{where}: images must be square, these are {width}x{height}")
    return width


def parse_annotations(data: bytes, where: str) -> dict[str, Any]:
    """The JSON object of a dataset.json file."""
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: {LABEL_FILE} is not readable JSON ({error})") from error
    if not isinstance(parsed, dict):
        raise InputError(f"{where}: {LABEL_FILE} must hold a JSON object")
    return parsed


def parse_labels(annotations: dict[str, Any], names: list[str], where: str) -> Tensor | None:
    """Labels in the order of the images.

    Args:
        annotations: `{"labels": [[name, label], ...]}`; a label is a class number (made one-hot)
            or a list of numbers; `"labels": null` or no such key means none.
        names: the images' names inside the data set.
        where: what errors call the data set.

    Returns:
        float32 tensor [N, L], or None.

    Raises:
        InputError: malformed, missing, ragged or non-finite labels.
    """
    rows = annotations.get("labels")
    if rows is None:
        return None
    try:
        table = {str(name): label for name, label in rows}
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: labels in {LABEL_FILE} must be [name, label] pairs") from error
    missing = [name for name in names if name not in table]
    if missing:
        raise InputError(
            f"{where}: {LABEL_FILE} has no label for {len(missing)} of {len(names)} images, "
            f"first {missing[0]}"
        )
    values = [table[name] for name in names]
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        if min(values) < 0 or (max(values) + 1) * len(values) > MAX_ONE_HOT:
            raise InputError(f"{where}: class numbers in {LABEL_FILE} are negative or too large")
        return torch.nn.functional.one_hot(torch.tensor(values)).to(torch.float32)
    try:
        labels = np.array(values, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{where}: labels in {LABEL_FILE} must all be class numbers, or lists of one length"
        ) from error
    if labels.ndim != 2 or not np.isfinite(labels).all():
        raise InputError(f"{where}: labels in {LABEL_FILE} must be lists of finite numbers")
    return torch.from_numpy(labels)


def _digest(rows: list[tuple[str, int, int]]) -> str:
    """Hash of the (name, size, crc) rows of a data set."""
    text = "\n".join(f"{name}\t{size}\t{crc:08x}" for name, size, crc in rows)
    # Names of files need not be Unicode; Python holds their other bytes as surrogates.
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _is_image(name: str) -> bool:
    """Whether an entry is an image of the data set (not hidden, not a segmentation map)."""
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return path.suffix.lower() in EXTENSIONS and not hidden and path.parts[0] != "segmentation"


class FolderSource:
    """Image files under a folder and its subfolders, in the order of their paths."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = root.resolve().name
        found = (
            (Path(folder) / file).relative_to(root).as_posix()
            for folder, _, files in os.walk(root, onerror=_unreadable)
            for file in files
        )
        self._names = sorted(name for name in found if _is_image(name))
        sizes, rows = [], []
        for name in self._names:
            size, row = self._inspect(name)
            sizes.append(size)
            rows.append(row)
        self.resolution = _common_resolution(sizes, self._names, str(root))
        self.annotations: dict[str, Any] | None = None
        self.labels: Tensor | None = None
        label_file = root / LABEL_FILE
        if label_file.is_file():
            if label_file.stat().st_size > MAX_LABEL_BYTES:
                raise InputError(f"{label_file}: larger than {MAX_LABEL_BYTES} bytes")
            data = label_file.read_bytes()
            rows.append((LABEL_FILE, len(data), zlib.crc32(data)))
            self.annotations = parse_annotations(data, str(root))
            self.labels = parse_labels(self.annotations, self._names, str(root))
        self.content_hash = _digest(rows)

    def _inspect(self, name: str) -> tuple[tuple[int, int], tuple[str, int, int]]:
        """Size of an image, and its row of the content hash."""
        path = self.root / name
        try:
            check_input_file(path, "an image file")
            length = path.stat().st_size
            if length > MAX_ENTRY_BYTES:
                raise InputError(f"{path}: larger than {MAX_ENTRY_BYTES} bytes")
            with path.open("rb") as file:
                head = file.read(HEADER_BYTES)
                size = png_size(head) or probe(head + file.read(), str(path))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
        return size, (name, length, zlib.crc32(head))

    def __len__(self) -> int:
        return len(self._names)

    def read(self, indices: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Images [B, H, W, 3] under these numbers."""
        return np.stack([self._read_one(self.root / self._names[i]) for i in indices])

    def _read_one(self, path: Path) -> npt.NDArray[np.uint8]:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
        return check_shape(decode_rgb(data, str(path)), self.resolution, str(path))


def _unreadable(error: OSError) -> None:
    """A subfolder that cannot be listed must not shrink the data set in silence."""
    raise InputError(f"{error.filename}: cannot be read ({error.strerror or error})") from error


def check_shape(image: npt.NDArray[np.uint8], resolution: int, name: str) -> npt.NDArray[np.uint8]:
    """The image itself, once it has the size that its header promised when it was listed."""
    if image.shape != (resolution, resolution, 3):
        raise InputError(f"{name}: changed since the data set was opened")
    return image


class ZipSource:
    """Images in a zip archive, with the labels of its dataset.json.

    The archive is opened once in each process, so that the source may be handed to workers.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.stem
        self._archive: zipfile.ZipFile | None = None
        self._process = -1
        try:
            entries = sorted(self._zip().infolist(), key=lambda entry: entry.filename)
            self._entries = [e for e in entries if not e.is_dir() and _is_image(e.filename)]
            names = [entry.filename for entry in self._entries]
            rows = [(e.filename, e.file_size, e.CRC) for e in self._entries]
            sizes = []
            for entry in self._entries:
                self._check_entry(entry, MAX_ENTRY_BYTES)
                sizes.append(self._entry_size(entry))
            self.resolution = _common_resolution(sizes, names, str(path))
            self.annotations: dict[str, Any] | None = None
            self.labels: Tensor | None = None
            for entry in entries:
                if entry.filename == LABEL_FILE:
                    self._check_entry(entry, MAX_LABEL_BYTES)
                    self.annotations = parse_annotations(self._bytes(entry), str(path))
                    self.labels = parse_labels(self.annotations, names, str(path))
                    rows.append((entry.filename, entry.file_size, entry.CRC))
            self.content_hash = _digest(rows)
        except BaseException:
            self.close()
            raise

    def _zip(self) -> zipfile.ZipFile:
        """This process's own handle of the archive."""
        if self._archive is None or self._process != os.getpid():
            try:
                self._archive = zipfile.ZipFile(self.path)
            except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
                raise InputError(f"{self.path}: not a readable zip archive ({error})") from error
            self._process = os.getpid()
        return self._archive

    def close(self) -> None:
        """Close this process's handle; a later read opens it again."""
        if self._archive is not None and self._process == os.getpid():
            self._archive.close()
        self._archive = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_archive": None, "_process": -1}

    def _check_entry(self, entry: zipfile.ZipInfo, limit: int) -> None:
        """Refuse entries that declare absurd sizes, before anything is unpacked."""
        where = f"{self.path}:{entry.filename}"
        if entry.file_size > limit:
            raise InputError(f"{where}: declares {entry.file_size} bytes, more than {limit}")
        if entry.file_size > MAX_RATIO * max(1, entry.compress_size):
            raise InputError(f"{where}: declares an impossible compression ratio")
        if entry.flag_bits & 1:
            raise InputError(f"{where}: encrypted archives are not supported")

    def _bytes(self, entry: zipfile.ZipInfo, limit: int | None = None) -> bytes:
        """The entry's bytes (checked against its CRC), or its first `limit` bytes."""
        where = f"{self.path}:{entry.filename}"
        try:
            with self._zip().open(entry) as file:
                return file.read(entry.file_size if limit is None else limit)
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
            raise InputError(f"{where}: cannot be unpacked ({error})") from error

    def _entry_size(self, entry: zipfile.ZipInfo) -> tuple[int, int]:
        head = self._bytes(entry, min(entry.file_size, HEADER_BYTES // 64))
        return png_size(head) or probe(self._bytes(entry), f"{self.path}:{entry.filename}")

    def __len__(self) -> int:
        return len(self._entries)

    def read(self, indices: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Images [B, H, W, 3] under these numbers."""
        images = []
        for i in indices:
            entry = self._entries[i]
            where = f"{self.path}:{entry.filename}"
            image = decode_rgb(self._bytes(entry), where)
            images.append(check_shape(image, self.resolution, where))
        return np.stack(images)


def area_downsample(images: Tensor, resolution: int) -> Tensor:
    """Mean over square blocks, rounded: uint8 [B, 3, H, H] -> uint8 [B, 3, resolution, resolution].

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
