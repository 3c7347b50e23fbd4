"""KEY=VALUE: what a user knows about a checkpoint that the file does not say."""

import re
from collections.abc import Iterable

from ..errors import InputError

_WORDS: dict[str, object] = {"true": True, "false": False, "none": None, "null": None}
_MAX_TEXT = 64


def parse_given(texts: Iterable[str]) -> dict[str, object]:
    """Read settings such as "conv_clamp=256": numbers, true, false, none, or a word.

    Raises:
        InputError: not KEY=VALUE, or a KEY twice.
    """
    result: dict[str, object] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.isidentifier() or not value or len(text) > 2 * _MAX_TEXT:
            raise InputError(f"expected KEY=VALUE such as conv_clamp=256, got {text[:80]!r}")
        if key in result:
            raise InputError(f"{key} is given twice")
        result[key] = _value(value)
    return result


def split_given(text: str) -> list[str]:
    """The KEY=VALUE of one text, between which lie spaces, commas, semicolons or line ends."""
    return [part for part in re.split(r"[\s,;]+", text) if part]


def _value(text: str) -> object:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
