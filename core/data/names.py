"""Which files of a data set are its images, and which others must not be passed over silently."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from ..errors import InputError, printable
from .decode import EXTENSIONS

LOG = logging.getLogger("ganvas.data")
_SHOWN = 5
# What describes images that it lies beside, or was left there by the system.
_BESIDE = frozenset(
    {".cls", ".csv", ".db", ".htm", ".html", ".idx", ".ini", ".json", ".jsonl", ".log", ".lst"}
    | {".md", ".py", ".rst", ".toml", ".tsv", ".txt", ".xml", ".yaml", ".yml"}
)
_NOTES = frozenset({"LICENSE", "README", "COPYING"})


def is_image(name: str) -> bool:
    """Whether a file is an image of the data set (not hidden, not a segmentation map)."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS and not _is_hidden(name)


def chosen_images(files: Sequence[str], where: str) -> list[str]:
    """The images among the files of a place, in order.

    Other files that a user may take for images of the data set are named in one line of the log.

    Raises:
        InputError: there are such files only.
    """
    images = [name for name in files if is_image(name)]
    others = _passed_over(files)
    if others and not images:
        raise InputError(f"{no_images(where)}; there are only {_listed(others)}")
    if others:
        said = f"{where}: passed over, as no images of a kind read here: {_listed(others)}"
        LOG.warning("%s", printable(said))
    return images


def no_images(where: str) -> InputError:
    """The error of a place without images."""
    return InputError(f"{where}: no images found ({', '.join(sorted(EXTENSIONS))})")


def _is_hidden(name: str) -> bool:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return parts[0] == "segmentation" or any(part.startswith((".", "__MACOSX")) for part in parts)


def _passed_over(files: Sequence[str]) -> list[str]:
    """The files that are neither images nor known to lie beside them."""
    known = EXTENSIONS | _BESIDE
    return [
        name
        for name in files
        if os.path.splitext(name)[1].lower() not in known
        and name.rpartition("/")[2].upper() not in _NOTES
        and not _is_hidden(name)
    ]


def _listed(files: Sequence[str]) -> str:
    """A count of files and the names of a few."""
    more = ", ..." if len(files) > _SHOWN else ""
    noun = "file" if len(files) == 1 else "files"
    return f"{len(files)} {noun} ({', '.join(files[:_SHOWN])}{more})"
