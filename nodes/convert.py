"""Conversion between ComfyUI's images and the tensors that models take; nowhere else.

ComfyUI: IMAGE is float32 [B,H,W,C] in 0..1 with 1, 3 or 4 channels, MASK float32 [B,H,W] in 0..1.
Models: [N,3,H,W] in -1..1; image operations such as degradation: [N,3,H,W] in 0..1.
Every function returns a new tensor and leaves its argument as it was.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.errors import InputError

MAX_PIXELS = 2**28  # over a whole batch: 1 GB for each float32 channel


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
    """Turn model output [N,C,H,W] in -1..1 into an IMAGE, limited to 0..1, float32, on the CPU."""
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
    """Turn [N,C,H,W] in 0..1 into an IMAGE, limited to 0..1, float32, on the CPU."""
    y = x.detach().float().clamp(0, 1).permute(0, 2, 3, 1)
    return y.cpu().clone(memory_format=torch.contiguous_format)


def mask_to_unit(
    mask: Tensor,
    *,
    size: tuple[int, int] | None = None,
    batch: int | None = None,
    name: str = "mask",
    device: torch.device | str | None = None,
) -> Tensor:
    """Turn a MASK into [N,1,H,W] in 0..1.

    Args:
        mask: [B,H,W] or [H,W] in 0..1.
        size: (H, W) to resize to, bilinearly; the mask's own size when None.
        batch: Batch size to repeat the mask to; a mask batch of another size is refused.
        name: The socket's name, for error messages.
        device: Where the result goes; the mask's own device when None.

    Raises:
        InputError: The shape is no mask, or its batch fits neither 1 nor `batch`.
    """
    if mask.ndim not in (2, 3) or mask.numel() == 0:
        raise InputError(f"{name}: expected a mask [B,H,W], got shape {tuple(mask.shape)}")
    x = mask.detach().to(device=device, dtype=torch.float32, copy=True)
    x = x.reshape(-1, 1, *x.shape[-2:])
    if size is not None and tuple(x.shape[-2:]) != tuple(size):
        x = torch.nn.functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
    if batch is not None and len(x) != batch:
        if len(x) != 1:
            raise InputError(f"{name}: expected 1 or {batch} masks, got {len(x)}")
        x = x.expand(batch, -1, -1, -1).contiguous()
    return _finite(x, name).clamp(0, 1)


def unit_to_mask(x: Tensor) -> Tensor:
    """Turn [N,1,H,W] in 0..1 into a MASK [N,H,W], limited to 0..1, float32, on the CPU."""
    return x.detach().float().clamp(0, 1)[:, 0].cpu().clone(memory_format=torch.contiguous_format)


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
