"""MLP GAN, DCGAN, conditional GAN, WGAN-GP and the modern baseline: whole runs and their parts."""

import json
import os
import signal
import zipfile
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

import ganvas
from ganvas.core.data import open_dataset
from ganvas.core.errors import InputError
from ganvas.core.metrics import sliced_wasserstein
from ganvas.core.sampling import sample_images
from ganvas.training import snapshot, train
from ganvas.training.batch_norm import calibrate
from ganvas.training.config import override
from ganvas.training.configs.gan import Loss
from ganvas.training.distributed import Ranks
from ganvas.training.feed import Feed
from ganvas.training.images import SyntheticImages
from ganvas.training.labels import frequent_labels
from ganvas.training.losses import LOSSES
from ganvas.training.presets import PRESETS
from ganvas.training.systems import build

SHORT = [
    "resolution=8",
    "batch=8",
    "z_dim=4",
    "amp=none",
    "threads=1",
    "ema_kimg=0.02",
    "watch_images=16",
    "tick_kimg=0.008",
    "snapshot_kimg=0.016",
    "total_kimg=0.04",
]
SMALL = {
    "mlp-gan": ["hidden=8", "d_hidden=8"],
    "dcgan-64": ["channel_base=32"],
    "cgan-64": ["channel_base=32"],
    "wgan-gp-64": ["channel_base=32", "d_steps=2"],
    "r3gan-64": ["channel_base=64", "channel_max=8", "num_blocks=1", "group_width=4"],
}
ARCHS = {
    "mlp-gan": "mlp-gan-generator",
    "dcgan-64": "dcgan-generator",
    "cgan-64": "dcgan-generator",
    "wgan-gp-64": "dcgan-generator",
    "r3gan-64": "r3gan-generator",
}
RUNS = [
    ("mlp-gan", []),
    ("dcgan-64", ["amp=bf16"]),
    ("cgan-64", []),
    ("cgan-64", ["labels=concat", "d_norm=batch", "spectral_norm=false"]),
    ("wgan-gp-64", []),
    ("r3gan-64", ["bcr_weight=1"]),
]


def config_of(preset, *extra):
    return override(PRESETS[preset].config, [*SHORT, *SMALL[preset], *extra])


def system(preset, *extra, data=None):
    config = config_of(preset, *extra)
    feed = Feed(data or SyntheticImages(config.resolution), config, 0, 1)
    return build(config, feed, Ranks(0, 1, torch.device("cpu")))


@pytest.fixture(scope="session")
def labelled_zip(images_zip, tmp_path_factory) -> Path:
    """The images of `images_zip` in three classes."""
    path = tmp_path_factory.mktemp("labelled") / "images.zip"
    with zipfile.ZipFile(images_zip) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
        labels = [[name, i % 3] for i, name in enumerate(source.namelist())]
        target.writestr("dataset.json", json.dumps({"labels": labels}))
    return path


def tensors(folder):
    return snapshot.read(snapshot.find_state(folder)).tensors


def assert_same_run(a, b):
    first, second = tensors(a), tensors(b)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    files = [(folder / "model.safetensors").read_bytes() for folder in (a, b)]
    assert files[0] == files[1]


@pytest.mark.parametrize("preset,extra", RUNS, ids=lambda x: x if isinstance(x, str) else None)
def test_a_run_continues_exactly_and_its_model_samples(tmp_path, labelled_zip, preset, extra):
    settings = [*SHORT, *SMALL[preset], *extra]
    train(preset, labelled_zip, tmp_path / "a", settings, say=str)
    train(preset, labelled_zip, tmp_path / "b", [*settings, "total_kimg=0.016"], say=str)
    train(preset, labelled_zip, tmp_path / "b", settings, say=str)
    assert_same_run(tmp_path / "a", tmp_path / "b")

    model = ganvas.load(tmp_path / "a" / "model.safetensors")
    assert model.arch == ARCHS[preset]
    assert model.training["preset"] == preset
    classes = model.generator.config.c_dim
    assert classes == (3 if preset == "cgan-64" else 0)
    index = 0 if classes else -1
    images = list(sample_images(model.generator, [0, 1], class_index=index))
    assert images[0].shape == (3, 8, 8)
    lines = [json.loads(line) for line in (tmp_path / "a" / "log.jsonl").read_text().splitlines()]
    ticks = [line for line in lines if line["event"] == "tick"]
    assert all(np.isfinite(tick["loss_d"]) for tick in ticks)
    assert any("loss_g" in tick for tick in ticks)


