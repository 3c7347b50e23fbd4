"""StackGAN under training: two stages one after the other, exact resume across them."""

import json
import os

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

import ganvas
from ganvas.core.errors import InputError
from ganvas.core.models.progressive import doubled
from ganvas.core.models.stackgan import Gaussian
from ganvas.core.sampling import sample_images
from ganvas.training import snapshot, train
from ganvas.training.config import override
from ganvas.training.distributed import Ranks
from ganvas.training.feed import Feed
from ganvas.training.images import SyntheticImages
from ganvas.training.presets import PRESETS
from ganvas.training.streams import Stream
from ganvas.training.systems import build
from ganvas.training.systems.stackgan import conditioning_kl

from .image_sets import write_labelled

SHORT = [
    "resolution=16",
    "batch=8",
    "noise_dim=4",
    "embed_dim=2",
    "channel_base=64",
    "num_blocks=1",
    "amp=none",
    "threads=1",
    "ema_kimg=0.02",
    "watch_images=0",
    "tick_kimg=0.008",
    "snapshot_kimg=0.016",
    "stage1_kimg=0.024",
    "total_kimg=0.048",
]


class TwoTones(SyntheticImages):
    """Dark images in class 0, bright ones in class 1."""

    def images(self, indices):
        noise = super().images(indices).float() / 4
        return (noise + 20 + 110 * (indices % 2)[:, None, None, None]).to(torch.uint8)


def system(*extra, data=None):
    config = override(PRESETS["stackgan-64"].config, [*SHORT, *extra])
    feed = Feed(data or TwoTones(16), config, 0, 1)
    return build(config, feed, Ranks(0, 1, torch.device("cpu")))


