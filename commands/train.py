"""The `ganvas train` command."""

from pathlib import Path
from typing import Annotated

import typer

from .command import command


@command(
    "ganvas train stylegan2-faces-64 --data faces:count=20000,size=64,seed=0 "
    "--outdir runs/faces total_kimg=100 batch=16"
)
def train(
    preset: Annotated[str | None, typer.Argument(help="Preset name; --list shows them.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...",
            help="Settings to change; with a preset, --list shows them.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Folder of images or zip archive, recognised by what is in it, or named by kind: "
            "folder:PATH,labels=folders, zip:PATH, celeba:PATH, ffhq:PATH, lfw:PATH, casia:PATH, "
            "idx:PATH (MNIST), wds:PATH (WebDataset), pairs:PATH (for pix2pix), "
            "domains:PATH_A,PATH_B (for CycleGAN); or drawn: faces:count=20000,size=64,seed=0."
        ),
    ] = None,
    outdir: Annotated[
        Path | None,
        typer.Option(help="Folder of the run: model.safetensors, snapshots, log, report.html."),
    ] = None,
    resume: Annotated[
        str,
        typer.Option(
            help="auto (continue what is in --outdir, on the same data), never, or the path of a "
            "run or snapshot, which may go on with other data."
        ),
    ] = "auto",
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Two steps on synthetic images, every phase among them, with a small batch and, "
            "where that would be slow, at a low resolution: checks settings, installation and "
            "all of --data but its pixels, not memory or speed. Nothing is kept.",
        ),
    ] = False,
    list_: Annotated[
        bool,
        typer.Option("--list", help="Print the presets, or the settings of one, and stop."),
    ] = False,
) -> None:
    """Train a model from a preset. Under torchrun on several GPUs or machines."""
    from ..core.errors import InputError
    from ..training import PRESETS

    if list_ and preset is not None:
        from ..training.opening import settings_table
        from ..training.presets import find_preset

        print("\n".join(settings_table(find_preset(preset))))
        return
    if list_:
        width = max(len(name) for name in PRESETS)
        for name, row in PRESETS.items():
            print(f"{name:<{width}}  {row.summary}")
        return
    if preset is None:
        raise InputError("train: expected a preset name (ganvas train --list shows them), got none")
    from ..training import train as run_training

    result = run_training(
        preset,
        data,
        outdir,
        settings or [],
        resume=None if resume == "never" else resume,
        dry_run=dry_run,
    )
    if result.outcome == "interrupted":
        raise KeyboardInterrupt
    if result.model is not None:
        print(result.model)