KILLED = """
import os, signal, sys
from ganvas.training import train
from ganvas.training.systems import gan

data, folder, *settings = sys.argv[1:]
original = gan.GanSystem.step

def step(self, number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    original(self, number)

gan.GanSystem.step = step
train("cgan-64", data, folder, settings, say=str)
"""


def test_a_killed_run_ends_in_the_same_bits(tmp_path, labelled_zip, run_child):
    settings = [*SHORT, *SMALL["cgan-64"], "bcr_weight=2"]
    train("cgan-64", labelled_zip, tmp_path / "a", settings, say=str)
    died = run_child(KILLED, str(labelled_zip), str(tmp_path / "b"), *settings, folder=tmp_path)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert snapshot.latest(tmp_path / "b")["images"] == 16
    train("cgan-64", labelled_zip, tmp_path / "b", settings, say=str)
    assert_same_run(tmp_path / "a", tmp_path / "b")


TWO_RANKS = """
import sys
from ganvas.training import train

data, folder, *settings = sys.argv[1:]
train("cgan-64", data, folder, settings, say=str)
"""


def test_two_ranks_equal_one(tmp_path, labelled_zip, run_child):
    """With every regulariser; the discriminator has no statistics that depend on the parts."""
    settings = [*SHORT, *SMALL["cgan-64"], "labels=projection", "bcr_weight=1", "gp_weight=1",
                "r1_gamma=0.1", "r2_gamma=0.1", "total_kimg=0.024"]  # fmt: skip
    train("cgan-64", labelled_zip, tmp_path / "one", [*settings, "grad_accum=2"], say=str)
    done = run_child(
        TWO_RANKS, str(labelled_zip), str(tmp_path / "two"), *settings, folder=tmp_path,
        module=("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = tensors(tmp_path / "one"), tensors(tmp_path / "two")
    for name in one:
        if name.startswith("D."):
            torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("preset", ["r3gan-64", "cgan-64"])
def test_parts_of_a_batch_give_the_losses_of_the_whole(preset):
    extra = ("conditional=false", "bcr_weight=1", "r1_gamma=1", "gp_weight=1")
    found = []
    for accum in (1, 4):
        one = system(preset, *extra, f"grad_accum={accum}")
        one.g.eval()  # batch normalisation has as many statistics as there are parts
        one.step(0)
        one.step(1)
        found.append(one.meter.drain(one.ranks))
    assert found[0] == pytest.approx(found[1], rel=2e-3, abs=2e-3)


def test_settings_name_the_losses_there_are():
    assert set(get_args(Loss)) == set(LOSSES)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_moves_both_networks(loss):
    one = system("dcgan-64", f"loss={loss}", "d_norm=none", "r1_gamma=1")
    before = {name: next(m.parameters()).clone() for name, m in one.networks.items()}
    one.step(0)
    for name, module in one.networks.items():
        assert not torch.equal(next(module.parameters()), before[name])
    assert all(np.isfinite(value) for value in one.meter.drain(one.ranks).values())


def test_regularisers_are_counted_only_where_asked_for():
    names = {"r1", "r2", "gradient_penalty", "consistency"}
    assert names.isdisjoint(_means("d_norm=layer"))
    weights = ["r1_gamma=1", "r2_gamma=1", "gp_weight=1", "bcr_weight=1"]
    assert names <= _means("d_norm=layer", *weights).keys()


def _means(*extra):
    one = system("dcgan-64", *extra)
    one.step(0)
    return one.meter.drain(one.ranks)


@pytest.mark.parametrize("weight,slope", [("r1_gamma", 0), ("r2_gamma", 0), ("gp_weight", 1)])
def test_weights_of_penalties_reach_the_loss(weight, slope):
    """A very large weight brings the discriminator's slope to 0, or to 1, and none does not."""
    distances = []
    for value in (0, 1000):
        one = system("mlp-gan", f"{weight}={value}", "loss=hinge", "lr=0.01")
        for step in range(60):
            one.step(step)
        images = torch.cat([one.reals(one.feed.batch(60)[0].images), one.samples(np.arange(8))])
        images.requires_grad_(True)
        (slopes,) = torch.autograd.grad(one.d(images).sum(), images)
        distances.append((slopes.flatten(1).norm(dim=1) - slope).abs().mean().item())
    print(weight, distances)
    assert distances[1] < 0.2 * distances[0]


def test_the_generator_moves_every_d_steps_steps():
    one = system("wgan-gp-64", "d_steps=3")
    start = next(one.g.parameters()).clone()
    moved = []
    for step in range(6):
        one.step(step)
        moved.append(not torch.equal(next(one.g.parameters()), start))
        start = next(one.g.parameters()).clone()
    assert moved == [False, False, True, False, False, True]


def test_spectral_norm_bounds_the_discriminator_under_training():
    one = system("dcgan-64", "spectral_norm=true", "d_norm=none", "lr=0.01")
    for step in range(40):
        one.step(step)
    layers = [m for m in one.d.modules() if isinstance(m, nn.Conv2d)]
    norms = [torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() for layer in layers]
    assert norms == pytest.approx([1] * len(norms), abs=0.25)


def test_labels_that_are_missing_are_named(tmp_path, images_zip):
    settings = [*SHORT, *SMALL["cgan-64"]]
    with pytest.raises(InputError, match="learns from labels, and the data have none"):
        train("cgan-64", images_zip, tmp_path / "run", settings, say=str)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("penalty", ["r1_gamma", "r2_gamma", "gp_weight"])
def test_gradient_penalties_and_batch_norm_do_not_go_together(penalty):
    with pytest.raises(InputError, match="set d_norm=layer or d_norm=none"):
        config_of("dcgan-64", f"{penalty}=1")
    assert config_of("dcgan-64", f"{penalty}=1", "d_norm=layer").gradient_penalised


def test_spectral_norm_of_weights_that_start_at_zero_is_refused():
    with pytest.raises(InputError, match="spectral_norm must be off here"):
        config_of("r3gan-64", "spectral_norm=true")


def test_wrong_values_are_one_sentence():
    with pytest.raises(InputError, match=r"loss: .*'non-saturating'.* got 'wgan'"):
        config_of("dcgan-64", "loss=wgan")
    with pytest.raises(InputError, match="unknown setting 'r1_gama'; did you mean r1_gamma"):
        config_of("dcgan-64", "r1_gama=1")


def test_a_grid_of_classes_has_a_column_for_each():
    one = system("cgan-64")
    images, columns = one.grid()
    assert columns == 2  # the synthetic images' classes
    assert images.shape == (16, 3, 8, 8)
    z, c, _ = one.grid_inputs()
    assert c[:4].tolist() == [[1, 0], [0, 1]] * 2
    assert torch.equal(z[0], z[1])
    assert not torch.equal(z[1], z[2])
    assert system("dcgan-64").grid()[0].shape == (64, 3, 8, 8)


def test_columns_are_the_frequent_labels_in_order():
    one_hot = torch.eye(4)[[3, 0, 1, 0, 2, 1, 0, 3]]
    assert frequent_labels(one_hot, 10).argmax(dim=1).tolist() == [0, 1, 2, 3]
    assert frequent_labels(one_hot, 2).argmax(dim=1).tolist() == [0, 3] or frequent_labels(
        one_hot, 2
    ).argmax(dim=1).tolist() == [0, 1]
    multi_hot = torch.tensor([[1.0, 1], [0, 1], [0, 1], [0, 0]])
    assert frequent_labels(multi_hot, 1).tolist() == [[0, 1]]


def test_samples_are_functions_of_their_numbers():
    one = system("cgan-64")
    one.step(0)
    many = one.samples(np.arange(70))
    assert many.shape == (70, 3, 8, 8)
    assert torch.allclose(one.samples(np.array([3, 69])), many[[3, 69]], atol=1e-5)


def test_statistics_of_the_average_are_its_own():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).eval()
    data = torch.randn(4, 50, 2)
    calibrate(network, [lambda x=x: network(x) for x in data])
    inner = network[0](data)
    torch.testing.assert_close(network[1].running_mean, inner.mean(dim=(0, 1)))
    torch.testing.assert_close(network[1].running_var, inner.var(dim=1).mean(dim=0))
    assert not network.training
    assert network[1].momentum == 0.1


def score(images, reals):
    return sliced_wasserstein(images, reals, normalise="reference")["mean"]


class Washes(SyntheticImages):
    """One colour at the left that turns into another at the right."""

    def images(self, indices):
        draws = [np.random.RandomState(int(index)).rand(2, 3, 1, 1) for index in indices]
        left, right = torch.from_numpy(np.stack(draws, axis=1)).float()
        share = torch.linspace(0, 1, self.resolution)
        colours = left.lerp(right, share.expand(1, 1, self.resolution, -1))
        return (30 + 190 * colours).to(torch.uint8)


@pytest.mark.parametrize(
    "preset,steps,extra",
    [
        ("mlp-gan", 240, ["lr=0.001", "hidden=64", "d_hidden=64"]),
        ("dcgan-64", 240, ["lr=0.002", "channel_base=128", "d_norm=none"]),
        ("wgan-gp-64", 240, ["lr=0.002", "channel_base=128", "d_steps=3"]),
        ("r3gan-64", 160, ["lr=0.002", "r1_gamma=0.3", "r2_gamma=0.3"]),
    ],
)
def test_samples_come_nearer_to_unseen_images_than_the_mean_does(preset, steps, extra):
    """The small form of the check on faces below."""
    data = Washes(8, 384)
    one = system(preset, *extra, "batch=32", "heldout=128", "ema_kimg=0.3", "z_dim=16", data=data)
    reals = one.feed.heldout_batch().images.float() / 255
    seen = one.feed.first_batch(256).images.float() / 255
    number = np.arange(128)
    before = score(one.samples(number).add(1).div(2), reals)
    for step in range(steps):
        one.step(step)
    after = score(one.samples(number).add(1).div(2), reals)
    assert after < 0.7 * before
    assert after < 0.5 * score(seen.mean(dim=0, keepdim=True).expand_as(reals), reals)


class TwoTones(SyntheticImages):
    """Dark images in class 0, bright ones in class 1."""

    def images(self, indices):
        noise = super().images(indices).float() / 16
        return (noise + 40 + 140 * (indices % 2)[:, None, None, None]).to(torch.uint8)


@pytest.mark.parametrize("labels", ["projection", "concat"])
def test_a_class_is_drawn_as_the_class_looks(labels):
    one = system("cgan-64", f"labels={labels}", "batch=32", "lr=0.005", data=TwoTones(8))
    for step in range(100):
        one.step(step)
    images, _ = one.grid()
    dark, bright = images[0::2].mean(dim=[1, 2, 3]), images[1::2].mean(dim=[1, 2, 3])
    assert bright.min() > dark.max() + 0.3


FULL = os.environ.get("GANVAS_FULL_CHECKS")


@pytest.mark.skipif(not FULL, reason="set GANVAS_FULL_CHECKS=1; takes minutes")
@pytest.mark.slow
@pytest.mark.parametrize(
    "preset,extra",
    [
        ("mlp-gan", ["batch=64", "total_kimg=50"]),
        ("dcgan-64", ["batch=32", "total_kimg=20", "channel_base=256"]),
        (
            "r3gan-64",
            [
                "batch=32",
                "total_kimg=12",
                "ema_kimg=1",
                "channel_base=256",
                "channel_max=32",
                "num_blocks=1",
                "amp=none",
                "lr=0.0015",
                "r1_gamma=0.3",
                "r2_gamma=0.3",
            ],
        ),
    ],
)
def test_faces_come_nearer_to_unseen_faces(preset, extra, tmp_path):
    """The full form: SWD of 500 samples against unseen procedural faces at 32 px.

    WGAN-GP's is on the grid of Gaussians: on faces it needs longer than a test may take.
    """
    settings = ["resolution=32", "ema_kimg=2", *extra]
    data = "faces:count=4000,size=32,seed=0"
    train(preset, data, tmp_path / "run", settings, say=str)
    reals = open_dataset("faces:count=500,size=32,seed=77").images(torch.arange(500)).float() / 255
    model = ganvas.load(tmp_path / "run" / "model.safetensors")
    samples = torch.stack(list(sample_images(model.generator, range(500), chunk=50)))
    seen = open_dataset(data).images(torch.arange(500)).float() / 255
    mean = seen.mean(dim=0, keepdim=True).expand_as(reals)
    assert score(samples, reals) < 0.5 * score(mean, reals)


@pytest.mark.skipif(not FULL, reason="set GANVAS_FULL_CHECKS=1; takes minutes")
@pytest.mark.slow
@pytest.mark.parametrize("labels", ["projection", "concat"])
def test_digits_are_drawn_as_their_classes(labels, tmp_path):
    """The full form: an independent classifier, trained on scikit-learn's digits, names samples."""
    from .digits import classify, write_digits

    settings = ["resolution=16", "batch=32", "channel_base=256", "ema_kimg=1", "total_kimg=16",
                "lr=0.001", "lr_d=0.004", "mirror=false", f"labels={labels}"]  # fmt: skip
    train("cgan-64", write_digits(tmp_path / "digits.zip"), tmp_path / "run", settings, say=str)
    generator = ganvas.load(tmp_path / "run" / "model.safetensors").generator
    right = []
    for k in range(10):
        images = torch.stack(list(sample_images(generator, range(50), class_index=k)))
        right.append(classify(images).eq(k).float().mean())
    assert torch.stack(right).mean() > 0.8
