"""Files that appear whole or not at all, and questions about paths that a user named."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import InputError


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path` that replaces it when the block ends well.

    The temporary file has the same suffix as `path` (savers choose their format by it). On success
    it is flushed to the disk and renamed over `path`; on any exception, Ctrl-C included, it is
    removed and an existing `path` keeps its old content. Missing parent folders are created.

    Raises:
        FileNotFoundError: the block ended without an exception but wrote nothing.
        InputError: `path` is a folder, or no file can be made there.
    """
    target = Path(path)
    check_output_file(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.stem[:40]}-", suffix=target.suffix
    )
    os.close(handle)
    temporary = Path(name)
    temporary.unlink()
    try:
        yield temporary
        _flush(temporary)
        os.chmod(temporary, _file_mode(target))
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _flush_folder(target.parent)


def atomic_write(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Write `data` (text as UTF-8, newlines untouched) to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)


def kind_of(path: str | os.PathLike[str]) -> str:
    """What lies at `path`, in words for a message: "a file", "a folder", "nothing there" ..."""
    try:
        mode = os.stat(path).st_mode
    except ValueError:
        return "a name with a null character"
    except OSError as error:
        missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
        return "nothing there" if missing else (error.strerror or str(error)).lower()
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a file" if stat.S_ISREG(mode) else "a device, pipe or socket"


def check_input_file(path: str | os.PathLike[str], expected: str) -> None:
    """Refuse to read anything but a regular file: opening a pipe would wait, a device never ends.

    Raises:
        InputError: saying that `expected` ("a model file") was expected, and what is there.
    """
    kind = kind_of(path)
    if kind != "a file":
        raise InputError(f"{os.fspath(path)}: expected {expected}, got {kind}")


def check_output_file(path: str | os.PathLike[str]) -> None:
    """Refuse a path where no file can be written, before any work is spent on its content.

    Raises:
        InputError: a folder lies there, or its own folder cannot hold it.
    """
    kind = kind_of(path)
    if kind not in ("a file", "nothing there"):
        raise InputError(f"{os.fspath(path)}: expected the name of a file to write, got {kind}")
    check_output_folder(Path(path).parent)


def check_output_folder(path: str | os.PathLike[str]) -> None:
    """Refuse a path that is no folder to write to and cannot become one, before any work is spent.

    Raises:
        InputError: something else lies there, or on the way, or writing is not allowed.
    """
    folder = Path(path)
    kind = kind_of(folder)
    if kind not in ("a folder", "nothing there"):
        raise InputError(f"{folder}: expected a folder to write to, got {kind}")
    for place in (folder, *folder.parents):
        kind = kind_of(place)
        if kind == "nothing there":
            continue
        if kind != "a folder":
            raise InputError(f"{folder}: cannot be made, {place} is {kind}")
        if not os.access(place, os.W_OK | os.X_OK):
            raise InputError(f"{folder}: expected a folder to write to, {place} is not writable")
        return


def _file_mode(target: Path) -> int:
    """Permissions for the new file: those of the file it replaces, else what the umask gives."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0o022)
    os.umask(mask)
    return 0o666 & ~mask


def _flush(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make the rename itself durable; Windows cannot open folders and does not need it."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
