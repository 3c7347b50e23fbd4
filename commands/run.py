"""The `ganvas run` command."""

from pathlib import Path
from typing import Annotated

import typer

from .command import command
from .options import Device, ResultsFolder


@command("ganvas run workflows/quickstart.json --set 2.seed=7 --output-dir output")
def run(
    workflow: Annotated[Path, typer.Argument(help="Workflow JSON, API format or UI format.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NODE.INPUT=VALUE", help="Change a widget; may be repeated."),
    ] = None,
    output_dir: ResultsFolder = Path("output"),
    input_dir: Annotated[
        Path, typer.Option(help="Folder of the images that the workflow loads by name.")
    ] = Path("input"),
    device: Device = "auto",
    batch_over: Annotated[
        str | None,
        typer.Option(
            metavar="GLOB", help="Run once for each matching image file, put into Load Image."
        ),
    ] = None,
) -> None:
    """Execute a workflow without a window. The results are those of ComfyUI."""
    from ..core.progress import WorkflowProgress
    from ..nodes.engine import run_file

    with WorkflowProgress() as progress:
        outputs = run_file(
            workflow,
            set_ or [],
            output_dir,
            device,
            batch_over,
            input_dir=input_dir,
            events=progress,
        )
    for path in outputs.files:
        print(path)
