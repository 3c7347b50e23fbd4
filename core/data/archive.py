"""Writing training data, as a zip archive or a folder, whose bytes depend on its content alone."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError
from ..files import atomic_path, check_output_folder, kind_of

_OTHER_ARCHIVES = frozenset({".7z", ".gz", ".rar", ".tar", ".tgz"})

Store = Callable[[str, bytes], None]


def store_entry(archive: zipfile.ZipFile, name: str, data: bytes | str) -> None:
    """Add an entry without compression, date or owner, so that equal content is equal bytes."""
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)


def image_name(number: int) -> str:
    """Path of an image inside an archive, a thousand to a folder."""
    return f"{number // 1000:05d}/img{number:08d}.png"


def check_destination(path: Path) -> None:
    """Refuse a place where no training data can be written, before any work is spent on them.

    Raises:
        InputError: a folder that is not empty, the name of another kind of archive, or a place
            that is not writable.
    """
    if path.suffix.lower() == ".zip":
        check_output_folder(path.parent)
        if kind_of(path) not in ("a file", "nothing there"):
            raise InputError(f"{path}: expected the name of an archive, got {kind_of(path)}")
        return
    if path.suffix.lower() in _OTHER_ARCHIVES:
        raise InputError(f"{path}: expected the name of a .zip archive or of a folder to write")
    check_output_folder(path)
    if kind_of(path) == "a folder" and next(path.iterdir(), None) is not None:
        raise InputError(f"{path}: expected a new or empty folder to write to, this one has files")


@contextmanager
def training_data(path: Path) -> Iterator[Store]:
    """Give a function that stores files by name; they appear whole or not at all.

    On any exception, Ctrl-C included, nothing remains, and an existing archive keeps its content.

    Raises:
        InputError: see `check_destination`.
    """
    check_destination(path)
    if path.suffix.lower() == ".zip":
        with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            yield lambda name, data: store_entry(archive, name, data)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name[:40]}-"))

    def store(name: str, data: bytes) -> None:
        target = temporary / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    try:
        yield store
        mask = os.umask(0o022)
        os.umask(mask)
        temporary.chmod(0o777 & ~mask)
        if path.exists():
            path.rmdir()
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
