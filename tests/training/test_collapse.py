"""The watch for mode collapse: what raises the alarm in a run's log, and what does not."""

import json

import pytest
import torch

from ganvas.training import train
from ganvas.training.config import override
from ganvas.training.distributed import Ranks
from ganvas.training.feed import Feed, to_float
from ganvas.training.images import SyntheticImages
from ganvas.training.presets import PRESETS
from ganvas.training.scores import Scores, alarms
from ganvas.training.system import System

from .image_sets import smooth_images, write_images

CPU = torch.device("cpu")
DIFFER, VISIT = "samples differ from one another", "samples visit clusters"


class Changed(System):
    """Real images, each changed by a function of all of them and of its own number."""

    def __init__(self, feed, change):
        self.feed, self.change = feed, change

    def step(self, step): ...

    def model(self, training): ...

    def grid(self): ...

    def samples(self, sample):
        everything = to_float(self.feed.dataset.images(torch.arange(400)), CPU, False)
        return torch.stack([self.change(everything, int(number)) for number in sample])


CHANGES = {
    "copies": (lambda x, i: x[i], set()),
    "mirror images": (lambda x, i: x[i].flip(2), set()),
    "a single image": (lambda x, i: x[7], {DIFFER, VISIT}),
    "few unlike images": (lambda x, i: x[i % 3], {VISIT}),
    "pale copies": (lambda x, i: x.mean(dim=0).lerp(x[i], 0.4), {DIFFER}),
    "half of the images are one": (lambda x, i: x[i] if i % 2 else x[7], set()),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_diversity_and_coverage_are_both_looked_at(kind):
    change, expected = CHANGES[kind]
    config = override(PRESETS["mlp-gan"].config, ["resolution=16", "batch=8"])
    feed = Feed(SyntheticImages(16, 400), config, 0, 1)
    values = Scores(config, feed, Ranks(0, 1, CPU)).measure(Changed(feed, change))
    said = alarms(values)
    assert {sign for sign in (DIFFER, VISIT) if any(sign in text for text in said)} == expected
    assert len(said) == len(expected)
    assert (values["diversity"] < 0.5) == (DIFFER in expected)
    assert (values["modes"] < 0.5) == (VISIT in expected)


RUN = [
    "resolution=8", "batch=64", "z_dim=8", "hidden=64", "d_hidden=64", "total_kimg=12.8",
    "snapshot_kimg=6.4", "tick_kimg=6.4", "ema_kimg=0.5", "threads=1", "report=false",
    "watch_images=72",
]  # fmt: skip


@pytest.mark.parametrize("lr,collapsed", [("0.001", False), ("0.1", True)])
def test_a_run_warns_of_a_generator_that_draws_one_image(lr, collapsed, tmp_path):
    """The same networks with a rate at which they learn, and with one at which G saturates."""
    images = write_images(tmp_path / "data", smooth_images(400, 0, 8))
    said = []
    train("mlp-gan", images, tmp_path / "run", [*RUN, f"lr={lr}"], say=said.append)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    shots = [line for line in lines if line["event"] == "snapshot"]
    told = [line for line in lines if line["event"] == "alarm"]
    assert [shot["images"] for shot in shots] == [6400, 12800]
    for name in ("diversity", "modes"):
        assert all((shot[name] < 0.5) == collapsed for shot in shots)
    # Only from 10 kimg on, as before that a generator that draws little has hardly begun.
    assert [line["images"] for line in told] == ([12800] * 2 if collapsed else [])
    warnings = [text for text in said if text.startswith("warning: mode collapse")]
    assert warnings == [f"warning: {line['text']}" for line in told]
