"""Image to image translation: running pix2pix's and CycleGAN's generators over images and files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .chunks import Report, in_chunks
from .errors import InputError
from .files import check_output_folder, kind_of
from .images import read_image, save_png

if TYPE_CHECKING:
    from .checkpoints import Model

TRANSLATORS = ("pix2pix-unet", "cyclegan-resnet")
"""Ids of the architectures that turn images into images of another kind."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
"""Endings of the files that are taken from a folder."""

MIN_SIDE = 8  # CycleGAN's padding by reflection needs what two halvings leave of it
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma


def translator_of(model: Model) -> nn.Module:
    """The network of a model that translates images.

    Raises:
        InputError: the model is none, or one of images that are neither grey nor RGB.
    """
    if model.arch not in TRANSLATORS or model.network is None:
        raise InputError(f"expected an image translation model, got a {model.arch}")
    for key in ("in_channels", "out_channels"):
        if model.config.get(key) not in (1, 3):
            raise InputError(
                f"expected a model of grey or RGB images, got a {model.arch} with {key} "
                f"{model.config.get(key)}"
            )
    return model.network


@torch.no_grad()
def translate(
    network: nn.Module,
    images: Tensor,
    *,
    seeds: Sequence[int] | None = None,
    chunk: int = 8,
    report: Report | None = None,
) -> Tensor:
    """Translate images of any size from 8 x 8 pixels on; each independently of the others.

    Args:
        network: as `translator_of` gives it, on any device.
        images: RGB [N, 3, H, W] in -1..1, left as they are.
        seeds: of the dropout that is pix2pix's noise, one for each image; None for none.
        chunk: images per pass; it changes memory and speed only.
        report: called after each chunk with translated images in -1..1.

    Returns:
        Tensor [N, 1 or 3, H, W] float32 on the CPU, -1..1.

    Raises:
        InputError: images below 8 x 8 pixels.
        ValueError: another shape, or another number of seeds.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"translate: images must be [N, 3, H, W], got {tuple(images.shape)}")
    if seeds is not None and len(seeds) != len(images):
        raise ValueError(f"translate: {len(images)} images need as many seeds, got {len(seeds)}")
    height, width = images.shape[2:]
    if min(height, width) < MIN_SIDE:
        raise InputError(
            f"translate: expected images of at least {MIN_SIDE} x {MIN_SIDE} pixels, "
            f"got {width} x {height}"
        )
    device = next(network.parameters()).device
    grey = getattr(network.config, "in_channels", 3) == 1

    def run(start: int, stop: int) -> Tensor:
        x = images[start:stop].float().to(device)
        if grey:
            weights = torch.tensor(_GREY, device=device)
            x = (x * weights.view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
        if seeds is None:
            return network(x).float().cpu()
        own = torch.tensor(list(seeds[start:stop]), dtype=torch.int64)
        return network(x, dropout="seeded", generator=own).float().cpu()

    return in_chunks(run, len(images), chunk, report)


def find_images(paths: Sequence[Path]) -> list[tuple[Path, Path]]:
    """The image files that paths stand for, each with the name of its result.

    A folder stands for the images in it and in its subfolders, in the order of their names; their
    results keep the subfolders.

    Raises:
        InputError: a path is neither file nor folder, a folder holds no image, or two files would
            have results of one name.
    """
    found: list[tuple[Path, Path]] = []
    for path in paths:
        kind = kind_of(path)
        if kind == "a file":
            found.append((path, Path(f"{path.stem}.png")))
            continue
        if kind != "a folder":
            raise InputError(f"{path}: expected an image file or a folder of them, got {kind}")
        inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
        inside = [file for file in inside if file.is_file()]
        if not inside:
            raise InputError(f"{path}: no images in this folder ({', '.join(SUFFIXES)})")
        found += [(file, file.relative_to(path).with_suffix(".png")) for file in inside]
    names: dict[Path, Path] = {}
    for file, name in found:
        if name in names:
            raise InputError(f"{names[name]} and {file} would both be written to {name}")
        names[name] = file
    return found


def translate_files(
    model: Model,
    images: Sequence[tuple[Path, Path]],
    folder: Path,
    *,
    seed: int | None = None,
    chunk: int = 8,
) -> Iterator[Path]:
    """Write the translations of image files as PNG and yield each path as it is written.

    Neighbours of one size run together, up to `chunk`. Each PNG carries the model's hash.

    Args:
        model: a translation model.
        images: as `find_images` gives them.
        folder: receives the results.
        seed: of dropout: image i has seed + i; None for none.
        chunk: images per pass.

    Raises:
        InputError: the model does not translate, an image cannot be read or is too small, the
            folder cannot be written to, or a result would replace an input.
    """
    try:
        network = translator_of(model)
    except InputError as error:
        raise InputError(f"{model.path}: {error}") from error
    check_output_folder(folder)
    if not images:
        raise InputError("translate: expected images, got none")
    inputs = {file.resolve() for file, _ in images}
    for _, name in images:
        if (folder / name).resolve() in inputs:
            raise InputError(f"translate: {folder / name} is an input itself; choose another --out")
    batch: list[Tensor] = []
    first = 0

    def written() -> Iterator[Path]:
        seeds = None if seed is None else range(seed + first, seed + first + len(batch))
        done = translate(network, torch.stack(batch), seeds=seeds, chunk=chunk)
        for (_, name), image in zip(images[first : first + len(batch)], done, strict=True):
            picture = image.add(1).div(2).clamp(0, 1).permute(1, 2, 0)
            save_png(folder / name, picture, {"ganvas.model": model.sha256})
            yield folder / name

    for row, (file, _) in enumerate(images):
        image = read_image(file).permute(2, 0, 1).mul(2).sub(1)
        if batch and (len(batch) == chunk or image.shape != batch[0].shape):
            yield from written()
            first, batch = row, []
        batch.append(image)
    yield from written()
