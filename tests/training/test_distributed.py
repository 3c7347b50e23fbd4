"""Two ranks under torchrun compute what one rank computes, and outlive one another."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ganvas.core.errors import InputError
from ganvas.training import distributed, train
from ganvas.training.distributed import RankLostError, Ranks, start

from .conftest import BIND, TINY
from .image_sets import assert_same_run, smooth_images, write_images

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")

# Two machines, as it were: each rank has a folder of its own, in which only rank 0 may write.
CHILD = """
import os, signal, sys, time
from datetime import timedelta
from torch.distributed.distributed_c10d import _set_pg_timeout
from ganvas.core.errors import InputError
from ganvas.training import train
from ganvas.training.errors import TrainingError
from ganvas.training.systems import stylegan2

mode, data, other, folder, *settings = sys.argv[1:]
rank, attempt = int(os.environ["RANK"]), int(os.environ["TORCHELASTIC_RESTART_COUNT"])
own = f"{folder}/machine{rank}"


def told(number, kind, **given):
    wanted = dict(data=data, outdir=own, overrides=settings) | given
    try:
        result = train("stylegan2-faces-16", say=lambda text: None, **wanted)
    except kind as error:
        with open(f"{folder}/said{rank}.txt", "a") as file:
            file.write(f"{number}: {error}\\n")
        return True
    assert (result.model is None) == (rank > 0)
    return False


if mode == "whole":
    told("data", InputError, data=(data, other)[rank])
    told("settings", InputError, overrides=[*settings, f"lr=0.00{rank + 1}"])
    told("resume", InputError, resume=f"{folder}/nothing")
    told("nowhere", InputError, overrides=[*settings, f"init={folder}/nothing"])
    told("whole", TrainingError)
    init = [*settings, f"init={own}/model.safetensors", "total_kimg=0.016"]
    told("init", TrainingError, outdir=f"{own}-init", overrides=init)
    os._exit(0)  # as ganvas.cli ends a rank

original = stylegan2.StyleGAN2System.step


def step(self, number):
    # Snapshots follow the third and the sixth step.
    if attempt == 2 and number == 6:
        _set_pg_timeout(timedelta(seconds=5))  # of ten minutes; before, a rank may start late
    if rank == 1 and number == 4 + attempt:
        if attempt == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if attempt == 1:
            raise RuntimeError("no memory left")
        if attempt == 2:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # hangs, but not beyond rank 0's end
            time.sleep(600)
    original(self, number)


