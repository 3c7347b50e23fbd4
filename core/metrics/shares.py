"""One measurement that several processes share: each takes part of the images, then they add up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

MESSAGE_NUMBERS = 2**26
"""Most numbers in one message between processes."""


class Group(Protocol):
    """Processes that measure together; `training.distributed.Ranks` is one.

    Attributes:
        rank: number of this process.
        world: how many there are.
        device: where `sum_` wants its tensors.
    """

    @property
    def rank(self) -> int: ...

    @property
    def world(self) -> int: ...

    @property
    def device(self) -> torch.device: ...

    def sum_(self, tensor: Tensor) -> Tensor:
        """Sum a tensor over the processes, in place; every one of them calls this."""
        ...


@dataclass(frozen=True)
class Alone:
    """A single process."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def sum_(self, tensor: Tensor) -> Tensor:
        """The tensor itself."""
        return tensor


ALONE = Alone()


def own_batches(group: Group, count: int, size: int) -> Iterator[range]:
    """This process's part of 0..count-1, in batches of at most `size` numbers.

    The cut does not depend on the number of processes, so that an image is computed in the same
    batch, and rounded alike, by one process or by eight.
    """
    for first in range(group.rank * size, count, group.world * size):
        yield range(first, min(first + size, count))


def add_up(group: Group, tensor: Tensor) -> None:
    """Sum a contiguous tensor over the processes, in place, in messages of `MESSAGE_NUMBERS`."""
    if group.world > 1:
        for part in tensor.view(-1).split(MESSAGE_NUMBERS):
            part.copy_(group.sum_(part.to(group.device)))
