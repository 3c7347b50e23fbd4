"""Files that nodes may read and write: inside the host's folders, or what the user named."""

from __future__ import annotations

import re
from pathlib import Path

from ..core.errors import InputError
from .context import Host

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm")
_FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f\x7f-\x9f]')


def list_images(host: Host) -> list[str]:
    """Return the images that LoadImage can read: the input folder's, then files the user named."""
    names = sorted(
        path.name for path in _entries(host.input_dir) if path.suffix.lower() in IMAGE_SUFFIXES
    )
    return names + sorted(set(host.files) - set(names))


def input_file(host: Host, name: str) -> Path:
    """Return the file that a workflow names, which may end in " [input]", "[output]" or "[temp]".

    Raises:
        InputError: No such file, or one outside the host's folders.
    """
    if name in host.files:
        return host.files[name]
    folder = host.input_dir
    match = re.fullmatch(r"(.*?) ?\[(input|output|temp)\]", name, re.DOTALL)
    if match:
        name = match.group(1)
        folder = {"input": host.input_dir, "output": host.output_dir, "temp": host.temp_dir}[
            match.group(2)
        ]
    if not name.strip():
        raise InputError("expected the name of an image, got an empty name")
    path = inside(folder, name)
    if path is None:
        raise InputError(f"{name[:100]!r} lies outside the folder {folder}")
    if not _is_file(path):
        raise InputError(f"no image {name[:100]!r} in the folder {folder}")
    return path


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


def _is_file(path: Path) -> bool:
    """Whether there is such a file; names that the system refuses are no files."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