stylegan2.StyleGAN2System.step = step
os._exit(told(attempt, TrainingError))
"""
ADA = ["augment=ada", "augment_p=0.2", "ada_interval=2", "ada_kimg=0.1", "pl_batch_shrink=1"]


def ticks(folder: Path) -> list[dict]:
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == "tick"]


@pytest.fixture(scope="module")
def torchrun(tmp_path_factory, images_zip):
    """Run CHILD on two ranks, in a mode and with options of torchrun; gives its folder."""

    def run(mode: str, *options: str) -> Path:
        folder = tmp_path_factory.mktemp(mode)
        other = write_images(folder / "other", smooth_images(20, 1))
        script = folder / "child.py"
        script.write_text(BIND + CHILD)
        command = (*TORCHRUN, *options, str(script), mode, str(images_zip), str(other), str(folder))
        done = subprocess.run(
            [sys.executable, *command, *TINY, *ADA],
            capture_output=True,
            text=True,
            timeout=300,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr[-5000:]
        return folder

    return run


@pytest.fixture(scope="module")
def whole(torchrun) -> Path:
    """The folder of runs on two ranks without accidents."""
    return torchrun("whole")


def assert_close(first: Path, second: Path) -> None:
    """Both runs logged the same within rounding."""
    one, two = ticks(first), ticks(second)
    assert len(one) == len(two) > 1
    for a, b in zip(one, two, strict=True):
        names = a.keys() - {"event", "s_per_kimg", "memory_gib", "histograms"}
        assert names == b.keys() - {"event", "s_per_kimg", "memory_gib", "histograms"}
        for key in names:
            assert b[key] == pytest.approx(a[key], rel=2e-3, abs=2e-3), key


def test_two_ranks_equal_one(tmp_path, images_zip, whole):
    train("stylegan2-faces-16", images_zip, tmp_path / "one", [*TINY, *ADA], say=str)
    assert_close(tmp_path / "one", whole / "machine0")
    logged = ticks(whole / "machine0")
    assert {"r1", "path_length", "augment_p", "real_sign"} <= {key for t in logged for key in t}
    assert len({tick["augment_p"] for tick in logged}) > 2
    model = whole / "machine0" / "model.safetensors"
    settings = [*TINY, *ADA, f"init={model}", "total_kimg=0.016"]
    train("stylegan2-faces-16", images_zip, tmp_path / "init", settings, say=str)
    assert_close(tmp_path / "init", whole / "machine0-init")


def test_only_rank_0_needs_and_writes_the_folder(whole):
    assert (whole / "machine0" / "model.safetensors").is_file()
    assert not list(whole.glob("machine1*"))


def test_ranks_that_were_given_different_things_are_refused(whole):
    said = [(whole / f"said{rank}.txt").read_text().splitlines() for rank in (0, 1)]
    assert [line.split(":")[0] for line in said[0]] == ["data", "settings", "resume", "nowhere"]
    for rank in (0, 1):
        data, settings, resume, nowhere = said[rank]
        assert f"expected the same data on every rank, rank {rank} has hash" in data
        assert "expected the same preset and settings on every rank" in settings
        assert f"lr=0.00{rank + 1}" in settings
        assert resume.endswith("nothing does not exist") and "nothing" in nowhere
        assert said[0][2:] == said[1][2:]


def test_a_run_goes_on_after_a_rank_died_failed_and_hung(torchrun, whole):
    folder = torchrun("deaths", "--max-restarts=3")
    said = (folder / "said0.txt").read_text().splitlines()
    assert [line.partition(":")[0] for line in said] == ["0", "1", "2"]
    for line in said:
        assert "rank 0 of 2 lost contact with another rank" in line
        assert "start the same command again to continue" in line
    assert_same_run(folder / "machine0", whole / "machine0")
    assert [tick["images"] for tick in ticks(folder / "machine0")] == list(range(8, 65, 8))


def test_lost_contact_becomes_one_sentence(monkeypatch):
    def fail(tensor: torch.Tensor) -> None:
        raise RuntimeError("Connection closed by peer [127.0.0.1]:1234\nstack")

    monkeypatch.setattr(torch.distributed, "all_reduce", fail)
    with pytest.raises(RankLostError, match=r"rank 1 of 2 .*Connection closed by peer") as caught:
        Ranks(1, 2, torch.device("cpu")).mean_([torch.ones(2)])
    assert "\n" not in str(caught.value)


def test_messages_hold_whole_tensors_and_little_more(monkeypatch):
    sizes = []

    def all_reduce(tensor: torch.Tensor) -> None:
        sizes.append(tensor.numel())
        tensor.mul_(2)

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    monkeypatch.setattr(distributed, "BUCKET_BYTES", 40)
    tensors = [torch.full((n,), float(n)) for n in (1, 3, 9, 20, 2, 1)]
    Ranks(0, 2, torch.device("cpu")).mean_(tensors)
    assert sizes == [13, 20, 3]  # float32: full from ten numbers on
    for tensor, n in zip(tensors, (1, 3, 9, 20, 2, 1), strict=True):
        assert tensor.tolist() == [n] * n
    Ranks(0, 2, torch.device("cpu")).mean_([])
    assert len(sizes) == 3


@pytest.mark.parametrize(
    "device,local,message",
    [
        ("cuda", "2", "expected a GPU for each rank of this machine, got rank 2 .* 2 GPUs"),
        ("cuda:1", "1", "device=cuda:1 is for one process"),
    ],
)
def test_ranks_that_would_share_a_gpu_are_refused(monkeypatch, device, local, message):
    for name, value in {"WORLD_SIZE": "4", "RANK": "2", "LOCAL_RANK": local}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match=message):
        start(device)


def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="device: cuda:99 is not available"):
        start("cuda:99")


def test_malformed_environment_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(InputError, match="WORLD_SIZE must be a number"):
        start("cpu")
