"""Places that hold named files: a folder, or a zip archive."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ..errors import InputError
from ..files import check_input_file
from .decode import HEADER_BYTES

MAX_ENTRY_BYTES = 256 * 1024 * 1024
MAX_RATIO = 1100  # deflate reaches 1032:1 at most; more is not an honest archive
_ZIP_HEAD = 1024  # the archive's directory has the checksums, so the head serves for sizes only
_ZIP_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)  # what the standard library raises on damaged archives


class Entry(NamedTuple):
    """What is known of a file before it is read: its first bytes, its length and a checksum."""

    head: bytes
    length: int
    crc: int


class Store(Protocol):
    """Named files that may be read at random, from any thread or process.

    Attributes:
        name: short name of the whole.
        where: what errors call it.
        names: all regular files in order.
    """

    name: str
    where: str
    names: Sequence[str]

    def entry(self, name: str) -> Entry:
        """First bytes, length and checksum of a file."""
        ...

    def read(self, name: str, limit: int = MAX_ENTRY_BYTES) -> bytes:
        """A whole file; InputError where it has more than `limit` bytes."""
        ...


class FolderStore:
    """Files under a folder and its subfolders, in the order of their paths.

    Links to folders are followed, except back to where they came from.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = root.resolve().name
        self.where = str(root)
        self.names: Sequence[str] = sorted(_files_under(os.path.join(root, "")))

    def entry(self, name: str) -> Entry:
        """First bytes, length, and the checksum of the first bytes."""
        path = os.path.join(self.root, name)
        check_input_file(path, "an image file")
        try:
            with open(path, "rb", buffering=0) as file:
                length = os.fstat(file.fileno()).st_size
                head = file.read(HEADER_BYTES) or b""
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
        return Entry(head, length, zlib.crc32(head))

    def read(self, name: str, limit: int = MAX_ENTRY_BYTES) -> bytes:
        """A whole file."""
        path = os.path.join(self.root, name)
        check_input_file(path, "a regular file")
        try:
            with open(path, "rb", buffering=0) as file:
                if os.fstat(file.fileno()).st_size > limit:
                    raise InputError(f"{path}: larger than {limit} bytes")
                return file.read() or b""
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def _files_under(top: str) -> Iterator[str]:
    """Paths below a folder, with slashes."""
    start = len(top.rstrip(os.sep)) + 1
    walk = os.walk(top, onerror=_unreadable, followlinks=True)
    for folder, folders, files in walk:
        for file in files:
            yield os.path.join(folder[start:], file).replace(os.sep, "/")
        passed = list(accumulate(folder[start:].split(os.sep), os.path.join, initial=top))
        folders[:] = [
            name for name in folders if not _leads_back(os.path.join(folder, name), passed)
        ]


def _leads_back(path: str, passed: Sequence[str]) -> bool:
    """Whether a path is a link to one of the folders passed on the way to it, or around one."""
    if not os.path.islink(path):
        return False
    target = os.path.join(os.path.realpath(path), "")
    return any(os.path.join(os.path.realpath(folder), "").startswith(target) for folder in passed)


def _unreadable(error: OSError) -> None:
    """A subfolder that cannot be listed must not shrink the data set in silence."""
    raise InputError(f"{error.filename}: cannot be read ({error.strerror or error})") from error


class ZipStore:
    """Files in a zip archive, in the order of their paths.

    The archive is opened once in each process, so that the store may be handed to workers.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.stem
        self.where = str(path)
        self._archive: zipfile.ZipFile | None = None
        self._process = -1
        names = ((entry.filename, entry) for entry in self._zip().infolist())
        self._entries = {name: entry for name, entry in names if name and not name.endswith("/")}
        self.names: Sequence[str] = sorted(self._entries)

    def _zip(self) -> zipfile.ZipFile:
        """This process's own handle of the archive."""
        if self._archive is None or self._process != os.getpid():
            try:
                self._archive = zipfile.ZipFile(self.path)
            except _ZIP_ERRORS as error:
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

    def _checked(self, name: str, limit: int) -> zipfile.ZipInfo:
        """An entry that does not declare absurd sizes, known before anything is unpacked."""
        entry = self._entries[name]
        where = f"{self.path}:{name}"
        if entry.file_size > limit:
            raise InputError(f"{where}: declares {entry.file_size} bytes, more than {limit}")
        if entry.file_size > MAX_RATIO * max(1, entry.compress_size):
            raise InputError(f"{where}: declares an impossible compression ratio")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(
                f"{where}: compressed by method {entry.compress_type}, expected deflate"
            )
        if entry.flag_bits & 1:
            raise InputError(f"{where}: encrypted archives are not supported")
        return entry

    def _bytes(self, entry: zipfile.ZipInfo, count: int) -> bytes:
        """The entry's first bytes; all of them are checked against its CRC."""
        where = f"{self.path}:{entry.filename}"
        try:
            with self._zip().open(entry) as file:
                return file.read(count)
        except _ZIP_ERRORS as error:
            raise InputError(f"{where}: cannot be unpacked ({error})") from error

    def entry(self, name: str) -> Entry:
        """First bytes, and length and checksum of the whole file from the archive's directory."""
        entry = self._checked(name, MAX_ENTRY_BYTES)
        return Entry(self._bytes(entry, _ZIP_HEAD), entry.file_size, entry.CRC)

    def read(self, name: str, limit: int = MAX_ENTRY_BYTES) -> bytes:
        """A whole file, checked against its checksum."""
        entry = self._checked(name, limit)
        return self._bytes(entry, entry.file_size)
