"""`ganvas metrics` and the metrics of a run give under torchrun what one process gives."""

import json

import pytest
import torch

from ganvas.cli import main
from ganvas.core.images import save_png
from ganvas.training.config import override
from ganvas.training.distributed import Ranks
from ganvas.training.feed import Feed, SyntheticImages
from ganvas.training.presets import PRESETS
from ganvas.training.scores import Scores

from .test_scores import Copies

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
COUNT = 40
CHILD = """
import sys
from ganvas.cli import main

raise SystemExit(main(sys.argv[1:]))
"""


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
    arguments = ("metrics", names, *sides, "--device", "cpu", "--json", str(two))
    done = run_child(CHILD, *arguments, module=TORCHRUN, folder=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("images  40") == 1  # only one of them prints
    alone, together = json.loads(one.read_text()), json.loads(two.read_text())
    for a, b in zip(alone["results"], together["results"], strict=True):
        assert b.pop("value") == pytest.approx(a.pop("value"), rel=1e-9)
        assert b.pop("deviation", 0) == pytest.approx(a.pop("deviation", 0), rel=1e-9)
        assert a == b
    assert {**alone, "results": []} == {**together, "results": []}


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
