"""How a run ends before its last step: Ctrl-C, a full disk, or numbers no longer finite."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from . import snapshot
from .errors import TrainingError


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Turn the first Ctrl-C (or SIGTERM) into an entry of the list; a second interrupts at once."""
    caught: list[int] = []

    def note(number: int, frame: object) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: whoever runs us handles signals
        before = {}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def require_finite_losses(means: Mapping[str, float], kimg: float, outdir: Path) -> None:
    """Stop a run that has diverged, so that its last good snapshot stays the newest.

    Args:
        means: losses by name.
        kimg: thousands of images seen.
        outdir: folder of the run.

    Raises:
        TrainingError: naming what is not finite, and the last good snapshot.
    """
    bad = [f"{name} {value}" for name, value in means.items() if not math.isfinite(value)]
    if bad:
        raise _diverged(", ".join(bad), kimg, outdir)


def require_finite_tensors(tensors: Mapping[str, Tensor], kimg: float, outdir: Path) -> None:
    """`require_finite_losses` for weights and optimizer state, before they are written."""
    bad = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise _diverged(f"{len(bad)} tensors, first {bad[0]}, are not finite", kimg, outdir)


@contextmanager
def writing(outdir: Path) -> Iterator[None]:
    """Say what is left when the folder of a run can no longer be written to.

    Raises:
        TrainingError: in place of an OSError in the block.
    """
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"train: stopped because {outdir} could not be written to "
            f"({error.strerror or error}); {_left(outdir)}"
        ) from error


def _diverged(what: str, kimg: float, outdir: Path) -> TrainingError:
    return TrainingError(
        f"train: stopped at kimg {kimg:.2f} because {what}; {_left(outdir)}; "
        "continue with a smaller lr or without amp"
    )


def _left(outdir: Path) -> str:
    if not outdir.is_dir():  # of another machine than rank 0's
        return "snapshots lie with rank 0"
    pointer = snapshot.latest(outdir)
    if pointer is None:
        return "no snapshot yet"
    return f"the last good snapshot is {outdir / pointer['state']}"
