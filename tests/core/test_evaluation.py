"""Measuring models: exact answers for copies, and a sentence where a metric does not fit."""

from dataclasses import asdict

import pytest
import torch

from ganvas.core.checkpoints import load, save
from ganvas.core.data import open_dataset
from ganvas.core.errors import InputError
from ganvas.core.evaluation import measure
from ganvas.core.images import save_png
from ganvas.core.models.stylegan2 import Generator
from ganvas.core.models.unet import RestorationUNet

COUNT, SIZE = 6, 16


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    rng = torch.Generator().manual_seed(0)
    for index in range(COUNT):
        save_png(folder / f"{index}.png", torch.rand(SIZE, SIZE, 3, generator=rng))
    return open_dataset(folder)


def _saved(path, arch, network):
    save(path, arch=arch, config=asdict(network.config), tensors=network.state_dict(), training={})
    return load(path)


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    torch.manual_seed(0)
    network = Generator(
        z_dim=8, w_dim=8, img_resolution=SIZE, channel_base=64, channel_max=8, num_mapping_layers=2
    )
    path = tmp_path_factory.mktemp("generator") / "g.safetensors"
    return _saved(path, "stylegan2-generator", network)


@pytest.fixture(scope="module")
def restorer(tmp_path_factory):
    network = RestorationUNet(base_channels=4, channel_max=8, num_levels=2)
    path = tmp_path_factory.mktemp("restorer") / "r.safetensors"
    return _saved(path, "restore-unet", network)


def test_a_set_is_at_distance_zero_from_itself_and_as_diverse(real):
    numbers = measure(["swd", "diversity"], real, real, COUNT)
    assert numbers["swd_mean"] == 0
    assert numbers["diversity_ratio_full"] == pytest.approx(1)


def test_a_random_generator_is_far_from_real_images(real, generator):
    numbers = measure(["swd", "diversity"], real, generator, COUNT)
    assert numbers["swd_mean"] > 10
    assert numbers["diversity_ratio_full"] != pytest.approx(1, abs=1e-3)


def test_restoration_is_listed_beside_its_baselines(real, restorer):
    numbers = measure(["psnr", "ssim"], real, restorer, COUNT)
    versions = ("restored", "degraded", "bicubic", "median")
    assert set(numbers) == {f"{m}_{v}" for m in ("psnr", "ssim") for v in versions}
    assert 5 < numbers["psnr_degraded"] < 40
    assert 0 < numbers["ssim_degraded"] < 1


@pytest.mark.parametrize(
    ("names", "model", "count", "sentence"),
    [
        (["fid"], "generator", COUNT, "expected names of swd"),
        (["psnr"], "generator", COUNT, "psnr needs a restorer"),
        (["swd"], "restorer", COUNT, "swd needs a generator"),
        (["swd"], "generator", COUNT + 1, "expected a count of 2..6"),
        (["psnr"], "generator", COUNT + 1, "psnr needs a restorer as --fake, got a stylegan2"),
        (["swd", "swd"], "generator", COUNT, "every name once, got 'swd' twice"),
        (["swd"], "generator", 1, "expected a count of 2..6"),
    ],
)
def test_what_does_not_fit_is_refused(real, names, model, count, sentence, request):
    with pytest.raises(InputError, match=sentence):
        measure(names, real, request.getfixturevalue(model), count)
