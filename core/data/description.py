"""What is known of a data set's images beside their pixels, and its form in dataset.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError

LABEL_FILE = "dataset.json"
MAX_LABEL_BYTES = 1024 * 1024 * 1024
MAX_NUMBER = 1e30  # float32 ends at 3.4e38
MAX_ONE_HOT = 2**28  # numbers in the one-hot table, 1 GiB


@dataclass(frozen=True)
class Description:
    """Row i of everything here is image i; None where the data set does not say.

    Attributes:
        labels: float32 [N, K]: one-hot classes, 0/1 attributes or free numbers.
        label_names: the K columns' names.
        splits: the part of the data set each image belongs to ("train", "val", "test"), N names.
        identities: int64 [N], the person's number in 0..P-1.
        identity_names: the P persons' names.
        landmarks: float32 [N, L, 2], x and y in pixels of the image as it is given out.
        landmark_names: the L places' names; left and right are those of the picture.
        verification: int64 [M, 3], pairs of images for face verification: first, second, and
            whether they show one person (1) or two (0).
    """

    labels: Tensor | None = None
    label_names: tuple[str, ...] | None = None
    splits: tuple[str, ...] | None = None
    identities: Tensor | None = None
    identity_names: tuple[str, ...] | None = None
    landmarks: Tensor | None = None
    landmark_names: tuple[str, ...] | None = None
    verification: Tensor | None = None

    def select(self, rows: Sequence[int]) -> Description:
        """The description of these images alone, in this order; persons keep their numbers."""
        index = torch.as_tensor(rows, dtype=torch.int64)
        verification = self.verification
        if verification is not None:
            place = {int(row): number for number, row in enumerate(rows)}
            kept = [
                (place[a], place[b], same)
                for a, b, same in verification.tolist()
                if a in place and b in place
            ]
            verification = torch.tensor(kept, dtype=torch.int64).reshape(-1, 3)
        return replace(
            self,
            labels=None if self.labels is None else self.labels[index],
            splits=None if self.splits is None else tuple(self.splits[i] for i in rows),
            identities=None if self.identities is None else self.identities[index],
            landmarks=None if self.landmarks is None else self.landmarks[index],
            verification=verification,
        )


def numbered(values: Sequence[Any]) -> tuple[Tensor, tuple[str, ...]]:
    """Numbers 0..K-1 of the sorted distinct values, int64 [N], and the K values as texts."""
    distinct = sorted(set(values))
    place = {value: number for number, value in enumerate(distinct)}
    numbers = torch.tensor([place[value] for value in values], dtype=torch.int64)
    return numbers, tuple(str(value) for value in distinct)


def one_hot(classes: Tensor, count: int, where: str) -> Tensor:
    """float32 [N, count] from class numbers int64 [N].

    Raises:
        InputError: a table too large to be meant.
    """
    if len(classes) * count > MAX_ONE_HOT:
        raise InputError(f"{where}: {count} classes of {len(classes)} images are too many labels")
    return torch.nn.functional.one_hot(classes, count).to(torch.float32)


def parse_object(data: bytes, where: str) -> dict[str, Any]:
    """The JSON object of a file.

    Raises:
        InputError: starting with `where`: no JSON, nested absurdly deep, or no object.
    """
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not readable JSON ({error})") from error
    if not isinstance(parsed, dict):
        raise InputError(f"{where}: expected a JSON object, got {type(parsed).__name__}")
    return parsed


def parse_labels(annotations: dict[str, Any], names: Sequence[str], where: str) -> Tensor | None:
    """Labels in the order of the images.

    Args:
        annotations: `{"labels": [[name, label], ...]}`; a label is a class number (made one-hot)
            or a list of numbers; `"labels": null` or no such key means none.
        names: the images' names inside the data set.
        where: what errors call the file.

    Returns:
        float32 tensor [N, K], or None.

    Raises:
        InputError: malformed, missing, ragged or non-finite labels.
    """
    rows = annotations.get("labels")
    if rows is None:
        return None
    try:
        table = {str(name): label for name, label in rows}
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: labels must be [name, label] pairs") from error
    missing = [name for name in names if name not in table]
    if missing:
        raise InputError(
            f"{where}: no label for {len(missing)} of {len(names)} images, first {missing[0]}"
        )
    values = [table[name] for name in names]
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        if min(values) < 0 or (max(values) + 1) * len(values) > MAX_ONE_HOT:
            raise InputError(f"{where}: class numbers are negative or too large")
        return torch.nn.functional.one_hot(torch.tensor(values)).to(torch.float32)
    try:
        labels = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{where}: labels must all be class numbers, or lists of one length"
        ) from error
    if labels.ndim != 2 or not (np.abs(labels) <= MAX_NUMBER).all():
        raise InputError(f"{where}: labels must be lists of finite numbers")
    return torch.from_numpy(labels.astype(np.float32))


def describe(annotations: dict[str, Any], names: Sequence[str], where: str) -> Description:
    """Everything that a dataset.json says of these images.

    Beside "labels" and "label_names" it reads the records of `ganvas prepare` (under "ganvas") and
    of `ganvas faces` (under "faces"): one of each image, with its name and, where known, its
    "identity", "split" and "landmarks"; "verification" is a list of [name, name, 0 or 1].

    Raises:
        InputError: malformed, incomplete or ragged content.
    """
    labels = parse_labels(annotations, names, where)
    label_names = _names_of(annotations.get("label_names"), "label_names", where)
    if label_names is not None and (labels is None or len(label_names) != labels.shape[1]):
        width = 0 if labels is None else labels.shape[1]
        raise InputError(f"{where}: names {len(label_names)} labels, expected {width}")
    section = annotations.get("ganvas", annotations.get("faces"))
    known = Description(labels=labels, label_names=label_names)
    return known if section is None else _from_records(known, section, names, where)


def _names_of(value: Any, what: str, where: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise InputError(f"{where}: {what} must be a list of texts")
    return tuple(value)


def _pairs_of(value: Any, names: Sequence[str], where: str) -> Tensor | None:
    """Pairs for verification, as in `Description`, from [name, name, 0 or 1]."""
    if value is None:
        return None

    def good(pair: Any) -> bool:
        return isinstance(pair, list) and [type(part) for part in pair] == [str, str, int]

    if not isinstance(value, list) or not all(good(pair) and pair[2] in (0, 1) for pair in value):
        raise InputError(f"{where}: verification must be a list of [name, name, 0 or 1]")
    place = {name: row for row, name in enumerate(names)}
    found = [(place[a], place[b], same) for a, b, same in value if a in place and b in place]
    return torch.tensor(found, dtype=torch.int64).reshape(-1, 3)


def _from_records(
    known: Description, section: Any, names: Sequence[str], where: str
) -> Description:
    """Add identities, splits and landmarks from the records of a section."""
    try:
        table = {str(record["name"]): record for record in section["images"]}
        records = [table[name] for name in names]
    except (TypeError, KeyError) as error:
        raise InputError(f"{where}: expected a record for each image") from error

    def column(key: str) -> list[Any] | None:
        given = [record.get(key) for record in records]
        return None if all(value is None for value in given) else given

    known = replace(known, verification=_pairs_of(section.get("verification"), names, where))
    identities, splits, landmarks = column("identity"), column("split"), column("landmarks")
    if identities is not None:
        kinds = {type(value) for value in identities}
        if kinds not in ({int}, {str}):
            raise InputError(f"{where}: identities must all be numbers or texts")
        numbers, persons = numbered(identities)
        known = replace(known, identities=numbers, identity_names=persons)
    if splits is not None:
        if not all(isinstance(split, str) for split in splits):
            raise InputError(f"{where}: splits must be texts")
        known = replace(known, splits=tuple(splits))
    if landmarks is not None:
        try:
            points = np.array(landmarks, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            points = np.zeros((0, 0, 0))
        if points.ndim != 3 or points.shape[2] != 2 or not (np.abs(points) <= MAX_NUMBER).all():
            raise InputError(f"{where}: landmarks must be lists of finite [x, y]")
        marks = _names_of(section.get("landmarks"), "landmarks", where)
        if marks is not None and len(marks) != points.shape[1]:
            raise InputError(f"{where}: names {len(marks)} landmarks, expected {points.shape[1]}")
        known = replace(
            known, landmarks=torch.from_numpy(points.astype(np.float32)), landmark_names=marks
        )
    return known
