"""A run killed by SIGKILL, at any moment, ends in the very weights of the uninterrupted run."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ganvas.training import snapshot, train

from .conftest import BIND, TINY

PRESET = "stylegan2-faces-16"

# Dies by SIGKILL just before, or after, the n-th time that a file of a snapshot is put in place.
CHILD = """
import os, signal, sys
from ganvas.core import files
from ganvas.training import train

data, folder, moment, count, *settings = sys.argv[1:]
real, seen, ticks = os.replace, [], []

def replace(source, target):
    snapshot_file = os.path.basename(target).startswith(("model", "training-state", "latest"))
    if snapshot_file:
        seen.append(target)
    due = snapshot_file and len(seen) == int(count)
    if due and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    real(source, target)
    if due and moment == "after":
        os.kill(os.getpid(), signal.SIGKILL)

files.os.replace = replace

def say(text):
    if moment == "tick" and text.startswith("kimg"):
        ticks.append(text)
        if len(ticks) == int(count):
            os.kill(os.getpid(), signal.SIGKILL)

train("stylegan2-faces-16", data, folder, settings, say=say)
"""

# A snapshot puts four files in place: model, state, latest.json, model.safetensors.
MOMENTS = [
    ("tick", 5),  # between snapshots
    ("before", 2),  # first snapshot: model written, state not
    ("before", 7),  # second snapshot: pair written, latest.json still names the first
    ("after", 7),  # latest.json names the second, model.safetensors is the first's
]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, images_zip) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    train(PRESET, images_zip, folder, TINY, say=lambda text: None)
    return folder


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("moment,count", MOMENTS)
def test_killed_run_ends_in_the_same_bits(
    tmp_path, images_zip, tiny, uninterrupted, run_child, moment, count
):
    folder = tmp_path / "run"
    arguments = (str(images_zip), str(folder), moment, str(count), *tiny)
    died: subprocess.CompletedProcess[str] = run_child(CHILD, *arguments, folder=tmp_path)
    assert died.returncode == -signal.SIGKILL, died.stderr
    pointer = snapshot.latest(folder)
    assert (pointer is None) == (moment == "before" and count == 2)
    if pointer is not None:
        assert snapshot.read(folder / pointer["state"]).images == pointer["images"]
    train(PRESET, images_zip, folder, tiny, say=lambda text: None)
    for name in ("model.safetensors", "model-0000000064.safetensors"):
        assert digest(folder / name) == digest(uninterrupted / name)
    name = "training-state-0000000064.safetensors"
    first, second = snapshot.read(folder / name), snapshot.read(uninterrupted / name)
    assert first.tensors.keys() == second.tensors.keys()
    assert all(first.tensors[key].equal(second.tensors[key]) for key in first.tensors)
    assert not list(folder.glob(".*"))


def test_run_killed_from_outside_ends_in_the_same_bits(tmp_path, images_zip, tiny, uninterrupted):
    """At whatever moment the clock gives, once a first snapshot exists."""
    folder, script = tmp_path / "run", tmp_path / "child.py"
    script.write_text(BIND + CHILD)
    command = [sys.executable, str(script), str(images_zip), str(folder), "never", "0", *tiny]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    while snapshot.latest(folder) is None:
        assert child.poll() is None
        time.sleep(0.005)
    time.sleep(random.uniform(0, 0.3))
    child.kill()
    child.wait()
    pointer = snapshot.latest(folder)
    assert pointer is not None
    snapshot.read(folder / pointer["state"])
    train(PRESET, images_zip, folder, tiny, say=lambda text: None)
    assert digest(folder / "model.safetensors") == digest(uninterrupted / "model.safetensors")


def test_log_has_no_line_twice_after_a_kill(tmp_path, images_zip, tiny, run_child):
    folder = tmp_path / "run"
    run_child(CHILD, str(images_zip), str(folder), "tick", "5", *tiny, folder=tmp_path)
    with open(folder / "log.jsonl", "a") as file:
        file.write('{"event": "tick", "images"')  # half a line, as a power cut leaves it
    train(PRESET, images_zip, folder, tiny, say=lambda text: None)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [r["images"] for r in lines if r["event"] == "tick"] == list(range(8, 65, 8))
