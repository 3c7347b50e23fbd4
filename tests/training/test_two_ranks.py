"""Two ranks compute what one process does, for every kind of preset, and continue exactly."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ganvas.training import train

from .conftest import BIND, RANK_END
from .image_sets import assert_same_run
from .small_runs import KINDS, OF_PARTS, data_of_presets, every_phase, half

# All of them in one torchrun, as most of its time goes to its start.
CHILD = """
import json, sys
from ganvas.training import train

for preset, data, folder, settings in json.loads(sys.argv[1]):
    train(preset, data, folder, settings, say=lambda text: None)
"""
# With batch normalisation, with a pool of images, and with neither.
CONTINUED = ("dcgan-64", "cyclegan-64", "stackgan-64")
# Adam, in its first steps, makes much of rounding; metrics of samples follow the weights.
CLOSE = {"rel": 5e-3, "abs": 5e-3}
# Steps that are compared where not all five are: StackGAN's second stage sees the running
# statistics of the first, which move twice in a batch of two parts.
COMPARED = {"stackgan-64": 2}
NOT_COMPARED = ("event", "s_per_kimg", "memory_gib", "histograms", "model")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of all runs: for each preset one on a rank, and one on two, some in halves."""
    folder = tmp_path_factory.mktemp("ranks")
    data, jobs = data_of_presets(folder), []
    for preset in KINDS:
        # Batch normalisation takes the statistics of a part of the batch, whatever rank computes
        # it: two ranks equal one that computes the batch in two parts.
        parts = "grad_accum=2" if preset.startswith(OF_PARTS) else "grad_accum=1"
        settings = [*every_phase(preset), "watch_images=8"]
        train(preset, data[preset], folder / f"{preset} one", [*settings, parts], say=str)
        jobs.append([preset, data[preset], str(folder / f"{preset} two"), settings])
        if preset in CONTINUED:
            halves = str(folder / f"{preset} halves")
            jobs.append([preset, data[preset], halves, [*settings, half(preset)]])
            jobs.append([preset, data[preset], halves, settings])
    script = folder / "child.py"
    script.write_text(BIND + CHILD + RANK_END)
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


def log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("preset", KINDS)
def test_two_ranks_log_what_one_does(runs, preset):
    one, two = (log(runs / f"{preset} {ranks}") for ranks in ("one", "two"))
    assert [line["event"] for line in one] == [line["event"] for line in two]
    assert len(one) >= 7  # five ticks and two snapshots
    end = COMPARED.get(preset, 5) * one[0]["images"]
    for a, b in zip(one, two, strict=True):
        assert a.keys() == b.keys()
        numbers = {key: value for key, value in a.items() if key not in NOT_COMPARED}
        assert len(numbers) >= 3  # images, kimg, and something of what was computed
        if a["images"] <= end:
            assert {key: b[key] for key in numbers} == pytest.approx(numbers, **CLOSE)


@pytest.mark.parametrize("preset", CONTINUED)
def test_two_ranks_continue_in_the_same_bits(runs, preset):
    assert_same_run(runs / f"{preset} halves", runs / f"{preset} two")
