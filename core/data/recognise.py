"""What data set a plain path is: by what lies there."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import InputError
from ..files import kind_of
from .celeba import ATTRIBUTES, IMAGES
from .description import LABEL_FILE
from .ffhq import FOLDERS, TABLE
from .identities import PAIRS
from .names import is_image
from .spec import KINDS, Spec, parse_spec, split_options
from .stores import ZipStore

_EXPECTED = (
    f"expected a path, one of {', '.join(f'{kind}:PATH' for kind in KINDS)}, "
    "or procedural faces like faces:count=20000,size=64,seed=0"
)
_CASIA_FOLDER = re.compile(r"\d{7}")
_OTHER_ARCHIVES = (".7z", ".bz2", ".gz", ".rar", ".tgz", ".xz", ".zst")


def spec_of(name: str | Path) -> Spec:
    """The data set that a name stands for: `KIND:PATH,key=value,...`, or a path as in `recognise`.

    Raises:
        InputError: as `parse_spec` and `recognise`.
    """
    return parse_spec(name) or recognise(name)


def recognise(name: str | Path) -> Spec:
    """The kind of a plain path, by what lies there; `,key=value,...` may follow it.

    Raises:
        InputError: no name, nothing there, something that holds no images, or an option that does
            not go with what was found.
    """
    text = str(name)
    if not text.strip():
        raise InputError(f"data set: {_EXPECTED}, got no name")
    path, options = text, []
    if kind_of(text) == "nothing there":
        path, options = split_options(text)
    spec = _recognised(path)
    if not options:
        return spec
    chosen = "".join(f",{key}={value}" for key, value in options)
    known = parse_spec(f"{spec.kind}:{spec.path}{chosen}")
    assert known is not None
    return known


def _recognised(text: str) -> Spec:
    path = Path(text)
    kind = kind_of(path)
    if kind == "nothing there" and "{" in text and text.endswith(".tar"):
        return Spec("wds", text, {})
    if kind == "nothing there":
        raise InputError(f"{text[:200]}: no such folder or zip archive, {_EXPECTED}")
    if kind == "a folder":
        return _spec_of_folder(text)
    if kind == "a file":
        return Spec(_kind_of_file(path), text, {})
    raise InputError(f"{path}: expected a folder of images or a zip archive, got {kind}")


def _spec_of_folder(text: str) -> Spec:
    """The kind of a folder, or of the only folder in it, as archives unpack to."""
    kind, inside = _kind_of_folder(Path(text))
    while kind == "folder" and inside is not None:
        kind, deeper = _kind_of_folder(inside)
        if kind != "folder":
            return Spec(kind, str(inside), {})
        inside = deeper
    return Spec(kind, text, {})


def _kind_of_folder(path: Path) -> tuple[str, Path | None]:
    """The kind, and the only folder inside where there is nothing else."""
    try:
        entries = {
            entry.name: entry.is_dir() for entry in path.iterdir() if not entry.name.startswith(".")
        }
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    folders = [name for name, is_folder in entries.items() if is_folder]
    files = [name for name, is_folder in entries.items() if not is_folder]
    only = path / folders[0] if len(entries) == 1 and folders else None
    return _kind_by_names(path.name, folders, files), only


def _kind_by_names(name: str, folders: list[str], files: list[str]) -> str:
    """The kind of a folder of this name that holds these folders and files."""
    entries = {*folders, *files}
    if LABEL_FILE in entries:  # prepared here, or in the same form
        return "folder"
    if not {IMAGES, f"{IMAGES}.zip", f"{ATTRIBUTES}.txt"}.isdisjoint(entries):
        return "celeba"
    if name == IMAGES or {"Anno", "Img"} <= entries:
        return "celeba"
    if name in FOLDERS or not {TABLE, *FOLDERS}.isdisjoint(entries):
        return "ffhq"
    pictures = any(map(is_image, files))
    if PAIRS in entries or (name.lower().startswith("lfw") and not pictures):
        return "lfw"
    if "train.rec" in entries or (folders and all(map(_CASIA_FOLDER.fullmatch, folders))):
        return "casia"
    if any("idx3-ubyte" in file for file in files):
        return "idx"
    if any(file.endswith(".tar") for file in files) and not pictures:
        return "wds"
    return "folder"


def _kind_of_file(path: Path) -> str:
    name = path.name.lower()
    if "ubyte" in name:
        return "idx"
    if name.endswith(".tar"):
        return "wds"
    if name.endswith(".rec"):
        return "casia"
    if is_image(name):
        raise InputError(f"{path}: one image, expected a folder of images or a zip archive")
    if name.endswith(_OTHER_ARCHIVES):
        raise InputError(f"{path}: expected a folder or a zip archive; unpack this one first")
    if path.stem in FOLDERS:
        return "ffhq"
    return "celeba" if _holds_celeba(path) else "zip"


def _holds_celeba(path: Path) -> bool:
    """Whether a zip archive holds CelebA's folder of images, by its list of files."""
    archive = ZipStore(path)
    archive.close()
    return path.stem == IMAGES or any(f"/{IMAGES}/" in f"/{name}" for name in archive.names)
