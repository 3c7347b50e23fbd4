"""The node that saves a batch of images as an animation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch

from ..core import animation
from ..core.errors import InputError
from .context import Context, Host
from .convert import image_to_unit
from .results import check_prefix, numbered, shown, workflow_metadata
from .spec import Bool, Choice, Float, Image, Int, Text, node

FORMATS = ("auto", "mp4", "webp", "png")


def _check(host: Host, values: Mapping[str, Any]) -> dict[str, str]:
    """Refuse a bad prefix, or a format that cannot be written here, before anything runs."""
    problems = check_prefix(host, values)
    try:
        if "format" in values:
            _suffix(values["format"])
    except InputError as error:
        problems["format"] = str(error).removeprefix("format: ")
    return problems


def _suffix(format: str) -> str:
    suffix = animation.best_suffix() if format == "auto" else f".{format}"
    animation.check_suffix(suffix, name="format")
    return suffix


@node(
    "Ganvas_SaveVideo",
    title="Save Video",
    category="ganvas/output",
    aliases=("animation", "mp4", "webp", "gif", "movie", "export video"),
    output_node=True,
    validate=_check,
)
def save_video(
    ctx: Context,
    image: Image,
    filename_prefix: Text = "video/ganvas",
    fps: Annotated[float, Float(0.1, 120.0, step=0.1)] = 24.0,
    format: Annotated[str, Choice(FORMATS)] = "auto",
    quality: Annotated[int, Int(0, 100)] = 85,
    ping_pong: Bool = False,
) -> Text:
    """Save a batch of images as an animation that repeats and carries its workflow.

    Args:
        image: The frames, in order; alpha is dropped.
        filename_prefix: Start of the file's name below the output folder; a number follows.
        fps: Frames per second.
        format: mp4 needs PyAV (pip install ganvas[video]); webp and png always work; auto takes mp4
            where it can be written, else webp.
        quality: 100 is the best and largest; png is lossless whatever it says.
        ping_pong: Play the frames backwards after the last one, back to the first.

    Returns:
        text: What was written, and why in that format.
    """
    suffix = _suffix(format)
    frames = image_to_unit(image).permute(0, 2, 3, 1)
    if ping_pong and len(frames) > 2:
        frames = torch.cat([frames, frames[1:-1].flip(0)])
    path = numbered(ctx.output_dir, filename_prefix, suffix)
    animation.write_animation(
        path,
        frames,
        fps=fps,
        quality=quality,
        text=workflow_metadata(ctx),
        report=lambda done, total: ctx.progress(done, total),
    )
    ctx.progress(len(frames), len(frames))
    ctx.record_file(path)
    ctx.show("images", [shown(path, ctx.output_dir, "output")])
    ctx.show("animated", [True])
    text = f"{path.name}: {len(frames)} frames, {len(frames) / fps:.3g} s at {fps:g} fps"
    if format == "auto" and suffix != ".mp4":
        text += f", as animated WebP because {animation.MISSING}"
    ctx.show("text", [text])
    return text
