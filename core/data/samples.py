"""WebDataset samples: files of one shard that share their name up to the first dot.

A sample is an image, and its class where it has one: a number in a file that ends in `.cls`, or
what its `.json` says under a key.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import torch

from ..errors import InputError
from .description import Description, numbered, one_hot, parse_object
from .names import chosen_images
from .shards import TarStore
from .sources import Layout
from .spec import Spec

_MAX_CLASS_BYTES = 64
_MAX_JSON_BYTES = 16 * 1024 * 1024
_MAX_CLASS = 2**20


def shards_layout(store: TarStore, spec: Spec) -> Layout:
    """One image of each sample, with the classes of the `.cls` files, or of `label=KEY`.

    Raises:
        InputError: two images in a sample, or classes that are missing or of another kind.
    """
    files = [name.partition(":")[2] for name in store.names]
    chosen = set(chosen_images(files, store.where))
    images: dict[str, str] = {}
    beside: dict[str, dict[str, str]] = {"cls": {}, "json": {}}
    for name, file in zip(store.names, files, strict=True):
        sample, ending = _sample(name)
        if ending in beside:
            beside[ending][sample] = name
        elif file in chosen:
            if sample in images:
                raise InputError(f"{store.where}: sample {sample[:200]} has two images")
            images[sample] = name
    key = spec.options.get("label")
    ending = "cls" if key is None else "json"
    known, rows = Description(), []
    if images and (beside[ending] or key is not None):
        missing = [sample for sample in images if sample not in beside[ending]]
        if missing:
            raise InputError(
                f"{store.where}: {len(missing)} samples lack a .{ending}, as {missing[0]}"
            )
        found = [beside[ending][sample] for sample in images]
        classes = [
            _class_number(store, name) if key is None else _class_under(store, name, key)
            for name in found
        ]
        known = _by_class(classes, store.where)
        rows = [("classes", len(classes), hash_of(classes))]
    return Layout(
        store,
        list(images.values()),
        known,
        crop=spec.crop() or "none",
        resized="crop" in spec.options or "size" in spec.options,
        rows=rows,
        choices="" if key is None else f"label={key}",
    )


def _sample(name: str) -> tuple[str, str]:
    """The sample that a member belongs to, and its ending; a shard's own name may have dots."""
    shard, _, member = name.partition(":")
    folder, slash, file = member.rpartition("/")
    stem, _, ending = file.partition(".")
    return f"{shard}:{folder}{slash}{stem}", ending.lower()


def _class_number(store: TarStore, name: str) -> int:
    """The number in a `.cls` file."""
    text = store.read(name, _MAX_CLASS_BYTES).decode("ascii", "replace").strip()
    if not re.fullmatch(r"\d{1,7}", text) or int(text) > _MAX_CLASS:
        raise InputError(f"{store.where}: {name}: expected a class number")
    return int(text)


def _class_under(store: TarStore, name: str, key: str) -> int | str:
    """What a `.json` file says under a key: a class number or the name of a class."""
    where = f"{store.where}: {name}"
    content = parse_object(store.read(name, _MAX_JSON_BYTES), where)
    if key not in content:
        keys = ", ".join(list(content)[:10])
        raise InputError(f"{where}: label={key} is not there, expected one of {keys[:200]}")
    value = content[key]
    number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_CLASS
    if not number and not isinstance(value, str):
        raise InputError(f"{where}: expected a class number or a text under {key}")
    return value


def _by_class(classes: Sequence[int | str], where: str) -> Description:
    """One-hot labels: numbers as they are, names of classes in their order."""
    if len({type(value) for value in classes}) != 1:
        raise InputError(f"{where}: classes must be all numbers or all texts")
    if isinstance(classes[0], str):
        numbers, names = numbered(classes)
    else:
        numbers = torch.tensor(classes)
        names = tuple(str(number) for number in range(int(numbers.max()) + 1))
    return Description(one_hot(numbers, len(names), where), names)


def hash_of(values: Sequence[int | str]) -> int:
    """32 bits that change with any of the values."""
    return int(hashlib.sha256(repr(list(values)).encode()).hexdigest()[:8], 16)
