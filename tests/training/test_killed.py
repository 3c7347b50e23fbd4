"""A run of any kind of system, killed by SIGKILL, ends in the very bits of the uninterrupted one.

`test_resume.py` kills StyleGAN2 at every moment of a snapshot; here are the systems with batch
normalisation, spectral norms, held-out images and image pools, read with and without threads.
"""

import json
import os
import random
import signal
import subprocess
import sys

import pytest

from ganvas.training import snapshot

from .conftest import BIND
from .image_sets import assert_same_run, smooth_images, write_domains, write_images
from .small_runs import settings_of

# One process imports torch, what it would import later too, and forks: each run, killed or not, is
# a process of its own.
CHILD = """
import json, os, signal, sys, traceback
import torch._dynamo
from ganvas.core import files
from ganvas.training import loop

folder, jobs = sys.argv[1], json.loads(sys.argv[2])
real, placed, ticks = os.replace, [], []


def run(name, preset, data, settings, moment, count):
    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def replace(source, target):
        if os.path.basename(target).startswith(("model", "training-state", "latest")):
            placed.append(target)
            if moment == "file" and len(placed) == count:
                die()
        real(source, target)

    def say(text):
        if text.startswith("kimg"):
            ticks.append(text)
            if moment == "tick" and len(ticks) == count:
                die()

    files.os.replace = replace
    loop.train(preset, data, os.path.join(folder, name), settings, say=say)


statuses = []
for job in jobs:
    child = os.fork()
    if child == 0:
        try:
            run(*job)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(statuses))
"""

PRESETS = ("dcgan-64", "vae-64", "cyclegan-64")
WORKERS = (0, 2)
FILES = 4  # that a snapshot puts in place: model, state, latest.json, model.safetensors


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of all runs; each preset runs through once, and is killed twice with and without
    threads."""
    folder = tmp_path_factory.mktemp("killed")
    images = str(write_images(folder / "images", smooth_images(16, 0)))
    data = {"cyclegan-64": write_domains(folder / "domains")}
    jobs, ends = [], []

    def add(name, preset, settings, moment, count, end):
        jobs.append([name, preset, data.get(preset, images), settings, moment, count])
        ends.append(end)

    for preset in PRESETS:
        settings = settings_of(preset)
        add(f"{preset} whole", preset, settings, "never", 0, 0)
        for workers in WORKERS:
            name, read = f"{preset} {workers}", [*settings, f"workers={workers}"]
            # Between two snapshots or before the first, then between the files of the next.
            add(name, preset, read, "tick", random.randint(1, 5), -signal.SIGKILL)
            add(name, preset, read, "file", random.randint(1, FILES), -signal.SIGKILL)
            add(name, preset, read, "never", 0, 0)
    script = folder / "child.py"
    script.write_text(BIND + CHILD)
    done = subprocess.run(
        [sys.executable, str(script), str(folder), json.dumps(jobs)],
        capture_output=True,
        text=True,
        timeout=500,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    told = [(job[0], job[-2:], end) for job, end in zip(jobs, ends, strict=True)]
    ended = json.loads(done.stdout.splitlines()[-1])
    assert ended == ends, (list(zip(told, ended, strict=True)), done.stderr[-3000:])
    return folder


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("preset", PRESETS)
def test_a_run_killed_twice_ends_in_the_same_bits(runs, preset, workers):
    whole, killed = runs / f"{preset} whole", runs / f"{preset} {workers}"
    assert snapshot.latest(killed)["images"] == 32
    assert_same_run(killed, whole)
    assert not list(killed.glob(".*"))
    lines = (killed / "log.jsonl").read_text().splitlines()
    ticks = [line["images"] for line in map(json.loads, lines) if line["event"] == "tick"]
    assert ticks == list(range(4, 33, 4))
