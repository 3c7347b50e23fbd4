"""Check and convert what a workflow gives for a widget: types, limits and lists of options."""

from __future__ import annotations

import math
from typing import Any

from ..context import Host
from ..interface import InputSpec
from .errors import brief, nearest


class WidgetValueError(Exception):
    """A widget value that cannot be used; ComfyUI's error type, a message and the details."""

    def __init__(self, type: str, message: str, details: str) -> None:
        super().__init__(details)
        self.type = type
        self.message = message
        self.details = details


def check_value(item: InputSpec, value: Any, host: Host) -> Any:
    """Return `value` as the widget's Python type.

    Text such as "12" is taken for a number where a number is wanted, as ComfyUI does; a fraction
    is never cut to an integer.

    Args:
        item: The widget.
        value: What the workflow, the command line or a link brought.
        host: Where lists of files come from.

    Raises:
        WidgetValueError: Wrong type, out of range, or not among the options.
    """
    match item.type:
        case "INT":
            return _in_range(item, _integer(item, value))
        case "FLOAT":
            return _in_range(item, _number(item, value))
        case "BOOLEAN":
            if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
                return bool(value)
            raise _wrong_type(item, value, "true or false")
        case "STRING":
            if isinstance(value, str):
                return value
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                return str(float(value) if abs(value) > 2**128 else value)
            raise _wrong_type(item, value, "text")
        case _:
            return _option(item, value, host)


def _integer(item: InputSpec, value: Any) -> int:
    """Return an integer without loss, or refuse."""
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            raise _wrong_type(item, value, "a whole number") from None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _wrong_type(item, value, "a whole number")


def _number(item: InputSpec, value: Any) -> float:
    """Return a finite float, or refuse."""
    number = math.nan
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
    if not math.isfinite(number):
        raise _wrong_type(item, value, "a number")
    return number


def _in_range(item: InputSpec, value: int | float) -> int | float:
    """Return `value` when it lies within the widget's limits."""
    if item.min is not None and value < item.min:
        raise WidgetValueError(
            "value_smaller_than_min",
            f"Value {brief(value)} smaller than min of {item.min}",
            f"expected {item.min} to {item.max}",
        )
    if item.max is not None and value > item.max:
        raise WidgetValueError(
            "value_bigger_than_max",
            f"Value {brief(value)} bigger than max of {item.max}",
            f"expected {item.min} to {item.max}",
        )
    return value


def _option(item: InputSpec, value: Any, host: Host) -> str:
    """Return one of the options; uploaded files are the node's own `validate` hook's to check."""
    if not isinstance(value, str):
        raise _wrong_type(item, value, "one of a list of names")
    if item.image_upload:
        return value
    options = item.list_options(host)
    if value in options:
        return value
    listed = ", ".join(options[:12]) + (", ..." if len(options) > 12 else "")
    hint = nearest(value, options) if len(options) > 4 else ""
    raise WidgetValueError(
        "value_not_in_list",
        "Value not in list",
        f"got {brief(value)}{hint}, expected one of: {listed or '(none found)'}",
    )


def _wrong_type(item: InputSpec, value: Any, expected: str) -> WidgetValueError:
    """Return the exception for a value of another type."""
    return WidgetValueError(
        "invalid_input_type",
        f"Failed to convert an input value to a {item.type} value",
        f"expected {expected}, got {brief(value)}",
    )
