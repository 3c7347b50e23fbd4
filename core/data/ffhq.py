"""FFHQ: numbered subfolders of aligned faces, with the optional ffhq-dataset-v2.json.

Source: Karras et al. 2019, "A style-based generator architecture for GANs".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..ranges import is_number
from .description import Description
from .names import chosen_images
from .sources import Layout, first_size
from .spec import Spec
from .splits import with_split
from .stores import Store
from .tables import Texts

TABLE = "ffhq-dataset-v2.json"
FOLDERS = ("images1024x1024", "thumbnails128x128")
FULL_SIDE = 1024  # landmarks are given in pixels of the full images
POINTS = 68
_SPLITS = {"training": "train", "validation": "val"}


def _compact(value: dict[str, Any]) -> Any:
    """Keep of each JSON object only what is used: the table is hundreds of megabytes."""
    if "face_landmarks" in value:
        try:
            points = np.array(value["face_landmarks"], dtype=np.float32)
        except (TypeError, ValueError, OverflowError):
            return None
        good = points.shape == (POINTS, 2) and bool(np.isfinite(points).all())
        return points if good else None
    if "category" in value:
        return value["category"], value.get("image")
    return value


def parse_table(text: bytes, numbers: Sequence[int], where: str) -> Description:
    """Splits and landmarks, in pixels of the full images, of the images with these numbers.

    Raises:
        InputError: no such table, or one that lacks an image.
    """
    try:
        table = json.loads(text, object_hook=_compact)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not readable JSON ({error})") from error
    if not isinstance(table, dict):
        raise InputError(f"{where}: expected a JSON object of images")
    splits, points = [], []
    for number in numbers:
        record = table.get(str(number))
        if not isinstance(record, tuple) or not isinstance(record[1], np.ndarray):
            raise InputError(f"{where}: no record with {POINTS} landmarks for image {number}")
        if not isinstance(record[0], str) or record[0] not in _SPLITS:
            raise InputError(f"{where}: image {number}: unknown category {str(record[0])[:40]!r}")
        splits.append(_SPLITS[record[0]])
        points.append(record[1])
    return Description(
        splits=tuple(splits), landmarks=torch.from_numpy(np.stack(points)) if points else None
    )


def ffhq_layout(store: Store, spec: Spec, folder: Path) -> Layout:
    """The images of FFHQ: the full ones where they are there, else the thumbnails.

    Raises:
        InputError: a damaged table, or a split without it.
    """
    names = chosen_images(store.names, store.where)
    for version in FOLDERS:
        own = [name for name in names if f"{version}/" in f"/{name}"]
        if own:
            names = own
            break
    texts = Texts(store, folder.parent if folder.name in FOLDERS else folder)
    table = texts.read(TABLE)
    known = Description()
    if table is not None and names:
        stems = [name.rpartition("/")[2].partition(".")[0] for name in names]
        odd = next((stem for stem in stems if not is_number(stem, 12)), None)
        if odd is not None:
            raise InputError(f"{store.where}: expected numbers as file names, got {odd[:80]!r}")
        known = parse_table(table, [int(stem) for stem in stems], TABLE)
        assert known.landmarks is not None
        side, _ = first_size(store, names) or (FULL_SIDE, FULL_SIDE)
        known = replace(known, landmarks=known.landmarks * (side / FULL_SIDE))
    layout = Layout(store, names, known, crop=spec.crop() or "none", resized=True, rows=texts.rows)
    return with_split(layout, spec, ("train", "val", "all"), TABLE)
