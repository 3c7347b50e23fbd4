"""`ganvas metrics` and the metrics of a run give under torchrun what one process gives."""

import json
from dataclasses import replace

import pytest
import torch

from ganvas.cli import main
from ganvas.core.images import save_png
from ganvas.training.config import override
from ganvas.training.distributed import Ranks
from ganvas.training.feed import Feed
from ganvas.training.images import SyntheticImages
from ganvas.training.presets import PRESETS
from ganvas.training.scores import Scores

from .test_scores import Copies

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
COUNT = 40
MEASURE = """
import torch
from ganvas.training.config import override
from ganvas.training.feed import Feed, to_float
from ganvas.training.images import SyntheticImages
from ganvas.training.presets import PRESETS
from ganvas.training.scores import Scores
from ganvas.training.system import System


class Copies(System):
    def __init__(self, feed):
        self.feed = feed

    def samples(self, sample):
        images = self.feed.dataset.images(torch.from_numpy(sample) * 7 % 90)
        return to_float(images, torch.device("cpu"), False)

    def step(self, step): ...

    def model(self, training): ...

    def grid(self): ...


def numbers(ranks):
    settings = ["resolution=16", "batch=8", "watch_images=60", "swd_images=50", "fd_images=170"]
    config = override(PRESETS["stylegan2-faces-16"].config, settings)
    feed = Feed(SyntheticImages(16, 200), config, ranks.rank, ranks.world)
    return Scores(config, feed, ranks).measure(Copies(feed))
"""
"""What a run measures at a snapshot, of a generator that copies some of the data."""

CHILD = (
    MEASURE
    + """
import json, sys
from ganvas.cli import main
from ganvas.training.distributed import start

status = main(sys.argv[2:])
ranks = start("cpu")
found = numbers(ranks)
if ranks.main:
    with open(sys.argv[1], "w") as file:
        json.dump(found, file)
ranks.close()
raise SystemExit(status)
"""
)


def test_two_processes_measure_what_one_measures(tmp_path, run_child):
    for side in ("real", "fake"):
        generator = torch.Generator().manual_seed(len(side) + ord(side[0]))
        for index in range(COUNT):
            image = torch.rand(16, 16, 3, generator=generator)
            save_png(tmp_path / side / f"{index:02d}.png", image)
    names = "fd_faces,kd_faces,prdc_faces,swd,diversity"
    sides = ["--real", str(tmp_path / "real"), "--fake", str(tmp_path / "fake")]
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    assert main(["metrics", names, *sides, "--device", "cpu", "--json", str(one)]) == 0
    run = tmp_path / "run.json"
    arguments = (str(run), "metrics", names, *sides, "--device", "cpu", "--json", str(two))
    done = run_child(CHILD, *arguments, module=TORCHRUN, folder=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("images  40") == 1  # only one of them prints
    alone, together = json.loads(one.read_text()), json.loads(two.read_text())
    for a, b in zip(alone["results"], together["results"], strict=True):
        assert b.pop("value") == pytest.approx(a.pop("value"), rel=1e-9)
        assert b.pop("deviation", 0) == pytest.approx(a.pop("deviation", 0), rel=1e-9)
        assert a == b
    assert {**alone, "results": []} == {**together, "results": []}
    same: dict = {}
    exec(MEASURE, same)
    expected = same["numbers"](Ranks(0, 1, torch.device("cpu")))
    assert set(expected) >= {"diversity", "modes", "swd_mean", "fd_faces"}
    assert json.loads(run.read_text()) == pytest.approx(expected, rel=1e-6)


def test_more_ranks_than_images_leave_the_last_without_features(monkeypatch):
    class Last(Ranks):
        def sum_(self, tensor):
            return tensor

    settings = ["resolution=16", "batch=12", "watch_images=0", "fd_images=4"]
    config = override(PRESETS["stylegan2-faces-16"].config, settings)
    feed = Feed(SyntheticImages(16, 400), config, 0, 1)
    scores = Scores(config, feed, Last(11, 12, torch.device("cpu")))
    gathered = []

    def keep(fakes, reals):
        gathered.append(fakes)
        return 0.0

    monkeypatch.setattr("ganvas.training.scores.frechet_distance", keep)
    scores.measure(Copies(feed, range(400)))
    assert gathered[0].count == 0


def test_a_lost_rank_ends_the_measurement_in_one_sentence(monkeypatch, capsys):
    def fail(tensor: torch.Tensor) -> None:
        raise RuntimeError("closed")

    def lose(request, real, fake, device, progress, ranks):
        replace(ranks, world=2).wait()

    monkeypatch.setattr(torch.distributed, "all_reduce", fail)
    monkeypatch.setattr("ganvas.core.evaluation.evaluate_files", lose)
    assert main(["metrics", "swd", "--real", "a", "--fake", "b", "--device", "cpu"]) == 1
    said = capsys.readouterr()
    assert said.err == (
        "ganvas: metrics: rank 0 of 2 lost contact with another rank (closed); nothing was "
        "measured\n"
    )
    assert said.out == ""


def test_a_malformed_environment_is_told_by_the_command_that_ran(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "two")
    assert main(["metrics", "swd", "--real", "a", "--fake", "b"]) == 2
    assert capsys.readouterr().err == (
        "ganvas: metrics: environment variable WORLD_SIZE must be a number, got 'two'\n"
    )
