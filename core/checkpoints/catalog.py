"""Lists the models at hand, by what they are."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from ..errors import InputError
from .containers import read_container
from .finding import DEMO_FOLDER, Folders, find_model, model_files
from .model import describe
from .registry import ARCHITECTURES, Architecture

__all__ = [
    "DEMO_FOLDER",
    "architecture_of",
    "find_model",
    "list_models",
    "list_models_for",
]


def list_models(folders: Folders | None = None, arch: str | None = None) -> list[str]:
    """Names of the models at hand, the shipped ones first; `folders` defaults to `model_folders()`.

    With `arch`, only models of that architecture (unreadable files are left out).
    """
    files = model_files(folders)
    return [name for name, file in files.items() if arch is None or _arch(file) == arch]


def list_models_for(archs: Iterable[str], folders: Folders | None = None) -> list[str]:
    """Names of all model files: those of the architectures `archs` first, shipped ones at the top.

    The user's other files stay in the list, so that choosing one says what it is and why it does
    not fit; the package's own, which everybody has, do not.
    """
    wanted = set(archs)
    files = model_files(folders)
    fitting = {name: file for name, file in files.items() if _arch(file) in wanted}
    others = {name: file for name, file in files.items() if file.parent != DEMO_FOLDER}
    return list(fitting | others)


def architecture_of(file: Path) -> Architecture | None:
    """The architecture of a file's first network, weights unread; None where none is known."""
    arch = _arch(file)
    return None if arch is None else ARCHITECTURES[arch]


def _arch(file: Path) -> str | None:
    try:
        state = file.stat()
        return _arch_of(file, state.st_size, state.st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=1024)
def _arch_of(file: Path, size: int, modified: int) -> str | None:
    """The architecture of a file's first network, weights unread; size and time tell changes."""
    try:
        with read_container(file) as container:
            return describe(container, None, {})[1][0].architecture.id
    except InputError:
        return None
