"""The latent pad: two directions under one hand."""

from __future__ import annotations

import base64
from typing import Annotated

from torch import Tensor

from ..core import editing
from ..core.latents import check_latents
from ..core.previews import small_images
from .context import Context
from .convert import as_jpeg, preview_picture
from .spec import Direction, Float, Generator, Latents, node

PREVIEW_SIDE = 128
"""Most pixels of the face on the pad: enough to judge an edit, few enough for a CPU."""

JPEG_QUALITY = 88

Place = Annotated[float, Float(-5.0, 5.0)]


@node(
    "Ganvas_LatentPad",
    title="Latent Pad",
    category="ganvas/edit",
    aliases=("xy pad", "drag", "two directions", "slider", "explore", "interactive"),
    output_node=True,
)
def latent_pad(
    ctx: Context,
    generator: Generator,
    latents: Latents,
    direction_x: Direction,
    direction_y: Direction,
    x: Place = 0.0,
    y: Place = 0.0,
) -> Latents:
    """Move latents along two directions by dragging a handle, and see the face change at once.

    Args:
        generator: The generator that the latents were drawn for; it draws the face on the pad.
        latents: Latents to move; they stay as they are. The pad shows the first one.
        direction_x: Where the handle leads to the right.
        direction_y: Where the handle leads upwards.
        x: Strength of the first direction, what the handle's place sets.
        y: Strength of the second direction, what the handle's place sets.

    Returns:
        latents: The moved latents, one for each.
    """
    model, model_hash = generator.generator, generator.sha256
    check_latents(latents, model, model_hash)
    moved = editing.apply_direction(latents, direction_x, (x,))
    moved = editing.apply_direction(moved, direction_y, (y,))
    ctx.check()
    face = small_images(model, moved.ws[:1], PREVIEW_SIDE)[0]
    ctx.show("ganvas_pad", [{"image": _data_url(face), "x": x, "y": y}])
    return moved


def _data_url(image: Tensor) -> str:
    """Return an image [C,H,W] in 0..1 as a JPEG inside an address, which leaves no file behind."""
    jpeg = as_jpeg(preview_picture(image), JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
