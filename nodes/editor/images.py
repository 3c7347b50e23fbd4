"""Images that browsers send and ask for: verified uploads, masks, views of one channel."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from pathlib import Path

from PIL import Image, PngImagePlugin

from ...core.errors import InputError
from ...core.files import atomic_write
from ...core.images import SUFFIXES, open_image

MAX_UPLOAD = 100 * 2**20
MAX_NAME = 150
_UNWANTED = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\ud800-\udfff]')


def verify_image(data: bytes, name: str) -> str:
    """Decode an upload once and return its format.

    Raises:
        InputError: It is no image of a known format, damaged, or of too many pixels.
    """
    with open_image(io.BytesIO(data), _shown(name)) as image:
        image.load()
        return image.format or ""


def clean_name(name: str, format: str) -> str:
    """Return the name under which an upload is stored: no folder, and a suffix true to its format.

    Raises:
        InputError: Nothing is left of the name.
    """
    name = _UNWANTED.sub("_", name.replace("\\", "/").rpartition("/")[2]).strip(". ")
    stem, suffix = os.path.splitext(name)
    if suffix.lower() not in SUFFIXES[format]:
        stem, suffix = name, SUFFIXES[format][0]
    stem = stem.encode("utf-8")[:MAX_NAME].decode("utf-8", "ignore").strip(". ")
    if not stem:
        raise InputError("image: expected a file name")
    return stem + suffix


def store(path: Path, data: bytes, *, overwrite: bool) -> Path:
    """Write an upload whole or not at all; the same image under the same name is kept once.

    Returns:
        The file written, "name (1).png" and so on where another image has the name.
    """
    chosen, count = path, 0
    while not overwrite and chosen.exists():
        if chosen.is_file() and chosen.stat().st_size == len(data) and chosen.read_bytes() == data:
            return chosen
        count += 1
        chosen = path.with_name(f"{path.stem} ({count}){path.suffix}")
    atomic_write(chosen, data)
    return chosen


def apply_mask(original: Path, mask: bytes) -> bytes:
    """Return `original` as a PNG with the transparency of the uploaded mask, text chunks kept.

    Raises:
        InputError: Either is no image.
    """
    with (
        open_image(original, _shown(original.name)) as image,
        open_image(io.BytesIO(mask), "mask") as drawn,
    ):
        chunks = PngImagePlugin.PngInfo()
        for key, value in image.info.items():
            if isinstance(value, str) and isinstance(key, str):
                chunks.add_text(key, value)
        combined = image.convert("RGBA")
        alpha = drawn.convert("RGBA").getchannel("A")
        if alpha.size != combined.size:
            alpha = alpha.resize(combined.size, Image.Resampling.BICUBIC)
        combined.putalpha(alpha)
    buffer = io.BytesIO()
    combined.save(buffer, "PNG", pnginfo=chunks, compress_level=4)
    return buffer.getvalue()


def render(path: Path, query: Mapping[str, str]) -> tuple[bytes, str] | None:
    """Return a view of an image other than the file itself, and its content type.

    Args:
        path: The image.
        query: `channel` is "rgb" (without transparency) or "a" (only it); `preview` is
            "webp;90" or "jpeg;90", a smaller encoding.

    Returns:
        None when the file itself is wanted.

    Raises:
        InputError: It is no image.
    """
    channel = query.get("channel", "rgba")
    format, _, quality = query.get("preview", "").partition(";")
    if channel not in ("rgb", "a") and format not in ("webp", "jpeg"):
        return None
    with open_image(path, _shown(path.name)) as image:
        if channel == "a":
            picture = Image.new("RGBA", image.size)
            picture.putalpha(image.convert("RGBA").getchannel("A"))
        elif channel == "rgb" or format == "jpeg":
            picture = image.convert("RGB")
        else:
            picture = image.convert("RGB" if image.mode == "RGB" else "RGBA")
    buffer = io.BytesIO()
    if format in ("webp", "jpeg") and channel != "a":
        level = int(quality) if quality.isascii() and quality.isdigit() else 90
        picture.save(buffer, format.upper(), quality=max(1, min(100, level)))
        return buffer.getvalue(), f"image/{format}"
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue(), "image/png"


def _shown(name: str) -> str:
    """A name that a browser sent, as messages show it."""
    return repr(name[:100])
