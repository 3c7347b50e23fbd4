"""pix2pix: what it asks of data, its noise, baselines on held-out pairs, exact continuation."""

import json

import pytest
import torch
from PIL import Image

from ganvas.core import checkpoints
from ganvas.core.errors import InputError
from ganvas.core.models.patchgan import PatchGAN
from ganvas.core.models.pix2pix_unet import Pix2PixUNet
from ganvas.training import train
from ganvas.training.config import override
from ganvas.training.presets import PRESETS

from .image_sets import SIZE, assert_same_run, small_system, write_domains, write_pairs

PRESET = "pix2pix-64"
SMALL = [
    f"resolution={SIZE}",
    "batch=4",
    "ngf=8",
    "ndf=8",
    "d_layers=1",
    "heldout=4",
    "amp=none",
    "threads=1",
    "lr=0.002",
    "ema_kimg=0.02",
    "decay_kimg=0",
    "report=false",
]


def system(data, folder, *extra):
    return small_system(PRESET, [*SMALL, *extra], data, folder)


def test_four_pairs_are_learnt_by_heart(tmp_path):
    one = system(write_pairs(tmp_path / "pairs", 8), tmp_path, "mirror=false", "dropout=false")
    for step in range(120):
        one.step(step)
    batch = one.feed.first_batch(4)
    source, target = one.reals(batch.images), one.reals(batch.targets)
    with torch.no_grad():
        distance = float((one.averages["EMA"](source) - target).abs().mean())
    copied = float((source - target).abs().mean())
    mean = float((target - target.mean(dim=0)).abs().mean())
    assert distance < 0.35 * mean < mean < copied


def test_held_out_pairs_are_translated_better_than_by_the_baselines(tmp_path):
    one = system(write_pairs(tmp_path / "pairs", 40), tmp_path)
    before = one.evaluate()
    for step in range(120):
        one.step(step)
    after = one.evaluate()
    for name in ("copy", "mean"):
        assert before[f"psnr_{name}"] == after[f"psnr_{name}"]
        assert after["psnr"] > after[f"psnr_{name}"] + 2
        assert after["l1"] < 0.8 * after[f"l1_{name}"]


@pytest.mark.parametrize("layers,patch", [(1, 16), (2, 34), (3, 70)])
def test_a_logit_sees_a_patch_of_the_published_size(layers, patch):
    network = PatchGAN(in_channels=1, ndf=2, num_layers=layers, norm="none").double()
    img = torch.rand(1, 1, 128, 128, dtype=torch.float64, requires_grad=True)
    logits = network(img)
    middle = logits.shape[2] // 2
    logits[0, 0, middle, middle].backward()
    assert img.grad is not None
    rows = img.grad[0, 0].abs().sum(dim=1).nonzero()
    assert int(rows.max() - rows.min()) + 1 == patch


def test_images_and_targets_are_mirrored_together(tmp_path):
    one = system(write_pairs(tmp_path / "pairs"), tmp_path)
    flipped = 0
    for step in range(6):
        (batch,) = one.feed.batch(step)
        assert torch.equal(batch.targets, batch.images[:, [1, 2, 0]])
        known = {bytes(image.numpy()) for image in one.feed.first_batch(99).images}
        flipped += sum(bytes(image.contiguous().numpy()) not in known for image in batch.images)
    assert 0 < flipped < 24


def test_dropout_depends_on_the_sample_alone(tmp_path):
    one = system(write_pairs(tmp_path / "pairs"), tmp_path)
    one.g = Pix2PixUNet(num_downs=6, ngf=4, norm="instance").eval()  # the smallest with dropout
    source = torch.rand(4, 3, 64, 64) * 2 - 1
    sample = torch.arange(10, 14).numpy()
    with torch.no_grad():
        whole = one._translate(source, sample)
        torch.testing.assert_close(one._translate(source[1:2], sample[1:2]), whole[1:2])
        assert not torch.allclose(one._translate(source, sample + 4), whole)


def test_learning_rates_fall_to_nothing(tmp_path):
    one = system(
        write_pairs(tmp_path / "pairs"), tmp_path, "decay_from_kimg=0.008", "decay_kimg=0.016"
    )
    rates = []
    for step in range(8):
        one.set_learning_rates(step)
        rates.append({group["lr"] for o in one._optimizers.values() for group in o.param_groups})
    assert rates == [{0.002}] * 3 + [{0.0015}, {0.001}, {0.0005}, {0}, {0}]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_continues_exactly_and_its_model_loads(workers, tmp_path):
    data = write_pairs(tmp_path / "pairs")
    settings = [*SMALL, "tick_kimg=0.004", "snapshot_kimg=0.008", "total_kimg=0.024"]
    settings += ["decay_from_kimg=0.008", "decay_kimg=0.016"]
    train(PRESET, data, tmp_path / "a", settings, say=str)
    short = [*settings, "total_kimg=0.016", f"workers={workers}"]
    train(PRESET, data, tmp_path / "b", short, say=str)
    train(PRESET, data, tmp_path / "b", settings, say=str)
    assert_same_run(tmp_path / "a", tmp_path / "b")
    lines = [json.loads(line) for line in (tmp_path / "a" / "log.jsonl").read_text().splitlines()]
    shots = [line for line in lines if line["event"] == "snapshot"]
    assert all({"psnr", "psnr_copy", "psnr_mean"} <= shot.keys() for shot in shots)

    with Image.open(tmp_path / "a" / "reals.png") as sheet:  # rows of images above their targets
        assert sheet.size == (8 * SIZE + 7 * 2, 4 * SIZE + 3 * 2)

    model = checkpoints.load(tmp_path / "a" / "model.safetensors")
    assert model.arch == "pix2pix-unet"
    assert model.network(torch.zeros(1, 3, 48, 40)).shape == (1, 3, 48, 40)
    assert "model.model.0.weight" in model.network.state_dict()


def test_accumulation_changes_nothing(tmp_path):
    data = write_pairs(tmp_path / "pairs")
    means = []
    for parts in (1, 2):
        one = system(data, tmp_path, f"grad_accum={parts}", "loss=least-squares")
        for step in range(3):
            one.step(step)
        means.append(one.meter.drain(one.ranks) | one.evaluate())
    assert means[0] == pytest.approx(means[1], rel=2e-3, abs=2e-3)


def test_data_of_another_kind_are_refused(tmp_path, images_zip):
    for data, came in ((images_zip, "single images"), (write_domains(tmp_path / "d"), "two dom")):
        with pytest.raises(InputError, match=rf"learns from pairs of images.*the data are {came}"):
            train(PRESET, data, tmp_path / "run", SMALL, say=str)
    with pytest.raises(InputError, match=r"learns from single images.*the data are pairs"):
        train("vae-64", write_pairs(tmp_path / "p"), tmp_path / "run", ["resolution=16"], say=str)
    assert not (tmp_path / "run").exists()


def test_patches_larger_than_the_images_are_refused():
    with pytest.raises(InputError, match="resolution must be at least 24 with d_layers=3, got 16"):
        override(PRESETS[PRESET].config, ["resolution=16", "d_layers=3"])
