"""StyleGAN2 with class labels: both networks learn them, runs are exact, files draw each class."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import ganvas
from ganvas.cli import main
from ganvas.core.errors import InputError
from ganvas.core.latents import sample_latents
from ganvas.core.sampling import sample_images
from ganvas.training import snapshot, train
from ganvas.training.config import override
from ganvas.training.data import open_images
from ganvas.training.distributed import Ranks
from ganvas.training.feed import Feed
from ganvas.training.images import SyntheticImages
from ganvas.training.mixing import mixed_styles
from ganvas.training.presets import PRESETS
from ganvas.training.streams import Stream
from ganvas.training.systems import build
from ganvas.training.transfer import initialise

from .conftest import TINY
from .digits import classify, write_digits
from .image_sets import smooth_images, write_images

PRESET = "stylegan2-faces-16"
CONDITIONAL = [*TINY, "conditional=true", "style_mixing=0.9"]
CLASSES = 3
FULL = os.environ.get("GANVAS_FULL_CHECKS")


def silent(text: str) -> None:
    """Swallow progress lines."""


def system(*extra, data=None):
    config = override(PRESETS[PRESET].config, [*CONDITIONAL, *extra])
    feed = Feed(data or SyntheticImages(config.resolution), config, 0, 1)
    return build(config, feed, Ranks(0, 1, torch.device("cpu")))


@pytest.fixture(scope="module")
def labelled(images_zip, tmp_path_factory) -> Path:
    """The images of `images_zip` in three classes."""
    path = tmp_path_factory.mktemp("labelled") / "images.zip"
    with zipfile.ZipFile(images_zip) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
        labels = [[name, i % CLASSES] for i, name in enumerate(source.namelist())]
        target.writestr("dataset.json", json.dumps({"labels": labels}))
    return path


@pytest.fixture(scope="module")
def run(labelled, tmp_path_factory) -> Path:
    """A finished conditional run."""
    folder = tmp_path_factory.mktemp("conditional") / "run"
    train(PRESET, labelled, folder, CONDITIONAL, say=silent)
    return folder


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return snapshot.read(snapshot.find_state(folder)).tensors


def test_a_run_continues_exactly(run, labelled, tmp_path):
    train(PRESET, labelled, tmp_path, [*CONDITIONAL, "total_kimg=0.024"], say=silent)
    train(PRESET, labelled, tmp_path, CONDITIONAL, say=silent)
    one, two = tensors(run), tensors(tmp_path)
    assert one.keys() == two.keys()
    assert [name for name in one if not torch.equal(one[name], two[name])] == []
    files = [(folder / "model.safetensors").read_bytes() for folder in (run, tmp_path)]
    assert files[0] == files[1]


def test_a_run_with_labels_cannot_go_on_without(run, labelled):
    with pytest.raises(InputError, match=r"continue has conditional=True .now False."):
        train(PRESET, labelled, run, [*CONDITIONAL, "conditional=false"], say=silent)


def test_parts_of_a_batch_give_the_losses_and_weights_of_the_whole():
    settings = ("batch=16", "r1_interval=1", "pl_interval=1", "pl_batch_shrink=1", "augment=ada")
    found, weights = [], []
    for accum in (1, 2, 4):
        one = system(*settings, "augment_p=0.5", f"grad_accum={accum}")
        for step in range(2):
            one.step(step)
        found.append(one.meter.drain(one.ranks))
        weights.append(one.g.mapping.w_avg)
    assert {"r1", "path_length", "loss_d", "loss_g"} <= found[0].keys()
    for other, w_avg in zip(found[1:], weights[1:], strict=True):
        assert other == pytest.approx(found[0], rel=2e-3, abs=2e-3)
        torch.testing.assert_close(w_avg, weights[0], rtol=1e-3, atol=1e-5)


TWO_RANKS = """
import sys
from ganvas.training import train

