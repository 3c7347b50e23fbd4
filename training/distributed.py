"""Several processes on one run, started by `torchrun`: gloo for tensors on CPUs, nccl on GPUs.

Gradients are averaged by hand after the backward pass, so that a step is the same computation with
or without ranks. What is said between steps (whether to stop, whether all are there) goes over
gloo, which waits for no GPU and notices at once that a process is gone. Only rank 0 reads and
writes the run's folder; machines need not share one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from ..core.devices import choose_device
from ..core.errors import InputError
from .errors import TrainingError

TIMEOUT = timedelta(minutes=10)
"""After which a rank that does not answer is given up."""
BUCKET_BYTES = 32 * 2**20
"""Gradients are averaged in messages of about this size, so that no copy of all is made."""
SNAPSHOT_LEFT = "the last snapshot is intact, start the same command again to continue from it"
_ERROR = "error"
_runs = count()


class RankLostError(TrainingError):
    """Another process died or stopped answering."""


@dataclass(frozen=True)
class Ranks:
    """This process among the run's processes.

    Attributes:
        rank: 0 writes files.
        world: number of processes; with 1 no process group exists and every method is free.
        device: where this process computes.
        command: of `ganvas` that runs, which messages begin with.
        when_lost: what a message says of the work when another rank is lost.
    """

    rank: int
    world: int
    device: torch.device
    command: str = "train"
    when_lost: str = SNAPSHOT_LEFT

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
            self._talk(lambda: dist.all_reduce(tensor))
        return tensor

    def mean_(self, tensors: Sequence[Tensor]) -> None:
        """Average tensors of one dtype over ranks, in place, in messages of `BUCKET_BYTES`.

        Raises:
            RankLostError: another rank is gone.
        """
        if self.world == 1:
            return
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            self.sum_(flat).div_(self.world)
            parts = flat.split([tensor.numel() for tensor in bucket])
            for tensor, part in zip(bucket, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank; every rank gets the same answer.

        Raises:
            RankLostError: another rank is gone.
        """
        if self.world == 1:
            return flag
        return bool(self.sum_(torch.tensor([float(flag)])).item() > 0)

    def wait(self) -> None:
        """Wait until every rank is here.

        Raises:
            RankLostError: another rank is gone.
        """
        self.any(False)

    def require_same(self, what: str, value: str) -> None:
        """Refuse a run whose ranks were given different things.

        Raises:
            InputError: on every rank, if `value` differs between ranks.
            RankLostError: another rank is gone.
        """
        if self.world == 1:
            return
        number = int.from_bytes(hashlib.sha256(value.encode()).digest()[:7], "big")
        bounds = torch.tensor([number, -number])
        self._talk(lambda: dist.all_reduce(bounds, dist.ReduceOp.MAX))
        if bounds[0] != -bounds[1]:
            raise InputError(
                f"{self.command}: expected the same {what} on every rank, "
                f"rank {self.rank} has {value}"
            )

    def from_main(self, call: Callable[[], Any]) -> Any:
        """What a function gives on rank 0, plain JSON, on every rank.

        Raises:
            InputError: on every rank, where the function raises it on rank 0.
            RankLostError: another rank is gone.
        """
        if self.world == 1:
            return call()
        told = b""
        if self.main:
            try:
                told = json.dumps({"value": call()}).encode()
            except InputError as error:
                told = json.dumps({_ERROR: str(error)}).encode()
        size = torch.tensor([len(told)])
        self.copy_from_main_(size)
        text = torch.empty(int(size), dtype=torch.uint8)
        if self.main:
            text.copy_(torch.frombuffer(bytearray(told), dtype=torch.uint8))
        self.copy_from_main_(text)
        answer = json.loads(bytes(text.tolist()))
        if _ERROR in answer:
            raise InputError(answer[_ERROR])
        return answer["value"]

    def copy_from_main_(self, tensor: Tensor) -> Tensor:
        """Give a tensor rank 0's numbers, in place; shape and dtype are alike on all ranks.

        Raises:
            RankLostError: another rank is gone.
        """
        if self.world == 1 or not tensor.numel():
            return tensor
        flat = tensor.detach().reshape(-1).contiguous()  # of bytes, as gloo knows few dtypes
        self._talk(lambda: dist.broadcast(flat.view(torch.uint8), 0))
        if not self.main:
            tensor.copy_(flat.view_as(tensor))
        return tensor

    def close(self) -> None:
        """Leave the process group."""
        if self.world > 1 and dist.is_initialized():
            dist.destroy_process_group()

    def _talk(self, call: Callable[[], object]) -> None:
        try:
            call()
        except RuntimeError as error:
            raise self._lost(error) from error

    def _lost(self, error: RuntimeError) -> RankLostError:
        first = str(error).strip().splitlines()[0][:200] if str(error).strip() else "no details"
        return RankLostError(
            f"{self.command}: rank {self.rank} of {self.world} lost contact with another rank "
            f"({first}); {self.when_lost}"
        )


