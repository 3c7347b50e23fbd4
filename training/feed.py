"""Real images for the loop: the part of a step's batch that belongs to this rank, read ahead."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..core.data import batch_indices, mirror_flags
from ..core.errors import InputError
from .config import RunConfig
from .streams import Stream, normal, numbers, parts


class Images(Protocol):
    """What the loop needs of a data set."""

    content_hash: str
    resolution: int
    labels: Tensor | None

    def __len__(self) -> int: ...

    def images(self, indices: Tensor) -> Tensor:
        """uint8 [B, 3, H, W] under these numbers."""
        ...


class SyntheticImages:
    """Smooth random colour fields in two classes, for `--dry-run`."""

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
class Batch:
    """A part of a step's batch.

    Attributes:
        images: uint8 [n, C, H, W].
        sample: the samples' numbers in the run, int64 [n]: all that randomness may depend on.
        labels: float32 [n, L], or None.
    """

    images: Tensor
    sample: np.ndarray
    labels: Tensor | None


class Feed:
    """Batches of real images by step.

    Args:
        dataset: the images.
        config: batch, seed, mirror, grad_accum and workers.
        rank: this process.
        world: number of processes.

    Attributes:
        count: images that are given out: all but the last `config.heldout`.
        places: places in the batch of this rank's images, an int64 array for each part.

    The result does not depend on `workers`: threads only decode ahead what is a function of the
    step.

    Raises:
        InputError: no image is left to give out.
    """

    def __init__(self, dataset: Images, config: RunConfig, rank: int, world: int) -> None:
        self.dataset = dataset
        self.count = len(dataset) - config.heldout
        self._config = config
        all_parts = parts(config.batch, config.group, world * config.grad_accum)
        self.places = all_parts[rank * config.grad_accum :][: config.grad_accum]
        self._pool = ThreadPoolExecutor(config.workers) if config.workers else None
        self._ahead: deque[tuple[int, Future[list[Batch]]]] = deque()
        if self.count < 1:
            raise InputError(
                f"train: the data set has {len(dataset)} images, more than {config.heldout} are "
                "needed"
            )
        # The first read makes the data set's cache, which the threads then share.
        dataset.images(torch.zeros(1, dtype=torch.int64))

    def batch(self, step: int) -> list[Batch]:
        """The step's images of this rank, one batch for each accumulation part."""
        if self._pool is None:
            return self._read(step)
        if self._ahead and self._ahead[0][0] != step:
            self._ahead.clear()
        start = self._ahead[-1][0] + 1 if self._ahead else step
        for ahead in range(start, step + 2 * self._config.workers):
            self._ahead.append((ahead, self._pool.submit(self._read, ahead)))
        return self._ahead.popleft()[1].result()

    @property
    def label_dim(self) -> int:
        """Numbers in a label, for systems that cannot do without.

        Raises:
            InputError: the data have none.
        """
        if self.dataset.labels is None:
            raise InputError(
                "train: this preset learns from labels, and the data have none "
                "(expected, for an archive, labels in its dataset.json)"
            )
        return self.dataset.labels.shape[1]

    def close(self) -> None:
        """Stop the reading threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def heldout(self) -> Tensor:
        """Numbers of the images that training never sees: int64 [config.heldout]."""
        return torch.arange(self.count, len(self.dataset))

    def _read(self, step: int) -> list[Batch]:
        config = self._config
        indices = batch_indices(config.seed, step, config.batch, self.count)
        flags = mirror_flags(config.seed, step, config.batch) & config.mirror
        sample = numbers(step, config.batch)
        labels = self.dataset.labels
        batch = []
        for places in self.places:
            here = torch.from_numpy(places)
            images = self.dataset.images(indices[here])
            mirrored = torch.where(flags[here, None, None, None], images.flip(3), images)
            own = None if labels is None else labels[indices[here]]
            batch.append(Batch(mirrored, sample[places], own))
        return batch


def to_float(images: Tensor, device: torch.device, channels_last: bool) -> Tensor:
    """uint8 0..255 [N, 3, H, W] -> float32 -1..1 on the device."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    moved = images.to(device, non_blocking=True)
    return moved.to(torch.float32).mul_(2 / 255).sub_(1).contiguous(memory_format=layout)
