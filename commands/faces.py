"""The `ganvas faces` command."""

from pathlib import Path
from typing import Annotated

import typer

from .command import command


@command("ganvas faces --count 1000 --size 64 --seed 0 --out faces.zip")
def faces(
    out: Annotated[Path, typer.Option(help="Zip archive to write.")],
    count: Annotated[int, typer.Option(help="Number of faces.")] = 1000,
    size: Annotated[int, typer.Option(help="Width and height in pixels.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of the data set.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that render.")] = 1,
    segmentation: Annotated[
        bool, typer.Option("--segmentation", help="Also store segmentation images.")
    ] = False,
    degrade: Annotated[
        bool, typer.Option("--degrade", help="Damage the faces, with exactly known parameters.")
    ] = False,
) -> None:
    """Render the procedural face data set as a training archive. Its labels are exact."""
    from ..core.data.procedural import write_faces_zip
    from ..core.progress import progress_bar
    from ..core.restoration.degrade import DEFAULT

    with progress_bar("face") as advance:
        write_faces_zip(
            out,
            count,
            size,
            seed,
            workers=workers,
            progress=advance,
            segmentation=segmentation,
            degradation=DEFAULT if degrade else None,
        )
    print(out)
