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

from ..core.data import batch_indices, domain_indices, mirror_flags
from ..core.errors import InputError
from .config import RunConfig
from .streams import Stream, normal, numbers, parts


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


@dataclass(frozen=True)
class Batch:
    """A part of a step's batch.

    Attributes:
        images: uint8 [n, C, H, W].
        sample: the samples' numbers in the run, int64 [n]: all that randomness may depend on.
        labels: float32 [n, L], or None.
        targets: uint8 [n, C, H, W], the second images of pairs or images of a second domain, or
            None.
    """

    images: Tensor
    sample: np.ndarray
    labels: Tensor | None
    targets: Tensor | None = None


class Feed:
    """Batches of real images by step.

    Args:
        dataset: the images, with or without targets.
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

    def __init__(self, dataset: Images | TwoSets, config: RunConfig, rank: int, world: int) -> None:
        self.dataset = dataset
        self.count = len(dataset) - config.heldout
        self._config = config
        all_parts = parts(config.batch, config.group, world * config.grad_accum)
        self.places = all_parts[rank * config.grad_accum :][: config.grad_accum]
        self._pool = ThreadPoolExecutor(config.workers) if config.workers else None
        self._ahead: deque[tuple[int, Future[list[Batch]]]] = deque()
        for images in self._sets():
            if len(images) <= config.heldout:
                raise InputError(
                    f"train: the data set has {len(images)} images, more than {config.heldout} are "
                    "needed: as many are held out to measure on (heldout=N sets another number)"
                )
            # The first read makes the data set's cache, which the threads then share.
            images.images(torch.zeros(1, dtype=torch.int64))

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
                "(expected a dataset.json with labels, folder:PATH,labels=folders, or attributes "
                "such as faces:count=20000,attr=glasses+smile)"
            )
        return self.dataset.labels.shape[1]

    def close(self) -> None:
        """Stop the reading threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def heldout(self) -> Tensor:
        """Numbers of the images that training never sees: int64 [config.heldout]."""
        return torch.arange(self.count, len(self.dataset))

    def heldout_batch(self) -> Batch:
        """The images that training never sees, with their labels and targets."""
        second = self._sets()[-1]
        return self._take(
            self.heldout(), torch.arange(len(second) - self._config.heldout, len(second))
        )

    def first_batch(self, count: int) -> Batch:
        """The first images that are given out, at most `count`, with their labels and targets."""
        indices = torch.arange(min(count, len(self._sets()[-1]) - self._config.heldout, self.count))
        return self._take(indices, indices)

    def _sets(self) -> list[Images]:
        """The images, and the targets where there are any."""
        if isinstance(self.dataset, TwoSets):
            return [self.dataset.first, self.dataset.second]
        return [self.dataset]

    def _take(self, indices: Tensor, others: Tensor) -> Batch:
        """Images and labels under some numbers, which are also the samples', targets of others."""
        labels, dataset = self.dataset.labels, self.dataset
        return Batch(
            dataset.images(indices),
            indices.numpy(),
            None if labels is None else labels[indices],
            dataset.second.images(others) if isinstance(dataset, TwoSets) else None,
        )

    def _read(self, step: int) -> list[Batch]:
        config = self._config
        indices = batch_indices(config.seed, step, config.batch, self.count)
        others = self._target_indices(step, indices)
        flags = mirror_flags(config.seed, step, config.batch) & config.mirror
        sample = numbers(step, config.batch)
        batch = []
        for places in self.places:
            here = torch.from_numpy(places)
            part = self._take(indices[here], others[here])
            flag = flags[here, None, None, None]
            targets = part.targets
            batch.append(
                Batch(
                    torch.where(flag, part.images.flip(3), part.images),
                    sample[places],
                    part.labels,
                    None if targets is None else torch.where(flag, targets.flip(3), targets),
                )
            )
        return batch

    def _target_indices(self, step: int, indices: Tensor) -> Tensor:
        """Numbers of a step's targets, of the images' own or of others in a second domain."""
        config, dataset = self._config, self.dataset
        if not isinstance(dataset, TwoSets) or dataset.paired:
            return indices
        others = len(dataset.second) - config.heldout
        return domain_indices(config.seed, step, config.batch, self.count, others)[1]


def to_float(images: Tensor, device: torch.device, channels_last: bool) -> Tensor:
    """uint8 0..255 [N, 3, H, W] -> float32 -1..1 on the device."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    moved = images.to(device, non_blocking=True)
    return moved.to(torch.float32).mul_(2 / 255).sub_(1).contiguous(memory_format=layout)
