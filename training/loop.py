"""The training loop: settings, data, networks, steps, progress, snapshots."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..core.errors import InputError
from ..core.files import atomic_write, check_output_folder
from . import distributed, html, snapshot
from .config import RunConfig, override
from .data import described, open_images, synthetic_images
from .feed import Feed, Images, TwoSets, to_float
from .opening import changed_settings, counted, opening_lines
from .presets import Preset, find_preset
from .report import Reporter
from .resume import compare, compare_data, require_same_command, shared_state
from .scores import WATCHED_FROM, Scores, alarms
from .stopping import require_finite_losses, require_finite_tensors, stop_signals, writing
from .system import System, grid_side
from .systems import build
from .transfer import initialise


@dataclass(frozen=True)
class TrainingResult:
    """How a run ended.

    Attributes:
        outcome: "finished" or "interrupted" (Ctrl-C; a snapshot was written first).
        images: images shown in the whole run.
        model: the newest model file; None after a dry run, whose files are gone.
        folder: the run's folder.
    """

    outcome: str
    images: int
    model: Path | None
    folder: Path


def train(
    preset: str,
    data: str | Path | None,
    outdir: str | Path | None,
    overrides: Sequence[str] = (),
    resume: str | Path | None = "auto",
    dry_run: bool = False,
    say: Callable[[str], None] | None = None,
) -> TrainingResult:
    """Train one preset; every rank of a `torchrun` calls this with the same arguments.

    Args:
        preset: a name of `presets.PRESETS`.
        data: a folder, a zip archive or `faces:count=20000,size=64,seed=0`.
        outdir: folder of the run: `model.safetensors`, numbered snapshots, `log.jsonl`, grids.
        overrides: `key=value` settings, see `config`.
        resume: "auto" continues from `outdir` if it holds a snapshot, on the same data; None starts
            a new run in a folder without one; a path (run folder or training state) continues from
            there, on other data too. Of several ranks, only rank 0 looks there.
        dry_run: two steps with every phase on synthetic images, files in a temporary folder.
        say: receives the progress lines; None prints them to standard error.

    Raises:
        InputError: settings, data or files to continue from are wrong.
        TrainingError: the loss is no longer finite, or another rank died.
    """
    row = find_preset(preset)
    config = override(row.config, overrides)
    ranks = distributed.start(config.device)
    try:
        if not dry_run:
            if data is None:
                raise InputError(
                    f"train: --data is missing; this preset learns from {described(config.needs)}"
                )
            if outdir is None:
                raise InputError("train: --outdir is missing, the folder of the run")
            return _run(row, config, ranks, data, Path(outdir), resume, say)
        small = config.model_copy(update=config.dry(ranks.world))
        with tempfile.TemporaryDirectory(prefix="ganvas-dry-run-") as folder:
            result = _run(row, small, ranks, None, Path(folder), None, say)
        return TrainingResult(result.outcome, result.images, None, result.folder)
    finally:
        ranks.close()


def _run(
    preset: Preset,
    config: RunConfig,
    ranks: distributed.Ranks,
    data: str | Path | None,
    outdir: Path,
    resume: str | Path | None,
    say: Callable[[str], None] | None,
) -> TrainingResult:
    try:
        config.check_split(ranks.world)
    except ValueError as error:
        raise InputError(f"train: {error}") from error
    if config.threads:
        torch.set_num_threads(config.threads)
    check_output_folder(outdir)

    state_path, state = shared_state(outdir, resume, ranks)
    images = config.total_steps * config.batch
    folder = outdir if ranks.main else None
    reporter = Reporter(folder, images, say, config.tensorboard, ranks.device)
    notes = compare(preset.name, config, state) if state is not None else []

    if data is None:
        dataset = synthetic_images(config.resolution, config.needs)
    else:
        dataset = open_images(data, config.resolution, outdir.parent, config.needs)
    changed = changed_settings(preset, config)
    require_same_command(preset.name, changed, dataset.content_hash, ranks)
    if state is not None:
        notes += compare_data(dataset.content_hash, state, resume)
    feed = Feed(dataset, config, ranks.rank, ranks.world)
    system = build(config, feed, ranks)
    first = 0
    if state is not None:
        system.load_state(state.tensors)
        first = state.step
    elif config.init is not None:
        notes.append(initialise(system, Path(config.init)))

    scores = Scores(config, feed, ranks)
    run = _Run(preset, config, ranks, outdir, dataset, system, scores, reporter)
    if first >= config.total_steps:
        notes.append(
            f"this run is finished ({config.total_kimg:g} kimg); a larger total_kimg=N goes on"
        )
    if data is not None:
        notes.insert(0, f"files: {outdir} (all settings: config.json)")
    run.start(first, state_path, notes)
    ticks, snapshots = config.steps(config.tick_kimg), config.steps(config.snapshot_kimg)
    step, outcome = first, "finished"
    with closing(feed), closing(reporter), stop_signals() as stopped:
        while step < config.total_steps:
            system.step(step)
            step += 1
            stop = ranks.any(bool(stopped))
            due = step % snapshots == 0 or step == config.total_steps or stop
            if due or step % ticks == 0:
                run.tick(step)
            if due:
                run.save(step, last=stop or step == config.total_steps)
            if stop and step < config.total_steps:
                outcome = "interrupted"
                reporter.say("interrupted; the same command continues this run")
                break
    return TrainingResult(outcome, step * config.batch, outdir / snapshot.MODEL, outdir)


@dataclass(frozen=True)
class _Run:
    """What a run says and writes between its steps."""

    preset: Preset
    config: RunConfig
    ranks: distributed.Ranks
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
            snapshot.clean(self.outdir)
            atomic_write(self.outdir / "config.json", config.model_dump_json(indent=1) + "\n")
        self.reporter.start(first * config.batch, self.system.headline)
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
        if self.ranks.main and not (self.outdir / html.REALS).exists():
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
        images, threads = step * self.config.batch, torch.get_num_threads()
        training = {
            "preset": self.preset.name,
            "images": images,
            "kimg": images / 1000,
            "data": self.dataset.content_hash,
            "licence": self.config.licence,
            "threads": threads,
        }
        state = snapshot.State(
            tensors=tensors,
            counters={"threads": threads, "data": self.dataset.content_hash},
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
