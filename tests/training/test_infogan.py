"""InfoGAN under training: the information bound, categories found without labels, exact resume."""

import json
import math
import os

import numpy as np
import pytest
import torch

import ganvas
from ganvas.core.errors import InputError
from ganvas.core.models.infogan import Codes
from ganvas.core.sampling import sample_images
from ganvas.training import snapshot, train
from ganvas.training.config import override
from ganvas.training.distributed import Ranks
from ganvas.training.feed import Feed
from ganvas.training.images import SyntheticImages
from ganvas.training.presets import PRESETS
from ganvas.training.streams import Stream
from ganvas.training.systems import build
from ganvas.training.systems.infogan import cluster_accuracy, information

from .image_sets import write_labelled

SHORT = [
    "resolution=8",
    "batch=8",
    "z_dim=4",
    "channel_base=32",
    "num_categories=3",
    "num_continuous=1",
    "q_hidden=8",
    "threads=1",
    "ema_kimg=0.02",
    "watch_images=0",
    "tick_kimg=0.008",
    "snapshot_kimg=0.016",
    "total_kimg=0.04",
]


def system(data, *extra):
    config = override(PRESETS["infogan"].config, [*SHORT, *extra])
    return build(config, Feed(data, config, 0, 1), Ranks(0, 1, torch.device("cpu")))


def sure(categories, count):
    """Logits of a Q that has no doubt."""
    return 50 * torch.nn.functional.one_hot(categories, count).float()


def test_information_on_categories_is_at_most_their_entropy():
    categories = torch.tensor([[0, 2], [1, 1]])
    nothing = torch.zeros(2, 0)
    knows = Codes(sure(categories, 3), nothing, nothing)
    torch.testing.assert_close(
        information(knows, categories, nothing)[0], torch.full((2,), 2 * math.log(3))
    )
    guesses = Codes(torch.zeros(2, 2, 3), nothing, nothing)
    torch.testing.assert_close(information(guesses, categories, nothing)[0], torch.zeros(2))


def test_information_on_a_continuous_code_is_its_entropy_less_what_is_left():
    """Q normal around the truth with deviation s leaves log(s sqrt(2 pi e)) nats, on average."""
    rng = torch.Generator().manual_seed(0)
    deviation = 0.1
    codes = torch.rand(100000, 1, generator=rng) * 2 - 1
    read = codes + deviation * torch.randn(codes.shape, generator=rng)
    log_std = torch.full_like(codes, math.log(deviation))
    categories = torch.zeros(len(codes), 1, dtype=torch.int64)
    found = Codes(torch.zeros(len(codes), 1, 2), read, log_std)
    left = math.log(deviation * math.sqrt(2 * math.pi * math.e))
    bound = information(found, categories, codes)[1].mean().item()
    assert bound == pytest.approx(math.log(2) - left, abs=0.02)


def test_cluster_accuracy_counts_the_most_frequent_class_of_each_category():
    categories = torch.tensor([0, 0, 0, 1, 1, 2])
    assert cluster_accuracy(categories, torch.tensor([1, 1, 0, 2, 2, 1])) == pytest.approx(5 / 6)
    assert cluster_accuracy(torch.zeros(4, dtype=torch.int64), torch.arange(4)) == 0.25


class ThreeColours(SyntheticImages):
    """Images of one of three colours, which are the classes."""

    def __init__(self, resolution, count=192):
        super().__init__(resolution, count)
        self.labels = torch.eye(3)[torch.arange(count) % 3]

    def images(self, indices):
        colours = torch.eye(3)[indices % 3] * 160 + 20
        noise = super().images(indices).float() / 8
        return (noise + colours[:, :, None, None]).to(torch.uint8)


