"""ComfyUI's own constants and its switch under its ids, so that workflows run here and there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from .context import Context
from .spec import Bool, Boolean, Float, Int, Socket, String, Text, node

MAX_SAFE = 2**53 - 1
"""Largest whole number that JavaScript, and so a workflow file, holds exactly."""

Anything = Annotated[Any, Socket("*")]
Lazy = Annotated[Any, Socket("*", lazy=True)]
Lines = Annotated[str, String(multiline=True)]


@node("PrimitiveInt", title="Int", category="utils/primitive", aliases=("number", "constant"))
def primitive_int(
    ctx: Context, value: Annotated[int, Int(-MAX_SAFE, MAX_SAFE, seed=True)] = 0
) -> Annotated[int, Int(-MAX_SAFE, MAX_SAFE)]:
    """Give one whole number to several nodes.

    Args:
        value: The number.

    Returns:
        INT: The same number.
    """
    return value


@node("PrimitiveFloat", title="Float", category="utils/primitive", aliases=("number", "constant"))
def primitive_float(
    ctx: Context, value: Annotated[float, Float(-MAX_SAFE, MAX_SAFE)] = 0.0
) -> Annotated[float, Float(-MAX_SAFE, MAX_SAFE)]:
    """Give one number to several nodes.

    Args:
        value: The number.

    Returns:
        FLOAT: The same number.
    """
    return value


@node("PrimitiveBoolean", title="Boolean", category="utils/primitive", aliases=("on", "off"))
def primitive_boolean(ctx: Context, value: Bool = False) -> Annotated[bool, Boolean()]:
    """Give one on/off choice to several nodes.

    Args:
        value: On or off.

    Returns:
        BOOLEAN: The same choice.
    """
    return value


@node("PrimitiveString", title="String", category="utils/primitive", aliases=("text", "constant"))
def primitive_string(ctx: Context, value: Text = "") -> Text:
    """Give one line of text to several nodes.

    Args:
        value: The text.

    Returns:
        STRING: The same text.
    """
    return value


@node(
    "PrimitiveStringMultiline",
    title="String (Multiline)",
    category="utils/primitive",
    aliases=("text", "lines"),
)
def primitive_lines(ctx: Context, value: Lines = "") -> Lines:
    """Give several lines of text to several nodes.

    Args:
        value: The text.

    Returns:
        STRING: The same text.
    """
    return value


def _chosen(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The input that a switch passes on; none while a link has not brought the choice."""
    if "switch" not in values:
        return ()
    name = "on_true" if values["switch"] else "on_false"
    return () if name in values else (name,)


@node(
    "ComfySwitchNode",
    title="Switch",
    category="logic",
    aliases=("if", "choose", "branch"),
    needs=_chosen,
)
def switch_inputs(ctx: Context, switch: Bool = False, *, on_false: Lazy, on_true: Lazy) -> Anything:
    """Pass one of two inputs on; what feeds the other one does not run.

    Args:
        switch: Which input is passed on.
        on_false: Passed on when the switch is off.
        on_true: Passed on when the switch is on.

    Returns:
        output: The chosen input.
    """
    return on_true if switch else on_false
