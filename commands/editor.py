"""The `ganvas editor` command."""

from pathlib import Path
from typing import Annotated

import typer

from .command import command
from .options import Device, ResultsFolder


@command("ganvas editor --port 8188")
def editor(
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's asks for a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8188,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the editor in the browser.")
    ] = True,
    input_dir: Annotated[Path, typer.Option(help="Folder of uploaded images.")] = Path("input"),
    output_dir: ResultsFolder = Path("output"),
    user_dir: Annotated[
        Path, typer.Option(help="Folder of the editor's workflows and settings.")
    ] = Path("user"),
    device: Device = "auto",
) -> None:
    """Serve the visual workflow editor; needs ganvas[editor]."""
    from ..nodes.editor import Settings, serve

    serve(Settings(host, port, input_dir, output_dir, user_dir, device, browser))
