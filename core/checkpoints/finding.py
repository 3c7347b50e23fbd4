"""Which file a model's name means: those shipped with the package first, then in user's folders."""

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from ..errors import InputError
from ..files import kind_of

DEMO_FOLDER = Path(__file__).resolve().parent.parent / "demo_models"
SUFFIX = ".safetensors"
SUFFIXES = (SUFFIX, ".pkl", ".pt", ".pth", ".ckpt")

Folders = Iterable[str | os.PathLike[str]]


def model_folders() -> list[Path]:
    """The user's model folders: those in $GANVAS_MODELS (separated as in $PATH), then ./models."""
    listed = os.environ.get("GANVAS_MODELS", "").split(os.pathsep)
    return [Path(folder).expanduser() for folder in listed if folder] + [Path("models")]


def model_files(folders: Folders | None = None) -> dict[str, Path]:
    """All model files by name, the shipped ones first; `folders` defaults to `model_folders()`.

    A name is the path below its folder, with "/" and the suffix. The first folder's file counts.
    """
    files: dict[str, Path] = {}
    for folder in _all(folders):
        if folder.is_dir():
            for file in sorted(folder.rglob("*")):
                if file.suffix in SUFFIXES and file.is_file():
                    files.setdefault(file.relative_to(folder).as_posix(), file)
    return files


def find_model(name: str, folders: Folders | None = None) -> Path:
    """Return the file of the model `name`; the suffix of a safetensors file may be left out.

    Only files below the folders are reachable: a name comes from a workflow that anyone may have
    written. A shipped model is also found by its words in another order, such as its preset's name.

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
    for shipped in model_files(()).values():
        if _words(shipped.name) == _words(wanted):
            return shipped
    raise InputError(f"model {name!r} was not found{_hint(wanted, list(model_files(folders)))}")


def resolve_model(name_or_path: str | os.PathLike[str]) -> Path:
    """The file that anyone's text means: an existing file, else a name for `find_model`.

    Raises:
        InputError: neither.
    """
    file = Path(name_or_path)
    text = os.fspath(name_or_path)
    kind = kind_of(file)
    named = isinstance(name_or_path, str) and text[:1] not in (".", "/", os.sep)
    if kind == "a file" or not named or file.is_absolute():
        return file  # a path that does not exist is named as such by whoever opens it
    try:
        return find_model(text)
    except InputError:
        if len(file.parts) > 1:
            return file
        if not text or kind == "nothing there":
            raise
        raise InputError(
            f"{text}: expected a model file or the name of a model, got {kind}"
        ) from None


def _all(folders: Folders | None) -> list[Path]:
    chosen = model_folders() if folders is None else [Path(folder) for folder in folders]
    return [DEMO_FOLDER, *chosen]


def _hint(wanted: str, known: list[str]) -> str:
    """The end of the sentence that a model was not found."""
    if not known:
        return "; no models are at hand"
    known = [name.removesuffix(SUFFIX) for name in known]
    by_words = {_words(name): name for name in known}
    near = get_close_matches(wanted.removesuffix(SUFFIX), known, n=3, cutoff=0.6)
    near += [by_words[words] for words in get_close_matches(_words(wanted), by_words, n=1)]
    if near:
        return f"; did you mean {' or '.join(dict.fromkeys(near))}?"
    listed = ", ".join(known[:5])
    return f" (at hand: {listed}{', ...' if len(known) > 5 else ''})"


def _words(name: str) -> str:
    """A name's words in alphabetical order."""
    return " ".join(sorted(re.split(r"[^a-z0-9]+", name.removesuffix(SUFFIX).lower())))
