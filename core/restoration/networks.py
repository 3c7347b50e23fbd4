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

    def apply(self, network: nn.Module, images: Tensor, scale: int = 1) -> Tensor:
        """Run the network on images in -1..1, and bring its result to their size times `scale`.

        Faces of another size are enlarged or reduced to the network's, and those that are not
        square first get edges repeated to a square. Of faces larger than the network's size, the
        detail that it never saw is added to its result, which so is never blurrier than they are.
        Shapes: [N, 3, H, W] -> [N, 3, H * scale, W * scale] float32 on the CPU.
        """
        height, width = images.shape[2:]
        x = images.float().cpu()
        if self.size is None:
            return resized(self._run(network, x), height * scale, width * scale)
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        edges = (left, side - width - left, top, side - height - top)
        square = nn.functional.pad(x, edges, mode="replicate")
        seen = resized(square, self.size, self.size)
        y = resized(self._run(network, seen.clamp(-1, 1)), side * scale, side * scale)
        if side > self.size:
            y = y + resized(square, *y.shape[2:]) - resized(seen, *y.shape[2:])
        rows, columns = slice(top * scale, None), slice(left * scale, None)
        return y[:, :, rows, columns][:, :, : height * scale, : width * scale]

    def _run(self, network: nn.Module, x: Tensor) -> Tensor:
        """The network's images in -1..1, of whatever size it makes them."""
        half = (self.high - self.low) / 2
        # At -1..1 nothing is computed, so that such a network sees the very images.
        plain = (self.low, self.high) == (-1.0, 1.0)
        device = next(network.parameters()).device
        y = network((x if plain else (x + 1) * half + self.low).to(device)).float().cpu()
        return y if plain else (y - self.low) / half - 1


def enlarged(images: Tensor, scale: int) -> Tensor:
    """Images bicubically enlarged by a whole factor, [N, C, H, W] -> [N, C, H * s, W * s]."""
    return resized(images, images.shape[2] * scale, images.shape[3] * scale)


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


def resized(x: Tensor, height: int, width: int) -> Tensor:
    """Enlarge bicubically or reduce to exact means; images of that size come back themselves."""
    if tuple(x.shape[2:]) == (height, width):
        return x
    rows, columns = (
        area_matrix(old, new) if new < old else cubic_matrix(old, new)
        for old, new in zip(x.shape[2:], (height, width), strict=True)
    )
    return resample(x, rows, columns)