def start(device: str, command: str = "train", when_lost: str = SNAPSHOT_LEFT) -> Ranks:
    """Join the process group that torchrun describes in the environment, or run alone.

    Each run of a process, and each restart by torchrun, has a group under names of its own in
    torchrun's store, which outlives both: under the names of an earlier group it would find the
    addresses of processes that are gone.

    Args:
        device: auto, cpu, cuda or cuda:N (N only without torchrun, where each rank has the GPU of
            its number on its machine).
        command: as in `Ranks`.
        when_lost: likewise.

    Raises:
        InputError: the device is not available, or the environment is malformed.
    """
    world, rank = _environment("WORLD_SIZE", 1, command), _environment("RANK", 0, command)
    if world > 1 and device != "cpu" and torch.cuda.is_available():
        device = _own_gpu(device, command)
    local = torch.device(choose_device(device))
    if world == 1:
        return Ranks(0, 1, local, command, when_lost)
    if local.type == "cuda":
        torch.cuda.set_device(local)
    restart = _environment("TORCHELASTIC_RESTART_COUNT", 0, command)
    names = f"restart{restart}-run{next(_runs)}"
    try:
        store, _, _ = next(rendezvous("env://", timeout=TIMEOUT))
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if local.type == "cuda" else "gloo",
            store=PrefixStore(names, store),
            rank=rank,
            world_size=world,
            timeout=TIMEOUT,
        )
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"{command}: rank {rank} of {world} could not join the others "
            f"({str(error).splitlines()[0][:200]}); start every rank with torchrun"
        ) from error
    return Ranks(rank, world, local, command, when_lost)


def _own_gpu(device: str, command: str) -> str:
    """The GPU of this rank: that of its number on this machine."""
    number, gpus = _environment("LOCAL_RANK", 0, command), torch.cuda.device_count()
    if ":" in device:
        raise InputError(
            f"{command}: device={device} is for one process; under torchrun each rank takes the "
            "GPU of its own number (device=cuda)"
        )
    if number >= gpus:
        raise InputError(
            f"{command}: expected a GPU for each rank of this machine, got rank {number} (from 0) "
            f"and {gpus} GPUs; start torchrun with --nproc-per-node={gpus}, or choose device=cpu"
        )
    return f"cuda:{number}"


def _buckets(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """Tensors in their order, in groups that are full at `BUCKET_BYTES`."""
    buckets: list[list[Tensor]] = []
    size = BUCKET_BYTES
    for tensor in tensors:
        if size >= BUCKET_BYTES:
            buckets.append([])
            size = 0
        buckets[-1].append(tensor)
        size += tensor.numel() * tensor.element_size()
    return buckets


def _environment(name: str, default: int, command: str) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdigit():
        raise InputError(f"{command}: environment variable {name} must be a number, got {text!r}")
    return int(text)
