"""Turning a finished run into a model file that says how it was trained and what was measured.

python -m ganvas.training.release RUN OUT.safetensors --real HELDOUT --metrics swd,diversity
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from ..core.checkpoints import load, save
from ..core.checkpoints.convert import module_of
from ..core.data import open_dataset
from ..core.errors import InputError
from ..core.evaluation import measure
from .snapshot import MODEL

_CONFIG = "config.json"


def release(
    run: Path,
    out: Path,
    real: str,
    metrics: list[str],
    count: int = 1000,
    licence: str | None = None,
) -> dict[str, Any]:
    """Write a run's averaged model to `out` with its stages and measured numbers; give these facts.

    The facts (`ganvas.training` in the file) are those of the run, and "stages" (preset, kimg and
    data hash of every run in the chain of `init`, first one first), "measured" (by
    `core.evaluation.measure`), "reference" (data hash and count of the real images), "licence" and
    "torch".

    Args:
        run: folder of a training run.
        out: model file to write, atomically.
        real: data set that training did not see.
        metrics: names for `measure`.
        count: images measured.
        licence: note on the model's licence; None keeps the run's.

    Raises:
        InputError: the folder holds no run, or the metrics do not fit.
    """
    model = load(run / MODEL)
    reference = open_dataset(real)
    facts: dict[str, Any] = {
        **model.training,
        "stages": _stages(run),
        "measured": measure(metrics, reference, model, count),
        "reference": {"data": reference.content_hash, "count": count},
        "licence": model.training.get("licence", "") if licence is None else licence,
        "torch": torch.__version__,
    }
    tensors = dict(module_of(model).state_dict())
    names = model.networks if len(model.networks) > 1 else ()
    if names:
        parts = {name: module_of(load(run / MODEL, network=name)) for name in names}
        tensors = {f"{n}.{key}": t for n, m in parts.items() for key, t in m.state_dict().items()}
    save(
        out,
        arch=model.arch,
        config=model.config,
        tensors=tensors,
        training=facts,
        networks=names,
    )
    return facts


def _stages(run: Path) -> list[dict[str, Any]]:
    """Preset, kimg and data of a run and of those that it started from, first one first."""
    stages: list[dict[str, Any]] = []
    here: Path | None = run
    seen: set[Path] = set()
    while here is not None and here.resolve() not in seen:
        seen.add(here.resolve())
        try:
            settings = json.loads((here / _CONFIG).read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"release: expected a training run in {here} ({error})") from error
        training = load(here / MODEL).training
        stages.append({name: training.get(name) for name in ("preset", "kimg", "data")})
        here = Path(settings["init"]) if settings.get("init") else None
    return stages[::-1]


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and print the facts as JSON."""
    parser = argparse.ArgumentParser(prog="python -m ganvas.training.release")
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--real", required=True, help="images that training did not see")
    parser.add_argument("--metrics", default="swd,diversity")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--licence", help="note on the model's licence (default: the run's)")
    given = parser.parse_args(arguments)
    try:
        facts = release(
            given.run,
            given.out,
            given.real,
            given.metrics.split(","),
            given.count,
            given.licence,
        )
    except InputError as error:
        parser.exit(2, f"ganvas: {error}\n")
    print(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
