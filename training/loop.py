"""The training loop: settings, data, networks, steps."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from ..core.errors import InputError
from ..core.files import check_output_folder
from . import distributed, snapshot
from .config import RunConfig, override
from .data import described, open_images, stand_in
from .feed import Feed
from .images import Images, TwoSets
from .opening import changed_settings
from .presets import Preset, find_preset
from .report import Reporter
from .resume import compare, compare_data, require_same_command, shared_state
from .run_files import RunFiles
from .scores import Scores
from .stopping import stop_signals
from .systems import build
from .transfer import initialise


@dataclass(frozen=True)
class TrainingResult:
    """How a run ended.

    Attributes:
        outcome: "finished" or "interrupted" (Ctrl-C; a snapshot was written first).
        images: images shown in the whole run.
        model: the newest model file; None after a dry run, whose files are gone, and on ranks but
            rank 0, whose machine may not have it.
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
        dry_run: two steps with every phase on synthetic images, files in a temporary folder; of
            `data`, where they are named, all is checked but the pixels.
        say: receives the progress lines; None prints them to standard error.

    Raises:
        InputError: settings, data or files to continue from are wrong.
        TrainingError: the loss is no longer finite, or another rank died.
    """
    row = find_preset(preset)
    config = override(row.config, overrides)
    ranks = distributed.start(config.device)
    try:
        ranks.from_main(lambda: _check_start(config))
        if not dry_run:
            if data is None:
                raise InputError(
                    f"train: --data is missing; this preset learns from {described(config.needs)}"
                )
            if outdir is None:
                raise InputError("train: --outdir is missing, the folder of the run")
            folder, needs = Path(outdir), config.needs
            opened = partial(open_images, data, config.resolution, folder.parent, needs)
            where = f"files: {folder} (all settings: config.json)"
            return _run(row, config, ranks, opened, folder, resume, say, [where])
        small = config.model_copy(update=config.dry(ranks.world))
        opened = partial(stand_in, data, config, small.resolution)
        with tempfile.TemporaryDirectory(prefix="ganvas-dry-run-") as folder:
            result = _run(row, small, ranks, opened, Path(folder), None, say, [])
        return TrainingResult(result.outcome, result.images, None, result.folder)
    finally:
        ranks.close()


def _check_start(config: RunConfig) -> None:
    """Refuse at once, before data are read, to start from what is not there."""
    if config.init is not None and not Path(config.init).exists():
        raise InputError(f"train: init={config.init}: no such run folder or model file")


def _run(
    preset: Preset,
    config: RunConfig,
    ranks: distributed.Ranks,
    open_data: Callable[[], Images | TwoSets],
    outdir: Path,
    resume: str | Path | None,
    say: Callable[[str], None] | None,
    notes: list[str],
) -> TrainingResult:
    """Train on what `open_data` gives; `notes` are the first ones that are printed."""
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
    if state is not None:
        notes += compare(preset.name, config, state, ranks)

    dataset = open_data()
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
    run = RunFiles(preset, config, ranks, outdir, dataset, system, scores, reporter)
    if first >= config.total_steps:
        notes.append(
            f"this run is finished ({config.total_kimg:g} kimg); a larger total_kimg=N goes on"
        )
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
    model = outdir / snapshot.MODEL if ranks.main else None
    return TrainingResult(outcome, step * config.batch, model, outdir)
