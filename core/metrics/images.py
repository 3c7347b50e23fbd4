"""Sets of images as metrics see them: data sets, and tensors that are at hand already."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..errors import InputError
from .inputs import as_float


class Images(Protocol):
    """Square images of one size; `core.data.ImageDataset` is one.

    Attributes:
        resolution: side in pixels.
        channels: 3 (RGB) or 1 (grey).
        content_hash: of everything that the images depend on.
        labels: float32 [N, K], or None.
    """

    resolution: int
    channels: int
    content_hash: str
    labels: Tensor | None

    def __len__(self) -> int: ...

    def images(self, indices: Sequence[int] | Tensor) -> Tensor:
        """Images under these numbers, uint8 [B, C, H, W]."""
        ...


class TensorImages:
    """Images of a tensor.

    Args:
        name: what errors call it.
        images: [N, 3 or 1, H, H], uint8 in 0..255 or float in 0..1, which is rounded to bytes.

    Raises:
        InputError: another shape, or values out of range.
    """

    def __init__(self, name: str, images: Tensor) -> None:
        if images.ndim != 4 or images.shape[1] not in (1, 3) or images.numel() == 0:
            raise InputError(f"{name}: expected images [N, 3, H, H], got {list(images.shape)}")
        if images.shape[2] != images.shape[3]:
            raise InputError(
                f"{name}: expected square images, got {images.shape[3]} x {images.shape[2]} pixels"
            )
        try:
            unit = as_float(name, images)
        except ValueError as error:
            raise InputError(str(error)) from error
        self._images = unit.mul(255).round().clamp(0, 255).to("cpu", torch.uint8)
        self.channels, self.resolution = images.shape[1:3]
        digest = hashlib.sha256(repr(tuple(images.shape)).encode())
        digest.update(self._images.numpy().tobytes())
        self.content_hash = digest.hexdigest()
        self.labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self._images)

    def images(self, indices: Sequence[int] | Tensor) -> Tensor:
        """Images under these numbers, uint8 [B, C, H, H]."""
        return self._images[torch.as_tensor(indices, dtype=torch.int64)]
