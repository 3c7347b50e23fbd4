"""A command line that cannot be understood: one sentence, exit status 2, for every option."""

import inspect
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganvas import commands
from ganvas.cli import main
from ganvas.commands import COMMANDS

KINDS = {int: "a whole number", float: "a number"}


def numeric_options() -> Iterator[tuple[str, str, str]]:
    """Command, option and the kind of number it takes, for all numbers of all commands."""
    for command in COMMANDS:
        hints = typing.get_type_hints(command.function, include_extras=True)
        for name in inspect.signature(command.function).parameters:
            hint = hints[name]
            value_type, *metadata = (
                typing.get_args(hint) if hasattr(hint, "__metadata__") else [hint]
            )
            kinds = [kind for kind in KINDS if kind in (value_type, *typing.get_args(value_type))]
            if kinds:
                named = [item.default for item in metadata if isinstance(item.default, str)]
                option = (named or [f"--{name.replace('_', '-')}"])[0]  # Option("--class", ...)
                yield command.function.__name__, option, KINDS[kinds[0]]


def test_every_command_has_a_module_and_is_registered():
    shared = {"__init__", "command", "options", "usage"}
    modules = {path.stem for path in Path(commands.__file__).parent.glob("*.py")} - shared
    assert modules == {command.function.__name__ for command in COMMANDS}


NUMERIC = list(numeric_options())


def test_there_are_numbers_to_mistype():
    assert ("sample", "--psi", "a number") in NUMERIC
    assert ("sample", "--class", "a whole number") in NUMERIC


@pytest.mark.parametrize(("command", "option", "kind"), NUMERIC, ids=str)
def test_a_word_for_a_number_is_named_with_what_was_expected(command, option, kind, capsys):
    assert main([command, option, "abc"]) == 2
    assert capsys.readouterr().err == f"ganvas: {command}: {option}: expected {kind}, got 'abc'\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["faces", "--count", "1.5"], "faces: --count: expected a whole number, got '1.5'"),
        (["translate", "x", "--batch", "0"], "translate: --batch: expected 1 or more, got '0'"),
        (["sample"], "sample: expected the argument model, got none"),
        (["faces"], "faces: expected the option --out, got none"),
        (["train", "--lits"], "train: there is no option --lits (nearest: --list)"),
        (["--bogus"], "there is no option --bogus (see ganvas --help)"),
        (["bogus"], "no such command 'bogus' (see ganvas --help)"),
        (["smaple"], "no such command 'smaple'; did you mean 'sample'? (see ganvas --help)"),
        (
            ["sample", "x", "--psi"],
            "sample: option '--psi' requires an argument (see ganvas sample --help)",
        ),
        (
            ["sample", "x", "--sheet=1"],
            "sample: option '--sheet' does not take a value (see ganvas sample --help)",
        ),
        (
            ["faces", "--out", "a", "b"],
            "faces: got unexpected extra argument(s) (b) (see ganvas faces --help)",
        ),
    ],
    ids=str,
)
def test_other_mistakes_get_one_sentence_too(arguments, sentence, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr() == ("", f"ganvas: {sentence}\n")


def test_control_characters_of_a_value_never_reach_the_terminal(capsys):
    assert main(["sample", "x", "--psi", "\x1b[31mred"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_no_arguments_show_the_help(capsys):
    assert main([]) == 2
    assert "Usage: ganvas" in capsys.readouterr().err


def test_debug_shows_where_a_command_line_was_refused(capsys):
    assert main(["sample", "--debug", "x", "--psi", "abc"]) == 2
    assert "Traceback" in capsys.readouterr().err
