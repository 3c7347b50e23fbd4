"""The `ganvas inspect` command."""

import json
from typing import Annotated

import typer

from .command import command
from .options import Given


@command("ganvas inspect faces-stylegan2-64 --json")
def inspect(
    file: Annotated[str, typer.Argument(help="Model file, or the name of a model at hand.")],
    given: Given = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is in a checkpoint of any supported format. Nothing in it is run."""
    from ..core.checkpoints import inspect as describe
    from ..core.checkpoints import parse_given, resolve_model

    report = describe(resolve_model(file), parse_given(given or []))
    print(json.dumps(report.as_dict(), indent=2) if as_json else report.as_text())
