"""Nodes that find editing directions and apply them."""

from __future__ import annotations

from typing import Annotated

from ..core import editing
from ..core.errors import InputError
from .context import Context
from .spec import Choice, Direction, Generator, Int, Latents, Text, node


@node(
    "Ganvas_FindDirections",
    title="Find Directions",
    category="ganvas/edit",
    aliases=("sefa", "closed-form factorization", "semantics", "attribute", "unsupervised"),
)
def find_directions(
    ctx: Context,
    generator: Generator,
    count: Annotated[int, Int(1, 512)] = 8,
    index: Annotated[int, Int(0, 511)] = 0,
    first_layer: Annotated[int, Int(0, 64)] = 0,
    last_layer: Annotated[int, Int(-1, 64)] = -1,
    scale: Annotated[str, Choice(("spread", "unit"))] = "spread",
) -> tuple[Direction, list[Direction]]:
    """Find the latent directions that change the image most, from the weights alone (SeFa).

    Args:
        generator: A StyleGAN generator, of any version.
        count: How many directions to find, strongest first.
        index: Which of them the first output gives; 0 is the strongest.
        first_layer: First layer looked at; coarse layers (pose, shape) come first.
        last_layer: Last layer looked at, included; -1 for the final one.
        scale: spread makes strength 1 one standard deviation of the model; unit keeps unit length.

    Returns:
        direction: The direction chosen by index.
        directions: All directions, as a list: what follows runs once for each.
    """
    if index >= count:
        raise InputError(f"index: expected 0..{count - 1} for {count} directions, got {index}")
    found = editing.closed_form_directions(
        generator.generator,
        generator.sha256,
        count=count,
        first_layer=first_layer,
        last_layer=last_layer,
        scale=scale,
    )
    return found[index], found


@node(
    "Ganvas_ApplyDirection",
    title="Apply Direction",
    category="ganvas/edit",
    aliases=("edit", "attribute", "slider", "sefa", "strength"),
)
def apply_direction(
    ctx: Context,
    latents: Latents,
    direction: Direction,
    strengths: Text = "-3, 0, 3",
    first_layer: Annotated[int, Int(-1, 64)] = -1,
    last_layer: Annotated[int, Int(-1, 64)] = -1,
    limit: Annotated[int, Int(0, 4096)] = 0,
) -> Latents:
    """Move latents along a direction: every latent at every strength, one latent after the other.

    Args:
        latents: Latents to edit; they stay as they are.
        direction: A direction of the same generator.
        strengths: Numbers such as "-3, 0, 3"; 0 repeats the original.
        first_layer: First layer to edit; -1 for the layers that the direction was found in.
        last_layer: Last layer to edit, included; -1 for the direction's own.
        limit: Edit only this many of the first latents; 0 for all.

    Returns:
        latents: Edited latents; in a contact sheet with as many columns as strengths, a row each.
    """
    return editing.apply_direction(
        latents.first(limit) if limit else latents,
        direction,
        editing.parse_strengths(strengths),
        first_layer=first_layer,
        last_layer=last_layer,
    )
