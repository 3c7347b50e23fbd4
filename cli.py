"""The `ganvas` command: from arguments to one of `commands`, and from its end to an exit status."""

import functools
import io
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any

import typer

from .commands import COMMANDS, Command
from .commands.usage import as_usage_mistake, is_without_arguments
from .core.errors import InputError, Interrupted, OperationError, as_input_error, printable

app = typer.Typer(
    name="ganvas",
    help="GAN faces on a canvas: generate, edit and restore faces.",
    epilog="Example: ganvas run workflows/quickstart.json --output-dir output",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status.

    0: done; 1: something failed on our side; 2: the user's input was wrong; 130: Ctrl-C.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # cleans up as Ctrl-C does
    given = list(sys.argv[1:] if arguments is None else arguments)
    _open_streams()
    try:
        status = _dispatch(given)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe (`| head`) has left
        _drop_output()
        return 1
    except Exception as error:
        return _report(error, given)
    return status


def _dispatch(given: list[str]) -> int:
    """Run the command that the arguments name, wherever `--debug` stands among them."""
    _refuse_null(given)
    arguments = [text for text in given if text != "--debug"]
    try:
        status = app(args=arguments, prog_name="ganvas", standalone_mode=False)
    except SystemExit as stop:
        status = stop.code
    return status if isinstance(status, int) else int(status is not None)


def _report(error: Exception, given: list[str]) -> int:
    """Tell the user what went wrong, and return the exit status that says whose mistake it was."""
    if "--debug" in given:
        traceback.print_exc()
    if is_without_arguments(error):
        text = str(error)
    else:
        error = as_usage_mistake(error, given) or as_input_error(error) or error
        text = f"ganvas: {_sentence(error)}"
    with suppress(OSError):
        print(text, file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:  # what could not be written would fail once more at the interpreter's end
        _drop_output()
    return 2 if isinstance(error, ValueError) or is_without_arguments(error) else 1


def _refuse_null(arguments: list[str]) -> None:
    """No path or name may hold a null character, and each library says so in its own odd way."""
    for text in arguments:
        if "\0" in text:
            raise InputError(f"expected arguments without null characters, got {text[:80]!r}")


def _open_streams() -> None:
    """Make both streams take any text: they may be closed, or of an encoding that lacks letters."""
    if sys.stdout is None:
        sys.stdout = io.StringIO()
    if sys.stderr is None:
        sys.stderr = io.StringIO()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Send what is still to be printed nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _sentence(error: Exception) -> str:
    """What to tell the user: their own mistakes in full, anything else in one line."""
    text = str(error).strip()
    if isinstance(error, (InputError, OperationError)):
        # A workflow's errors come one to an indented line; no other line break is meant.
        return "\n".join(printable(line) for line in re.split("\n(?=  )", text))
    first = printable(text.splitlines()[0]) if text else "no further details"
    if isinstance(error, ValueError):
        return first
    return f"{type(error).__name__}: {first} (--debug shows where)"


def _guarded(command: Command) -> Callable[..., None]:
    """The command's function, whose Ctrl-C ends with status 130 and no traceback."""

    @functools.wraps(command.function)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command.function(*args, **kwargs)
        except (KeyboardInterrupt, Interrupted):
            print("ganvas: stopped", file=sys.stderr)
            raise SystemExit(130) from None

    return run


def _version(wanted: bool) -> None:
    if wanted:
        from . import __version__

        print(f"ganvas {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback when something fails.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


for each in COMMANDS:
    app.command(epilog=f"Example: {each.example}")(_guarded(each))


def _end(status: int) -> None:
    """End the process.

    One of several ranks ends at once: now and then one was aborted ("terminate called without an
    active exception", SIGABRT) as it exited, after all its work was done. The cause is not known.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        sys.exit(status)
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _end(main())
