"""What a run says when it starts, and what `ganvas train PRESET --list` says of its settings."""

from __future__ import annotations

import textwrap
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from .config import MAX_KIMG, RunConfig
from .presets import Preset

_WIDTH = 100
_HANGING = "    "
_TIE = "\N{NO-BREAK SPACE}"


def changed_settings(preset: Preset, config: RunConfig) -> dict[str, Any]:
    """The settings in which a run differs from its preset, in the table's order."""
    row = preset.config.model_dump()
    return {key: value for key, value in config.model_dump().items() if value != row[key]}


def opening_lines(preset: Preset, config: RunConfig) -> list[str]:
    """A run's preset, and what was changed in it, as lines of at most 100 characters."""
    lines = [f"{preset.name}: {preset.summary}"]
    row = preset.config.model_dump()
    changed = [f"{key}={_shown(value)}" for key, value in changed_settings(preset, config).items()]
    if changed:
        before = [_shown(row[text.partition("=")[0]]) for text in changed]
        texts = [f"{text}{_TIE}(not{_TIE}{old})" for text, old in zip(changed, before, strict=True)]
        lines.append("changed: " + ", ".join(texts))
    return [part.replace(_TIE, " ") for line in lines for part in _wrapped(line)]


def settings_table(preset: Preset) -> list[str]:
    """Every setting of a preset, with its value, its meaning and what it may be.

    Those of its own kind of network come first; lines have at most 100 characters.
    """
    fields = type(preset.config).model_fields
    shared = RunConfig.model_fields
    names = [name for name in fields if name not in shared] + list(shared)
    values = {name: f"{name}={_shown(getattr(preset.config, name))}" for name in names}
    width = min(32, max(map(len, values.values())))
    lines = [f"{preset.name}: {preset.summary}"]
    for name in names:
        field = fields[name]
        kind = _kind(field.annotation, field.metadata)
        text = f"{values[name]:<{width}}  {field.description} [{kind}]"
        lines += textwrap.wrap(text, _WIDTH, subsequent_indent=" " * (width + 2))
    return lines


def counted(count: int, noun: str) -> str:
    """ "1 rank", "2 ranks"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, _WIDTH, subsequent_indent=_HANGING, break_on_hyphens=False)


def _shown(value: object) -> str:
    """A value as it is written behind `key=`."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _kind(annotation: Any, metadata: list[Any]) -> str:
    """A setting's type and range in words, such as "whole number from 1 to 16"."""
    if get_origin(annotation) in (Union, UnionType):
        arms = [arm for arm in get_args(annotation) if arm is not NoneType]
        return " or ".join([*(_kind(arm, metadata) for arm in arms), "none"])
    if get_origin(annotation) is Literal:
        return ", ".join(map(str, get_args(annotation)))
    words = {bool: "true or false", int: "whole number", float: "number", str: "text"}
    return " ".join([words[annotation], *_bounds(metadata)])


def _bounds(metadata: list[Any]) -> list[str]:
    """Such as ["from 1", "to 16"], without bounds that nobody would reach."""
    words = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
    found = [(words[n], getattr(item, n)) for n in words for item in metadata if hasattr(item, n)]
    return [f"{word} {bound:.12g}" for word, bound in found if bound < MAX_KIMG]
