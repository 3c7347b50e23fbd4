"""What a run tells: one line per tick, `log.jsonl`, TensorBoard events, sample grids."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..core.files import atomic_path, atomic_write
from ..core.images import contact_sheet, save_png
from .board import Board, require_tensorboard

LOG = "log.jsonl"


class Headline(NamedTuple):
    """The number that tells one snapshot from a better one."""

    name: str
    higher_is_better: bool


class Reporter:
    """Progress lines and `log.jsonl` of the process that writes files.

    Args:
        folder: the run's folder; None for ranks that stay silent.
        total_images: length of the run.
        say: where progress lines go; None: standard error.
        tensorboard: write TensorBoard events beside the log.
        device: whose memory is told.

    Raises:
        InputError: TensorBoard is asked for and not installed.
    """

    def __init__(
        self,
        folder: Path | None,
        total_images: int,
        say: Callable[[str], None] | None = None,
        tensorboard: bool = False,
        device: torch.device | None = None,
    ) -> None:
        if tensorboard:
            require_tensorboard()
        self._tensorboard = tensorboard
        self._board: Board | None = None
        self._folder = folder
        self._total = total_images
        self._say = say
        self._device = device
        self._headline: Headline | None = None
        self._best = ""
        self._last = time.perf_counter()
        self._images = 0

    def say(self, text: str) -> None:
        """Print one line."""
        if self._folder is None:
            return
        if self._say is not None:
            self._say(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def start(self, images: int, headline: Headline) -> None:
        """Start the clock at `images`, and forget log lines of steps that will be taken again.

        Args:
            images: seen so far.
            headline: the number by which snapshots are compared.
        """
        self._last, self._images = time.perf_counter(), images
        if self._folder is None:
            return
        lines = _lines(self._folder)
        records = [(line, _record(line)) for line in lines]
        kept = [line for line, record in records if record and record["images"] <= images]
        if len(kept) != len(lines):
            atomic_write(self._folder / LOG, "".join(line + "\n" for line in kept))
        self._headline = headline
        self._best = self._best_so_far()
        if self._tensorboard:
            self._board = Board(self._folder, images)

    def restart_clock(self) -> None:
        """Leave the time since the last tick out of the next one's speed, as after a snapshot."""
        self._last = time.perf_counter()

    def close(self) -> None:
        """Flush what is not yet on the disk."""
        if self._board is not None:
            self._board.close()

    def tick(self, images: int, means: dict[str, float], histograms: dict[str, list[int]]) -> None:
        """Log the averages, and histograms of `meter.BINS` bins, since the last tick."""
        now = time.perf_counter()
        seconds = (now - self._last) / max(1, images - self._images) * 1000
        self._last, self._images = now, images
        memory = _memory_gib(self._device)
        cost = {"s_per_kimg": round(seconds, 3), "memory_gib": memory}
        values: dict[str, Any] = {**means, **cost}
        if histograms:
            values["histograms"] = histograms
        self.log("tick", images, values)
        left = (self._total - images) / 1000 * seconds
        shown = "  ".join(f"{name} {value:.4g}" for name, value in means.items())
        best = f"  {self._best}" if self._best else ""
        self.say(
            f"kimg {images / 1000:8.2f} of {self._total / 1000:g}  {seconds:6.2f} s/kimg  "
            f"{_duration(left)} left  {memory:.2f} GiB  {shown}{best}"
        )

    def snapshot(self, images: int, model: str, values: dict[str, float]) -> None:
        """Log the numbers of a snapshot, and say how its headline compares with the best before."""
        if self._folder is None:
            return
        self.log("snapshot", images, {**values, "model": model})
        self._best = self._best_so_far()
        text = "".join(f"  {name} {value:.4g}" for name, value in values.items())
        self.say(f"snapshot {model}{text}" + (f"  ({self._best})" if self._best else ""))

    def _best_so_far(self) -> str:
        """The best headline number of the log in words; nothing without any."""
        assert self._folder is not None and self._headline is not None
        best = best_snapshot(read_log(self._folder), self._headline)
        if best is None:
            return ""
        name = self._headline.name
        return f"best {name} {best[name]:.4g} at kimg {best['kimg']:g}"

    def log(self, event: str, images: int, values: dict[str, Any]) -> None:
        """Append one line to `log.jsonl`."""
        if self._folder is None:
            return
        record = {"event": event, "images": images, "kimg": images / 1000, **values}
        with open(self._folder / LOG, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        if self._board is not None:
            self._board.write(images, values)

    def grid(self, name: str, images: Tensor, columns: int) -> None:
        """Write images [N, 3, H, W] in -1..1 as one PNG."""
        if self._folder is None:
            return
        sheet = contact_sheet(images.float().cpu().add(1).div(2).clamp(0, 1), columns)
        with atomic_path(self._folder / name) as temporary:
            save_png(temporary, sheet.permute(1, 2, 0), None)


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log; none where there is none, without damaged ones."""
    return [record for record in map(_record, _lines(folder)) if record is not None]


def best_snapshot(log: list[dict[str, Any]], headline: Headline) -> dict[str, Any] | None:
    """The log line of the snapshot with the best headline number, None without any."""
    shots = [line for line in log if line["event"] == "snapshot" and headline.name in line]
    choose = max if headline.higher_is_better else min
    return choose(shots, key=lambda line: line[headline.name], default=None)


def _lines(folder: Path) -> list[str]:
    path = folder / LOG
    if not path.is_file():
        return []
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def _record(line: str) -> dict[str, Any] | None:
    """What a log line says; None if it is damaged, as by a process that died writing it."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or not isinstance(record.get("event"), str):
        return None
    counts = (record.get("images"), record.get("kimg"))
    return record if all(isinstance(count, int | float) for count in counts) else None


def _memory_gib(device: torch.device | None) -> float:
    """Peak memory: the GPU's for a run on one, else the process's."""
    if device is not None and device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**30, 3)
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**30 if sys.platform == "darwin" else 2**20), 3)


def _duration(seconds: float) -> str:
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
