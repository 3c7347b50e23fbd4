"""The `ganvas sample` command."""

from pathlib import Path
from typing import Annotated

import typer

from .command import command
from .options import ClassIndex, Device, Given


@command("ganvas sample faces-stylegan2-64 --seeds 0-15 --psi 0.7 --out output --sheet")
def sample(
    model: Annotated[str, typer.Argument(help="Model file, or the name of a model at hand.")],
    given: Given = None,
    seeds: Annotated[str, typer.Option(help="Seeds such as 0-15,40.")] = "0-15",
    out: Annotated[Path, typer.Option(help="Folder for the images.")] = Path("output"),
    psi: Annotated[
        float | None,
        typer.Option(help="Truncation: 1 is none, 0 the average face; 0.7 where there is any."),
    ] = None,
    class_index: ClassIndex = -1,
    noise: Annotated[str, typer.Option(help="Noise mode: const, random or none.")] = "const",
    device: Device = "auto",
    sheet: Annotated[
        bool, typer.Option("--sheet", help="Also write all images on one sheet.")
    ] = False,
    video: Annotated[
        Path | None,
        typer.Option(help="Write a walk through the seeds instead: .webp, .png or .mp4."),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(help="Of a file with several: generator, generator_ema, ..."),
    ] = None,
) -> None:
    """Write one PNG per seed. Seed K gives the image that the published tools give."""
    from tqdm import tqdm

    from ..core.checkpoints import load_model, parse_given, resolve_model
    from ..core.devices import choose_device
    from ..core.files import check_output_folder
    from ..core.progress import progress_bar
    from ..core.sampling import parse_seeds, write_samples
    from ..core.walks import write_walk

    check_output_folder(out if video is None else video.parent)
    numbers = parse_seeds(seeds)
    known = parse_given(given or [])
    loaded = load_model(resolve_model(model), choose_device(device), network, known)
    if video is not None:
        with progress_bar("frame") as advance:
            path = write_walk(
                loaded,
                numbers,
                video,
                psi=psi,
                class_index=class_index,
                noise_mode=noise,
                report=advance,
            )
        print(path)
        return
    paths = write_samples(
        loaded, numbers, out, psi=psi, class_index=class_index, noise_mode=noise, sheet=sheet
    )
    written = list(tqdm(paths, total=len(numbers) + sheet, unit="image", disable=None))
    print(written[-1] if sheet else out)
