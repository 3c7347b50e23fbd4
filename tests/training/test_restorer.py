"""Training the restoration U-Net: damage by sample, held-out faces, exact resume."""

import json

import numpy as np
import pytest
import torch

from ganvas.core import checkpoints
from ganvas.core.errors import InputError
from ganvas.training import snapshot, train
from ganvas.training.config import override
from ganvas.training.distributed import Ranks
from ganvas.training.feed import Feed
from ganvas.training.images import SyntheticImages
from ganvas.training.presets import PRESETS
from ganvas.training.systems.restorer import RestorerSystem

SMALL = [
    "resolution=16",
    "batch=4",
    "base_channels=4",
    "channel_max=8",
    "num_levels=2",
    "d_channels=4",
    "amp=none",
    "threads=1",
    "heldout=4",
    "tick_kimg=0.004",
    "snapshot_kimg=0.008",
    "total_kimg=0.024",
    "gan_start_kimg=0.008",
    "r1_interval=2",
    "report=false",
]


def system(*extra: str) -> RestorerSystem:
    config = override(PRESETS["restore-unet"].config, [*SMALL, *extra])
    feed = Feed(SyntheticImages(16), config, 0, 1)
    return RestorerSystem(config, feed, Ranks(0, 1, torch.device("cpu")))


def test_a_run_logs_psnr_against_baselines_and_continues_exactly(tmp_path, images_zip):
    train("restore-unet", images_zip, tmp_path / "a", SMALL, say=lambda text: None)
    train("restore-unet", images_zip, tmp_path / "b", [*SMALL, "total_kimg=0.016"], say=str)
    train("restore-unet", images_zip, tmp_path / "b", SMALL, say=str)
    first, second = (snapshot.read(snapshot.find_state(tmp_path / name)).tensors for name in "ab")
    assert first.keys() == second.keys()
    assert all(first[key].equal(second[key]) for key in first)

    lines = [json.loads(line) for line in (tmp_path / "a" / "log.jsonl").read_text().splitlines()]
    shots = [line for line in lines if line["event"] == "snapshot"]
    keys = ("psnr", "psnr_degraded", "psnr_median", "psnr_bicubic")
    assert all(5 < shot[key] < 60 for shot in shots for key in keys)
    assert len({shot["psnr_degraded"] for shot in shots}) == 1
    ticks = [line for line in lines if line["event"] == "tick"]
    assert ["loss_d" in tick for tick in ticks] == [False, False, True, True, True, True]

    model = checkpoints.load(tmp_path / "a" / "model.safetensors")
    assert model.arch == "restore-unet"
    assert model.network(torch.zeros(1, 3, 16, 16)).shape == (1, 3, 16, 16)


def test_training_lowers_the_error():
    one = system("lr=0.01", "gan_weight=0", "batch=16", "ema_kimg=0", "heldout=32")
    before = one.evaluate()["psnr"]
    for step in range(100):
        one.step(step)
    assert one.evaluate()["psnr"] > before + 0.15


def test_held_out_faces_are_never_shown():
    config = override(PRESETS["restore-unet"].config, SMALL)
    seen: list[int] = []

    class Spy(SyntheticImages):
        def images(self, indices):
            seen.extend(indices.tolist())
            return super().images(indices)

    feed = Feed(Spy(16, 10), config, 0, 1)
    seen.clear()
    for step in range(20):
        feed.batch(step)
    assert set(seen) == set(range(10)) - {1, 3, 6, 8}
    with pytest.raises(InputError, match="more than 10 are needed"):
        Feed(SyntheticImages(16, 10), override(config, ["heldout=10"]), 0, 1)


def test_damage_is_a_function_of_the_sample():
    one = system()
    images = SyntheticImages(16).images(torch.arange(4))
    whole = one._damage(images, np.arange(4))
    assert torch.equal(one._damage(images[2:3], np.array([2])), whole[2:3])
    assert not torch.equal(one._damage(images[2:3], np.array([7])), whole[2:3])


def test_clean_share_one_leaves_inputs_as_they_are():
    one = system("clean_share=1")
    images = SyntheticImages(16).images(torch.arange(4))
    expected = images.float().mul(2 / 255).sub(1)
    torch.testing.assert_close(one._damage(images, np.arange(4)), expected, rtol=0, atol=1e-5)
