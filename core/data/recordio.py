"""RecordIO files (`train.rec` beside `train.idx`), in which CASIA-WebFace is often spread.

Source: the format notes of Apache MXNet (RecordIO and its image header).
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..errors import InputError
from ..files import check_input_file
from ..ranges import is_number
from .decode import HEADER_BYTES
from .description import Description, numbered
from .identities import with_enough_images
from .sources import Layout
from .spec import Spec
from .stores import MAX_ENTRY_BYTES, Entry
from .tables import MAX_TEXT_BYTES, read_bounded, text_lines

MAGIC = 0xCED7230A
_HEADER = struct.Struct("<IfQQ")  # number of further labels, label, and two ids
_PART = struct.Struct("<II")
_LENGTH = (1 << 29) - 1
_MAX_LABELS = 1024
_MAX_PARTS = 4096
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)


class Record(NamedTuple):
    """Where a record lies, its person, and where in the record the image begins."""

    offset: int
    person: int
    start: int


def parse_index(lines: Sequence[str], size: int, where: str) -> list[tuple[int, int]]:
    """(key, offset) of each record, by key.

    Raises:
        InputError: another content, an offset behind the end, or a key twice.
    """
    found: dict[int, int] = {}
    for number, line in enumerate(lines, 1):
        cells = line.split()
        good = len(cells) == 2 and all(is_number(cell, 15) for cell in cells)
        if not good or int(cells[1]) >= size or int(cells[0]) in found:
            raise InputError(f"{where}: line {number}: expected a key and an offset below {size}")
        found[int(cells[0])] = int(cells[1])
    return sorted(found.items())


def read_record(file: BinaryIO, offset: int, limit: int, where: str) -> tuple[bytes, int]:
    """The record at an offset, or its first `limit` bytes, and the length of the parts it took.

    A record that holds the magic number itself is stored in parts, without it.

    Raises:
        InputError: damaged, cut off, or larger than `MAX_ENTRY_BYTES`.
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(offset)
    parts: list[bytes] = []
    total = 0
    for number in range(_MAX_PARTS):
        head = file.read(_PART.size)
        if len(head) != _PART.size:
            raise InputError(f"{where}: cut off at byte {offset}")
        magic, word = _PART.unpack(head)
        kind, length = word >> 29, word & _LENGTH
        expected = (_WHOLE, _FIRST) if number == 0 else (_MIDDLE, _LAST)
        total += length
        if magic != MAGIC or kind not in expected or total > MAX_ENTRY_BYTES:
            raise InputError(f"{where}: no record at byte {offset}")
        if file.tell() + length > size:
            raise InputError(f"{where}: cut off at byte {offset}")
        parts.append(file.read(min(length, limit)))
        if kind in (_WHOLE, _LAST) or total >= limit:
            return struct.pack("<I", MAGIC).join(parts), total
        file.seek(-length % 4, 1)
    raise InputError(f"{where}: a record of more than {_MAX_PARTS} parts at byte {offset}")


def parse_header(data: bytes, where: str) -> tuple[int, int]:
    """The person's number, and where the image begins.

    Raises:
        InputError: too short, or a label that is no whole number.
    """
    if len(data) < _HEADER.size:
        raise InputError(f"{where}: a record without its header")
    more, label, _, _ = _HEADER.unpack_from(data)
    if more > _MAX_LABELS or len(data) < _HEADER.size + 4 * more:
        raise InputError(f"{where}: a record that declares {more} labels")
    if more:
        (label,) = struct.unpack_from("<f", data, _HEADER.size)
    if not 0 <= label < 2**24 or label != int(label):
        raise InputError(f"{where}: expected a person's number, got {label}")
    return int(label), _HEADER.size + 4 * more


class RecordStore:
    """The images of a RecordIO file, under their keys as names.

    Attributes:
        persons: the person's number of each image.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.where = str(path)
        self.name = path.stem
        check_input_file(path, "a RecordIO file (.rec)")
        index = path.with_suffix(".idx")
        lines = text_lines(read_bounded(index, MAX_TEXT_BYTES), str(index))
        self._records: dict[str, Record] = {}
        try:
            with path.open("rb") as file:
                for key, offset in parse_index(lines, path.stat().st_size, str(index)):
                    head, _ = read_record(file, offset, _HEADER.size + 4 * _MAX_LABELS, self.where)
                    person, start = parse_header(head, self.where)
                    if len(head) > start:  # others only count the images
                        self._records[str(key)] = Record(offset, person, start)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
        self.names: Sequence[str] = list(self._records)
        self.persons = [record.person for record in self._records.values()]

    def entry(self, name: str) -> Entry:
        """First bytes of an image, their checksum, and the length of its record."""
        start = self._records[name].start
        data, length = self._record(name, start + HEADER_BYTES)
        return Entry(data[start:], length - start, zlib.crc32(data[start:]))

    def read(self, name: str, limit: int = MAX_ENTRY_BYTES) -> bytes:
        """A whole image file."""
        data, _ = self._record(name, MAX_ENTRY_BYTES)
        image = data[self._records[name].start :]
        if len(image) > limit:
            raise InputError(f"{self.path}:{name}: larger than {limit} bytes")
        return image

    def _record(self, name: str, limit: int) -> tuple[bytes, int]:
        try:
            with self.path.open("rb") as file:
                return read_record(file, self._records[name].offset, limit, self.where)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error.strerror or error})") from error


def records_layout(store: RecordStore, spec: Spec) -> Layout:
    """The images by person.

    Raises:
        InputError: nobody with `min_images` images.
    """
    known = Description()
    if store.persons:
        numbers, persons = numbered(store.persons)
        known = replace(known, identities=numbers, identity_names=persons)
    names, known, choices = with_enough_images(store.names, known, spec)
    return Layout(store, names, known, crop=spec.crop() or "none", resized=True, choices=choices)
