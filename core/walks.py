"""Latent walks as animations: what `ganvas sample --video` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from .animation import check_fps, check_suffix, write_animation
from .checkpoints.registry import ARCHITECTURES
from .editing import latent_walk
from .errors import InputError
from .files import check_output_file
from .images import as_rgb, to_uint8
from .latents import Latents, sample_latents, synthesize
from .models.plans import is_generator
from .sampling import PSI

if TYPE_CHECKING:
    from .checkpoints import Model

FRAMES = 24
FPS = 24.0


def write_walk(
    model: Model,
    seeds: Sequence[int],
    path: Path,
    *,
    psi: float | None = None,
    class_index: int = -1,
    noise_mode: str = "const",
    frames: int = FRAMES,
    fps: float = FPS,
    report: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a walk through the faces of the seeds and back to the first, in the suffix's format.

    Args:
        model: holds a generator that has a W.
        seeds: two or more; the walk passes them in this order.
        path: a name that ends in .mp4 (needs PyAV), .webp or .png.
        psi: truncation; `sampling.PSI` when None.
        class_index: class of a conditional generator.
        noise_mode: as in `latents.synthesize`.
        frames: steps from one face to the next.
        fps: frames per second.
        report: called with (frames drawn, frames in all).

    Returns:
        `path`.

    Raises:
        InputError: the model has no generator, or one without W, or any of the above does not fit.
    """
    check_suffix(path.suffix.lower(), name="--video")
    check_output_file(path)
    check_fps(fps)
    if len(seeds) < 2:
        raise InputError(
            f"--seeds: a walk needs at least two seeds to go between, got {len(seeds)}"
        )
    generator = model.generator
    if not is_generator(generator):
        known = ARCHITECTURES[model.arch].summary
        raise InputError(f"{model.path}: this is a {model.arch} ({known}); a generator is needed")
    psi = PSI if psi is None else psi
    places = [
        sample_latents(
            generator,
            model.sha256,
            seed=seed,
            count=1,
            truncation_psi=psi,
            class_index=class_index,
        ).ws
        for seed in seeds
    ]
    walk = latent_walk(Latents(torch.cat(places), "W", model.sha256), frames)
    images = synthesize(
        generator,
        walk,
        model.sha256,
        noise_mode=noise_mode,
        report=None if report is None else lambda done, total, x: report(done, total),
    )
    pixels = as_rgb(to_uint8(images.add(1).div(2))).permute(0, 2, 3, 1)
    text = {
        "ganvas.seeds": ",".join(map(str, seeds)),
        "ganvas.psi": f"{psi:g}",
        "ganvas.model": model.sha256,
    }
    write_animation(path, pixels, fps=fps, text=text)
    return path