data, folder, *settings = sys.argv[1:]
train("stylegan2-faces-16", data, folder, settings, say=lambda text: None)
"""


def test_two_ranks_equal_one(tmp_path, labelled, run_child):
    settings = [*CONDITIONAL, "pl_batch_shrink=1", "total_kimg=0.024"]
    train(PRESET, labelled, tmp_path / "one", settings, say=silent)
    done = run_child(
        TWO_RANKS, str(labelled), str(tmp_path / "two"), *settings, folder=tmp_path,
        module=("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = tensors(tmp_path / "one"), tensors(tmp_path / "two")
    for name in one:
        if name.startswith(("D.", "G.", "EMA.")):
            torch.testing.assert_close(two[name], one[name], rtol=2e-3, atol=5e-4, msg=name)


def test_every_phase_moves_the_embedding_of_its_network():
    one = system("r1_interval=1", "pl_interval=1", "augment=diffaugment")
    gradients: dict[str, list[float]] = {"G": [], "D": []}
    update = one.update

    def look(name):
        weight = one.networks[name].mapping.embed.weight
        gradients[name].append(float(weight.grad.abs().max()))
        update(name)

    one.update = look
    one.step(0)
    assert len(gradients["D"]) == len(gradients["G"]) == 2  # loss and R1, loss and path length
    assert min(gradients["D"] + gradients["G"]) > 0


def test_the_mean_w_is_that_of_the_batch_and_its_labels():
    one = system("w_avg_beta=0")
    part = one._part(one.feed.batch(0)[0])
    with torch.no_grad():
        expected = one.g.mapping(one._z(part.sample, Stream.Z), part.c)[:, 0].mean(dim=0)
    one._train_generator = lambda fakes, batch: fakes[0][1]  # G stays as it is
    one.step(0)
    torch.testing.assert_close(one.g.mapping.w_avg, expected)


def test_mixed_styles_are_of_the_samples_own_labels():
    seen = []

    def mapping(z, c):
        seen.append(c)
        return c[:, None, :].expand(-1, 6, -1) * 10

    c = functional.one_hot(torch.arange(40) % 4).float()
    ws = c[:, None, :].expand(-1, 6, -1)
    mixed = mixed_styles(
        mapping, ws, c, seed=0, stream=Stream.Z_MIX, sample=np.arange(40), z_dim=4, share=1.0
    )
    assert seen == [c]
    assert torch.equal(mixed.argmax(dim=2), ws.argmax(dim=2))  # of no other class
    assert bool((mixed.amax(dim=2)[:, 1:] == 10).any(dim=1).all())


def test_labels_that_are_missing_are_named(tmp_path, images_zip):
    with pytest.raises(InputError, match="learns from labels, and the data have none"):
        train(PRESET, images_zip, tmp_path / "run", CONDITIONAL, say=silent)
    assert not (tmp_path / "run").exists()


def test_labels_of_the_data_change_nothing_where_they_are_not_asked_for(
    tmp_path, images_zip, labelled
):
    settings = [*TINY, "total_kimg=0.024"]
    train(PRESET, images_zip, tmp_path / "a", settings, say=silent)
    train(PRESET, labelled, tmp_path / "b", settings, say=silent)
    one, two = tensors(tmp_path / "a"), tensors(tmp_path / "b")
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_the_grid_has_a_column_for_each_class():
    one = system()
    images, columns = one.grid()
    assert columns == 2  # the synthetic images' classes
    assert images.shape == (16, 3, 8, 8)
    z = one._z(np.arange(8), Stream.GRID)
    with torch.no_grad():
        for k in range(2):
            c = torch.eye(2)[k].repeat(8, 1)
            expected = one.averages["EMA"](z, c).clamp(-1, 1)
            torch.testing.assert_close(images[k::2], expected)
    assert system("conditional=false").grid()[0].shape == (64, 3, 8, 8)


def test_samples_are_functions_of_their_numbers_with_labels_as_frequent_as_in_the_data():
    data = SyntheticImages(8, 64)
    data.labels = functional.one_hot((torch.arange(64) % 4 == 0).long()).float()
    one = system(data=data)
    one.step(0)
    many = one.samples(np.arange(70))
    assert torch.allclose(one.samples(np.array([3, 69])), many[[3, 69]], atol=1e-5)
    seen = []
    one.averages["EMA"].forward = lambda z, c, noise_mode: seen.append(c) or torch.zeros(len(c), 1)
    one.samples(np.arange(800))
    assert torch.cat(seen)[:, 1].mean() == pytest.approx(0.25, abs=0.05)


def test_the_file_draws_each_class_at_every_door(run, tmp_path, capsys):
    path = run / "model.safetensors"
    model = ganvas.load(path)
    assert model.generator.config.c_dim == CLASSES
    images = [next(iter(sample_images(model.generator, [0], class_index=k))) for k in range(3)]
    assert all(image.shape == (3, 8, 8) for image in images)
    assert not torch.equal(images[0], images[1]) and not torch.equal(images[1], images[2])
    ws = [
        sample_latents(model.generator, model.sha256, seed=0, count=1, class_index=k).ws
        for k in range(CLASSES)
    ]
    assert not torch.equal(ws[0], ws[1])

    out = tmp_path / "out"
    assert main(["sample", str(path), "--seeds", "0-1", "--class", "2", "--out", str(out)]) == 0
    assert len(list(out.glob("seed*.png"))) == 2
    assert main(["sample", str(path), "--seeds", "0", "--out", str(tmp_path / "none")]) == 2
    assert "3 classes; expected --class 0..2, none is given" in capsys.readouterr().err
    reals = write_images(tmp_path / "reals", smooth_images(8, 0, size=8))
    command = ["metrics", "diversity", "--real", str(reals), "--fake", str(path), "--count", "8"]
    assert main([*command, "--class", "1"]) == 0
    assert main(command) == 2
    assert "this generator has 3 classes; expected --class 0..2" in capsys.readouterr().err


@pytest.fixture(scope="module")
def unlabelled(images_zip, tmp_path_factory) -> Path:
    """A finished run without labels, of two mapping layers."""
    folder = tmp_path_factory.mktemp("unlabelled") / "run"
    train(PRESET, images_zip, folder, [*TINY, "mapping_layers=2"], say=silent)
    return folder


def many_labels(count: int) -> SyntheticImages:
    data = SyntheticImages(8)
    data.labels = functional.one_hot(torch.arange(len(data)) % count, count).float()
    return data


@pytest.mark.parametrize("classes", [2, 4])
def test_a_discriminator_that_gets_labels_keeps_its_logits(unlabelled, classes):
    images = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    before = system("conditional=false", "mapping_layers=2")
    initialise(before, unlabelled)
    one = system("mapping_layers=2", data=many_labels(classes))
    with torch.no_grad():
        expected = before.d(images)
        own = torch.eye(classes)[torch.arange(8) % classes]
        assert not torch.allclose(one.d(images, own), expected, atol=0.05)
        initialise(one, unlabelled)
        torch.testing.assert_close(one.d(images, own), expected, rtol=1e-3, atol=1e-3)


def test_a_generator_that_gets_labels_draws_what_it_drew_with_each_class_apart(unlabelled):
    before = system("conditional=false", "mapping_layers=2")
    initialise(before, unlabelled)
    one = system("mapping_layers=2")
    said = initialise(one, unlabelled)
    assert "of G" in said and "of D" in said
    z = torch.randn(400, 8, generator=torch.Generator().manual_seed(0))
    for new, old in ((one.g, before.g), (one.averages["EMA"], before.averages["EMA"])):
        fc0, c = new.mapping.fc0.weight, torch.eye(2)[torch.arange(400) % 2]
        assert torch.equal(fc0[:, :8], old.mapping.fc0.weight)
        with torch.no_grad():
            ws = old.mapping(z)
            torch.testing.assert_close(new.synthesis(ws[:4]), old.synthesis(ws[:4]))
            w, own = ws[:, 0], new.mapping(z, c)[:, 0]
        assert 0.5 < own.std() / w.std() < 1.6  # as widely spread as before
        apart = (own[0::2].mean(dim=0) - own[1::2].mean(dim=0)).norm()
        assert apart > 0.3 * own.std(dim=0).norm()


def test_a_conditional_run_trains_from_one_without_labels_and_from_its_model(
    unlabelled, labelled, tmp_path
):
    settings = [*CONDITIONAL, "mapping_layers=2", "total_kimg=0.016"]
    for name, start in (("a", unlabelled), ("b", unlabelled / "model.safetensors")):
        said: list[str] = []
        extra = [*settings, f"init={start}"]
        result = train(PRESET, labelled, tmp_path / name, extra, say=said.append)
        assert result.outcome == "finished"
        assert sum(line.startswith("copied ") for line in said) == 1


class BrightOrNot(SyntheticImages):
    """Dark images, or, where their one attribute is 1, bright ones."""

    def __init__(self, resolution, count=64):
        super().__init__(resolution, count)
        self.labels = (torch.arange(count) % 2).float()[:, None]

    def images(self, indices):
        noise = super().images(indices).float() / 16
        return (noise + 40 + 140 * (indices % 2)[:, None, None, None]).to(torch.uint8)


def test_an_attribute_is_drawn_although_its_absence_is_a_label_of_zeros():
    settings = ("batch=16", "pl_weight=0", "style_mixing=0", "lr=0.01", "r1_gamma=1")
    one = system(*settings, data=BrightOrNot(8))
    for step in range(120):
        one.step(step)
    images, columns = one.grid()
    assert columns == 2
    means = images.mean(dim=[1, 2, 3])
    assert means[0::2].min() > means[1::2].max() + 0.3  # the column of 1 stands first


DIGITS = [
    "resolution=16", "conditional=true", "mirror=false", "style_mixing=0", "amp=none", "threads=1",
    "report=false",
]  # fmt: skip


def share_right(generator, count):
    """How many samples an independent classifier takes for the class that was asked for."""
    right = []
    for k in range(10):
        images = torch.stack(list(sample_images(generator, range(count), class_index=k)))
        right.append(classify(images).eq(k).float().mean())
    return float(torch.stack(right).mean())


def test_digits_soon_look_like_their_classes(tmp_path):
    """The small form of the check below; chance is 0.1."""
    settings = ["batch=16", "channel_base=128", "channel_max=32", "z_dim=16", "w_dim=32",
                "mapping_layers=1", "lr=0.01", "r1_gamma=1", "ema_kimg=0.3"]  # fmt: skip
    config = override(PRESETS[PRESET].config, [*DIGITS, *settings])
    data = open_images(write_digits(tmp_path / "digits.zip"), 16, tmp_path, "images")
    one = build(config, Feed(data, config, 0, 1), Ranks(0, 1, torch.device("cpu")))
    for step in range(240):
        one.step(step)
    assert share_right(one.averages["EMA"], 20) > 0.5


@pytest.mark.skipif(not FULL, reason="set GANVAS_FULL_CHECKS=1; takes minutes")
@pytest.mark.slow
def test_digits_are_drawn_as_their_classes(tmp_path):
    """The full form, on the file that a run leaves."""
    settings = ["batch=32", "channel_base=256", "channel_max=64", "z_dim=64", "w_dim=64",
                "mapping_layers=2", "lr=0.005", "r1_gamma=0.3", "ema_kimg=1",
                "total_kimg=40"]  # fmt: skip
    data = write_digits(tmp_path / "digits.zip")
    result = train(PRESET, data, tmp_path / "run", [*DIGITS, *settings], say=silent)
    assert share_right(ganvas.load(result.model).generator, 50) > 0.8
