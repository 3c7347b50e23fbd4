"""What a command is: a plain function whose annotated parameters are its options."""

from collections.abc import Callable
from dataclasses import dataclass

Function = Callable[..., None]


@dataclass(frozen=True)
class Command:
    """A command under the name of its function; the function's docstring is its help.

    Args:
        function: Imports what it needs when it runs, so that `--help` is quick.
        example: One line that can be typed as it stands.
    """

    function: Function
    example: str


def command(example: str) -> Callable[[Function], Command]:
    """Make the function below a command; `commands.COMMANDS` lists it."""

    def declare(function: Function) -> Command:
        return Command(function, example)

    return declare
