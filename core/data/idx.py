"""MNIST and its relatives: arrays in the IDX format, gzipped or not.

Sources: LeCun, "The MNIST database" (the IDX file format); Cohen et al. 2017, "EMNIST: an
extension of MNIST to handwritten letters".
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from ..errors import InputError
from ..files import kind_of
from .description import Description, one_hot
from .spec import Spec
from .tables import read_bounded

MAX_BYTES = 2 * 1024**3
SPLITS = {"train": ("train",), "test": ("t10k", "test")}
_UINT8 = 0x08
_GZIP = b"\x1f\x8b"
_DIMENSIONS = 4
_CHUNK = 2**20
_TRANSPOSED = "emnist-"  # its files hold each image by columns; they are given out upright


def parse_idx(data: bytes, where: str, dimensions: int) -> npt.NDArray[np.uint8]:
    """An IDX file of unsigned bytes as an array.

    Args:
        data: the whole file, gzipped or not.
        where: what errors call it.
        dimensions: how many the array must have.

    Raises:
        InputError: damaged, of another type or rank, or its length is not what it declares.
    """
    stream = io.BytesIO(data)
    file = gzip.GzipFile(fileobj=stream) if data[:2] == _GZIP else stream
    try:
        head = file.read(4)
        if len(head) != 4 or head[:2] != b"\x00\x00":
            raise InputError(f"{where}: not an IDX file")
        kind, rank = head[2], head[3]
        if kind != _UINT8 or rank != dimensions or rank > _DIMENSIONS:
            raise InputError(
                f"{where}: expected unsigned bytes in {dimensions} dimensions, got type "
                f"0x{kind:02x} in {rank}"
            )
        sides = file.read(4 * rank)
        if len(sides) != 4 * rank:
            raise InputError(f"{where}: ends within its header")
        shape = struct.unpack(f">{rank}I", sides)
        count = math.prod(shape)
        if count > MAX_BYTES:
            raise InputError(f"{where}: declares {count} bytes, more than {MAX_BYTES}")
        body = _read(file, count + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{where}: damaged gzip file ({error})") from error
    if len(body) != count:
        more = "more" if len(body) > count else "fewer"
        raise InputError(f"{where}: has {more} than the {count} bytes that it declares")
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)


def _read(file: gzip.GzipFile | io.BytesIO, limit: int) -> bytes:
    """Up to `limit` bytes; memory grows with what is there, not with what is declared."""
    parts = []
    while limit > 0 and (part := file.read(min(limit, _CHUNK))):
        parts.append(part)
        limit -= len(part)
    return b"".join(parts)


class Files(NamedTuple):
    """The images' file, the labels' file where there is one, and which split they are."""

    images: Path
    labels: Path | None
    split: str


def find_files(path: Path, split: str | None) -> Files:
    """The files of a split.

    Args:
        path: a folder, or the images' file itself.
        split: "train" or "test"; None is what a file's name says, else "train".

    Raises:
        InputError: no such file, several that might be meant, or a file of the other split.
    """
    if kind_of(path) == "a file":
        labels = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
        own = next((name for name in SPLITS if _is_of(path, name)), None)
        if split is not None and own not in (None, split):
            raise InputError(f"{path}: expected a file of split={split}, got one of {own}")
        found = labels if labels != path and labels.is_file() else None
        return Files(path, found, own or split or "train")
    split = split or "train"
    files = [file for file in path.rglob("*ubyte*") if file.is_file() and _is_of(file, split)]
    images = _one([file for file in files if "images" in file.name], path, split)
    labels = [file for file in files if "labels" in file.name]
    return Files(images, _one(labels, path, split) if labels else None, split)


def _is_of(file: Path, split: str) -> bool:
    return any(f"{word}-" in file.name for word in SPLITS[split])


def _one(files: list[Path], path: Path, split: str) -> Path:
    """The only file; an unpacked one goes before its gzipped twin."""
    plain = sorted([file for file in files if file.suffix != ".gz"] or files)
    if not plain:
        raise InputError(
            f"{path}: expected a {split} file like {SPLITS[split][0]}-images-idx3-ubyte or "
            "-labels-idx1-ubyte, got none"
        )
    if len(plain) > 1:
        raise InputError(
            f"{path}: expected one {split} file of images, got {len(plain)}; choose one by its "
            f"name, like idx:{plain[0]}"
        )
    return plain[0]


class IdxSource:
    """Images of an IDX file, kept in memory as they are stored.

    Grey images are given out with three equal channels, or with one under `channels=1`.
    """

    skipped: Sequence[tuple[str, str]] = ()
    annotations: dict[str, Any] | None = None

    def __init__(self, spec: Spec, size: int | None, channels: int) -> None:
        pad = spec.number("pad", 0, 64) or 0
        images, labels, split = find_files(Path(spec.path), spec.choice("split", tuple(SPLITS)))
        self.name = f"{Path(spec.path).resolve().name}-{split}"
        self.channels = channels
        self._images = parse_idx(read_bounded(images, MAX_BYTES), str(images), 3)
        if images.name.startswith(_TRANSPOSED):
            self._images = self._images.transpose(0, 2, 1)
        count, height, width = self._images.shape
        if count < 1 or height != width or not 1 <= height <= 1024:
            raise InputError(
                f"{images}: expected square images of up to 1024 px, got {count} of "
                f"{width}x{height}"
            )
        self._pad = pad
        self.resolution = size or height + 2 * pad
        self.description = Description(splits=(split,) * count)
        sha = hashlib.sha256(repr(self._images.shape).encode())
        sha.update(self._images.tobytes())
        if labels is not None:
            classes = parse_idx(read_bounded(labels, MAX_BYTES), str(labels), 1)
            if len(classes) != count:
                raise InputError(f"{labels}: has {len(classes)} labels for {count} images")
            sha.update(classes.tobytes())
            number = int(classes.max()) + 1
            table = one_hot(torch.from_numpy(classes.astype(np.int64)), number, str(labels))
            names = tuple(str(value) for value in range(number))
            self.description = Description(table, names, self.description.splits)
        sha.update(f"{channels},{pad},{self.resolution}".encode())
        self.content_hash = sha.hexdigest()

    def __len__(self) -> int:
        return len(self._images)

    def read(self, indices: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Images [B, H, W, channels] under these numbers."""
        return np.stack([self._read_one(i) for i in indices])

    def _read_one(self, index: int) -> npt.NDArray[np.uint8]:
        image = np.pad(self._images[index], self._pad)
        if image.shape[0] != self.resolution:
            side = (self.resolution, self.resolution)
            image = np.array(Image.fromarray(image).resize(side, Image.Resampling.LANCZOS))
        return np.repeat(image[..., None], self.channels, axis=2)
