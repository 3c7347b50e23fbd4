"""DiffAugment: colour, translation and cutout on every image.

Source: Zhao et al. 2020, "Differentiable augmentation for data-efficient GAN training".
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .configs.stylegan2 import StyleGAN2Config
from .meter import Meter
from .streams import Stream, uniforms

DIFF_DRAWS = 7
"""Uniform numbers a sample uses."""


class DiffAugmenter:
    """The augmentation of a run; it never adapts and keeps nothing."""

    def __init__(self, config: StyleGAN2Config) -> None:
        self._seed = config.seed

    def __call__(self, images: Tensor, sample: np.ndarray, stream: Stream) -> Tensor:
        """Augment [n, 3, H, W] of these sample numbers; same shape, float32."""
        u = uniforms(self._seed, stream, sample, DIFF_DRAWS).to(images.device)
        return diff_augment(images.float(), u)

    def observe(self, real_logits: Tensor) -> None:
        """Nothing adapts."""

    def after_step(self, step: int, meter: Meter) -> None:
        """Nothing adapts."""

    def state(self) -> dict[str, Tensor]:
        """Nothing to keep."""
        return {}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Nothing to restore."""


def diff_augment(images: Tensor, u: Tensor) -> Tensor:
    """Brightness, saturation, contrast; shift by up to 1/8; a grey square of half the side.

    Shapes: images float32 [N, 3, H, W] in -1..1, u uniform [N, DIFF_DRAWS] -> [N, 3, H, W].
    """
    n, _, height, width = images.shape
    images = images + (u[:, 0] - 0.5)[:, None, None, None]
    grey = images.mean(dim=1, keepdim=True)
    images = (images - grey) * (u[:, 1] * 2)[:, None, None, None] + grey
    mean = images.mean(dim=[1, 2, 3], keepdim=True)
    images = (images - mean) * (u[:, 2] + 0.5)[:, None, None, None] + mean

    reach = (height // 8, width // 8)
    dy = (u[:, 3] * (2 * reach[0] + 1)).long() - reach[0]
    dx = (u[:, 4] * (2 * reach[1] + 1)).long() - reach[1]
    rows = torch.arange(height, device=u.device) + dy[:, None]  # [N, H]
    columns = torch.arange(width, device=u.device) + dx[:, None]  # [N, W]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[
        :, None
    ]
    index = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None]
    flat = index.view(n, 1, -1).expand(-1, images.shape[1], -1)
    images = images.flatten(2).gather(2, flat).view_as(images) * inside[:, None]

    top = (u[:, 5] * (height + 1)).long()[:, None] - height // 4
    left = (u[:, 6] * (width + 1)).long()[:, None] - width // 4
    y = torch.arange(height, device=u.device)
    x = torch.arange(width, device=u.device)
    in_y = (y >= top) & (y < top + height // 2)
    in_x = (x >= left) & (x < left + width // 2)
    return images * ~(in_y[:, :, None] & in_x[:, None])[:, None]
