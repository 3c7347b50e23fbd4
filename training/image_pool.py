"""The history of generated images that CycleGAN's discriminators are shown."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .streams import Stream, uniforms


class ImagePool:
    """Exchanges about half of the new images for ones that it has kept (Shrivastava et al. 2017).

    The first `size` images are kept and given back; from then on an image is given back as it is,
    or, with probability one half, takes a random place whose old image is given instead. Chance is
    a function of the sample's number, so that the pool after a sample does not depend on the cut
    of the batches; it must be shown every sample once, in order, on each rank alike.

    Args:
        size: images kept; 0 gives every image back.
        shape: of an image, (C, H, W).
        seed: of the run.
        stream: that its chance comes from, one for each pool.
        device: where the images are kept.

    Attributes:
        images: what is kept, float32 [size, C, H, W]; zeros until it is full.
    """

    def __init__(
        self,
        size: int,
        shape: tuple[int, int, int],
        *,
        seed: int,
        stream: Stream,
        device: torch.device,
    ) -> None:
        self.images = torch.zeros(size, *shape, device=device)
        self._seed = seed
        self._stream = stream

    def exchange(self, images: Tensor, sample: np.ndarray) -> Tensor:
        """What the discriminator is shown instead of new images.

        Args:
            images: [N, C, H, W], the samples of the whole batch in their order.
            sample: their numbers in the run, int64 [N], rising.

        Returns:
            float32 [N, C, H, W], a new tensor.
        """
        size = len(self.images)
        shown = images.detach().float().clone()
        if not size:
            return shown
        chance = uniforms(self._seed, self._stream, sample, 2)
        places = (chance[:, 1].double() * size).long().tolist()
        coins = (chance[:, 0] < 0.5).tolist()
        for row, (number, coin, drawn) in enumerate(
            zip(sample.tolist(), coins, places, strict=True)
        ):
            if number < size:
                self.images[number] = shown[row]
            elif coin:
                kept = self.images[drawn].clone()
                self.images[drawn] = shown[row]
                shown[row] = kept
        return shown
