"""Real images for the loop: the part of a step's batch that belongs to this rank, read ahead."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..core.data import batch_indices, domain_indices, mirror_flags
from ..core.errors import InputError
from .config import RunConfig
from .heldout import split
from .images import Images, TwoSets
from .streams import numbers, parts


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
        dataset: the images, with or without targets, some of which are held out.
        config: batch, seed, mirror, grad_accum and workers.
        rank: this process.
        world: number of processes.

    Attributes:
        dataset: the images that are given out.
        heldout: the `config.heldout` images that training never sees.
        count: images that are given out.
        places: places in the batch of this rank's images, an int64 array for each part.

    The result does not depend on `workers`: threads only decode ahead what is a function of the
    step.

    Raises:
        InputError: no image is left to give out.
    """

    def __init__(self, dataset: Images | TwoSets, config: RunConfig, rank: int, world: int) -> None:
        self.dataset, self.heldout = split(dataset, config.heldout)
        self.count = len(self.dataset)
        self._config = config
        all_parts = parts(config.batch, config.group, world * config.grad_accum)
        self.places = all_parts[rank * config.grad_accum :][: config.grad_accum]
        self._pool = ThreadPoolExecutor(config.workers) if config.workers else None
        self._ahead: deque[tuple[int, Future[list[Batch]]]] = deque()
        for images in _sets(self.dataset):
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
                "train: this preset learns from labels, and the data have none (expected a "
                "dataset.json with labels, folders as classes by photos,labels=folders, or "
                "attributes by faces.zip,attr=glasses+smile or faces:count=20000,attr=glasses)"
            )
        return self.dataset.labels.shape[1]

    def close(self) -> None:
        """Stop the reading threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def heldout_batch(self) -> Batch:
        """The images that training never sees, with their labels and targets."""
        return _first(self.heldout, self._config.heldout)

    def first_batch(self, count: int) -> Batch:
        """The first images that are given out, at most `count`, with their labels and targets."""
        return _first(self.dataset, count)

    def _read(self, step: int) -> list[Batch]:
        config = self._config
        indices = batch_indices(config.seed, step, config.batch, self.count)
        others = self._target_indices(step, indices)
        flags = mirror_flags(config.seed, step, config.batch) & config.mirror
        sample = numbers(step, config.batch)
        batch = []
        for places in self.places:
            here = torch.from_numpy(places)
            part = _take(self.dataset, indices[here], others[here])
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
        others = len(dataset.second)
        return domain_indices(config.seed, step, config.batch, self.count, others)[1]


def _sets(dataset: Images | TwoSets) -> list[Images]:
    """The images, and the targets where there are any."""
    return [dataset.first, dataset.second] if isinstance(dataset, TwoSets) else [dataset]


def _first(dataset: Images | TwoSets, count: int) -> Batch:
    """The first images, at most `count`, with their labels and targets."""
    indices = torch.arange(min(count, *map(len, _sets(dataset))))
    return _take(dataset, indices, indices)


def _take(dataset: Images | TwoSets, indices: Tensor, others: Tensor) -> Batch:
    """Images and labels under some numbers, which are also the samples', targets of others."""
    return Batch(
        dataset.images(indices),
        indices.numpy(),
        None if dataset.labels is None else dataset.labels[indices],
        dataset.second.images(others) if isinstance(dataset, TwoSets) else None,
    )


def to_float(images: Tensor, device: torch.device, channels_last: bool) -> Tensor:
    """uint8 0..255 [N, 3, H, W] -> float32 -1..1 on the device."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    moved = images.to(device, non_blocking=True)
    return moved.to(torch.float32).mul_(2 / 255).sub_(1).contiguous(memory_format=layout)
