"""Several processes on one run, started by `torchrun`: gloo on CPUs, nccl on GPUs.

Gradients are averaged by hand in one flat buffer per step, so that a step is the same computation
with or without ranks. Only rank 0 writes files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from ..core.devices import choose_device
from ..core.errors import InputError
from .errors import TrainingError

TIMEOUT = timedelta(minutes=10)
_runs = count()


class RankLostError(TrainingError):
    """Another process of the run died or stopped answering."""


@dataclass(frozen=True)
class Ranks:
    """This process among the run's processes.

    Attributes:
        rank: 0 writes files.
        world: number of processes; with 1 no process group exists and every method is free.
        device: where this process computes.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def sum_(self, tensor: Tensor) -> Tensor:
        """Sum a tensor over ranks, in place.

        Raises:
            RankLostError: another rank is gone.
        """
        if self.world > 1:
            try:
                dist.all_reduce(tensor)
            except RuntimeError as error:
                raise self._lost(error) from error
        return tensor

    def mean_(self, tensors: Sequence[Tensor]) -> None:
        """Average tensors of one dtype over ranks, in place, in one message.

        Raises:
            RankLostError: another rank is gone.
        """
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        self.sum_(flat).div_(self.world)
        start = 0
        for tensor in tensors:
            tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank; every rank gets the same answer.

        Raises:
            RankLostError: another rank is gone.
        """
        if self.world == 1:
            return flag
        return bool(self.sum_(torch.tensor([float(flag)], device=self.device)).item() > 0)

    def wait(self) -> None:
        """Wait until every rank is here.

        Raises:
            RankLostError: another rank is gone.
        """
        self.any(False)

    def close(self) -> None:
        """Leave the process group."""
        if self.world > 1 and dist.is_initialized():
            dist.destroy_process_group()

    def _lost(self, error: RuntimeError) -> RankLostError:
        first = str(error).strip().splitlines()[0][:200] if str(error).strip() else "no details"
        return RankLostError(
            f"train: rank {self.rank} of {self.world} lost contact with another rank ({first}); "
            "the last snapshot is intact, start the same command again to continue from it"
        )


def start(device: str) -> Ranks:
    """Join the process group that torchrun describes in the environment, or run alone.

    Each run of a process has a group of its own, under its own names in torchrun's store: a second
    group under the first one's names would find the addresses of connections that are gone.

    Args:
        device: auto, cpu, cuda or cuda:N (N only without torchrun).

    Raises:
        InputError: the device is not available, or the environment is malformed.
    """
    world, rank = _environment("WORLD_SIZE", 1), _environment("RANK", 0)
    if world > 1 and device != "cpu" and torch.cuda.is_available():
        device = f"cuda:{_environment('LOCAL_RANK', 0) % torch.cuda.device_count()}"
    local = torch.device(choose_device(device))
    if world == 1:
        return Ranks(0, 1, local)
    use_cuda = local.type == "cuda"
    if use_cuda:
        torch.cuda.set_device(local)
    try:
        store, _, _ = next(rendezvous("env://", timeout=TIMEOUT))
        dist.init_process_group(
            "nccl" if use_cuda else "gloo",
            store=PrefixStore(f"run{next(_runs)}", store),
            rank=rank,
            world_size=world,
            timeout=TIMEOUT,
        )
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"train: rank {rank} of {world} could not join the others "
            f"({str(error).splitlines()[0][:200]}); start every rank with torchrun"
        ) from error
    return Ranks(rank, world, local)


def _environment(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdigit():
        raise InputError(f"train: environment variable {name} must be a number, got {text!r}")
    return int(text)
