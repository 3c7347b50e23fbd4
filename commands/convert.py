"""The `ganvas convert` command."""

from pathlib import Path
from typing import Annotated

import typer

from .command import command
from .options import Given


@command("ganvas convert ffhq.pkl ffhq.safetensors --dtype fp16 conv_clamp=256")
def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="Checkpoint of any known format.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.safetensors", help="File to write.")],
    given: Given = None,
    dtype: Annotated[str, typer.Option(help="fp32, bf16 or fp16.")] = "fp32",
    network: Annotated[
        str | None,
        typer.Option(help="Of a file with several: generator, generator_ema or discriminator."),
    ] = None,
) -> None:
    """Turn a checkpoint into a ganvas model file. The outputs of both are compared."""
    from ..core.checkpoints import convert as write_converted
    from ..core.checkpoints import parse_given, resolve_model

    done = write_converted(
        resolve_model(source), target, dtype=dtype, network=network, given=parse_given(given or [])
    )
    print(done.as_text())
