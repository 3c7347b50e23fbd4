"""Conversion between ComfyUI's images and the tensors that models take; nowhere else.

ComfyUI: IMAGE is float32 [B,H,W,C] in 0..1; its nodes take 3 channels, some 1 or 4 as well.
Models: [N,3,H,W] in -1..1; image operations such as degradation: [N,3,H,W] in 0..1.
Every function returns a new tensor and leaves its argument as it was.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor

from ..core.errors import InputError
from ..core.images import as_rgb, to_uint8
from .context import Context

MAX_PIXELS = 2**28
"""Most pixels of a whole batch: a float32 channel of it takes 1 GB."""


def image_to_model(
    image: Tensor, *, name: str = "image", device: torch.device | str | None = None
) -> Tensor:
    """Turn an IMAGE into model input [N,3,H,W] in -1..1, dropping alpha and repeating grey.

    Args:
        image: [B,H,W,C] in 0..1.
        name: The socket's name, for error messages.
        device: Where the result goes; the image's own device when None.

    Raises:
        InputError: The shape is no image batch, it is empty, or it has too many pixels.
    """
    return image_to_unit(image, name=name, device=device).mul_(2).sub_(1)


def model_to_image(x: Tensor) -> Tensor:
    """Turn model output [N,C,H,W] in -1..1 into an IMAGE as `unit_to_image` does."""
    return unit_to_image(x.detach().float().add(1).div_(2))


def image_to_unit(
    image: Tensor, *, name: str = "image", device: torch.device | str | None = None
) -> Tensor:
    """Turn an IMAGE into [N,3,H,W] in 0..1, dropping alpha and repeating grey.

    Values outside 0..1, which some nodes produce, are limited to that range.

    Raises:
        InputError: The shape is no image batch, it is empty, or it has too many pixels.
    """
    check_image(image, name=name)
    x = image.detach().to(device=device, dtype=torch.float32, copy=True)
    x = x.expand(-1, -1, -1, 3) if x.shape[-1] == 1 else x[..., :3]
    x = x.permute(0, 3, 1, 2).clone(memory_format=torch.contiguous_format)
    return _finite(x, name).clamp_(0, 1)


def unit_to_image(x: Tensor) -> Tensor:
    """Turn [N,C,H,W] in 0..1 into an IMAGE, limited to 0..1, float32, on the CPU.

    Grey is repeated to three channels, which ComfyUI's own nodes need.
    """
    y = x.detach().float().clamp(0, 1).permute(0, 2, 3, 1).cpu()
    y = y.expand(-1, -1, -1, 3) if y.shape[-1] == 1 else y
    return y.clone(memory_format=torch.contiguous_format)


def show_progress(ctx: Context) -> Callable[[int, int, Tensor], None]:
    """Return what tells `ctx` of finished images [N,C,H,W] in -1..1, a core function's `report`."""
    return lambda done, total, x: ctx.progress(done, total, x.add(1).div(2).clamp(0, 1))


def preview_picture(preview: Tensor) -> Image.Image:
    """Turn an image [C,H,W], or the first of [N,C,H,W], in 0..1 into an RGB picture.

    Grey is repeated and alpha dropped: previews travel as JPEG, which has no alpha. NaN is black.
    """
    first = preview[:1] if preview.ndim == 4 else preview[None]
    pixels = to_uint8(as_rgb(first.detach().float().nan_to_num())[0])
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().cpu().numpy())


def as_jpeg(picture: Image.Image, quality: int) -> bytes:
    """Encode a picture as JPEG, `quality` 1 to 95."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def check_image(image: Tensor, *, name: str = "image", max_pixels: int = MAX_PIXELS) -> None:
    """Refuse anything that is no IMAGE batch of a size that fits into memory.

    Raises:
        InputError: Not a float [B,H,W,C] tensor with 1, 3 or 4 channels, empty, or too large.
    """
    if not isinstance(image, Tensor) or image.ndim != 4 or image.shape[-1] not in (1, 3, 4):
        got = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise InputError(f"{name}: expected an image batch [B,H,W,1, 3 or 4], got {got}")
    if not image.is_floating_point():
        raise InputError(f"{name}: expected values 0..1 as floats, got {image.dtype}")
    batch, height, width, _ = image.shape
    if image.numel() == 0:
        raise InputError(f"{name}: the image batch is empty, shape {tuple(image.shape)}")
    if batch * height * width > max_pixels:
        raise InputError(
            f"{name}: {batch} images of {width} x {height} pixels are more than "
            f"the limit of {max_pixels:,} pixels"
        )


def _finite(x: Tensor, name: str) -> Tensor:
    """Return `x`, or refuse it when it holds NaN or infinity."""
    if not bool(x.isfinite().all()):
        raise InputError(f"{name}: expected values 0..1, got NaN or infinity")
    return x
