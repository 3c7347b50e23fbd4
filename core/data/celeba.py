"""CelebA: aligned images (folder or zip) beside the text files that describe them.

Source: Liu et al. 2015, "Deep learning face attributes in the wild".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import InputError
from ..ranges import is_number
from .attributes import chosen_attributes
from .description import Description, numbered
from .geometry import CELEBA_SIZE
from .names import chosen_images
from .sources import Layout, first_size
from .spec import Spec
from .splits import with_split
from .stores import Store
from .tables import Texts, named_numbers

ATTRIBUTES = "list_attr_celeba"
IDENTITIES = "identity_CelebA"
LANDMARKS = "list_landmarks_align_celeba"
PARTITION = "list_eval_partition"
IMAGES = "img_align_celeba"
SPLITS = ("train", "val", "test")
PLACES = ("left_eye", "right_eye", "nose_tip", "mouth_left", "mouth_right")


def _stem(name: str) -> str:
    """A file's name without its ending: the images are spread as JPEG and as PNG files."""
    return name.rpartition(".")[0] or name


class Table(NamedTuple):
    """Rows of numbers under file stems, and the names of the columns that the file names."""

    columns: tuple[str, ...]
    rows: dict[str, int]
    values: npt.NDArray[np.float32]

    def of(self, names: Sequence[str], where: str) -> npt.NDArray[np.float32]:
        """The rows of these images."""
        missing = [name for name in names if _stem(name) not in self.rows]
        if missing:
            raise InputError(
                f"{where}: no row for {len(missing)} of {len(names)} images, first {missing[0]}"
            )
        return self.values[[self.rows[_stem(name)] for name in names]]


def parse_headed(lines: list[str], where: str) -> Table:
    """A file of a count, a line of column names and one row of numbers for each image.

    The comma-separated spelling has no count, and a name for its first column too.

    Raises:
        InputError: a wrong count, or ragged or unreadable rows.
    """
    if lines and "," in lines[0]:
        columns = tuple(cell.strip() for cell in lines[0].split(","))[1:]
        start, count = 1, len(lines) - 1
    elif len(lines) >= 2 and is_number(lines[0].strip()):
        columns, start, count = tuple(lines[1].split()), 2, int(lines[0])
    else:
        raise InputError(f"{where}: expected a count and a line of column names first")
    names, values = named_numbers(lines[start:], len(columns), where, start + 1)
    if len(names) != count:
        raise InputError(f"{where}: announces {count} rows, has {len(names)}")
    if len(set(columns)) != len(columns):
        raise InputError(f"{where}: a column is named twice")
    return Table(columns, {_stem(name): row for row, name in enumerate(names)}, values)


def parse_single(lines: list[str], where: str) -> Table:
    """A file of an image name and one whole number in each line; a line of headings may precede.

    Raises:
        InputError: another content.
    """
    last = lines[0].rpartition(",")[2].strip() if lines else ""
    headed = bool(lines) and "," in lines[0] and not is_number(last, 20)
    names, values = named_numbers(lines[int(headed) :], 1, where, 1 + int(headed))
    if (values != np.floor(values)).any() or (np.abs(values) >= 2**24).any():
        raise InputError(f"{where}: expected whole numbers")
    return Table((), {_stem(name): row for row, name in enumerate(names)}, values)


def celeba_layout(store: Store, spec: Spec, folder: Path) -> Layout:
    """The images of CelebA, by default the middle 148 pixels of each, with what is known of them.

    Labels are the attributes as 0 and 1.

    Raises:
        InputError: damaged text files, or a split or attributes without the file they need.
    """
    names = chosen_images(store.names, store.where)
    aligned = [name for name in names if f"{IMAGES}/" in f"/{name}"]
    names = aligned or names
    files = [name.rpartition("/")[2] for name in names]
    if len(set(files)) != len(files):
        raise InputError(f"{store.where}: two images have one file name, expected one CelebA")
    while folder.name == IMAGES:  # the texts lie around it
        folder = folder.parent
    texts = Texts(store, folder)
    # Copies of another size were cut in ways unknown here: their landmarks are not known either.
    aligned_size = first_size(store, names) in (CELEBA_SIZE, None)
    labels, label_names = _attributes(texts, files, spec)
    identities, identity_names = _identities(texts, files)
    landmarks = _landmarks(texts, files) if aligned_size else None
    known = Description(
        labels,
        label_names,
        _splits(texts, files),
        identities,
        identity_names,
        landmarks,
        None if landmarks is None else PLACES,
    )
    layout = Layout(
        store,
        names,
        known,
        crop=spec.crop() or ("celeba" if aligned_size else "none"),
        resized=True,
        rows=texts.rows,
    )
    return with_split(layout, spec, (*SPLITS, "all"), f"{PARTITION}.txt")


def _attributes(
    texts: Texts, files: Sequence[str], spec: Spec
) -> tuple[Tensor | None, tuple[str, ...] | None]:
    """The chosen attributes of these files as 0 and 1, float32 [N, K], and their names."""
    lines = texts.lines(f"{ATTRIBUTES}.txt", f"{ATTRIBUTES}.csv")
    if lines is None:
        if spec.options.get("attr", "none") != "none":
            raise InputError(f"{spec}: attr needs the file {ATTRIBUTES}.txt")
        return None, None
    table = parse_headed(lines, ATTRIBUTES)
    places = chosen_attributes(spec.options.get("attr"), table.columns, str(spec))
    values = table.of(files, ATTRIBUTES)[:, places]
    if not np.isin(values, (-1, 0, 1)).all():
        raise InputError(f"{ATTRIBUTES}: expected attributes of -1 and 1")
    if not places:
        return None, None
    labels = torch.from_numpy((values > 0).astype(np.float32))
    return labels, tuple(table.columns[place] for place in places)


def _identities(texts: Texts, files: Sequence[str]) -> tuple[Tensor | None, tuple[str, ...] | None]:
    """The persons' numbers of these files, int64 [N], and their names."""
    lines = texts.lines(f"{IDENTITIES}.txt")
    if lines is None:
        return None, None
    persons = parse_single(lines, IDENTITIES).of(files, IDENTITIES)[:, 0]
    return numbered([int(person) for person in persons])


def _landmarks(texts: Texts, files: Sequence[str]) -> Tensor | None:
    """The landmarks of these files, float32 [N, 5, 2] in pixels of the aligned images."""
    lines = texts.lines(f"{LANDMARKS}.txt", f"{LANDMARKS}.csv")
    if lines is None:
        return None
    table = parse_headed(lines, LANDMARKS)
    if table.values.shape[1] != 2 * len(PLACES):
        raise InputError(f"{LANDMARKS}: expected {2 * len(PLACES)} columns")
    return torch.from_numpy(table.of(files, LANDMARKS).reshape(-1, len(PLACES), 2))


def _splits(texts: Texts, files: Sequence[str]) -> tuple[str, ...] | None:
    """The parts that these files belong to."""
    lines = texts.lines(f"{PARTITION}.txt", f"{PARTITION}.csv")
    if lines is None:
        return None
    parts = parse_single(lines, PARTITION).of(files, PARTITION)[:, 0]
    if not np.isin(parts, (0, 1, 2)).all():
        raise InputError(f"{PARTITION}: expected parts 0, 1 and 2")
    return tuple(SPLITS[int(part)] for part in parts)
