"""CelebA: aligned images (folder or zip) beside the text files that describe them.

Source: Liu et al. 2015, "Deep learning face attributes in the wild".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

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
    """Rows of numbers under file stems, and the names of the columns where the file has them."""

    columns: tuple[str, ...] | None
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
    return Table(None, {_stem(name): row for row, name in enumerate(names)}, values)


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
    known = Description()
    # Copies of another size were cut in ways unknown here: their landmarks are not known either.
    aligned_size = first_size(store, names) in (CELEBA_SIZE, None)

    lines = texts.lines(f"{ATTRIBUTES}.txt", f"{ATTRIBUTES}.csv")
    if lines is None and spec.options.get("attr", "none") != "none":
        raise InputError(f"{spec}: attr needs the file {ATTRIBUTES}.txt")
    if lines is not None:
        table = parse_headed(lines, ATTRIBUTES)
        assert table.columns is not None
        places = chosen_attributes(spec.options.get("attr"), table.columns, str(spec))
        values = table.of(files, ATTRIBUTES)[:, places]
        if not np.isin(values, (-1, 0, 1)).all():
            raise InputError(f"{ATTRIBUTES}: expected attributes of -1 and 1")
        if places:
            known = replace(
                known,
                labels=torch.from_numpy((values > 0).astype(np.float32)),
                label_names=tuple(table.columns[place] for place in places),
            )

    lines = texts.lines(f"{IDENTITIES}.txt")
    if lines is not None:
        persons = parse_single(lines, IDENTITIES).of(files, IDENTITIES)[:, 0]
        numbers, people = numbered([int(person) for person in persons])
        known = replace(known, identities=numbers, identity_names=people)

    lines = texts.lines(f"{LANDMARKS}.txt", f"{LANDMARKS}.csv")
    if lines is not None and aligned_size:
        table = parse_headed(lines, LANDMARKS)
        if table.values.shape[1] != 2 * len(PLACES):
            raise InputError(f"{LANDMARKS}: expected {2 * len(PLACES)} columns")
        points = table.of(files, LANDMARKS).reshape(-1, len(PLACES), 2)
        known = replace(known, landmarks=torch.from_numpy(points), landmark_names=PLACES)

    lines = texts.lines(f"{PARTITION}.txt", f"{PARTITION}.csv")
    if lines is not None:
        parts = parse_single(lines, PARTITION).of(files, PARTITION)[:, 0]
        if not np.isin(parts, (0, 1, 2)).all():
            raise InputError(f"{PARTITION}: expected parts 0, 1 and 2")
        known = replace(known, splits=tuple(SPLITS[int(part)] for part in parts))
    layout = Layout(
        store,
        names,
        known,
        crop=spec.crop() or ("celeba" if aligned_size else "none"),
        resized=True,
        rows=texts.rows,
    )
    return with_split(layout, spec, (*SPLITS, "all"), f"{PARTITION}.txt")
