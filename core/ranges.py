"""Lists of numbers as people write them: "0-3,100" and "-3, 0, 3"."""

from __future__ import annotations

import math

from .errors import InputError


def parse_ranges(text: str, *, name: str, highest: int, most: int) -> list[int]:
    """Read numbers and ranges separated by commas, such as "0-15", "3,7,12" or "0-3,100".

    Args:
        text: the list; its order is kept, and a number may stand twice.
        name: what the numbers are, for messages.
        highest: largest number accepted; the smallest is 0.
        most: how many numbers are accepted.

    Raises:
        InputError: not such a list, a number above `highest`, or too many of them.
    """
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not is_number(first, 10) or (dash and not is_number(last, 10)):
            raise InputError(f"{name}: expected numbers and ranges like 0-15,40, got {text[:80]!r}")
        low, high = int(first), int(last) if dash else int(first)
        if high < low or high > highest:
            raise InputError(f"{name}: {part.strip()} must ascend within 0..{highest}")
        if len(numbers) + high - low + 1 > most:
            raise InputError(f"{name}: {text[:80]!r} names more than {most} {name}")
        numbers.extend(range(low, high + 1))
    return numbers


def parse_numbers(text: str) -> list[float] | None:
    """Read finite numbers separated by commas, semicolons, spaces or line ends, such as "-3, 0, 3".

    Returns:
        The numbers in order; None when anything else stands among them.
    """
    try:
        values = [float(word) for word in text.replace(",", " ").replace(";", " ").split()]
    except ValueError:
        return None
    return values if all(map(math.isfinite, values)) else None


def is_number(text: str, digits: int = 9) -> bool:
    """Whether a text is a whole number of at most `digits` ASCII digits, which `int` then reads.

    `str.isdigit` alone also accepts superscripts, which `int` does not.
    """
    return text.isascii() and text.isdigit() and len(text) <= digits
