"""What a wrong command line is told: one sentence, as for all other wrong input."""

from collections.abc import Sequence
from typing import Any

import typer

from ..core.errors import InputError

# By version, typer brings these classes of click itself or takes those of the installed click. So
# their base is reached through the one that typer has always exported, and the others go by name.
USAGE_ERROR: type = typer.BadParameter.__mro__[1]
EXPECTED = {
    "float_parsing": "a number",
    "int_parsing": "a whole number",
    "greater_than_equal": "{ge} or more",
    "less_than_equal": "{le} or less",
}
"""What a value should have been, by pydantic's name of what is wrong with it."""


def is_without_arguments(error: Exception) -> bool:
    """Whether nothing was typed but `ganvas`; the exception's text is then the help."""
    return type(error).__name__ == "NoArgsIsHelpError"


def as_usage_mistake(error: Any, given: Sequence[str]) -> InputError | None:
    """Put into our words what typer's parser has to say; None for any other exception.

    Args:
        error: What was raised.
        given: The arguments, which name the command where the exception does not.
    """
    if not isinstance(error, USAGE_ERROR):
        return None
    named = [text for text in given if not text.startswith("-")]
    path = error.ctx.command_path if error.ctx else " ".join(["ganvas", *named[:1]])
    command = path.partition(" ")[2]
    return InputError(": ".join(part for part in (command, _explain(error, path)) if part))


def _explain(error: Any, path: str) -> str:
    """What was expected and what came, in typer's words where it does not tell the parts."""
    kind = type(error).__name__
    if kind == "MissingParameter" and error.param:
        return f"expected the {error.param.param_type_name} {_name(error.param)}, got none"
    if kind == "NoSuchOption":
        close = sorted(error.possibilities or ())
        hint = f"nearest: {', '.join(close)}" if close else f"see {path} --help"
        return f"there is no option {error.option_name} ({hint})"
    if kind == "BadParameter" and error.param and hasattr(error.__cause__, "errors"):
        (wrong, *_) = error.__cause__.errors()
        expected = EXPECTED.get(wrong["type"])
        if expected is not None:
            expected = expected.format(**wrong.get("ctx", {}))
            return f"{_name(error.param)}: expected {expected}, got {str(wrong['input'])[:80]!r}"
    return f"{_clause(error.format_message())} (see {path} --help)"


def _name(parameter: Any) -> str:
    """The option in full, such as --psi, or the argument's name."""
    return max(parameter.opts, key=len)


def _clause(message: str) -> str:
    """Typer's sentences as a part of ours."""
    sentences = message.rstrip(".").split(". ")
    return "; ".join(sentence[:1].lower() + sentence[1:] for sentence in sentences)
