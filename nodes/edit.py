"""Nodes that find editing directions, fit them to labels, combine and apply them."""

from __future__ import annotations

from typing import Annotated

from ..core import editing
from ..core.editing.directions import SCALES
from ..core.editing.fit import KINDS
from ..core.errors import InputError
from .context import Context
from .spec import Choice, Direction, Float, Generator, Int, Latents, String, Text, node


@node(
    "Ganvas_FindDirections",
    title="Find Directions",
    category="ganvas/edit",
    aliases=("sefa", "ganspace", "pca", "semantics", "attribute", "unsupervised"),
)
def find_directions(
    ctx: Context,
    generator: Generator,
    count: Annotated[int, Int(1, 512)] = 8,
    index: Annotated[int, Int(0, 511)] = 0,
    first_layer: Annotated[int, Int(0, 64)] = 0,
    last_layer: Annotated[int, Int(-1, 64)] = -1,
    scale: Annotated[str, Choice(SCALES)] = "spread",
    method: Annotated[str, Choice(("sefa", "ganspace"), optional=True)] = "sefa",
    samples: Annotated[int, Int(100, 1_000_000, optional=True)] = 10_000,
) -> tuple[Direction, list[Direction]]:
    """Find latent directions without labels: those that change the image most (SeFa), or along
    which the model's faces differ most (GANSpace).

    Args:
        generator: A StyleGAN generator, of any version.
        count: How many directions to find, strongest first.
        index: Which of them the first output gives; 0 is the strongest.
        first_layer: First layer to edit, which SeFa looks at; coarse layers (pose, shape) come
            first.
        last_layer: Last layer to edit, included; -1 for the final one.
        scale: spread makes strength 1 one standard deviation of the model; unit keeps unit length.
        method: sefa reads the weights alone; ganspace takes the principal components of many
            latents.
        samples: How many latents ganspace draws; more make the directions steadier.

    Returns:
        direction: The direction chosen by index.
        directions: All directions, as a list: what follows runs once for each.
    """
    if index >= count:
        raise InputError(f"index: expected 0..{count - 1} for {count} directions, got {index}")
    if method == "sefa":
        found = editing.closed_form_directions(
            generator.generator,
            generator.sha256,
            count=count,
            first_layer=first_layer,
            last_layer=last_layer,
            scale=scale,
        )
    else:
        found = editing.principal_directions(
            generator.generator,
            generator.sha256,
            count=count,
            samples=samples,
            first_layer=first_layer,
            last_layer=last_layer,
            scale=scale,
            report=lambda done, total, w: ctx.progress(done, total),
        )
    return found[index], found


@node(
    "Ganvas_FitDirection",
    title="Fit Direction",
    category="ganvas/edit",
    aliases=("interfacegan", "labels", "scores", "regression", "attribute", "supervised"),
)
def fit_direction(
    ctx: Context,
    latents: Latents,
    targets: Annotated[str, String(multiline=True)] = "",
    kind: Annotated[str, Choice(KINDS)] = "auto",
    first_layer: Annotated[int, Int(0, 64)] = 0,
    last_layer: Annotated[int, Int(-1, 64)] = -1,
    scale: Annotated[str, Choice(SCALES)] = "spread",
    name: Text = "fitted",
) -> tuple[Direction, Text]:
    """Fit a direction to what you say about faces: labels (smiles or not) or scores (how much).

    Args:
        latents: Faces that were looked at; they stay as they are.
        targets: One number per face in their order, such as "1 0 0 1" or "2.5 7 4"; ? leaves a face
            out.
        kind: labels tells two groups apart, scores follows numbers; auto sees it by how many
            different ones there are.
        first_layer: First layer looked at and later edited; coarse layers (pose, shape) come first.
        last_layer: Last layer looked at and later edited, included; -1 for the final one.
        scale: spread makes strength 1 one standard deviation of these faces; unit has length 1.
        name: The direction's name.

    Returns:
        direction: The direction along which the numbers grow.
        text: How well it foretells faces that it was not fitted to; connect Preview as Text.
    """
    fit = editing.fit_direction(
        latents,
        editing.parse_targets(targets),
        kind=kind,
        first_layer=first_layer,
        last_layer=last_layer,
        scale=scale,
        name=name,
    )
    return fit.direction, f"{name}: {fit}"


@node(
    "Ganvas_CombineDirections",
    title="Combine Directions",
    category="ganvas/edit",
    aliases=("add directions", "sum", "mix attributes", "weights"),
)
def combine_directions(
    ctx: Context,
    direction: Direction,
    direction_b: Direction,
    weight: Annotated[float, Float(-100.0, 100.0, step=0.1)] = 1.0,
    weight_b: Annotated[float, Float(-100.0, 100.0, step=0.1)] = 1.0,
) -> Direction:
    """Add two directions, each with its own weight, so that one strength moves both.

    Args:
        direction: First direction; it stays as it is.
        direction_b: Second direction, of the same generator.
        weight: How much the first one counts; negative turns it around.
        weight_b: How much the second one counts; negative turns it around.

    Returns:
        direction: Their sum, over the layers of both.
    """
    return editing.combine_directions((direction, direction_b), (weight, weight_b))


@node(
    "Ganvas_ProjectOut",
    title="Project Out Directions",
    category="ganvas/edit",
    aliases=("orthogonalize", "disentangle", "conditional direction", "remove attribute"),
)
def project_out(
    ctx: Context,
    direction: Direction,
    direction_b: Direction,
    direction_c: Direction | None = None,
    direction_d: Direction | None = None,
) -> Direction:
    """Remove from a direction what others do: "older" without "glasses".

    Args:
        direction: The direction to clean; it stays as it is.
        direction_b: A direction of the same generator that the result must not move along.
        direction_c: A second such direction.
        direction_d: A third such direction.

    Returns:
        direction: What is left of the first direction; at equal strength it does a little less.
    """
    others = [each for each in (direction_b, direction_c, direction_d) if each is not None]
    return editing.project_out(direction, others)


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
