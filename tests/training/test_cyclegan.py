"""CycleGAN: two domains whose translation is known, its pool, exact continuation."""

import json
import signal
import subprocess

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from ganvas.core import checkpoints
from ganvas.core.errors import InputError
from ganvas.training import train
from ganvas.training.image_pool import ImagePool
from ganvas.training.streams import Stream
from ganvas.training.transfer import initialise

from .image_sets import (
    SIZE,
    assert_same_run,
    rotate,
    small_system,
    smooth_images,
    write_domains,
    write_pairs,
)

PRESET = "cyclegan-64"
SMALL = [
    f"resolution={SIZE}",
    "batch=4",
    "ngf=8",
    "ndf=8",
    "d_layers=1",
    "num_blocks=1",
    "pool=6",
    "heldout=4",
    "amp=none",
    "threads=1",
    "lr=0.001",
    "ema_kimg=0.02",
    "decay_kimg=0",
    "report=false",
]


def system(data, folder, *extra):
    return small_system(PRESET, [*SMALL, *extra], data, folder)


def ticks(folder):
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == "tick"]


def as_input(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def test_images_take_on_the_other_domain_and_come_back(tmp_path):
    """A classifier that never saw the networks takes translations for the other domain's."""
    one = system(write_domains(tmp_path / "domains", 64), tmp_path, "identity_weight=0")
    before = one.evaluate()
    for step in range(200):
        one.step(step)
    after = one.evaluate()
    assert after["cycle"] < 0.5 * before["cycle"]

    a, b = smooth_images(60, 7), rotate(smooth_images(60, 8))
    rows = np.concatenate([a, b])[:, ::4, ::4].reshape(120, -1)
    judge = LogisticRegression(max_iter=1000).fit(rows, np.repeat([0, 1], 60))
    fresh = smooth_images(20, 9)
    with torch.no_grad():
        forth = one.averages["EMA_AB"](as_input(fresh))
        back = one.averages["EMA_BA"](as_input(rotate(fresh)))
    for made, domain in ((forth, 1), (back, 0)):
        pixels = made.add(1).mul(127.5).permute(0, 2, 3, 1).numpy()
        assert (judge.predict(pixels[:, ::4, ::4].reshape(20, -1)) == domain).mean() > 0.9


def pool(size=4):
    return ImagePool(size, (1, 2, 2), seed=3, stream=Stream.POOL_A, device=torch.device("cpu"))


def fakes(first, last):
    return torch.arange(first, last).float()[:, None, None, None].expand(-1, 1, 2, 2)


def shown_by(one, first, last):
    return one.exchange(fakes(first, last), np.arange(first, last))[:, 0, 0, 0].long().tolist()


def test_the_pool_does_not_depend_on_the_cut_of_the_batches():
    whole, cut = pool(), pool()
    expected = shown_by(whole, 0, 40)
    assert [x for k in range(0, 40, 5) for x in shown_by(cut, k, k + 5)] == expected
    assert torch.equal(whole.images, cut.images)


def test_the_pool_exchanges_about_half_and_loses_nothing():
    one = pool(10)
    shown = shown_by(one, 0, 400)
    assert shown[:10] == list(range(10))
    exchanged = sum(number != place for place, number in enumerate(shown))
    assert 150 < exchanged < 240
    kept = one.images[:, 0, 0, 0].long().tolist()
    assert all(number <= place for place, number in enumerate(shown))
    # The first ones were shown when they were kept as well; every other image is somewhere once.
    assert sorted(x for x in shown + kept if x >= 10) == list(range(10, 400))


def test_a_pool_of_nothing_gives_every_image_back():
    assert shown_by(pool(0), 0, 9) == list(range(9))


def test_domains_are_drawn_independently(tmp_path):
    one = system(write_domains(tmp_path / "domains", 16), tmp_path, "mirror=false")
    seen = [(batch.images, batch.targets) for step in range(15) for batch in one.feed.batch(step)]
    for column, count in ((0, 12), (1, 15)):
        images = torch.cat([pair[column] for pair in seen])
        assert len({bytes(image.contiguous().numpy()) for image in images}) == count
    heldout = one.feed.heldout_batch()
    assert heldout.images.shape == heldout.targets.shape == (4, 3, SIZE, SIZE)
    known = {bytes(image.contiguous().numpy()) for _, images in seen for image in images}
    assert not known & {bytes(image.contiguous().numpy()) for image in heldout.targets}


CHILD = """
import os, signal, sys
from ganvas.training import train

preset, data, folder, count, *settings = sys.argv[1:]
ticks = []

def say(text):
    if text.startswith("kimg"):
        ticks.append(text)
        if len(ticks) == int(count):
            os.kill(os.getpid(), signal.SIGKILL)

train(preset, data, folder, settings, say=say)
"""

RUN = [*SMALL, "tick_kimg=0.004", "snapshot_kimg=0.008", "total_kimg=0.024"]
RUN += ["decay_from_kimg=0.008", "decay_kimg=0.032"]


def all_systems(folder):
    """Data and settings of six small steps of each system of this family."""
    domains, pairs = write_domains(folder / "domains"), write_pairs(folder / "pairs")
    shared = [text for text in RUN if not text.startswith(("num_blocks", "pool"))]
    vae = ["resolution=16", "batch=4", "z_dim=6", "base_channels=8", "channel_max=16", "heldout=4"]
    vae += ["amp=none", "threads=1", "tick_kimg=0.004", "snapshot_kimg=0.008", "total_kimg=0.024"]
    vae += ["swd_images=0", "watch_images=0", "report=false"]
    images = str(folder / "pairs" / "A")
    return {
        PRESET: (domains, RUN),
        "pix2pix-64": (pairs, shared),
        "vae-64": (images, vae),
        "vae-gan-64": (images, [*vae, "feature_level=1"]),
    }


@pytest.mark.parametrize(
    "preset,workers", [(PRESET, 0), (PRESET, 2), ("pix2pix-64", 2), ("vae-gan-64", 2)]
)
def test_a_killed_run_ends_in_the_same_bits(preset, workers, tmp_path, run_child):
    data, settings = all_systems(tmp_path)[preset]
    threaded = [*settings, f"workers={workers}"]
    folder = tmp_path / "killed"
    died: subprocess.CompletedProcess[str] = run_child(
        CHILD, preset, data, str(folder), "5", *threaded, folder=tmp_path
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    train(preset, data, folder, threaded, say=str)
    train(preset, data, tmp_path / "whole", settings, say=str)
    assert_same_run(folder, tmp_path / "whole")


def test_both_directions_load_from_the_model_file(tmp_path):
    data = write_domains(tmp_path / "domains")
    train(PRESET, data, tmp_path / "run", [*RUN, "total_kimg=0.008"], say=str)
    path = tmp_path / "run" / "model.safetensors"
    forth = checkpoints.load(path)
    back = checkpoints.load(path, network="B_to_A")
    assert forth.arch == back.arch == "cyclegan-resnet"
    assert forth.networks == ("A_to_B", "B_to_A")
    assert "model.10.conv_block.1.weight" in forth.network.state_dict()
    other = system(data, tmp_path, "seed=7")
    initialise(other, path)
    for name, model in (("EMA_AB", forth), ("EMA_BA", back)):
        weights = model.network.state_dict()
        assert all(weights[key].equal(t) for key, t in other.averages[name].state_dict().items())
    img = torch.rand(1, 3, 21, 30) * 2 - 1
    assert forth.network(img).shape == back.network(img).shape == img.shape
    assert not torch.equal(forth.network(img), back.network(img))
    with pytest.raises(InputError, match="no network 'C', only A_to_B, B_to_A"):
        checkpoints.load(path, network="C")
    assert [network.name for network in checkpoints.inspect(path).networks] == [
        "A_to_B",
        "B_to_A",
    ]


RANKS = """
import sys
from ganvas.training import train

for run in sys.argv[1:]:
    preset, data, folder, *settings = run.split("|")
    train(preset, data, folder, settings, say=str)
"""


def test_two_ranks_equal_one(tmp_path, run_child):
    """All systems of this family in one pair of processes."""
    tests = all_systems(tmp_path)
    runs = []
    for preset, (data, settings) in tests.items():
        train(preset, data, tmp_path / "one" / preset, settings, say=str)
        runs.append("|".join([preset, data, str(tmp_path / "two" / preset), *settings]))
    module = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    done = run_child(RANKS, *runs, module=module, folder=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    for preset in tests:
        one, two = (ticks(tmp_path / name / preset) for name in ("one", "two"))
        assert len(one) == len(two) == 6
        for a, b in zip(one, two, strict=True):
            for name in set(a) - {"event", "s_per_kimg", "memory_gib", "histograms"}:
                assert b[name] == pytest.approx(a[name], rel=3e-3, abs=3e-3), (preset, name)


NARROW = {
    PRESET: ["ngf=4", "ndf=4", "num_blocks=1"],
    "pix2pix-64": ["ngf=4", "ndf=4", "loss=hinge"],
    "vae-64": ["base_channels=4", "channel_max=4"],
    "cvae-64": ["base_channels=4", "channel_max=4", "free_nats=0.1"],
    "vae-gan-64": ["base_channels=4", "channel_max=4", "conditional=true"],
}


@pytest.mark.parametrize("preset", NARROW)
def test_a_dry_run_takes_two_steps_in_bfloat16(preset):
    said = []
    settings = ["resolution=32", "amp=bf16", "threads=1", "grad_accum=2", *NARROW[preset]]
    result = train(preset, None, None, settings, dry_run=True, say=said.append)
    assert (result.outcome, result.images, result.model) == ("finished", 8, None)
    assert sum(line.startswith("kimg") for line in said) == 2
    assert "nan" not in " ".join(said).lower()


def test_data_of_another_kind_are_refused(tmp_path, images_zip):
    for data, came in ((images_zip, "single images"), (write_pairs(tmp_path / "p"), "pairs")):
        with pytest.raises(InputError, match=rf"learns from two domains.*the data are {came}"):
            train(PRESET, data, tmp_path / "run", SMALL, say=str)
    with pytest.raises(InputError, match="expected two paths, like domains:horses,zebras"):
        train(PRESET, f"domains:{images_zip}", tmp_path / "run", SMALL, say=str)
    assert not (tmp_path / "run").exists()
