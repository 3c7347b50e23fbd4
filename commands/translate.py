"""The `ganvas translate` command."""

from pathlib import Path
from typing import Annotated

import typer

from .command import command
from .options import Device, ResultsFolder


@command("ganvas translate photos --model cyclegan.safetensors --out translated")
def translate(
    inputs: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    model: Annotated[str, typer.Option(help="pix2pix or CycleGAN model: a file or a name.")],
    out: ResultsFolder = Path("output"),
    network: Annotated[
        str | None, typer.Option(help="Network of a file with several, such as B_to_A.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Use pix2pix's dropout, image i with this seed + i.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images computed at once.")] = 4,
    device: Device = "auto",
) -> None:
    """Translate images with pix2pix or CycleGAN. Any size; each image is translated by itself."""
    from tqdm import tqdm

    from ..core.checkpoints import load
    from ..core.devices import choose_device
    from ..core.files import check_output_folder
    from ..core.translation import find_images, translate_files

    check_output_folder(out)
    images = find_images(inputs)
    loaded = load(model, device=choose_device(device), network=network)
    written = translate_files(loaded, images, out, seed=seed, chunk=batch)
    for path in tqdm(written, total=len(images), unit="image", disable=None, leave=False):
        tqdm.write(str(path))
