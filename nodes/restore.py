"""Nodes that damage faces and restore them."""

from __future__ import annotations

from typing import Annotated

from ..core.chunks import in_chunks
from ..core.restoration import PRESETS, Degradation, convention_of, degrade
from ..core.restoration.apply import restore
from ..core.seeds import consecutive_seeds
from .context import Context
from .convert import (
    MAX_PIXELS,
    check_image,
    image_to_model,
    image_to_unit,
    model_to_image,
    show_progress,
    unit_to_image,
)
from .spec import Choice, Float, Image, Int, Restorer, Seed, node

CHUNK = 8
"""Images damaged between two reports of progress."""


@node(
    "Ganvas_DegradeImage",
    title="Degrade Image",
    category="ganvas/restore",
    aliases=("damage", "blur", "noise", "jpeg", "low quality", "old photo"),
)
def degrade_image(
    ctx: Context,
    image: Image,
    preset: Annotated[str, Choice((*PRESETS, "custom"))] = "default",
    blur: Annotated[float, Float(0.0, 64.0, step=0.1)] = 1.0,
    downscale: Annotated[float, Float(1.0, 64.0, step=0.1)] = 2.0,
    noise: Annotated[float, Float(0.0, 1.0)] = 0.04,
    jpeg: Annotated[int, Int(0, 100)] = 50,
    holes: Annotated[int, Int(0, 64)] = 1,
    hole_size: Annotated[float, Float(0.01, 1.0)] = 0.15,
    seed: Seed = 0,
) -> Image:
    """Damage images in a known, repeatable way, to try restoration on them.

    Args:
        image: Images to damage; alpha is dropped.
        preset: A ready mixture of damage; only custom uses the numbers below.
        blur: Width of the blur in pixels (standard deviation); 0 for none.
        downscale: Factor by which the image is reduced and enlarged again; 1 for none.
        noise: Strength of the noise, where 1 is the range from black to white.
        jpeg: JPEG quality; 1 is the worst, 100 the best, 0 leaves compression out.
        holes: Number of grey rectangles.
        hole_size: Mean side of the rectangles, as a part of the image's side.
        seed: Seed of noise and holes; image i of the batch uses seed + i.

    Returns:
        image: Damaged images of the same size.
    """
    custom = Degradation(
        blur_sigma=blur,
        downscale=downscale,
        noise_std=noise,
        jpeg_quality=jpeg or None,
        hole_count=holes,
        hole_size=hole_size,
    )
    clean = image_to_unit(image)
    seeds = consecutive_seeds(seed, len(clean))
    damage = PRESETS.get(preset, custom)
    damaged = in_chunks(
        lambda start, stop: degrade(clean[start:stop], damage, seeds[start:stop]),
        len(clean),
        CHUNK,
        ctx.progress,
    )
    return unit_to_image(damaged)


@node(
    "Ganvas_RestoreFaces",
    title="Restore Faces",
    category="ganvas/restore",
    aliases=("face restoration", "deblur", "denoise", "inpaint", "gfpgan", "enhance"),
)
def restore_faces(
    ctx: Context,
    restorer: Restorer,
    image: Image,
    strength: Annotated[float, Float(0.0, 1.0, slider=True)] = 1.0,
    chunk_size: Annotated[int, Int(1, 256)] = 8,
    upscale: Annotated[int, Int(1, 8, optional=True)] = 1,
) -> Image:
    """Restore damaged faces. Images should show one upright face each, cropped to the head.

    Args:
        restorer: The restoration model.
        image: Damaged faces of any size; alpha is dropped.
        strength: 0 keeps the input, 1 gives the model's result, values between blend the two.
        chunk_size: Images computed at once; lower it when memory runs out. The result is the same.
        upscale: Factor of the result's size; with 1 it is the input's.

    Returns:
        image: Restored faces, of the input's size times upscale.
    """
    check_image(image, max_pixels=MAX_PIXELS // upscale**2)
    images = image_to_model(image)
    restored = restore(
        restorer.network,
        images,
        convention=convention_of(restorer),
        strength=strength,
        scale=upscale,
        chunk=chunk_size,
        report=show_progress(ctx),
    )
    return model_to_image(restored)
