"""The part of a published data set that is asked for: `split=train`."""

from __future__ import annotations

from dataclasses import replace

from ..errors import InputError
from .sources import Layout
from .spec import Spec


def with_split(layout: Layout, spec: Spec, allowed: tuple[str, ...], needed: str) -> Layout:
    """The images of one split, and the options in the content hash.

    Raises:
        InputError: an unknown split, one without the file that tells it, or an empty one.
    """
    split = spec.choice("split", allowed)
    names, known = layout.names, layout.description
    if split not in (None, "all"):
        if known.splits is None:
            raise InputError(f"{spec}: split needs the file {needed}")
        rows = [row for row, own in enumerate(known.splits) if own == split]
        if not rows:
            raise InputError(f"{spec}: no image belongs to the split {split}")
        names, known = [names[row] for row in rows], known.select(rows)
    keys = [key for key in ("attr", "split") if key in spec.options]
    choices = ",".join(f"{key}={spec.options[key]}" for key in keys)
    return replace(layout, names=names, description=known, choices=choices)
