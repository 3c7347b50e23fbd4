"""The `ganvas metrics` command."""

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from .command import command
from .options import ClassIndex, Device


@command("ganvas metrics fd_faces --real faces.zip --fake faces-stylegan2-64")
def metrics(
    names: Annotated[
        str,
        typer.Argument(
            help="Of fid, kid, is, prdc (these need --features), fd_faces, kd_faces, prdc_faces, "
            "ppl_faces (also _z, _end, _crop), swd, diversity; psnr, ssim for a restorer."
        ),
    ],
    fake: Annotated[str, typer.Option(help="A model, or a folder or archive of images.")],
    real: Annotated[
        str | None,
        typer.Option(help="Real images that training did not see; not for is and ppl_faces."),
    ] = None,
    features: Annotated[
        Path | None, typer.Option(help="File of Inception's weights; nothing is downloaded.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(help="Images compared; 1000, or all where there are fewer.")
    ] = None,
    resize: Annotated[
        str, typer.Option(help="How Inception's images are resized: tf1, clean or torch.")
    ] = "tf1",
    class_index: ClassIndex = -1,
    seed: Annotated[int, typer.Option(help="Seed of random projections and subsets.")] = 0,
    device: Device = "auto",
    json_: Annotated[Path | None, typer.Option("--json", help="Write the results there.")] = None,
) -> None:
    """Measure a model or a set of images against real images. Under torchrun on several GPUs."""
    from tqdm import tqdm

    from ..core.evaluation import Request, evaluate_files, parse_names
    from ..core.files import atomic_write, check_output_file
    from ..training.distributed import start

    request = Request(parse_names(names), count, seed, features, resize, class_index)
    if json_ is not None:
        check_output_file(json_)
    with (
        closing(start(device, "metrics", when_lost="nothing was measured")) as ranks,
        tqdm(unit="image", leave=False, disable=None if ranks.main else True) as bar,
    ):

        def advance(stage: str, done: int, total: int) -> None:
            bar.set_description_str(stage, refresh=False)
            if done < bar.n:
                bar.reset()
            bar.total = total
            bar.update(done - bar.n)

        found = evaluate_files(request, real, fake, str(ranks.device), advance, ranks)
    if not ranks.main:
        return
    if json_ is not None:
        atomic_write(json_, json.dumps(found.as_dict(), indent=2) + "\n")
    for warning in found.warnings:
        print(f"ganvas: {warning}", file=sys.stderr)
    print(found.as_text())
