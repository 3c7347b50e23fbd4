"""Finds models by name: those shipped with the package first, then the user's folders."""

import os
from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from ..errors import InputError
from ..files import kind_of
from .containers import read_container
from .model import describe
from .registry import ARCHITECTURES, Architecture

DEMO_FOLDER = Path(__file__).resolve().parent.parent / "demo_models"
SUFFIX = ".safetensors"
SUFFIXES = (SUFFIX, ".pkl", ".pt", ".pth", ".ckpt")


def model_folders() -> list[Path]:
    """The user's model folders: those in $GANVAS_MODELS (separated as in $PATH), then ./models."""
    listed = os.environ.get("GANVAS_MODELS", "").split(os.pathsep)
    return [Path(folder).expanduser() for folder in listed if folder] + [Path("models")]


def list_models(
    folders: Iterable[str | os.PathLike[str]] | None = None, arch: str | None = None
) -> list[str]:
    """Names of the models at hand, the shipped ones first; `folders` defaults to `model_folders()`.

    A name is the path below its folder, with "/" and the suffix. With `arch`, only models of that
    architecture (unreadable files are left out).
    """
    names: dict[str, None] = {}
    for folder in _all(folders):
        if not folder.is_dir():
            continue
        for file in sorted(folder.rglob("*")):
            name = file.relative_to(folder).as_posix()
            if name in names or file.suffix not in SUFFIXES or not file.is_file():
                continue
            if arch is None or _arch(file) == arch:
                names[name] = None
    return list(names)


def list_models_for(
    archs: Iterable[str], folders: Iterable[str | os.PathLike[str]] | None = None
) -> list[str]:
    """Names of all model files: those of the architectures `archs` first, shipped ones at the top.

    The others stay in the list, so that choosing one says what it is and why it does not fit.
    """
    wanted = set(archs)
    names = list_models(folders)
    places = _all(folders)
    fitting = [name for name in names if _arch(_file_of(name, places)) in wanted]
    return fitting + [name for name in names if name not in set(fitting)]


def architecture_of(file: Path) -> Architecture | None:
    """The architecture of a file's first network, weights unread; None where none is known."""
    arch = _arch(file)
    return None if arch is None else ARCHITECTURES[arch]


def find_model(name: str, folders: Iterable[str | os.PathLike[str]] | None = None) -> Path:
    """Return the file of the model `name`; the suffix of a safetensors file may be left out.

    Only files below the folders are reachable: a name comes from a workflow that anyone may have
    written.

    Raises:
        InputError: no such model; the message gives the nearest names.
    """
    places = _all(folders)
    wanted = name if name.endswith(SUFFIXES) else name + SUFFIX
    parts = wanted.replace("\\", "/").split("/")
    if ".." in parts or parts[0] == "" or ":" in parts[0] or "\0" in wanted:
        raise InputError(f"model {name!r} must be a name inside the model folders")
    for folder in places:
        file = folder.joinpath(*parts)
        if file.is_file():
            return file
    known = list_models(places[1:])
    near = get_close_matches(wanted, known, n=3, cutoff=0.4) or known[:5]
    hint = f"at hand: {', '.join(near)}" if near else "no models are at hand"
    raise InputError(f"model {name!r} was not found ({hint})")


def resolve_model(name_or_path: str) -> Path:
    """A model for the command line: an existing file, else a name for `find_model`.

    Raises:
        InputError: neither.
    """
    file = Path(name_or_path)
    if file.is_file() or len(file.parts) > 1 or file.is_absolute():
        return file  # a path that does not exist is named as such by whoever opens it
    try:
        return find_model(name_or_path)
    except InputError:
        kind = kind_of(file)
        if not name_or_path or kind == "nothing there":
            raise
        raise InputError(
            f"{name_or_path}: expected a model file or the name of a model, got {kind}"
        ) from None


def _all(folders: Iterable[str | os.PathLike[str]] | None) -> list[Path]:
    chosen = model_folders() if folders is None else [Path(folder) for folder in folders]
    return [DEMO_FOLDER, *chosen]


def _file_of(name: str, places: Iterable[Path]) -> Path:
    """The file that `list_models` names so."""
    files = (folder.joinpath(*name.split("/")) for folder in places)
    return next(file for file in files if file.is_file())


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
