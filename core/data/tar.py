"""Tar files read at random: one walk over the headers gives where each member lies.

Only what data shards need is read: regular files, with ustar, GNU or pax names. No link, device
or sparse file is followed, and nothing is unpacked to the disk.

Source: POSIX.1-2017, pax, "ustar interchange format" and "pax extended header".
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..errors import InputError
from .decode import HEADER_BYTES

BLOCK = 512
MAX_NAME_BYTES = 64 * 1024
MAX_MEMBERS = 20_000_000
_REGULAR = (b"0", b"\0", b"7")
_SKIPPED = (b"1", b"2", b"3", b"4", b"5", b"6", b"g", b"K")
_COMPRESSED = (b"\x1f\x8b", b"BZ", b"\xfd7", b"\x28\xb5")


class Member(NamedTuple):
    """A regular file in a tar file: where its bytes lie, and a checksum of the first ones."""

    name: str
    offset: int
    length: int
    crc: int


def members(path: Path) -> Iterator[Member]:
    """The regular files of a tar file, in order.

    Raises:
        InputError: unreadable, compressed, damaged or cut off.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            yield from _walk(file, size, str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def _walk(file: BinaryIO, size: int, where: str) -> Iterator[Member]:
    place, count = 0, 0
    long_name: str | None = None
    long_size: int | None = None
    while place + BLOCK <= size:
        file.seek(place)
        header = file.read(BLOCK)
        if not header.strip(b"\0"):
            return
        if place == 0 and header[:2] in _COMPRESSED:
            raise InputError(f"{where}: compressed tar files cannot be read at random, unpack them")
        if len(header) != BLOCK or _number(header[148:156], where) != _checksum(header):
            raise InputError(f"{where}: not a tar file, or damaged at byte {place}")
        kind, length = header[156:157], _number(header[124:136], where)
        start = place + BLOCK
        if kind in (b"L", b"x"):
            if length > MAX_NAME_BYTES or start + length > size:
                raise InputError(f"{where}: a name of {length} bytes at byte {place}")
            data = file.read(length)
            if kind == b"L":
                long_name = _text(data.rstrip(b"\0"))
            else:
                long_name, long_size = _pax(data, long_name, where)
        elif kind in _REGULAR:
            length = length if long_size is None else long_size
            if start + length > size:
                raise InputError(f"{where}: cut off, a file at byte {place} ends behind its end")
            count += 1
            if count > MAX_MEMBERS:
                raise InputError(f"{where}: more than {MAX_MEMBERS} files")
            head = file.read(min(length, HEADER_BYTES))
            yield Member(long_name or _name(header), start, length, zlib.crc32(head))
            long_name = long_size = None
        elif kind in _SKIPPED:
            long_name = long_size = None
            length = 0 if kind in (b"1", b"2") else length
        else:
            raise InputError(f"{where}: a member of type {kind!r} at byte {place} is not supported")
        place = start + -(-length // BLOCK) * BLOCK
    raise InputError(f"{where}: cut off, the end of the archive is missing")


def _checksum(header: bytes) -> int:
    return sum(header) - sum(header[148:156]) + 8 * ord(" ")  # its own field counts as blanks


def _number(field: bytes, where: str) -> int:
    """An octal number, or a binary one as GNU tar writes large sizes."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    text = field.strip(b" \0")
    if not text:
        return 0
    if text.strip(b"01234567"):
        raise InputError(f"{where}: not a tar file, or damaged")
    return int(text, 8)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _name(header: bytes) -> str:
    name = _text(header[:100].split(b"\0")[0])
    prefix = _text(header[345:500].split(b"\0")[0]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _pax(data: bytes, name: str | None, where: str) -> tuple[str | None, int | None]:
    """Path and size of the next member among the records `LENGTH KEY=VALUE` of a pax header."""
    size: int | None = None
    while data:
        digits, _, _ = data[:20].partition(b" ")
        if not digits.isdigit() or not len(digits) + 2 < int(digits) <= len(data):
            raise InputError(f"{where}: damaged pax header")
        key, _, value = data[len(digits) + 1 : int(digits) - 1].partition(b"=")
        data = data[int(digits) :]
        if key == b"path":
            name = _text(value)
        elif key == b"size":
            if not value.isdigit() or len(value) > 18:
                raise InputError(f"{where}: damaged pax header")
            size = int(value)
        elif key.startswith(b"GNU.sparse"):
            raise InputError(f"{where}: sparse files are not supported")
    return name, size
