"""Contact sheets: sections of equally sized cells under text labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional

from .errors import InputError
from .images import as_rgb

FILTERS = ("nearest", "bicubic")
MAX_PIXELS = 2**26
"""Pixels of the largest sheet (0.8 GB as floats); more is mostly a mistyped number."""


@dataclass(frozen=True)
class Section:
    """Images that share a label.

    Attributes:
        label: text above the images; empty for none.
        images: [N, C, H, W] in 0..1 with one or three channels (a fourth, alpha, is dropped).
    """

    label: str
    images: Tensor


def upscale(images: Tensor, factor: int, method: str) -> Tensor:
    """Enlarge [N, C, H, W] by a whole factor; bicubic overshoot is clamped to 0..1."""
    if factor == 1:
        return images
    if method == "nearest":
        return images.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    big = functional.interpolate(images, scale_factor=factor, mode="bicubic", align_corners=False)
    return big.clamp(0, 1)


def _label_strip(text: str, width: int, height: int, background: float) -> Tensor:
    """Draw one line of text, [3, height, width], light on dark or dark on light."""
    shade = round(background * 255)
    ink = 235 if background < 0.5 else 20
    strip = Image.new("L", (width, height), shade)
    font = ImageFont.load_default(size=max(10, round(height * 0.62)))
    ImageDraw.Draw(strip).text((4, height // 2), text, fill=ink, font=font, anchor="lm")
    return torch.from_numpy(np.array(strip)).float().div(255).expand(3, height, width)


def _number_tag(number: int, height: int) -> Tensor:
    """Draw a number, light on dark, as a tag [3, height, width] for a cell's corner."""
    font = ImageFont.load_default(size=max(8, round(height * 0.75)))
    text = str(number)
    width = round(font.getlength(text)) + height // 2
    tag = Image.new("L", (width, height), 25)
    ImageDraw.Draw(tag).text((width / 2, height / 2), text, fill=245, font=font, anchor="mm")
    return torch.from_numpy(np.array(tag)).float().div(255).expand(3, height, width)


def labelled_sheet(
    sections: Sequence[Section],
    *,
    columns: int,
    gap: int = 4,
    scale: int = 1,
    method: str = "bicubic",
    background: float = 0.08,
    label_height: int = 28,
    numbers: bool = False,
) -> Tensor:
    """Lay sections out below each other, each in rows of `columns` cells.

    Every cell is as large as the largest image after scaling; smaller images are centred.

    Args:
        sections: at least one, each with at least one image.
        columns: cells per row; 0 takes the longest section, so that every section is one row.
        gap: pixels between and around cells.
        scale: whole factor that enlarges every image.
        method: "nearest" or "bicubic".
        background: grey level, 0 black to 1 white.
        label_height: height of a label's strip; an empty label takes no room.
        numbers: write each image's number into its corner, from 0 in every section, so that images
            can be named.

    Returns:
        Tensor [3, H, W] in 0..1.

    Raises:
        InputError: no images, an unknown method, or a sheet of more than 2**26 pixels.
    """
    if not sections or any(len(s.images) == 0 for s in sections):
        raise InputError("image: a contact sheet needs at least one image in every input")
    if method not in FILTERS:
        raise InputError(f"scale_method: expected one of {FILTERS}, got {method!r}")
    columns = columns or max(len(s.images) for s in sections)
    cell_h = max(s.images.shape[2] for s in sections) * scale
    cell_w = max(s.images.shape[3] for s in sections) * scale
    columns = min(columns, max(len(s.images) for s in sections))
    rows = [-(-len(s.images) // columns) for s in sections]
    height = gap + sum(
        r * (cell_h + gap) + (label_height if s.label else 0)
        for r, s in zip(rows, sections, strict=True)
    )
    width = gap + columns * (cell_w + gap)
    if height * width > MAX_PIXELS:
        raise InputError(
            f"image: the sheet would have {width} x {height} pixels, more than {MAX_PIXELS:,}; "
            "give it fewer images or a smaller scale"
        )
    sheet = torch.full((3, height, width), background)
    y = gap
    for section, row_count in zip(sections, rows, strict=True):
        if section.label:
            strip = _label_strip(section.label, width - 2 * gap, label_height, background)
            sheet[:, y : y + label_height, gap : width - gap] = strip
            y += label_height
        images = upscale(as_rgb(section.images.float()), scale, method)
        h, w = images.shape[2:]
        for i, image in enumerate(images):
            top = y + (i // columns) * (cell_h + gap) + (cell_h - h) // 2
            left = gap + (i % columns) * (cell_w + gap) + (cell_w - w) // 2
            sheet[:, top : top + h, left : left + w] = image
            if numbers:
                tag = _number_tag(i, max(10, cell_h // 8))[:, :h, :w]
                sheet[:, top : top + tag.shape[1], left : left + tag.shape[2]] = tag
        y += row_count * (cell_h + gap)
    return sheet.clamp(0, 1)
