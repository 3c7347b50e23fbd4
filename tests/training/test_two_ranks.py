"""Two ranks compute what one process does: the systems beside StyleGAN2's (`test_distributed`)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ganvas.training import train

from .conftest import BIND
from .image_sets import smooth_images, write_domains, write_images
from .small_runs import settings_of

# All of them in one torchrun, as most of its time goes to its start.
CHILD = """
import json, sys
from ganvas.training import train

for preset, data, folder, settings in json.loads(sys.argv[1]):
    train(preset, data, folder, settings, say=lambda text: None)
"""
PRESETS = ("dcgan-64", "vae-64", "cyclegan-64", "pggan-64")
# Batch normalisation takes the statistics of a part of the batch, whatever rank computes it: two
# ranks equal one that computes the batch in two parts. No other system sees parts.
ONE = {"dcgan-64": ["grad_accum=2"]}
# Adam, in its first steps, makes much of rounding; metrics of samples follow the weights.
CLOSE = {"rel": 5e-3, "abs": 5e-3}
NOT_COMPARED = ("event", "s_per_kimg", "memory_gib", "histograms", "model")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of all runs: for each preset one on a rank, and one on two."""
    folder = tmp_path_factory.mktemp("ranks")
    images = str(write_images(folder / "images", smooth_images(16, 0)))
    data = {"cyclegan-64": write_domains(folder / "domains")}
    jobs = []
    for preset in PRESETS:
        settings = [*settings_of(preset), "amp=none", "total_kimg=0.024"]
        own = data.get(preset, images)
        one = [*settings, *ONE.get(preset, [])]
        train(preset, own, folder / f"{preset} one", one, say=str)
        jobs.append([preset, own, str(folder / f"{preset} two"), settings])
    script = folder / "child.py"
    script.write_text(BIND + CHILD)
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    done = subprocess.run(
        [sys.executable, *command, json.dumps(jobs)],
        capture_output=True,
        text=True,
        timeout=500,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def records(folder: Path, event: str) -> list[dict]:
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == event]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("event", ["tick", "snapshot"])
def test_two_ranks_log_what_one_does(runs, preset, event):
    one, two = (records(runs / f"{preset} {ranks}", event) for ranks in ("one", "two"))
    assert len(one) == len(two) == {"tick": 6, "snapshot": 2}[event]
    for a, b in zip(one, two, strict=True):
        assert a.keys() == b.keys()
        numbers = {key: value for key, value in a.items() if key not in NOT_COMPARED}
        assert len(numbers) >= 3  # images, kimg, and something of what was computed
        assert {key: b[key] for key in numbers} == pytest.approx(numbers, **CLOSE)
