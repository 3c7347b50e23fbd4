"""What a run says and leaves in its folder: first lines, ticks, snapshots with their report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..core.errors import InputError
from ..core.files import atomic_write
from . import html, snapshot
from .config import RunConfig
from .distributed import Ranks
from .feed import to_float
from .images import Images, TwoSets
from .opening import counted, opening_lines
from .presets import Preset
from .report import Reporter
from .resume import machine
from .scores import WATCHED_FROM, Scores, alarms
from .stopping import require_finite_losses, require_finite_tensors, writing
from .system import System, grid_side


@dataclass(frozen=True)
class RunFiles:
    """What a run says and writes before its first step and between its steps.

    Every rank calls the same methods at the same steps; rank 0 writes.

    Attributes:
        preset: the row of the table that was chosen.
        config: its settings, with what was changed.
        ranks: the run's processes.
        outdir: folder of the run.
        dataset: the images.
        system: under training.
        scores: measure it at snapshots.
        reporter: of this rank.
    """

    preset: Preset
    config: RunConfig
    ranks: Ranks
    outdir: Path
    dataset: Images | TwoSets
    system: System
    scores: Scores
    reporter: Reporter

    def start(self, first: int, state_path: Path | None, notes: list[str]) -> None:
        """Make the folder and say what will be done, from step `first` on."""
        config, say = self.config, self.reporter.say
        if self.ranks.main:  # only now, so that settings or data that do not fit leave nothing
            _make_folder(self.outdir)
        with writing(self.outdir):
            self._begin(first * config.batch)
        for line in opening_lines(self.preset, config):
            say(line)
        for name, text in self._notes().items():
            say(f"{name}: {text}")
        where = f", continued from {state_path}" if state_path is not None else ""
        images = [step * config.batch / 1000 for step in (first, config.total_steps)]
        say(
            f"run: kimg {images[0]:g} to {images[1]:g} (step {first} to {config.total_steps})"
            f"{where}"
        )
        for note in notes:
            say(note)

    def _begin(self, images: int) -> None:
        """Bring the folder into the state after `images` images, which rank 0 writes to."""
        self.reporter.start(images, self.system.headline)
        if not self.ranks.main:
            return
        snapshot.clean(self.outdir)
        settings = self.config.model_dump_json(indent=1)
        atomic_write(self.outdir / "config.json", settings + "\n")
        if not (self.outdir / html.REALS).exists():
            self.reporter.grid(html.REALS, *_reals(self.dataset))

    def tick(self, step: int) -> None:
        """Log the losses since the last tick, after `step` steps."""
        images = step * self.config.batch
        means = self.system.meter.drain(self.ranks)
        histograms = self.system.meter.drain_histograms(self.ranks)
        require_finite_losses(means, images / 1000, self.outdir)
        with writing(self.outdir):
            self.reporter.tick(images, means, histograms)

    def save(self, step: int, last: bool) -> None:
        """Write a snapshot after `step` steps; every rank takes part, the main one writes."""
        images = step * self.config.batch
        tensors = self.system.state()
        require_finite_tensors(tensors, images / 1000, self.outdir)
        values = self.scores.measure(self.system)
        side = grid_side(self.config.resolution)
        neighbours = self.scores.neighbours(self.system, side) if last else None
        if self.ranks.main:
            with writing(self.outdir):
                self._write(step, tensors, values, neighbours)
        self.ranks.wait()
        self.reporter.restart_clock()

    def _write(
        self,
        step: int,
        tensors: dict[str, Tensor],
        values: dict[str, float],
        neighbours: Tensor | None,
    ) -> None:
        """What the main rank writes at a snapshot: grids, files, log and report."""
        images = step * self.config.batch
        training = {
            "preset": self.preset.name,
            "images": images,
            "kimg": images / 1000,
            "data": self.dataset.content_hash,
            "licence": self.config.licence,
            "threads": torch.get_num_threads(),
        }
        state = snapshot.State(
            tensors=tensors,
            counters={"data": self.dataset.content_hash, **machine(self.ranks)},
            config=self.config.model_dump(mode="json"),
            preset=self.preset.name,
            step=step,
            images=images,
        )
        samples, columns = self.system.grid()
        self.reporter.grid(f"samples-{images:010d}.png", samples, columns)
        model = self.system.model(training)
        path = snapshot.write(self.outdir, model, state, self.config.keep)
        self.reporter.snapshot(images, path.name, values)
        for alarm in alarms(values) if images >= WATCHED_FROM else []:
            self.reporter.log("alarm", images, {"text": alarm})
            self.reporter.say(f"warning: {alarm}")
        if neighbours is not None:
            self.reporter.grid(html.NEIGHBOURS, neighbours, len(neighbours) // 2)
        if self.config.report:
            captions = html.Captions(
                self.system.grid_shows,
                self.system.grid_rows,
                _reals_show(self.dataset),
                self.scores.described(values),
            )
            headline = self.system.headline
            html.write_report(self.outdir, self.preset.name, headline, self._notes(), captions)

    def _notes(self) -> dict[str, str]:
        """What a reader of the log or the report wants to know first."""
        config, data = self.config, f"{len(self.dataset)} images"
        if isinstance(self.dataset, TwoSets):
            second = len(self.dataset.second)
            data = f"{len(self.dataset)} pairs" if self.dataset.paired else f"{data} and {second}"
        heldout = f", {config.heldout} of them held out" if config.heldout else ""
        threads = torch.get_num_threads()
        return {
            "data": f"{data} of {config.resolution} px{heldout}, "
            f"hash {self.dataset.content_hash[:16]}",
            "parameters": ", ".join(
                f"{sum(p.numel() for p in module.parameters()):,} in {name}"
                for name, module in self.system.networks.items()
            ),
            "machine": f"{counted(self.ranks.world, 'rank')} on {self.ranks.device}, "
            f"{counted(threads, 'thread')}, PyTorch {torch.__version__}",
        }


def _make_folder(outdir: Path) -> None:
    try:
        outdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"train: cannot write to {outdir} ({error.strerror or error})") from error


def _reals(dataset: Images | TwoSets) -> tuple[Tensor, int]:
    """The first images, float32 -1..1, and the columns to show them in.

    Each row of images stands above one of their targets, if there are any.
    """
    sets = [dataset.first, dataset.second] if isinstance(dataset, TwoSets) else [dataset]
    side = grid_side(dataset.resolution)
    count = min(side * side // len(sets), *map(len, sets))
    rows = torch.arange(count).split(side)
    images = torch.cat([images.images(row) for row in rows for images in sets])
    return to_float(images, torch.device("cpu"), False), side


def _reals_show(dataset: Images | TwoSets) -> str:
    """What the grid of `_reals` shows."""
    if not isinstance(dataset, TwoSets):
        return "Training images."
    if dataset.paired:
        return "Training pairs: each row of images above one of their targets."
    return "Training images: rows of the first and of the second domain in turn."
