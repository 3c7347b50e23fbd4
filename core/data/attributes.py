"""Which attributes become labels: `attr=Smiling+Male`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from .description import LABEL_FILE, MAX_NUMBER, Description
from .sources import Layout


def chosen_attributes(text: str | None, columns: Sequence[str], where: str) -> list[int]:
    """Columns of `attr=Smiling+Male`; "all" (the default) and "none" are words of their own.

    Raises:
        InputError: an unknown or repeated attribute.
    """
    if text is None or text == "all":
        return list(range(len(columns)))
    wanted = [] if text == "none" else [name.strip() for name in text.split("+")]
    known = {name.lower(): place for place, name in enumerate(columns)}
    unknown = [name for name in wanted if name.lower() not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], columns, n=3)
        hint = f"did you mean {', '.join(near)}?" if near else f"expected of {', '.join(columns)}"
        raise InputError(f"{where}: attr {unknown[0]!r} is unknown, {hint}")
    places = [known[name.lower()] for name in wanted]
    if len(set(places)) != len(places):
        raise InputError(f"{where}: attr names an attribute twice")
    return places


def label_by_attributes(layout: Layout, text: str, where: str) -> Layout:
    """The same images, labelled by the attributes chosen.

    They are columns of the labels that dataset.json names, or else parameters of procedural faces:
    1 in the upper half of the parameter's range, else 0.

    Raises:
        InputError: nothing to choose from, or unknown names.
    """
    known = layout.description
    if text == "none":
        known = replace(known, labels=None, label_names=None)
        return replace(layout, description=known, choices=f"attr={text}")
    section = (layout.annotations or {}).get("faces")
    if known.labels is not None and known.label_names is not None:
        columns, table = known.label_names, known.labels
        places = chosen_attributes(text, columns, where)
        labels = table[:, places] if places else None
        names = tuple(columns[place] for place in places) if places else None
    elif section is not None:
        of_faces = face_attributes(text, *_parameters(section, layout.names, where), where)
        labels, names = of_faces.labels, of_faces.label_names
    else:
        raise InputError(f"{where}: attr needs label_names or faces' parameters in {LABEL_FILE}")
    known = replace(known, labels=labels, label_names=names)
    return replace(layout, description=known, choices=f"attr={text}")


def _parameters(
    section: Any, names: Sequence[str], where: str
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Names, values [N, P] and middles [P] of the parameters of procedural faces."""
    try:
        columns = tuple(str(row["name"]) for row in section["parameters"])
        bounds = [[row["low"], row["high"]] for row in section["parameters"]]
        table = {str(record["name"]): record["parameters"] for record in section["images"]}
        values = np.array([table[name] for name in names], dtype=np.float64)
        middles = np.array(bounds, dtype=np.float64).reshape(-1, 2).mean(axis=1)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise InputError(f"{where}: {LABEL_FILE} lacks parameters of some faces") from error
    fits = values.ndim == 2 and values.shape[1:] == middles.shape
    if not fits or not (np.abs(values) <= MAX_NUMBER).all():
        raise InputError(f"{where}: parameters in {LABEL_FILE} must be numbers, one for each name")
    return columns, values, middles


def face_attributes(
    text: str, columns: Sequence[str], values: np.ndarray, middles: np.ndarray, where: str
) -> Description:
    """Labels of procedural faces from their parameters [N, P], as in `label_by_attributes`.

    Raises:
        InputError: unknown names.
    """
    places = chosen_attributes(text, columns, where)
    if not places:
        return Description()
    labels = torch.from_numpy((values[:, places] > middles[places]).astype(np.float32))
    return Description(labels, tuple(columns[place] for place in places))
