"""Images from seeds: what `ganvas sample` does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .checkpoints.registry import ARCHITECTURES
from .errors import InputError
from .files import check_output_folder
from .images import MAX_PIXELS, contact_sheet, save_png
from .latents import MAX_SEED, NOISE_MODES, class_labels, seeded_z
from .models.plans import AnyGenerator, class_fits, has_latents, is_generator, plan_of
from .ranges import parse_ranges

if TYPE_CHECKING:
    from .checkpoints import Model

MAX_IMAGES = 1_000_000
MAX_PSI = 10
PSI = 0.7
"""Truncation of generators that have a W, where none is asked for."""


def parse_seeds(text: str) -> list[int]:
    """Read a seed list such as "0-15", "3,7,12" or "0-3,100".

    Raises:
        InputError: not such a list, a seed outside 0..2**32-1, or more than a million seeds.
    """
    return parse_ranges(text, name="seeds", highest=MAX_SEED, most=MAX_IMAGES)


def latents_from_seeds(seeds: Sequence[int], z_dim: int) -> Tensor:
    """The z [N, z_dim] of the seeds: seed k is `RandomState(k).randn(1, z_dim)`, as published.

    Raises:
        InputError: no seeds, or one outside 0..2**32-1.
    """
    if not seeds:
        raise InputError("seeds: at least one is needed")
    return torch.cat([seeded_z(seed, 1, z_dim) for seed in seeds])


@torch.no_grad()
def sample_images(
    generator: AnyGenerator,
    seeds: Sequence[int],
    *,
    psi: float = 1.0,
    class_index: int = -1,
    labels: Tensor | None = None,
    noise_mode: str = "const",
    chunk: int = 8,
) -> Iterator[Tensor]:
    """Yield the image [C, H, W] in 0..1 of each seed, float32 on the CPU, `chunk` made at a time.

    A seed's image does not depend on the other seeds: random noise is drawn from the seed as well.
    A conditional generator takes one class for all seeds, or `labels` [N, c_dim], a row for each.

    Raises:
        InputError: seeds, psi, class or noise mode do not fit.
    """
    if noise_mode not in NOISE_MODES:
        raise InputError(f"noise_mode: expected one of {NOISE_MODES}, got {noise_mode!r}")
    if not -MAX_PSI <= psi <= MAX_PSI:
        raise InputError(f"psi: expected a number of {-MAX_PSI}..{MAX_PSI}, got {psi}")
    if psi != 1 and not has_latents(generator):
        raise InputError(f"psi: this generator has no W to truncate, so it must be 1, got {psi}")
    device = next(generator.parameters()).device
    for start in range(0, len(seeds), chunk):
        part = seeds[start : start + chunk]
        z = latents_from_seeds(part, generator.config.z_dim).to(device)
        if labels is None:
            c = class_labels(generator, class_index, len(part))
        else:
            c = labels[start : start + len(part)]
        c = None if c is None else c.to(device)
        rngs = None
        if noise_mode == "random":
            rngs = [torch.Generator().manual_seed(seed) for seed in part]
        if has_latents(generator):
            ws = generator.mapping(z, c, truncation_psi=psi)
            images = plan_of(generator)(ws, noise_mode=noise_mode, generator=rngs)
        else:
            images = generator(z, c, noise_mode=noise_mode, generator=rngs)
        yield from images.float().cpu().add(1).div(2).clamp(0, 1)


def write_samples(
    model: Model,
    seeds: Sequence[int],
    folder: Path,
    *,
    psi: float | None = None,
    class_index: int = -1,
    noise_mode: str = "const",
    sheet: bool = False,
) -> Iterator[Path]:
    """Write `seed0000.png` ... into `folder` and yield each path; `sheet.png` comes last.

    Each PNG carries seed, psi and the model's hash as text chunks. Without psi, `PSI` is used, and
    no truncation by a generator that has no W.

    Raises:
        InputError: the model has no generator, or as `sample_images`.
    """
    generator = model.generator
    if not is_generator(generator):
        known = ARCHITECTURES[model.arch].summary
        raise InputError(
            f"{model.path}: this is a {model.arch} ({known}), which cannot sample; "
            "a generator is needed"
        )
    classes = generator.config.c_dim
    if classes and not class_fits(generator, class_index):
        got = f"got {class_index}" if class_index >= 0 else "none is given"
        raise InputError(
            f"{model.path}: this {model.arch} has {classes} classes; expected --class "
            f"0..{classes - 1}, {got}"
        )
    if psi is None:
        psi = PSI if has_latents(generator) else 1.0
    pixels = len(seeds) * generator.config.img_resolution**2
    if sheet and pixels > MAX_PIXELS:
        raise InputError(
            f"sample: a sheet of {len(seeds)} images has {pixels} pixels, expected at most "
            f"{MAX_PIXELS}; leave --sheet out or name fewer seeds"
        )
    check_output_folder(folder)
    kept: list[Tensor] = []
    images = sample_images(
        generator, seeds, psi=psi, class_index=class_index, noise_mode=noise_mode
    )
    for seed, image in zip(seeds, images, strict=True):
        target = folder / f"seed{seed:04d}.png"
        text = {"ganvas.seed": str(seed), "ganvas.psi": f"{psi:g}", "ganvas.model": model.sha256}
        save_png(target, image.permute(1, 2, 0), text)
        if sheet:
            kept.append(image)
        yield target
    if sheet:
        target = folder / "sheet.png"
        save_png(target, contact_sheet(torch.stack(kept)).permute(1, 2, 0))
        yield target
