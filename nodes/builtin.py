"""ComfyUI's own image nodes under its ids, so that workflows run here and there alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from PIL import Image as PillowImage

from ..core.errors import InputError
from ..core.images import read_image
from .context import Context, Host
from .files import content_hash, input_file, list_images
from .results import check_prefix, safe_name, write_images
from .spec import Choice, Image, Mask, Socket, Text, node


def _find_image(host: Host, values: Mapping[str, Any]) -> dict[str, str]:
    """Refuse an image that is not there before anything runs."""
    try:
        if "image" in values:
            input_file(host, values["image"])
    except InputError as error:
        return {"image": str(error)}
    return {}


@node(
    "LoadImage",
    title="Load Image",
    category="image",
    aliases=("open", "photo", "picture"),
    fingerprint=content_hash("image", input_file),
    validate=_find_image,
)
def load_image(
    ctx: Context,
    image: Annotated[str, Choice(list_images, image_upload=True)],
) -> tuple[Image, Mask]:
    """Read an image file.

    Args:
        image: Name of a file in the input folder.

    Returns:
        image: The image, upright, without its transparency.
        mask: 1 where the file is transparent; 64 x 64 zeros for a file without transparency.
    """
    path = input_file(ctx.host, image)
    pixels = read_image(path, mode="RGBA")
    with PillowImage.open(path) as file:
        transparent = "A" in file.getbands() or "transparency" in file.info
    mask = 1 - pixels[..., 3] if transparent else torch.zeros(64, 64)
    return pixels[None, ..., :3].contiguous(), mask[None].contiguous()


@node(
    "SaveImage",
    title="Save Image",
    category="image",
    aliases=("export", "png"),
    output_node=True,
    validate=check_prefix,
)
def save_image(ctx: Context, images: Image, filename_prefix: Text = "ganvas") -> None:
    """Save each image of a batch as a PNG that carries its workflow.

    Args:
        images: The images to save.
        filename_prefix: Start of the file names, which go on with a number; "faces/a" saves into
            the subfolder "faces".
    """
    paths = write_images(ctx, images, ctx.output_dir, filename_prefix, "output")
    for path in paths:
        ctx.record_file(path)


@node(
    "PreviewImage",
    title="Preview Image",
    category="image",
    aliases=("show", "view"),
    output_node=True,
)
def preview_image(ctx: Context, images: Image) -> None:
    """Show images on the node without keeping them.

    Args:
        images: The images to show.
    """
    write_images(ctx, images, ctx.temp_dir, f"preview_{safe_name(ctx.node_id)}", "temp")


@node(
    "PreviewAny",
    title="Preview as Text",
    category="utils",
    aliases=("show text", "print", "inspect"),
    output_node=True,
)
def preview_any(ctx: Context, source: Annotated[Any, Socket("*")]) -> None:
    """Show a value as text on the node.

    Args:
        source: Text, a number, or anything else, which is described.
    """
    ctx.show("text", [str(source)])
