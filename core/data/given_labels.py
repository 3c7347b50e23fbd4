"""Labels that a user gives in a file beside the images: CSV or JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import InputError
from .description import MAX_NUMBER, MAX_ONE_HOT, describe, one_hot, parse_object
from .tables import MAX_TEXT_BYTES, read_bounded, text_lines

_MAX_COLUMNS = 65536


class GivenLabels(NamedTuple):
    """A class number or a list of numbers under each file name, and the columns' names.

    For class numbers the names are those of the classes.
    """

    values: Mapping[str, int | list[float]]
    names: tuple[str, ...] | None

    def of(self, images: Sequence[str], where: str) -> Tensor:
        """Labels float32 [N, K] of these images, found by their path or by their bare name.

        Raises:
            InputError: an image without a label, or too many classes.
        """
        rows: list[Any] = []
        for image in images:
            value = self.values.get(image, self.values.get(PurePosixPath(image).name))
            if value is None:
                raise InputError(f"{where}: no label for {image}")
            rows.append(value)
        if not isinstance(rows[0], int):
            return torch.tensor(rows, dtype=torch.float32)
        count = len(self.names) if self.names is not None else 1 + max(self._numbers())
        return one_hot(torch.tensor(rows), count, where)

    def _numbers(self) -> list[int]:
        return [value for value in self.values.values() if isinstance(value, int)]


def read_labels(path: Path) -> GivenLabels:
    """Labels from a file.

    CSV: a line of headings, then a file name and its label in each line: one column of numbers
    (class numbers if all are whole and not negative) or of class names, none of which is a number,
    or several columns of numbers. JSON: `{"labels": [[name, label], ...]}` as in dataset.json, or
    `{name: label, ...}`.

    Raises:
        InputError: another content, a name twice, an empty label, or ragged or non-finite numbers.
    """
    data = read_bounded(path, MAX_TEXT_BYTES)
    if path.suffix.lower() == ".json":
        return parse_json(data, str(path))
    return parse_csv(text_lines(data, str(path)), str(path))


def parse_json(data: bytes, where: str) -> GivenLabels:
    """See `read_labels`."""
    content = parse_object(data, where)
    if "labels" not in content:
        content = {"labels": [[name, label] for name, label in content.items()]}
    rows = content["labels"]
    if not isinstance(rows, list) or not all(
        isinstance(row, list) and len(row) == 2 and isinstance(row[0], str) for row in rows
    ):
        raise InputError(f"{where}: labels must be [name, label] pairs")
    names = [name for name, _ in rows]
    if not rows or len(set(names)) != len(names):
        raise InputError(f"{where}: expected one label for each of some names")
    if all(isinstance(label, str) for _, label in rows):
        return _by_class(names, [label for _, label in rows], where)
    known = describe({**content, "ganvas": None, "faces": None}, names, where)
    if known.labels is None:
        raise InputError(f"{where}: expected labels, got none")
    values: dict[str, Any] = dict(rows)
    return GivenLabels(values, known.label_names)


def parse_csv(lines: Sequence[str], where: str) -> GivenLabels:
    """See `read_labels`."""
    try:
        table = list(csv.reader(io.StringIO("\n".join(lines)), strict=True))
    except csv.Error as error:
        raise InputError(f"{where}: not readable CSV ({error})") from error
    head, rows = (table[0], table[1:]) if table else ([], [])
    if not 2 <= len(head) <= _MAX_COLUMNS or not rows:
        raise InputError(f"{where}: expected a line of headings, then a name and its label a line")
    odd = next((n for n, row in enumerate(rows, 2) if len(row) != len(head)), None)
    if odd is not None:
        raise InputError(f"{where}: line {odd}: expected {len(head)} columns like the headings")
    names = [row[0].strip() for row in rows]
    if len(set(names)) != len(names):
        raise InputError(f"{where}: a name is listed twice")
    numbers = [[_number(cell) for cell in row[1:]] for row in rows]
    # One number among the labels means that they are numbers, and what is none is a slip.
    if len(head) == 2 and all(row[0] is None for row in numbers):
        return _by_class(names, [row[1].strip() for row in rows], where)
    values: dict[str, int | list[float]] = {}
    whole = len(head) == 2 and all(_is_class(row[0]) for row in numbers)
    for line, (name, row) in enumerate(zip(names, numbers, strict=True), 2):
        good = [value for value in row if value is not None]
        if len(good) != len(row):
            bad = rows[line - 2][1 + row.index(None)][:40]
            raise InputError(f"{where}: line {line}: expected finite numbers, got {bad!r}")
        values[name] = int(good[0]) if whole else good
    return GivenLabels(values, None if whole else tuple(cell.strip() for cell in head[1:]))


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) <= MAX_NUMBER else None


def _is_class(value: float | None) -> bool:
    return value is not None and value % 1 == 0 and 0 <= value < MAX_ONE_HOT


def _by_class(names: Sequence[str], classes: Sequence[str], where: str) -> GivenLabels:
    if "" in classes:
        raise InputError(f"{where}: {names[classes.index('')][:80]} has an empty label")
    distinct = sorted(set(classes))
    place = {name: number for number, name in enumerate(distinct)}
    numbers = {name: place[label] for name, label in zip(names, classes, strict=True)}
    return GivenLabels(numbers, tuple(distinct))
