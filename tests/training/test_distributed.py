"""Two ranks under torchrun compute what one rank computes; a dead rank is named."""

import json
from pathlib import Path

import pytest
import torch

from ganvas.core.errors import InputError
from ganvas.training import train
from ganvas.training.distributed import RankLostError, Ranks, start

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")

CHILD = """
import sys
from ganvas.training import train

data, folder, *settings = sys.argv[1:]
train("stylegan2-faces-16", data, folder, settings, say=lambda text: None)
"""

DYING = """
import os, signal, sys
from ganvas.training import train
from ganvas.training.systems import stylegan2
from ganvas.training.errors import TrainingError

data, folder, *settings = sys.argv[1:]
original = stylegan2.StyleGAN2System.step

def step(self, number):
    if self.ranks.rank == 1 and number == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    original(self, number)

stylegan2.StyleGAN2System.step = step
try:
    train("stylegan2-faces-16", data, folder, settings, say=lambda text: None)
except TrainingError as error:
    with open(folder + "/said.txt", "w") as file:
        file.write(str(error))
    raise SystemExit(1)
"""


def ticks(folder: Path) -> list[dict]:
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == "tick"]


def test_two_ranks_equal_one(tmp_path, images_zip, tiny, run_child):
    settings = [*tiny, "augment=ada", "augment_p=0.2", "ada_interval=2", "total_kimg=0.032"]
    train("stylegan2-faces-16", images_zip, tmp_path / "one", settings, say=lambda text: None)
    arguments = (str(images_zip), str(tmp_path / "two"), *settings)
    done = run_child(CHILD, *arguments, module=TORCHRUN, folder=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = ticks(tmp_path / "one"), ticks(tmp_path / "two")
    assert len(one) == len(two) == 4
    for a, b in zip(one, two, strict=True):
        for key in ("loss_d", "loss_g", "logits_real", "logits_fake", "augment_p"):
            assert b[key] == pytest.approx(a[key], rel=2e-3, abs=2e-3)
    assert (tmp_path / "two" / "model.safetensors").is_file()


def test_dead_rank_is_reported_and_the_snapshot_survives(tmp_path, images_zip, tiny, run_child):
    arguments = (str(images_zip), str(tmp_path / "run"), *tiny)
    done = run_child(DYING, *arguments, module=TORCHRUN, folder=tmp_path)
    assert done.returncode != 0
    said = (tmp_path / "run" / "said.txt").read_text()
    assert "rank 0 of 2 lost contact with another rank" in said
    result = train("stylegan2-faces-16", images_zip, tmp_path / "run", tiny, say=lambda text: None)
    assert result.outcome == "finished"


def test_lost_contact_becomes_one_sentence(monkeypatch):
    def fail(tensor: torch.Tensor) -> None:
        raise RuntimeError("Connection closed by peer [127.0.0.1]:1234\nstack")

    monkeypatch.setattr(torch.distributed, "all_reduce", fail)
    with pytest.raises(RankLostError, match=r"rank 1 of 2 .*Connection closed by peer") as caught:
        Ranks(1, 2, torch.device("cpu")).mean_([torch.ones(2)])
    assert "\n" not in str(caught.value)


def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="device: cuda:99 is not available"):
        start("cuda:99")


def test_malformed_environment_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(InputError, match="WORLD_SIZE must be a number"):
        start("cpu")
