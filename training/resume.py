"""Which training state a run continues from, and what may differ from the run that wrote it."""

from __future__ import annotations

from pathlib import Path

import torch

from ..core.errors import InputError
from . import snapshot
from .config import RunConfig

# A change of these makes other networks or other numbers; a run is continued with its own.
_IDENTITY = ("resolution", "batch", "seed", "grad_accum", "mirror")
# A change of these changes no number of the run, and is not worth a word.
_FREE = (
    "total_kimg", "snapshot_kimg", "tick_kimg", "keep", "workers", "device", "threads", "init",
    "licence", "watch_images", "swd_images", "fd_images",
    "report", "tensorboard",
)  # fmt: skip


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


def compare(preset: str, config: RunConfig, state: snapshot.State) -> list[str]:
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
        raise InputError(f"train: the run to continue has {text}; start a new one to change that")
    said = [key for key in changed if key not in _FREE]
    notes = [f"continuing with {key}={now[key]}, was {state.config[key]}" for key in said]
    threads = state.counters.get("threads")
    if threads not in (None, torch.get_num_threads()):
        notes.append(f"the run used {threads} threads; the last bits of the numbers may differ now")
    return notes


def compare_data(content_hash: str, state: snapshot.State) -> list[str]:
    """Say so if the data are not those of the run that is continued."""
    before = state.counters.get("data")
    if before in (None, content_hash):
        return []
    return [f"continuing on other data: hash {content_hash[:16]}, was {str(before)[:16]}"]
