"""Which loaded models restore images, and how each wants to be fed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ..errors import InputError
from .resample import area_matrix, cubic_matrix, resample

if TYPE_CHECKING:
    from ..checkpoints import Model

RESTORERS = ("restore-unet", "gfpgan", "codeformer", "restoreformer", "rrdbnet", "srvgg")
"""Ids of the architectures that turn a damaged image into a restored one."""

_FACE_SIZE = 512  # of published face restorers; RestoreFormer's file does not say it
_CHANNEL_KEYS = ("img_channels", "in_channels", "out_channels")


@dataclass(frozen=True)
class Convention:
    """How a network is fed, seen from images [N, 3, H, W] in -1..1.

    Attributes:
        low, high: value range of the network's images, in and out.
        size: side of the square aligned faces it takes, None for images of any size.
    """

    low: float = -1.0
    high: float = 1.0
    size: int | None = None

    def apply(self, network: nn.Module, images: Tensor) -> Tensor:
        """Run the network on images in -1..1, and bring its result back to their size and range.

        Faces of another size are enlarged or reduced to the network's, and those that are not
        square first get edges repeated to a square. The result of a network that enlarges is
        reduced to the size of its input. Shapes: [N, 3, H, W] -> [N, 3, H, W] float32 on the CPU.
        """
        height, width = images.shape[2:]
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        x = images.float().cpu()
        if self.size is not None:
            edges = (left, side - width - left, top, side - height - top)
            x = nn.functional.pad(x, edges, mode="replicate")
            x = _resized(x, self.size, self.size).clamp(-1, 1)
        half = (self.high - self.low) / 2
        # At -1..1 nothing is computed, so that such a network sees the very images.
        plain = (self.low, self.high) == (-1.0, 1.0)
        device = next(network.parameters()).device
        y = network((x if plain else (x + 1) * half + self.low).to(device)).float().cpu()
        y = y if plain else (y - self.low) / half - 1
        if self.size is None:
            return _resized(y, height, width)
        return _resized(y, side, side)[:, :, top : top + height, left : left + width]


def convention_of(model: Model) -> Convention:
    """How a loaded restoration model is fed.

    Raises:
        InputError: the model restores no images, or not RGB ones.
    """
    if model.arch not in RESTORERS or model.network is None:
        raise InputError(f"expected a restoration model, got a {model.arch}")
    for key in _CHANNEL_KEYS:
        if model.config.get(key, 3) != 3:
            raise InputError(
                f"expected a model of RGB images, got a {model.arch} with {key} {model.config[key]}"
            )
    size = _FACE_SIZE if model.arch == "restoreformer" else model.resolution
    return Convention(*model.image_range, size=None if model.arch == "restore-unet" else size)


def _resized(x: Tensor, height: int, width: int) -> Tensor:
    """Enlarge bicubically or reduce to exact means; images of that size come back themselves."""
    if tuple(x.shape[2:]) == (height, width):
        return x
    rows, columns = (
        area_matrix(old, new) if new < old else cubic_matrix(old, new)
        for old, new in zip(x.shape[2:], (height, width), strict=True)
    )
    return resample(x, rows, columns)
