"""The `ganvas prepare` command."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from .command import command


@command("ganvas prepare photos --out photos-64.zip --size 64 --workers 4")
def prepare(
    source: Annotated[str, typer.Argument(help="Folder, archive, or KIND:PATH like celeba:DIR.")],
    out: Annotated[Path, typer.Option(help="Zip archive, or a new folder, to write.")],
    size: Annotated[int, typer.Option(help="Width and height in pixels.")],
    crop: Annotated[str | None, typer.Option(help="center, celeba or face.")] = None,
    align: Annotated[str | None, typer.Option(help="landmarks: level the eyes by them.")] = None,
    filter_: Annotated[str, typer.Option("--filter", help="lanczos or box.")] = "lanczos",
    workers: Annotated[int, typer.Option(help="Threads; the result is the same.")] = 1,
    on_error: Annotated[str, typer.Option(help="stop or skip, at unreadable images.")] = "stop",
    labels: Annotated[Path | None, typer.Option(help="CSV or JSON file of labels.")] = None,
    first_frame: Annotated[
        bool, typer.Option("--first-frame", help="Take the first image of an animation.")
    ] = False,
) -> None:
    """Cut, align and resize images to training data. No face is detected; landmarks are given."""
    from ..core.data.prepare import prepare as write_prepared
    from ..core.errors import printable
    from ..core.progress import progress_bar

    with progress_bar("image") as advance:
        done = write_prepared(
            source,
            out,
            size,
            crop=crop,
            align=align,
            filter_name=filter_,
            on_error=on_error,
            workers=workers,
            labels=labels,
            first_frame=first_frame,
            progress=advance,
        )
    for _, reason in done.skipped:
        print(f"skipped {printable(reason)}", file=sys.stderr)
    small = f" ({done.enlarged} were smaller)" if done.enlarged else ""
    print(f"{out}: {done.count} images of {size} px{small}, {len(done.skipped)} skipped")
