"""Image files to tensors and back, and sheets of images.

Tensors of one image are [H, W, C] in 0..1 here, as nodes take them; `contact_sheet` takes and gives
channels first, as models do.
"""

import math
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import torch
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError
from torch import Tensor

from .errors import InputError
from .files import atomic_path, check_input_file

MAX_PIXELS = 80_000_000  # Pillow itself warns from 89 million on
SUFFIXES = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "PPM": (".ppm",),
}
"""Formats that are read, by Pillow's names, and their files' endings, the usual one first."""

FORMATS = tuple(SUFFIXES)
DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    ArithmeticError,
    TypeError,
    struct.error,
    zlib.error,
)
"""What Pillow raises, beside its own exceptions, on a damaged file."""


def read_image(
    path: str | os.PathLike[str],
    *,
    max_pixels: int = MAX_PIXELS,
    mode: Literal["RGB", "RGBA"] = "RGB",
) -> Tensor:
    """Read an image file as float32 [H, W, 3 or 4] in 0..1, turned upright by its EXIF orientation.

    Grey, palette, CMYK and 16-bit images are converted; transparency is dropped under "RGB" and is
    1 under "RGBA" where the file has none. The size is checked before any pixel is decoded.

    Raises:
        InputError: no such file, not an image, animated, damaged, or more than `max_pixels` pixels.
    """
    file = Path(path)
    check_input_file(file, "an image file")
    with open_image(file, str(file), max_pixels=max_pixels) as image:
        frames = getattr(image, "n_frames", 1)
        if frames != 1:
            raise InputError(f"{file}: expected a still image, got {frames} frames")
        array = _decode(image, mode)
    return torch.from_numpy(array)


@contextmanager
def open_image(
    source: Path | BinaryIO,
    name: str,
    *,
    max_pixels: int = MAX_PIXELS,
    formats: tuple[str, ...] = FORMATS,
) -> Iterator[Image.Image]:
    """Open an image of one of `formats`; its size is checked, and its pixels are not yet decoded.

    Whatever Pillow raises inside the block becomes one sentence that begins with `name`.

    Raises:
        InputError: not an image, damaged, or more than `max_pixels` pixels.
    """
    try:
        with Image.open(source, formats=formats) as image:
            if image.width * image.height > max_pixels:
                raise InputError(
                    f"{name}: {image.width} x {image.height} pixels, at most {max_pixels} accepted"
                )
            yield image
    except InputError:
        raise
    except Image.DecompressionBombError:
        raise InputError(f"{name}: more than the {max_pixels} pixels accepted") from None
    except UnidentifiedImageError:
        raise InputError(f"{name}: not an image ({', '.join(formats)} are read)") from None
    except DECODING_ERRORS as error:
        sentence = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise InputError(f"{name}: damaged image ({sentence})") from error


def save_png(
    path: str | os.PathLike[str], image: Tensor, text: Mapping[str, str] | None = None
) -> None:
    """Write `image` as an 8-bit PNG, whole or not at all, with `text` as its text chunks.

    `image` is [H, W, C] with 1, 3 or 4 channels, float in 0..1 or uint8.

    Raises:
        ValueError: another shape, or NaN.
    """
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or 0 in image.shape:
        raise ValueError(f"save_png: expected [H, W, 1, 3 or 4], got {tuple(image.shape)}")
    array = to_uint8(image).cpu().numpy()
    chunks = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        chunks.add_text(key, value)
    flat = array[:, :, 0] if array.shape[2] == 1 else array
    picture = Image.fromarray(np.ascontiguousarray(flat))
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", pnginfo=chunks, compress_level=4)


def as_rgb(images: Tensor) -> Tensor:
    """Repeat grey and drop alpha: [N, 1, 3 or 4, H, W] -> [N, 3, H, W], a view.

    Raises:
        InputError: another number of channels.
    """
    channels = images.shape[1]
    if channels not in (1, 3, 4):
        raise InputError(f"image: expected 1, 3 or 4 channels, got {channels}")
    return images.expand(-1, 3, -1, -1) if channels == 1 else images[:, :3]


def to_uint8(image: Tensor) -> Tensor:
    """Round 0..1 to 0..255 (nearest, values outside limited); uint8 is returned as it is.

    Raises:
        ValueError: NaN, or an integer dtype other than uint8.
    """
    if image.dtype == torch.uint8:
        return image
    if not image.is_floating_point():
        raise ValueError(f"to_uint8: expected floats in 0..1 or uint8, got {image.dtype}")
    values = image.detach().float()
    if bool(torch.isnan(values).any()):
        raise ValueError("to_uint8: the image holds NaN")
    return values.mul(255).round().clamp(0, 255).to(torch.uint8)


def contact_sheet(
    images: Tensor, columns: int | None = None, gap: int = 2, background: float = 1.0
) -> Tensor:
    """Lay images [N, C, H, W] in 0..1 out in rows, as one image [C, H', W'].

    `columns` defaults to the smallest square that holds all; `gap` pixels of `background` lie
    between images, none around them. An unfinished last row is filled with `background`.

    Raises:
        ValueError: no images, or `columns` or `gap` out of range.
    """
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(f"contact_sheet: expected [N>0, C, H, W], got {tuple(images.shape)}")
    if gap < 0:
        raise ValueError(f"contact_sheet: gap must not be negative, got {gap}")
    count, channels, height, width = images.shape
    across = math.ceil(math.sqrt(count)) if columns is None else columns
    if across < 1:
        raise ValueError(f"contact_sheet: columns must be at least 1, got {across}")
    across = min(across, count)
    down = math.ceil(count / across)
    size = (channels, down * (height + gap) - gap, across * (width + gap) - gap)
    sheet = torch.full(size, background, dtype=images.dtype, device=images.device)
    for index in range(count):
        top = index // across * (height + gap)
        left = index % across * (width + gap)
        sheet[:, top : top + height, left : left + width] = images[index]
    return sheet


def _decode(image: Image.Image, mode: Literal["RGB", "RGBA"]) -> np.ndarray:
    """Decode to float32 [H, W, C]; Pillow itself would clip 16-bit grey at 255, not scale it."""
    image.load()
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        grey = np.asarray(upright, dtype=np.float32) / 65535
        planes = [grey, grey, grey] if mode == "RGB" else [grey, grey, grey, np.ones_like(grey)]
        return np.stack(planes, axis=2).clip(0, 1)
    if upright.mode == "F":
        raise ValueError("floating point pixels have no known range")
    if upright.mode == "P" and "transparency" in upright.info:
        upright = upright.convert("RGBA")
    return np.asarray(upright.convert(mode), dtype=np.float32) / 255
