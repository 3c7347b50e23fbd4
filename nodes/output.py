"""Nodes that lay results out for people."""

from __future__ import annotations

from itertools import chain, repeat
from typing import Annotated

from ..core.sheets import Section, labelled_sheet
from .context import Context
from .convert import image_to_unit, unit_to_image
from .spec import Boolean, Choice, Image, Int, String, node


@node(
    "Ganvas_ContactSheet",
    title="Contact Sheet",
    category="ganvas/output",
    aliases=("grid", "montage", "image grid", "compare", "collage"),
)
def contact_sheet(
    ctx: Context,
    image: Image,
    columns: Annotated[int, Int(0, 256)] = 8,
    gap: Annotated[int, Int(0, 256)] = 4,
    scale: Annotated[int, Int(1, 16)] = 1,
    scale_method: Annotated[str, Choice(("bicubic", "nearest"))] = "bicubic",
    labels: Annotated[str, String(multiline=True)] = "",
    numbers: Annotated[bool, Boolean(optional=True)] = False,
    image_b: Image | None = None,
    image_c: Image | None = None,
    image_d: Image | None = None,
) -> Image:
    """Lay one to four batches of images out on a single sheet, each under its own label.

    Args:
        image: Images of the first section.
        columns: Images per row; 0 puts every section into one row.
        gap: Pixels between images.
        scale: Whole factor that enlarges every image, so that small faces can be seen.
        scale_method: How images are enlarged; nearest shows the pixels as they are.
        labels: One line of text per section, in order; an empty line leaves the label out.
        numbers: Write each image's number into its corner, from 0 in every section; Pick Latents
            and Pick Images take these numbers.
        image_b: Images of the second section.
        image_c: Images of the third section.
        image_d: Images of the fourth section.

    Returns:
        image: The sheet, one image.
    """
    batches = {"image": image, "image_b": image_b, "image_c": image_c, "image_d": image_d}
    lines = chain(labels.split("\n"), repeat(""))
    sections = [
        Section(next(lines).strip(), image_to_unit(batch, name=name))
        for name, batch in batches.items()
        if batch is not None
    ]
    sheet = labelled_sheet(
        sections, columns=columns, gap=gap, scale=scale, method=scale_method, numbers=numbers
    )
    return unit_to_image(sheet[None])
