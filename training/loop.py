"""The training loop: settings, data, networks, steps, progress, snapshots."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.data import open_dataset
from ..core.errors import InputError
from ..core.files import atomic_write, check_output_folder
from . import distributed, snapshot
from .config import RestorerConfig, RunConfig, StyleGAN2Config, override
from .errors import TrainingError
from .feed import Feed, Images, SyntheticImages, to_float
from .presets import Preset, find_preset
from .report import Reporter
from .system import System

# A change of these makes other networks or other numbers; a run is continued with its own.
_IDENTITY = ("resolution", "batch", "seed", "grad_accum", "mirror")
_FREE = ("total_kimg", "snapshot_kimg", "tick_kimg", "keep", "workers", "device", "threads", "init")
_FREE += ("licence", "swd_images")


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
        resume: "auto" continues from `outdir` if it holds a snapshot; None starts a new run in a
            folder without one; a path (run folder or training state) continues from there.
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
            if data is None or outdir is None:
                raise InputError("train: a data set and an output folder are needed")
            return _run(row, config, ranks, data, Path(outdir), resume, say)
        small = _dry(config, ranks.world)
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

    state_path = _state_to_continue(outdir, resume)
    state = snapshot.read(state_path) if state_path is not None else None
    reporter = Reporter(outdir if ranks.main else None, config.total_steps * config.batch, say)
    notes = _compare(preset, config, state) if state is not None else []

    dataset: Images = SyntheticImages(config.resolution)
    if data is not None:
        dataset = open_dataset(data, config.resolution, cache=outdir.parent)
    held_out = config.heldout if isinstance(config, RestorerConfig) else 0
    feed = Feed(dataset, config, ranks.rank, ranks.world, held_out)
    system = _build(config, feed, ranks)
    first = 0
    if state is not None:
        system.load_state(state.tensors)
        first = state.step
    elif config.init is not None:
        notes += _initialise(system, Path(config.init))

    training = {
        "preset": preset.name,
        "images": 0,
        "kimg": 0.0,
        "data": dataset.content_hash,
        "licence": config.licence,
        "threads": torch.get_num_threads(),
    }
    if ranks.main:  # only now, so that settings or data that do not fit leave nothing behind
        _make_folder(outdir)
        snapshot.clean(outdir)
        atomic_write(outdir / "config.json", config.model_dump_json(indent=1) + "\n")
    reporter.start(first * config.batch)
    for note in notes:
        reporter.say(note)
    shown = {k: v for k, v in config.model_dump().items() if v not in (None, "")}
    reporter.say(f"{preset.name}: {', '.join(f'{k}={v}' for k, v in shown.items())}")
    where = f"from {state_path} " if state_path is not None else ""
    reporter.say(
        f"{len(dataset)} images of {config.resolution} px, {ranks.world} rank(s) on {ranks.device}"
        f", {torch.get_num_threads()} threads; {where}step {first} to {config.total_steps}"
    )
    if state is None:
        reporter.grid("reals.png", _reals(feed, config), columns=8)

    def save(step: int) -> Path | None:
        """Write a snapshot after `step` steps; only the main rank has a path to show for it."""
        images = step * config.batch
        tensors = system.state()
        _require_finite(tensors, step, config, outdir)
        values = system.evaluate()
        path = None
        if ranks.main:
            record = {**training, "images": images, "kimg": images / 1000}
            current = snapshot.State(
                tensors,
                {"threads": torch.get_num_threads()},
                config.model_dump(mode="json"),
                preset.name,
                step,
                images,
            )
            samples, columns = system.grid()
            reporter.grid(f"samples-{images:010d}.png", samples, columns)
            path = snapshot.write(outdir, system.model(record), current, config.keep)
            reporter.log("snapshot", images, {**values, "model": path.name})
            text = "".join(f"  {name} {value:.4g}" for name, value in values.items())
            reporter.say(f"snapshot {path}{text}")
        ranks.wait()
        return path

    ticks, snapshots = config.steps(config.tick_kimg), config.steps(config.snapshot_kimg)
    step, outcome = first, "finished"
    try:
        with _stop_signals() as stopped:
            while step < config.total_steps:
                system.step(step)
                step += 1
                stop = ranks.any(bool(stopped))
                due = step % snapshots == 0 or step == config.total_steps or stop
                if due or step % ticks == 0:
                    means = system.meter.drain(ranks)
                    _require_finite_losses(means, step, config, outdir)
                    reporter.tick(step * config.batch, means)
                if due:
                    save(step)
                if stop and step < config.total_steps:
                    outcome = "interrupted"
                    reporter.say("interrupted; the same command continues this run")
                    break
    finally:
        feed.close()
    return TrainingResult(outcome, step * config.batch, outdir / snapshot.MODEL, outdir)


def _build(config: RunConfig, feed: Feed, ranks: distributed.Ranks) -> System:
    """The networks that a configuration describes."""
    if isinstance(config, StyleGAN2Config):
        from .stylegan2 import StyleGAN2System

        return StyleGAN2System(config, feed, ranks)
    if isinstance(config, RestorerConfig):
        from .restorer import RestorerSystem

        return RestorerSystem(config, feed, ranks)
    raise TypeError(f"no system for {type(config).__name__}")


def _dry(config: RunConfig, world: int) -> RunConfig:
    """The same run cut down to two small steps in which every phase takes place."""
    batch = 4 * config.grad_accum * world
    changes: dict[str, Any] = {
        "batch": batch,
        "total_kimg": 2 * batch / 1000,
        "snapshot_kimg": 2 * batch / 1000,
        "tick_kimg": batch / 1000,
        "init": None,
    }
    for key in ("r1_interval", "pl_interval", "ada_interval"):
        if key in type(config).model_fields:
            changes[key] = 1
    if isinstance(config, RestorerConfig):
        changes |= {"gan_start_kimg": 0.0, "heldout": 4}
    return config.model_copy(update=changes)


def _make_folder(outdir: Path) -> None:
    try:
        outdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"train: cannot write to {outdir} ({error.strerror or error})") from error


def _state_to_continue(outdir: Path, resume: str | Path | None) -> Path | None:
    """The training state that `resume` stands for."""
    if resume is None:
        if snapshot.latest(outdir) is not None:
            raise InputError(
                f"train: {outdir} already holds a run; continue it with --resume auto, "
                "or choose another --outdir"
            )
        return None
    if str(resume) == "auto":
        return snapshot.find_state(outdir) if snapshot.latest(outdir) is not None else None
    return snapshot.find_state(Path(resume))


def _compare(preset: Preset, config: RunConfig, state: snapshot.State) -> list[str]:
    """Say what differs from the run that is continued.

    Raises:
        InputError: a setting that a run cannot change on its way.
    """
    if state.preset != preset.name:
        raise InputError(f"train: the run to continue is {state.preset}, not {preset.name}")
    now = config.model_dump(mode="json")
    changed = [key for key in now if key in state.config and now[key] != state.config[key]]
    fixed = [key for key in changed if key in _IDENTITY]
    if fixed:
        text = ", ".join(f"{key}={state.config[key]} (now {now[key]})" for key in fixed)
        raise InputError(f"train: the run to continue has {text}; start a new one to change that")
    said = [key for key in changed if key not in _FREE]
    notes = [f"continuing with {key}={now[key]}, was {state.config[key]}" for key in said]
    threads = state.counters.get("threads")
    if threads not in (None, torch.get_num_threads()):
        notes.append(f"the run used {threads} threads; the last bits of the numbers may differ now")
    return notes


def _initialise(system: System, path: Path) -> list[str]:
    from .transfer import initialise

    return [initialise(system, path)]


def _reals(feed: Feed, config: RunConfig) -> Tensor:
    count = min(64, len(feed.dataset))
    return to_float(feed.dataset.images(torch.arange(count)), torch.device("cpu"), False)


def _require_finite(tensors: dict[str, Tensor], step: int, config: RunConfig, outdir: Path) -> None:
    bad = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if bad:
        _diverged(f"{len(bad)} tensors, first {bad[0]}, are not finite", step, config, outdir)


def _require_finite_losses(
    means: dict[str, float], step: int, config: RunConfig, outdir: Path
) -> None:
    bad = [f"{name} {value}" for name, value in means.items() if value - value != 0]
    if bad:
        _diverged(f"{', '.join(bad)}", step, config, outdir)


def _diverged(what: str, step: int, config: RunConfig, outdir: Path) -> None:
    pointer = snapshot.latest(outdir)
    left = (
        f"the last good snapshot is {outdir / pointer['state']}" if pointer else "no snapshot yet"
    )
    raise TrainingError(
        f"train: stopped at kimg {step * config.batch / 1000:.2f} because {what}; {left}; "
        "continue with a smaller lr or without amp"
    )


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
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
