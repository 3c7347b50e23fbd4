"""Which training state a run continues from, and what may differ from the run that wrote it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..core.errors import InputError
from . import snapshot
from .config import RunConfig
from .distributed import Ranks

# A change of these makes other networks or other numbers; a run is continued with its own.
_IDENTITY = ("resolution", "batch", "seed", "grad_accum", "mirror", "conditional")
# A change of these changes no number of the run, and is not worth a word.
_FREE = (
    "total_kimg", "snapshot_kimg", "tick_kimg", "keep", "workers", "device", "threads", "init",
    "licence", "watch_images", "swd_images", "fd_images",
    "report", "tensorboard",
)  # fmt: skip
# A rank may have its own of these.
_OF_A_RANK = ("workers", "device", "threads", "init")


def state_to_continue(outdir: Path, resume: str | Path | None) -> Path | None:
    """The training state that `resume` ("auto", None or a path) stands for; None for a new run.

    Raises:
        InputError: nothing to continue from, or the folder holds another run.
    """
    if resume is None:
        if snapshot.latest(outdir) is not None:
            raise InputError(
                f"train: {outdir} already holds a run; continue it with --resume auto, "
                "or choose another --outdir"
            )
        return None
    if str(resume) == "auto":
        return snapshot.find_state(outdir) if snapshot.latest(outdir) is not None else None
    state = snapshot.find_state(Path(resume))
    if snapshot.latest(outdir) is not None and state.parent.resolve() != outdir.resolve():
        raise InputError(
            f"train: {outdir} already holds a run, which {state} is no part of; "
            "choose another --outdir"
        )
    return state


def shared_state(
    outdir: Path, resume: str | Path | None, ranks: Ranks
) -> tuple[Path | None, snapshot.State | None]:
    """The training state to continue from and its path, as rank 0 finds them, on every rank.

    Machines need not share a disk: what each finds in a folder of its own could differ.

    Raises:
        InputError: as `state_to_continue`, or the state is damaged; on every rank.
    """
    found: list[snapshot.State] = []

    def described() -> dict[str, Any] | None:
        path = state_to_continue(outdir, resume)
        if path is None:
            return None
        state = snapshot.read(path)
        found.append(state)
        tensors = {
            name: [list(tensor.shape), str(tensor.dtype).removeprefix("torch.")]
            for name, tensor in state.tensors.items()
        }
        return {**vars(state), "tensors": tensors, "path": str(path)}

    told = ranks.from_main(described)
    if told is None:
        return None, None
    path, tensors = Path(told.pop("path")), told.pop("tensors")
    if not ranks.main:
        empty = {
            name: torch.empty(shape, dtype=getattr(torch, dtype))
            for name, (shape, dtype) in tensors.items()
        }
        found.append(snapshot.State(tensors=empty, **told))
    for tensor in found[0].tensors.values():
        ranks.copy_from_main_(tensor)
    return path, found[0]


def require_same_command(
    preset: str, changed: dict[str, Any], content_hash: str, ranks: Ranks
) -> None:
    """Refuse a run whose ranks were given different presets, settings or data.

    Args:
        preset: name of the preset.
        changed: the settings that differ from it.
        content_hash: of the data.
        ranks: the run's processes.

    Raises:
        InputError: on every rank.
    """
    own = [f"{key}={value}" for key, value in changed.items() if key not in _OF_A_RANK]
    ranks.require_same("preset and settings", " ".join([preset, *own]))
    ranks.require_same("data", f"hash {content_hash[:16]}")


def machine(ranks: Ranks) -> dict[str, Any]:
    """What the last bits of a run's numbers depend on, beside its settings and data."""
    return {
        "threads": torch.get_num_threads(),
        "ranks": ranks.world,
        "device": ranks.device.type,
        "PyTorch": torch.__version__,
    }


def compare(preset: str, config: RunConfig, state: snapshot.State, ranks: Ranks) -> list[str]:
    """Say what differs from the run that is continued, a sentence each.

    Raises:
        InputError: a setting that a run cannot change on its way.
    """
    if state.preset != preset:
        raise InputError(f"train: the run to continue is {state.preset}, not {preset}")
    now = config.model_dump(mode="json")
    changed = [key for key in now if key in state.config and now[key] != state.config[key]]
    fixed = [key for key in changed if key in _IDENTITY]
    if fixed:
        text = ", ".join(f"{key}={state.config[key]} (now {now[key]})" for key in fixed)
        raise InputError(
            f"train: the run to continue has {text}; repeat its settings (its config.json has them "
            "all), or start a new run to change them"
        )
    said = [key for key in changed if key not in _FREE]
    notes = [f"continuing with {key}={now[key]}, was {state.config[key]}" for key in said]
    moved = [
        f"{name}: {now}, was {state.counters[name]}"
        for name, now in machine(ranks).items()
        if state.counters.get(name, now) != now
    ]
    if moved:
        notes.append(f"the last bits of the numbers may differ now ({'; '.join(moved)})")
    return notes


def compare_data(content_hash: str, state: snapshot.State, resume: str | Path | None) -> list[str]:
    """Say so if the data are not those of the run that is continued.

    Args:
        content_hash: of the data at hand.
        state: that is continued.
        resume: as given; a path is a decision to go on from there, "auto" is not.

    Raises:
        InputError: other data, and nobody said that they were meant.
    """
    before = state.counters.get("data")
    if before in (None, content_hash):
        return []
    hashes = f"hash {content_hash[:16]}, was {str(before)[:16]}"
    if resume is None or str(resume) == "auto":
        raise InputError(
            f"train: expected the data of the run that is continued, got others ({hashes}); to go "
            "on with these, name the run's folder in --resume; for a new run, another --outdir"
        )
    return [f"continuing on other data: {hashes}"]
