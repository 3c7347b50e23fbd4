"""Nodes that make new latents from others, and pick from batches."""

from __future__ import annotations

from typing import Annotated

from ..core import editing
from ..core.editing.mixing import ARRANGEMENTS, MAX_LATENTS
from ..core.editing.walk import MOTIONS
from ..core.ranges import parse_ranges
from .context import Context
from .convert import check_image
from .spec import Bool, Choice, Float, Image, Int, Latents, Text, node


@node(
    "Ganvas_MixStyles",
    title="Mix Styles",
    category="ganvas/sample",
    aliases=("style mixing", "crossover", "combine faces", "layers", "stylegan"),
)
def mix_styles(
    ctx: Context,
    latents: Latents,
    styles: Latents,
    first_layer: Annotated[int, Int(0, 64)] = 4,
    last_layer: Annotated[int, Int(-1, 64)] = -1,
    strength: Annotated[float, Float(0.0, 1.0, slider=True)] = 1.0,
    arrangement: Annotated[str, Choice(ARRANGEMENTS)] = "grid",
) -> Latents:
    """Give faces some layers of other faces: the shape of one, the colours of another.

    Args:
        latents: Faces that give all other layers; they stay as they are.
        styles: Faces of the same generator that give the layers of the range.
        first_layer: First layer taken from the styles; 0 to 3 hold pose and shape, later ones
            features and colours.
        last_layer: Last layer taken from the styles, included; -1 for the final one.
        strength: 1 takes the styles' layers, 0 keeps the faces, values between blend the two.
        arrangement: grid mixes every face with every style; pairs the first with the first, and so
            on.

    Returns:
        latents: Mixed latents; in a contact sheet with as many columns as styles, a face per row.
    """
    return editing.mix_styles(
        latents,
        styles,
        first_layer=first_layer,
        last_layer=last_layer,
        strength=strength,
        arrangement=arrangement,
    )


@node(
    "Ganvas_Interpolate",
    title="Interpolate",
    category="ganvas/sample",
    aliases=("blend", "lerp", "morph", "between faces"),
)
def interpolate(
    ctx: Context,
    latents: Latents,
    latents_b: Latents,
    amounts: Text = "0, 0.25, 0.5, 0.75, 1",
    arrangement: Annotated[str, Choice(ARRANGEMENTS)] = "pairs",
) -> Latents:
    """Blend pairs of faces in latent space, from one to the other.

    Args:
        latents: Faces at amount 0; they stay as they are.
        latents_b: Faces of the same generator at amount 1.
        amounts: Numbers such as "0, 0.5, 1"; below 0 and above 1 go beyond the two faces.
        arrangement: pairs blends the first with the first, and so on; grid every face with every
            other.

    Returns:
        latents: The first pair at every amount, then the second, and so on.
    """
    steps = editing.parse_strengths(amounts, name="amounts")
    return editing.interpolate(latents, latents_b, steps, arrangement)


@node(
    "Ganvas_Average",
    title="Average",
    category="ganvas/sample",
    aliases=("mean", "average face", "merge", "composite"),
)
def average(ctx: Context, latents: Latents, weights: Text = "") -> Latents:
    """Average latents into one face that has something of each.

    Args:
        latents: Faces to average; they stay as they are.
        weights: One number for each face, such as "2, 1, 1"; empty for equal weights.

    Returns:
        latents: One latent.
    """
    parts = editing.parse_strengths(weights, name="weights") if weights.strip() else ()
    return editing.average(latents, parts)


@node(
    "Ganvas_LatentWalk",
    title="Latent Walk",
    category="ganvas/sample",
    aliases=("animation", "interpolation video", "morph", "latent interpolation", "loop"),
)
def latent_walk(
    ctx: Context,
    latents: Latents,
    frames: Annotated[int, Int(1, 4096)] = 24,
    motion: Annotated[str, Choice(MOTIONS)] = "smooth",
    loop: Bool = True,
) -> Latents:
    """Walk from face to face in small steps, for an animation.

    Args:
        latents: Two or more faces that the walk passes in their order; they stay as they are.
        frames: Steps from one face to the next.
        motion: smooth passes the faces in a curve, linear in straight lines, pause slows down at
            each.
        loop: Walk back to the first face at the end, so that the animation repeats seamlessly.

    Returns:
        latents: One latent per frame, for Synthesize and Save Video.
    """
    return editing.latent_walk(latents, frames, motion=motion, loop=loop)


@node(
    "Ganvas_PickLatents",
    title="Pick Latents",
    category="ganvas/sample",
    aliases=("select", "curate", "index", "latent from batch", "choose faces"),
)
def pick_latents(ctx: Context, latents: Latents, indices: Text = "0") -> Latents:
    """Keep some latents of a batch, by their numbers, in the order given.

    Args:
        latents: A batch of latents; it stays as it is.
        indices: Numbers and ranges such as "0, 3, 5-7", counted from 0; repeating one is allowed.

    Returns:
        latents: The chosen latents.
    """
    return latents.pick(_chosen(indices, len(latents)))


@node(
    "Ganvas_PickImages",
    title="Pick Images",
    category="ganvas/sample",
    aliases=("select", "curate", "index", "image from batch", "choose images"),
)
def pick_images(ctx: Context, image: Image, indices: Text = "0") -> Image:
    """Keep some images of a batch, by their numbers, in the order given.

    Args:
        image: A batch of images; it stays as it is.
        indices: Numbers and ranges such as "0, 3, 5-7", counted from 0; repeating one is allowed.

    Returns:
        image: The chosen images.
    """
    check_image(image, name="image")
    return image[_chosen(indices, len(image))].clone()


def _chosen(text: str, count: int) -> list[int]:
    """Read indices of a batch of `count`."""
    return parse_ranges(text, name="indices", highest=count - 1, most=MAX_LATENTS)
