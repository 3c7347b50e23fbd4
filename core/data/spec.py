"""How a data set is named: `KIND:PATH,key=value,...`, or a plain path that is recognised."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from .geometry import CROPS

COMMON = ("crop", "size", "channels", "on_error")
KINDS: Mapping[str, tuple[str, ...]] = {
    "folder": ("labels", "attr"),
    "zip": ("labels", "attr"),
    "celeba": ("split", "attr"),
    "ffhq": ("split",),
    "lfw": ("min_images", "pairs"),
    "casia": ("min_images",),
    "idx": ("split", "pad"),
    "wds": ("label",),
    "pairs": ("order",),
    "domains": (),
}
_EXAMPLES = {
    "folder": "folder:photos,labels=folders",
    "zip": "zip:faces.zip",
    "celeba": "celeba:CelebA,split=train,attr=Smiling+Male",
    "ffhq": "ffhq:ffhq-dataset,split=train",
    "lfw": "lfw:lfw-deepfunneled,min_images=2",
    "casia": "casia:CASIA-WebFace",
    "idx": "idx:mnist,split=train",
    "wds": "wds:shards/train-{000..012}.tar",
    "pairs": "pairs:facades",
    "domains": "domains:horses,zebras",
}
_OPTION = re.compile(r"\s*([A-Za-z_]+)\s*=(.*)", re.DOTALL)
_MAX = 4096


@dataclass(frozen=True)
class Spec:
    """A data set's kind, its path and what was chosen about it."""

    kind: str
    path: str
    options: Mapping[str, str]

    def number(self, key: str, low: int, high: int) -> int | None:
        """A whole number among the options, or None.

        Raises:
            InputError: no number, or out of range.
        """
        text = self.options.get(key)
        if text is None:
            return None
        if not re.fullmatch(r"\d{1,9}", text) or not low <= int(text) <= high:
            raise InputError(f"{self}: {key} must be a whole number of {low}..{high}, got {text!r}")
        return int(text)

    def choice(self, key: str, allowed: tuple[str, ...]) -> str | None:
        """One of the allowed words among the options, or None.

        Raises:
            InputError: another word.
        """
        text = self.options.get(key)
        if text is not None and text not in allowed:
            raise InputError(f"{self}: {key} must be one of {', '.join(allowed)}, got {text!r}")
        return text

    def crop(self) -> str | None:
        """The crop chosen, or None."""
        return self.choice("crop", CROPS)

    def __str__(self) -> str:
        chosen = "".join(f",{key}={value}" for key, value in self.options.items())
        return f"{self.kind}:{self.path}{chosen}"


def parse_spec(text: str | Path) -> Spec | None:
    """Read `KIND:PATH,key=value,...`; None for a plain path.

    Raises:
        InputError: no path, or a key that this kind does not have or has twice.
    """
    if not isinstance(text, str):
        return None
    kind, colon, rest = text.partition(":")
    kind = kind.strip().lower()
    if not colon or kind not in KINDS:
        return None
    shown = text[:200]
    if len(text) > _MAX:
        raise InputError(f"data set: expected a name of at most {_MAX} characters, got {len(text)}")
    path, options = split_options(rest)
    keys = (*KINDS[kind], *COMMON)
    found: dict[str, str] = {}
    for key, value in options:
        if key not in keys or key in found:
            raise InputError(
                f"{shown}: {key!r} is unknown or repeated, expected keys of {', '.join(keys)}, "
                f"as in {_EXAMPLES[kind]}"
            )
        found[key] = value
    if not path.strip():
        raise InputError(f"{shown}: expected a path after {kind}:, as in {_EXAMPLES[kind]}")
    # The shell expands ~ only at the start of a word.
    return Spec(kind, os.path.expanduser(path.strip()), found)


def split_options(rest: str) -> tuple[str, list[tuple[str, str]]]:
    """The path, which may hold commas, and the options behind it."""
    parts = rest.split(",")
    options: list[tuple[str, str]] = []
    while len(parts) > 1 and (match := _OPTION.fullmatch(parts[-1])):
        options.insert(0, (match[1].lower(), match[2].strip()))
        parts.pop()
    return ",".join(parts), options
