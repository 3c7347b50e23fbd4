"""What training takes for data: images, and images with targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from .streams import Stream, normal


class Images(Protocol):
    """What the loop needs of a data set."""

    content_hash: str
    resolution: int

    @property
    def labels(self) -> Tensor | None:
        """float32 [N, L]."""
        ...

    def __len__(self) -> int: ...

    def images(self, indices: Tensor) -> Tensor:
        """uint8 [B, 3, H, W] under these numbers."""
        ...


class SyntheticImages:
    """Smooth random colour fields, in two classes unless `labels` is set."""

    content_hash = "synthetic"

    def __init__(self, resolution: int, count: int = 64) -> None:
        self.resolution = resolution
        self.labels: Tensor | None = functional.one_hot(torch.arange(count) % 2).float()
        self._count = count

    def __len__(self) -> int:
        return self._count

    def images(self, indices: Tensor) -> Tensor:
        """uint8 [B, 3, H, W], a function of each index alone."""
        coarse = normal(0, Stream.SYNTHETIC, indices.numpy(), (3, 4, 4)).mul(60).add(128)
        size = (self.resolution, self.resolution)
        smooth = functional.interpolate(coarse, size, mode="bilinear")
        return smooth.clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class TwoSets:
    """Images with targets: the second images of pairs, or those of a second domain.

    Attributes:
        first: the images.
        second: the targets.
        paired: whether target i belongs to image i; else the sets are independent.
        content_hash: hash of both.
    """

    first: Images
    second: Images
    paired: bool
    content_hash: str

    @property
    def resolution(self) -> int:
        """Side of the images."""
        return self.first.resolution

    @property
    def labels(self) -> Tensor | None:
        """None: labels would belong to one set only."""
        return None

    def __len__(self) -> int:
        return len(self.first)

    def images(self, indices: Tensor) -> Tensor:
        """Images of the first set, uint8 [B, C, H, W]."""
        return self.first.images(indices)
