"""Encoded image files to uint8 RGB arrays, for training data.

Stricter than a viewer: what cannot be represented exactly as 8-bit RGB is refused with the
file's name, instead of being converted in silence.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import InputError
from ..images import DECODING_ERRORS

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
MAX_PIXELS = 64 * 1024 * 1024
HEADER_BYTES = 64 * 1024
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA"})
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_ORIENTATION = 0x0112


@contextmanager
def _opened(data: bytes, name: str) -> Iterator[Image.Image]:
    """The file opened by PIL, every complaint of PIL turned into one InputError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                yield image
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: more than {MAX_PIXELS} pixels") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{name}: not an image ({', '.join(_FORMATS)} are read)") from error
    except DECODING_ERRORS as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{name}: damaged image ({reason})") from error


def _check(image: Image.Image, data: bytes, name: str) -> tuple[int, int]:
    """Size (width, height) after the EXIF rotation, once the format is found acceptable."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise InputError(f"{name}: {width}x{height} is more than {MAX_PIXELS} pixels")
    # PIL reads 16-bit RGB PNG files as 8-bit ones, so the depth is read from the header itself.
    deep_png = data[:8] == _PNG_MAGIC and data[24:25] == b"\x10"
    if deep_png or image.mode.startswith(("I", "F")):
        raise InputError(f"{name}: 16-bit or float images are not supported, convert it to 8-bit")
    if image.mode not in _MODES:
        raise InputError(f"{name}: colour mode {image.mode} is not supported, convert it to RGB")
    if getattr(image, "n_frames", 1) > 1:
        raise InputError(f"{name}: animated or multi-page images are not supported")
    if image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8):
        return height, width
    return width, height


def png_size(head: bytes) -> tuple[int, int] | None:
    """Width and height from the first bytes of a plain 8-bit RGB PNG; None asks for `probe`."""
    if head[:8] != _PNG_MAGIC or head[12:16] != b"IHDR" or head[24:26] != b"\x08\x02":
        return None
    before_pixels, pixels, _ = head.partition(b"IDAT")
    if not pixels or any(chunk in before_pixels for chunk in (b"acTL", b"eXIf", b"tRNS")):
        return None
    width, height = struct.unpack(">II", head[16:24])
    return (width, height) if 0 < width * height <= MAX_PIXELS else None


def probe(data: bytes, name: str) -> tuple[int, int]:
    """Width and height of an encoded image, as it will stand after its EXIF rotation.

    Args:
        data: the whole file.
        name: what errors call it.

    Raises:
        InputError: an unreadable, too large, animated, deep or non-RGB image.
    """
    size = png_size(data[:HEADER_BYTES])
    if size is not None:
        return size
    with _opened(data, name) as image:
        return _check(image, data, name)


def decode_rgb(data: bytes, name: str) -> npt.NDArray[np.uint8]:
    """Decode one image file to uint8 RGB [H, W, 3], turned upright by its EXIF orientation.

    Args:
        data: the whole file.
        name: what errors call it.

    Raises:
        InputError: an unreadable, truncated, too large, animated, 16-bit, CMYK or
            partly transparent image.
    """
    with _opened(data, name) as image:
        _check(image, data, name)
        image.load()
        upright = ImageOps.exif_transpose(image)
        if "A" in upright.mode or "transparency" in upright.info:
            rgba = np.asarray(upright.convert("RGBA"))
            if int(rgba[..., 3].min()) < 255:
                raise InputError(f"{name}: partly transparent, flatten it on a background first")
            return np.ascontiguousarray(rgba[..., :3])
        return np.array(upright.convert("RGB"))
