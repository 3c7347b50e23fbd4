"""Differentiable augmentation of what the discriminator sees, so that little data lasts longer.

Every sample's draw is a function of its number alone. Real and fake images pass through the same
pipeline; gradients reach the generator through it.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from torch import Tensor

from .ada import AdaptiveAugmenter
from .configs.stylegan2 import StyleGAN2Config
from .diffaugment import DiffAugmenter
from .distributed import Ranks
from .meter import Meter
from .streams import Stream


class Augmenter(Protocol):
    """What the training step asks of an augmentation."""

    def __call__(self, images: Tensor, sample: np.ndarray, stream: Stream) -> Tensor:
        """Augment [n, 3, H, W] of these sample numbers; same shape, float32."""
        ...

    def observe(self, real_logits: Tensor) -> None:
        """See D's output on augmented real images."""
        ...

    def after_step(self, step: int, meter: Meter) -> None:
        """Adapt once the step is done."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Tensors that continue the run."""
        ...

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Continue from `state`'s tensors; KeyError when they are missing."""
        ...


def make_augmenter(config: StyleGAN2Config, ranks: Ranks) -> Augmenter | None:
    """The augmentation that a configuration asks for."""
    if config.augment == "ada":
        return AdaptiveAugmenter(config, ranks)
    if config.augment == "diffaugment":
        return DiffAugmenter(config)
    return None
