"""Snapshots of a run: a model file, everything needed to continue exactly, and a pointer to both.

Files carry the number of images seen. `latest.json` is replaced, atomically, only after both files
lie on the disk, so that whatever kills the process, `latest.json` names a complete pair.
"""

from __future__ import annotations

import filecmp
import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..core import checkpoints
from ..core.errors import InputError
from ..core.files import atomic_path, atomic_write
from .errors import TrainingError

FORMAT = "1"
LATEST = "latest.json"
MODEL = "model.safetensors"
# Names under which `atomic_path` writes what a run writes, until it is whole.
_UNFINISHED = (
    ".model-*", ".training-state-*", ".latest-*", ".samples-*", ".reals-*", ".neighbours-*",
    ".config-*", ".report-*",
)  # fmt: skip


@dataclass(frozen=True)
class ModelFile:
    """What goes into the model file; see `core.checkpoints.save`."""

    arch: str
    config: Mapping[str, object]
    tensors: Mapping[str, Tensor]
    training: Mapping[str, object]
    networks: tuple[str, ...] = ()


@dataclass(frozen=True)
class State:
    """What continues a run; no random generator, see `streams`. `counters` is plain JSON."""

    tensors: dict[str, Tensor]
    counters: dict[str, Any]
    config: dict[str, Any]
    preset: str
    step: int
    images: int


def write(folder: Path, model: ModelFile, state: State, keep: int) -> Path:
    """Write a snapshot pair, point `latest.json` and `model.safetensors` to it, drop old pairs.

    Returns:
        Path of the numbered model file.

    Raises:
        TrainingError: the disk is full or the folder no longer writable; earlier snapshots stay as
            they are.
    """
    model_path = folder / f"model-{state.images:010d}.safetensors"
    state_path = folder / f"training-state-{state.images:010d}.safetensors"
    meta = {
        "ganvas.state": FORMAT,
        "preset": state.preset,
        "config": json.dumps(state.config),
        "counters": json.dumps(state.counters),
        "step": str(state.step),
        "images": str(state.images),
    }
    pointer = {
        "format": FORMAT,
        "step": state.step,
        "images": state.images,
        "model": model_path.name,
        "state": state_path.name,
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}
    try:
        checkpoints.save(
            model_path,
            arch=model.arch,
            config=model.config,
            tensors=model.tensors,
            training=model.training,
            networks=model.networks,
        )
        with atomic_path(state_path) as temporary:
            save_file(tensors, temporary, metadata=meta)
        atomic_write(folder / LATEST, json.dumps(pointer, indent=1) + "\n")
        _publish(model_path, folder / MODEL)
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"train: the snapshot could not be written to {folder} ({error}); "
            "earlier snapshots are untouched"
        ) from error
    _prune(folder, keep, state.images)
    return model_path


def latest(folder: Path) -> dict[str, Any] | None:
    """The pointer of a run folder, or None when it holds no finished snapshot.

    Raises:
        InputError: `latest.json` is damaged.
    """
    path = folder / LATEST
    if not path.is_file():
        return None
    try:
        pointer = json.loads(path.read_text(encoding="utf-8"))
        return {
            "step": int(pointer["step"]),
            "images": int(pointer["images"]),
            "model": Path(str(pointer["model"])).name,
            "state": Path(str(pointer["state"])).name,
        }
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise InputError(
            f"train: {path} is damaged ({error}); name a state file instead"
        ) from error


def find_state(path: Path) -> Path:
    """The training state of a run folder, or the file itself.

    Raises:
        InputError: nothing to continue from.
    """
    if path.is_dir():
        pointer = latest(path)
        if pointer is None:
            raise InputError(f"train: {path} holds no snapshot to continue from")
        path = path / pointer["state"]
    if not path.is_file():
        raise InputError(f"train: {path} does not exist")
    return path


def read(path: Path) -> State:
    """Read a training state.

    Raises:
        InputError: not a training state, or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            meta = file.metadata() or {}
            if meta.get("ganvas.state") != FORMAT:
                raise InputError(f"train: {path} is no ganvas training state of format {FORMAT}")
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
        return State(
            tensors=tensors,
            counters=json.loads(meta["counters"]),
            config=json.loads(meta["config"]),
            preset=meta["preset"],
            step=int(meta["step"]),
            images=int(meta["images"]),
        )
    except InputError:
        raise
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise InputError(f"train: {path} is not a readable training state ({error})") from error


def is_state(path: Path) -> bool:
    """Whether a file is a training state (and not, say, a model file, or a pipe to wait for)."""
    if not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("ganvas.state") == FORMAT
    except (SafetensorError, OSError):
        return False


def clean(folder: Path) -> None:
    """Remove what a killed process left: unfinished temporary files and pairs never pointed to."""
    pointer = latest(folder)
    left = [path for pattern in _UNFINISHED for path in folder.glob(pattern)]
    if pointer is not None:
        left += [path for path in _numbered(folder) if _images(path) > pointer["images"]]
    _remove(left)
    if pointer is None:
        return
    source, published = folder / pointer["model"], folder / MODEL
    if not source.is_file():
        return
    if not (published.is_file() and filecmp.cmp(source, published, shallow=False)):
        _publish(source, published)


def _publish(source: Path, target: Path) -> None:
    """Give the newest model its stable name, as a copy that may be moved or changed."""
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def _numbered(folder: Path) -> list[Path]:
    found = [*folder.glob("model-*.safetensors"), *folder.glob("training-state-*.safetensors")]
    return [path for path in found if path.stem.rsplit("-", 1)[1].isdigit()]


def _images(path: Path) -> int:
    return int(path.stem.rsplit("-", 1)[1])


def _prune(folder: Path, keep: int, newest: int) -> None:
    """Drop the oldest pairs, never one newer than the pair just written."""
    pairs = _numbered(folder)
    counts = sorted({_images(path) for path in pairs if _images(path) <= newest})
    _remove([path for path in pairs if _images(path) in counts[:-keep]])


def _remove(paths: list[Path]) -> None:
    """Remove files; one that cannot be removed costs space and nothing else."""
    for path in paths:
        with suppress(OSError):
            path.unlink()