def copied(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def moved(module, before):
    return {name for name, tensor in module.state_dict().items() if not tensor.equal(before[name])}


def test_conditioning_kl_is_the_divergence_of_normal_distributions():
    mean, log_std = torch.randn(2, 5, 3)
    expected = kl_divergence(Normal(mean, log_std.exp()), Normal(0.0, 1.0)).sum(dim=1).mean()
    torch.testing.assert_close(conditioning_kl(Gaussian(mean, log_std)), expected)
    assert conditioning_kl(Gaussian(torch.zeros(2, 3), torch.zeros(2, 3))).item() == 0


def test_one_stage_learns_at_a_time():
    one = system()
    assert [one.stage(step) for step in range(6)] == [1, 1, 1, 2, 2, 2]
    parts = {name: copied(module) for name, module in one.networks.items()}
    one.step(0)
    assert moved(one.d1, parts["D1"])
    assert not moved(one.d2, parts["D2"])
    names = {name.split(".")[0] for name in moved(one.g, parts["G"])}
    assert names == {"stage1", "augment1"}

    parts = {name: copied(module) for name, module in one.networks.items()}
    one.step(3)
    assert not moved(one.d1, parts["D1"])
    assert moved(one.d2, parts["D2"])
    names = {name.split(".")[0] for name in moved(one.g, parts["G"])}
    assert names == {"stage2", "augment2"}


def test_a_run_continues_exactly_across_the_stages(tmp_path):
    data = write_labelled(tmp_path / "images.zip")
    train("stackgan-64", data, tmp_path / "a", SHORT, say=str)
    for kimg in ("0.016", "0.032"):
        train("stackgan-64", data, tmp_path / "b", [*SHORT, f"total_kimg={kimg}"], say=str)
    train("stackgan-64", data, tmp_path / "b", SHORT, say=str)
    first, second = (snapshot.read(snapshot.find_state(tmp_path / n)).tensors for n in "ab")
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []

    model = ganvas.load(tmp_path / "a" / "model.safetensors")
    assert model.arch == "stackgan-generator"
    assert next(sample_images(model.generator, [0], class_index=1)).shape == (3, 16, 16)
    lines = [json.loads(line) for line in (tmp_path / "a" / "log.jsonl").read_text().splitlines()]
    shots = [line for line in lines if line["event"] == "snapshot"]
    assert all({"stage_distance", "stage_distance_shuffled"} <= shot.keys() for shot in shots)


def test_labels_of_others_are_unlike_ones_own():
    one = system("batch=64")
    (part,) = one.feed.batch(0)
    assert part.labels is not None
    other = one._other_labels(part)
    assert (other != part.labels).any(dim=1).float().mean() > 0.95
    assert torch.equal(other.sum(dim=1), torch.ones(64))


def test_labels_that_are_missing_or_all_alike_are_named(tmp_path, images_zip):
    with pytest.raises(InputError, match="learns from labels, and the data have none"):
        train("stackgan-64", images_zip, tmp_path / "run", SHORT, say=str)

    class OneTone(TwoTones):
        def __init__(self, resolution):
            super().__init__(resolution)
            self.labels = torch.eye(2)[[1] * len(self)]

    with pytest.raises(InputError, match="two labels or more, got the same one for all 64 images"):
        system(data=OneTone(16))
    with pytest.raises(InputError, match="resolution must be 16 or more for two stages"):
        override(PRESETS["stackgan-64"].config, [*SHORT, "resolution=8"])


def test_a_grid_shows_both_stages_by_class():
    one = system()
    images, columns = one.grid()
    assert columns == 2
    assert images.shape == (32, 3, 16, 16)
    rows = images.unflatten(0, (-1, 2, columns))  # [rows, stage, class]
    sketch = rows[:, 0, :, :, ::2, ::2]
    assert torch.equal(sketch.repeat_interleave(2, 3).repeat_interleave(2, 4), rows[:, 0])
    z, c, _ = one.grid_inputs()
    torch.testing.assert_close(rows[:, 1].flatten(0, 1), one.averages["EMA"](z, c))


def test_departing_from_the_first_stage_has_its_price():
    found = []
    for weight in (0, 100):
        one = system(f"agree_weight={weight}", "stage1_kimg=0", "lr=0.002")
        for step in range(30):
            one.step(step)
        one.meter.drain(one.ranks)
        one.step(30)
        found.append(one.meter.drain(one.ranks)["stage_distance"])
    assert found[1] < 0.5 * found[0]


def test_what_is_measured_is_the_stage_that_learns():
    one, number = system(), np.arange(70)
    for step, shown in ((0, 1), (3, 2)):
        one.step(step)
        samples = one.samples(number)
        average = one.averages["EMA"]
        w = average.mapping(one.z(number, Stream.EVALUATE), one.drawn_labels(number))[:, 0]
        with torch.no_grad():
            stages = [doubled(average.first(w)[0]), average.draw(w)]
        distances = [float((stage.clamp(-1, 1) - samples).abs().max()) for stage in stages]
        assert distances[shown - 1] < 1e-5 < distances[2 - shown]


@pytest.mark.parametrize("loss", ["hinge", "relativistic"])
def test_other_losses_go_with_it(loss):
    one = system(f"loss={loss}", "d_norm=layer")
    one.step(0)
    one.step(3)
    assert all(np.isfinite(value) for value in one.meter.drain(one.ranks).values())


def test_the_second_stage_keeps_to_the_first_and_to_the_classes():
    """The small form of the check."""
    one = system("batch=16", "stage1_kimg=1.28", "lr=0.002", "channel_base=128", "ema_kimg=0.2")
    for step in range(180):
        one.step(step)
    values = one.evaluate()
    assert values["stage_distance"] < 0.6 * values["stage_distance_shuffled"]
    images, _ = one.grid()
    second = images.unflatten(0, (-1, 2, 2))[:, 1].mean(dim=[2, 3, 4])
    assert second[:, 1].min() > second[:, 0].max()


@pytest.mark.skipif(
    not os.environ.get("GANVAS_FULL_CHECKS"), reason="set GANVAS_FULL_CHECKS=1; takes minutes"
)
@pytest.mark.slow
def test_stages_agree_on_digits(tmp_path):
    """The full form, on scikit-learn's digits."""
    from .digits import classify, write_digits

    settings = [
        "resolution=16",
        "channel_base=256",
        "batch=32",
        "ema_kimg=2",
        "stage1_kimg=20",
        "total_kimg=40",
        "mirror=false",
        "lr=0.001",
        "threads=1",
    ]
    data = write_digits(tmp_path / "digits.zip")
    train("stackgan-64", data, tmp_path / "run", settings, say=str)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    shot = [line for line in lines if line["event"] == "snapshot"][-1]
    assert shot["stage_distance"] < 0.5 * shot["stage_distance_shuffled"]
    generator = ganvas.load(tmp_path / "run" / "model.safetensors").generator
    right = []
    for k in range(10):
        images = torch.stack(list(sample_images(generator, range(20), class_index=k)))
        right.append(classify(images).eq(k).float().mean())
    assert torch.stack(right).mean() > 0.5
