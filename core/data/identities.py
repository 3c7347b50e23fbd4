"""One folder for each person, as in LFW and CASIA-WebFace, and one for each class.

Sources: Huang et al. 2007, "Labeled faces in the wild"; Yi et al. 2014, "Learning face
representation from scratch" (CASIA-WebFace).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ..errors import InputError
from ..ranges import is_number
from .description import Description, numbered, one_hot
from .names import chosen_images
from .sources import Layout
from .spec import Spec
from .stores import Store
from .tables import Texts

PAIRS = "pairs.txt"
_MOST_IMAGES = 100_000_000


def folder_of(name: str) -> str:
    """The folder that a file lies in, by name."""
    return name.rpartition("/")[0].rpartition("/")[2]


def people_layout(store: Store, spec: Spec, folder: Path) -> Layout:
    """Images by person, with LFW's verification pairs where its pairs.txt is there.

    `pairs=pairsDevTest.txt` names another file of pairs.

    Raises:
        InputError: images outside the persons' folders, damaged pairs, or nobody with
            `min_images` images.
    """
    names = chosen_images(store.names, store.where)
    people = [folder_of(name) for name in names]
    if "" in people:
        raise InputError(
            f"{store.where}: expected one folder for each person, {names[people.index('')]} lies "
            "in none"
        )
    known = Description()
    if names:
        numbers, persons = numbered(people)
        known = Description(identities=numbers, identity_names=persons)
    texts = Texts(store, folder.parent if folder.name.lower().startswith("lfw") else folder)
    listed = spec.options.get("pairs", PAIRS)
    lines = texts.lines(listed) if spec.kind == "lfw" else None
    if lines is None and "pairs" in spec.options:
        raise InputError(f"{spec}: there is no file {listed[:200]}, expected one like {PAIRS}")
    if lines is not None:
        rows = {name.rpartition("/")[2].rpartition(".")[0]: row for row, name in enumerate(names)}
        known = replace(known, verification=parse_pairs(lines, rows, listed))
    names, known, choices = with_enough_images(names, known, spec)
    return Layout(
        store,
        names,
        known,
        crop=spec.crop() or "none",
        resized=True,
        rows=texts.rows,
        choices=choices,
    )


def with_enough_images(
    names: Sequence[str], known: Description, spec: Spec
) -> tuple[Sequence[str], Description, str]:
    """The images of the persons that have `min_images`, and what the content hash says of it.

    Persons are numbered anew.

    Raises:
        InputError: nobody has so many.
    """
    least = spec.number("min_images", 1, _MOST_IMAGES)
    if least is None or known.identities is None or known.identity_names is None:
        return names, known, ""
    numbers = known.identities.tolist()
    counts = Counter(numbers)
    rows = [row for row, person in enumerate(numbers) if counts[person] >= least]
    if not rows:
        raise InputError(f"{spec}: nobody has {least} images, at most {max(counts.values())}")
    renumbered, kept = numbered([numbers[row] for row in rows])
    persons = tuple(known.identity_names[int(person)] for person in kept)
    known = replace(known.select(rows), identities=renumbered, identity_names=persons)
    return [names[row] for row in rows], known, f"min_images={least}"


def parse_pairs(lines: Sequence[str], rows: Mapping[str, int], where: str) -> torch.Tensor:
    """LFW's verification pairs, int64 [M, 3]: two images and whether they are of one person.

    Args:
        lines: one or two counts (sets, pairs of either kind in a set), then
            `NAME N1 N2` for one person and `NAME1 N1 NAME2 N2` for two.
        rows: image numbers under file stems such as `Ada_Lovelace_0001`.
        where: what errors call the file.

    Raises:
        InputError: another content, a wrong count, or an image that is not there.
    """
    head = lines[0].split() if lines else []
    if not 1 <= len(head) <= 2 or not all(is_number(text) for text in head):
        raise InputError(f"{where}: expected one or two counts in the first line")
    expected = 2 * int(head[-1]) * (int(head[0]) if len(head) == 2 else 1)
    if len(lines) - 1 != expected:
        raise InputError(f"{where}: announces {expected} pairs, has {len(lines) - 1}")

    def row(person: str, number: str, line: int) -> int:
        stem = f"{person}_{int(number):04d}" if is_number(number) else f"{person}_{number}"
        if stem not in rows:
            raise InputError(f"{where}: line {line}: no image {stem[:80]}")
        return rows[stem]

    found = []
    for number, line in enumerate(lines[1:], 2):
        cells = line.split()
        if len(cells) == 3:
            person, first, second = cells
            found.append((row(person, first, number), row(person, second, number), 1))
        elif len(cells) == 4:
            one, first, other, second = cells
            found.append((row(one, first, number), row(other, second, number), 0))
        else:
            raise InputError(f"{where}: line {number}: expected 3 or 4 words, got {line[:80]!r}")
    return torch.tensor(found, dtype=torch.int64).reshape(-1, 3)


def classes_layout(layout: Layout) -> Layout:
    """The same images, labelled by the folder that each lies in.

    Raises:
        InputError: images that lie in no folder, or all in folders of one name.
    """
    folders = [folder_of(name) for name in layout.names]
    if "" in folders:
        raise InputError(
            f"{layout.store.where}: labels=folders needs one folder for each class, "
            f"{layout.names[folders.index('')]} lies in none"
        )
    if not folders:
        return layout
    numbers, classes = numbered(folders)
    if len(classes) == 1:
        raise InputError(
            f"{layout.store.where}: labels=folders needs two classes or more, all images lie in a "
            f"folder named {classes[0]}"
        )
    labels = one_hot(numbers, len(classes), layout.store.where)
    known = replace(layout.description, labels=labels, label_names=classes)
    return replace(layout, description=known, choices="labels=folders")