def test_codes_are_found_without_labels():
    """The small form of the check: the bounds rise, categories go with classes, Q reads images."""
    settings = ["batch=32", "channel_base=64", "lr=0.002", "lr_d=0.002", "continuous_weight=0.3"]
    one = system(ThreeColours(8), *settings)
    found = []
    for step in range(150):
        one.step(step)
        if step in (0, 129, 149):
            means = one.meter.drain(one.ranks)
            categorical = means["information_categorical"]
            found.append((categorical, means["information"] - categorical))
    before, _, after = found
    assert before[0] < 0.2 and before[1] < 0.2
    assert after[0] > 0.6 * math.log(3)
    assert after[1] > 0.5
    assert one.evaluate()["cluster_accuracy"] > 0.6  # by chance 1/3

    z = one.z(np.arange(128), Stream.EVALUATE)
    categories, continuous = one.g.codes(one.g.mapping(z)[:, 0])
    one.d.eval()
    with torch.no_grad():
        read = one.d.read(one.d.critic.features(one.averages["EMA"](z)))
    assert read.logits[:, 0].argmax(dim=1).eq(categories[:, 0]).float().mean() > 0.8
    assert torch.corrcoef(torch.stack([read.mean[:, 0], continuous[:, 0]]))[0, 1] > 0.9


def test_a_run_continues_exactly_and_samples_by_code(tmp_path):
    data = write_labelled(tmp_path / "images.zip")
    train("infogan", data, tmp_path / "a", SHORT, say=str)
    train("infogan", data, tmp_path / "b", [*SHORT, "total_kimg=0.016"], say=str)
    train("infogan", data, tmp_path / "b", SHORT, say=str)
    first, second = (snapshot.read(snapshot.find_state(tmp_path / n)).tensors for n in "ab")
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []

    model = ganvas.load(tmp_path / "a" / "model.safetensors")
    assert model.arch == "infogan-generator"
    assert model.generator.config.c_dim == 3
    one, two = (next(sample_images(model.generator, [5], class_index=k)) for k in (0, 1))
    assert not torch.equal(one, two)
    lines = [json.loads(line) for line in (tmp_path / "a" / "log.jsonl").read_text().splitlines()]
    assert all("information" in line for line in lines if line["event"] == "tick")
    assert all("cluster_accuracy" in line for line in lines if line["event"] == "snapshot")


def test_a_grid_has_a_column_for_each_category():
    one = system(SyntheticImages(8), "num_categorical=2")
    images, columns = one.grid()
    assert columns == 3
    assert images.shape == (24, 3, 8, 8)
    z, c, _ = one.grid_inputs()
    categories, _ = one.g.codes(one.g.mapping(z, c)[:, 0])
    assert categories[:, 0].tolist() == [0, 1, 2] * 8
    assert len(set(categories[:3, 1].tolist())) == 1  # the second code is the seed's


def test_regularisers_and_losses_go_with_it():
    one = system(SyntheticImages(8), "loss=relativistic", "r1_gamma=1", "d_norm=layer")
    one.step(0)
    means = one.meter.drain(one.ranks)
    assert {"r1", "information", "loss_g"} <= means.keys()
    assert all(np.isfinite(value) for value in means.values())


def test_labels_are_refused():
    with pytest.raises(InputError, match="conditional must be off"):
        override(PRESETS["infogan"].config, ["conditional=true"])


@pytest.mark.skipif(
    not os.environ.get("GANVAS_FULL_CHECKS"), reason="set GANVAS_FULL_CHECKS=1; takes minutes"
)
@pytest.mark.slow
def test_digits_are_told_apart_without_labels(tmp_path):
    """The full form, on scikit-learn's digits: 10 categories, chance is a tenth."""
    from .digits import write_digits

    settings = [
        "resolution=16",
        "channel_base=256",
        "batch=32",
        "ema_kimg=2",
        "total_kimg=40",
        "threads=1",
    ]
    data = write_digits(tmp_path / "digits.zip")
    train("infogan", data, tmp_path / "run", settings, say=str)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    ticks = [line for line in lines if line["event"] == "tick"]
    shots = [line for line in lines if line["event"] == "snapshot"]
    assert ticks[-1]["information_categorical"] > 0.9 * math.log(10)
    assert shots[-1]["cluster_accuracy"] > 0.4
