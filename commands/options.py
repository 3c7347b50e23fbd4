"""Options that several commands share, so that each reads the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Given = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="What the file itself does not say."),
]
ClassIndex = Annotated[int, typer.Option("--class", help="Class of a conditional model, from 0.")]
ResultsFolder = Annotated[Path, typer.Option(help="Folder for the results.")]
