"""Encoded image files to uint8 RGB arrays, for training data.

Training reads strictly: what cannot be represented exactly as 8-bit RGB is refused with the
file's name, instead of being converted in silence. `ganvas prepare` converts it, by the rules of
`Conversion`.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from ..errors import InputError
from ..images import open_image

EXTENSIONS = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
)
MAX_PIXELS = 64 * 1024 * 1024
HEADER_BYTES = 64 * 1024
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA"})
_CONVERTED_MODES = _MODES | {"CMYK", "YCbCr", "LAB", "HSV", "RGBX", "La", "RGBa"}
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_ORIENTATION = 0x0112
_HELP = "`ganvas prepare` converts it"
_FIRST = "`ganvas prepare --first-frame` takes its first image"


@dataclass(frozen=True)
class Conversion:
    """How images that are not plain 8-bit RGB become so.

    16-bit grey is scaled by 255/65535 and rounded; of 16-bit colour the upper eight bits are
    taken; CMYK and other colour spaces are converted without a colour profile; what is transparent
    is laid on white.

    Attributes:
        first_frame: take the first image of an animation or of several pages, else refuse them.
    """

    first_frame: bool = False


@contextmanager
def _opened(data: bytes, name: str) -> Iterator[Image.Image]:
    """The file as `open_image` opens it, without PIL's warnings."""
    with warnings.catch_warnings():
        # Damage in mere metadata does not matter, damage in pixels raises.
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        opened = open_image(io.BytesIO(data), name, max_pixels=MAX_PIXELS, formats=_FORMATS)
        with opened as image:
            yield image


def _check(
    image: Image.Image, data: bytes, name: str, conversion: Conversion | None
) -> tuple[int, int]:
    """Size (width, height) after the EXIF rotation, once the format is found acceptable."""
    # A phone's multi-picture JPEG holds the photograph first, then previews or a depth map.
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if frames > 1 and (conversion is None or not conversion.first_frame):
        raise InputError(f"{name}: animated or of several pages, {_FIRST}")
    if conversion is None:
        # PIL reads 16-bit RGB PNG files as 8-bit ones: the depth is read from the header itself.
        deep_png = data[:8] == _PNG_MAGIC and data[24:25] == b"\x10"
        if deep_png or _is_deep(image):
            raise InputError(f"{name}: 16-bit images are not supported, {_HELP}")
        if image.mode not in _MODES and image.mode in _CONVERTED_MODES:
            raise InputError(f"{name}: colour mode {image.mode} is not supported, {_HELP}")
    if image.mode not in _CONVERTED_MODES and not _is_deep(image):
        raise InputError(f"{name}: pixels of mode {image.mode} have no known range")
    if image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8):
        return image.height, image.width
    return image.size


def _is_deep(image: Image.Image) -> bool:
    """Whether it is 16-bit grey; PIL also has a mode of 32 bits, in which it opens some PNGs."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG")


def png_size(head: bytes) -> tuple[int, int] | None:
    """Width and height from the first bytes of a plain 8-bit RGB PNG; None asks for `probe`."""
    if head[:8] != _PNG_MAGIC or head[12:16] != b"IHDR" or head[24:26] != b"\x08\x02":
        return None
    before_pixels, pixels, _ = head.partition(b"IDAT")
    if not pixels or any(chunk in before_pixels for chunk in (b"acTL", b"eXIf", b"tRNS")):
        return None
    width, height = struct.unpack(">II", head[16:24])
    return (width, height) if 0 < width * height <= MAX_PIXELS else None


def jpeg_size(head: bytes) -> tuple[int, int] | None:
    """Width and height from the first bytes of a grey or YCbCr JPEG; None asks for `probe`.

    Source: ITU-T T.81, annex B; EXIF data and multi-picture tables are left to PIL.
    """
    place = 2
    while head[:2] == b"\xff\xd8" and place + 9 < len(head) and head[place] == 0xFF:
        marker, length = head[place + 1], int.from_bytes(head[place + 2 : place + 4], "big")
        if marker in (0xC0, 0xC1, 0xC2):  # start of a baseline, extended or progressive frame
            depth, height, width, components = struct.unpack(">BHHB", head[place + 4 : place + 10])
            plain = depth == 8 and components in (1, 3) and 0 < width * height <= MAX_PIXELS
            return (width, height) if plain else None
        tables = marker in (0xC4, 0xDB, 0xDD, 0xFE) or 0xE3 <= marker <= 0xEF or marker == 0xE0
        if not tables or length < 2:
            return None
        place += 2 + length
    return None


def probe(data: bytes, name: str, conversion: Conversion | None = None) -> tuple[int, int]:
    """Width and height of an encoded image, as it will stand after its EXIF rotation.

    Args:
        data: the whole file.
        name: what errors call it.
        conversion: how to treat what is not plain 8-bit RGB; None refuses it.

    Raises:
        InputError: an unreadable, too large, animated, deep or non-RGB image.
    """
    head = data[:HEADER_BYTES]
    size = png_size(head) or jpeg_size(head)
    if size is not None:
        return size
    with _opened(data, name) as image:
        return _check(image, data, name, conversion)


def refuse_transparent(data: bytes, name: str) -> bool:
    """Decode an image that has an alpha channel, whose header does not say if it is opaque.

    Returns:
        Whether it has one.

    Raises:
        InputError: it is partly transparent, or cannot be decoded.
    """
    with _opened(data, name) as image:
        unsure = _has_alpha(image)
    if unsure:
        decode_rgb(data, name)
    return unsure


def _has_alpha(image: Image.Image) -> bool:
    return image.mode[-1:] in "Aa" or "transparency" in image.info


def decode_rgb(
    data: bytes, name: str, conversion: Conversion | None = None
) -> npt.NDArray[np.uint8]:
    """Decode one image file to uint8 RGB [H, W, 3], turned upright by its EXIF orientation.

    Args:
        data: the whole file.
        name: what errors call it.
        conversion: how to treat what is not plain 8-bit RGB; None refuses it.

    Raises:
        InputError: an unreadable, truncated or too large image; without a conversion also an
            animated, 16-bit, CMYK or partly transparent one.
    """
    with _opened(data, name) as image:
        _check(image, data, name, conversion)
        image.load()
        upright = ImageOps.exif_transpose(image)
        if _is_deep(image):
            deep = np.asarray(upright, dtype=np.int64).clip(0, 65535)
            grey = ((deep * 255 + 32767) // 65535).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        if _has_alpha(upright):
            rgba = upright.convert("RGBA")
            if int(np.asarray(rgba)[..., 3].min()) == 255:
                return np.ascontiguousarray(np.asarray(rgba)[..., :3])
            if conversion is None:
                raise InputError(f"{name}: partly transparent, {_HELP} (laid on white)")
            white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
            return np.array(Image.alpha_composite(white, rgba).convert("RGB"))
        return np.array(upright.convert("RGB"))
