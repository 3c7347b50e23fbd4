"""Files that nodes may read and write: inside the host's folders, or what the user named."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..core.checkpoints import file_hash
from ..core.errors import InputError
from ..core.images import SUFFIXES
from .context import Host
from .interface import Fingerprint

FOLDERS = ("input", "output", "temp")
"""Names that references to files have for the host's folders."""

_FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f\x7f-\x9f]')


def list_images(host: Host) -> list[str]:
    """Return the images that LoadImage can read: the input folder's, then files the user named."""
    suffixes = {suffix for endings in SUFFIXES.values() for suffix in endings}
    names = sorted(
        path.name for path in _entries(host.input_dir) if path.suffix.lower() in suffixes
    )
    return names + sorted(set(host.files) - set(names))


def host_folder(host: Host, kind: str) -> Path:
    """Return the folder that references to files call "input", "output" or "temp".

    Raises:
        InputError: Another kind.
    """
    if kind not in FOLDERS:
        raise InputError(f"type: expected input, output or temp, got {kind[:40]!r}")
    return {"input": host.input_dir, "output": host.output_dir, "temp": host.temp_dir}[kind]


def split_reference(name: str, kind: str) -> tuple[str, str]:
    """Split "photo.png [output]" into a file's name and its folder, `kind` where none is named."""
    match = re.fullmatch(rf"(.*?) ?\[({'|'.join(FOLDERS)})\]", name, re.DOTALL)
    return (match.group(1), match.group(2)) if match else (name, kind)


def input_file(host: Host, name: str) -> Path:
    """Return the file that a workflow names, which may end in " [input]", "[output]" or "[temp]".

    Raises:
        InputError: No such file, or one outside the host's folders.
    """
    if name in host.files:
        return host.files[name]
    name, kind = split_reference(name, "input")
    folder = host_folder(host, kind)
    if not name.strip():
        raise InputError("expected the name of an image, got an empty name")
    path = inside(folder, name)
    if path is None:
        raise InputError(f"{name[:100]!r} lies outside the folder {folder}")
    if not is_file(path):
        raise InputError(f"no image {name[:100]!r} in the folder {folder}")
    return path


def content_hash(widget: str, find: Callable[[Host, str], Path]) -> Fingerprint:
    """Return the hook that hashes the file a widget names, so that a changed one is read again.

    Args:
        widget: The input; nothing is hashed where a link brings the name.
        find: Returns the file of a name, or raises InputError.
    """

    def fingerprint(host: Host, values: Mapping[str, Any]) -> str:
        name = values.get(widget)
        return file_hash(find(host, name)) if isinstance(name, str) else ""

    return fingerprint


def output_name(folder: Path, prefix: str) -> tuple[Path, str]:
    """Return the folder and the stem that images saved under `prefix` get.

    Args:
        folder: The output folder, which nothing leaves.
        prefix: A name, or "subfolder/name".

    Raises:
        InputError: The prefix is empty, leaves the folder, or has characters that no file may have.
    """
    parts = prefix.replace("\\", "/").split("/")
    if (
        any(part in ("", ".", "..") for part in parts)
        or _FORBIDDEN.search(prefix)
        or len(parts[-1].encode("utf-8", "replace")) > 200
    ):
        raise InputError(
            f"expected a file name such as 'ganvas' or 'faces/ganvas', got {prefix[:100]!r}"
        )
    target = inside(folder, "/".join(parts))
    if target is None:
        raise InputError(f"{prefix[:100]!r} lies outside the output folder")
    return target.parent, target.name


def next_number(folder: Path, stem: str) -> int:
    """Return the first number that no file `<stem>_<number>_...` of the folder has reached."""
    pattern = re.compile(re.escape(stem) + r"_(\d{1,9})_.*")
    matches = (pattern.fullmatch(path.name) for path in _entries(folder))
    return max((int(match.group(1)) for match in matches if match), default=0) + 1


def inside(folder: Path, name: str) -> Path | None:
    """Return `folder/name` with links resolved, or None when that lies elsewhere."""
    try:
        root = folder.resolve()
        path = (root / name.replace("\\", "/")).resolve()
    except (OSError, ValueError, RuntimeError):
        return None
    return path if path.is_relative_to(root) and path != root else None


def _entries(folder: Path) -> list[Path]:
    """Return the files of a folder; none when there is no such folder."""
    return [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []


def is_file(path: Path) -> bool:
    """Whether there is such a file; names that the system refuses are no files."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
