"""Growing by transfer: a larger network starts where the smaller one ended."""

import os

import pytest
import torch
from torch.nn import functional

from ganvas.core import checkpoints
from ganvas.core.errors import InputError
from ganvas.core.models.layers import upsample
from ganvas.training import snapshot, train
from ganvas.training.config import override
from ganvas.training.distributed import Ranks
from ganvas.training.feed import Feed
from ganvas.training.images import SyntheticImages
from ganvas.training.presets import PRESETS
from ganvas.training.systems.stylegan2 import StyleGAN2System
from ganvas.training.transfer import initialise


@pytest.fixture(scope="module")
def small(tmp_path_factory, images_zip):
    """A finished run at 8 px."""
    from .conftest import TINY

    folder = tmp_path_factory.mktemp("small") / "run"
    train("stylegan2-faces-16", images_zip, folder, TINY, say=lambda text: None)
    return folder


def larger(tiny: list[str], *extra: str) -> StyleGAN2System:
    config = override(PRESETS["stylegan2-faces-32"].config, [*tiny, "resolution=16", *extra])
    ranks = Ranks(0, 1, torch.device("cpu"))
    return StyleGAN2System(config, Feed(SyntheticImages(16), config, 0, 1), ranks)


def test_larger_generator_starts_as_the_smaller_one_up_sampled(small, tiny):
    system = larger(tiny)
    initialise(system, small)
    before = checkpoints.load(small / "model.safetensors").generator
    z = torch.randn(4, 8)
    with torch.no_grad():
        expected = before(z, noise_mode="const")
        found = system.averages["EMA"](z, noise_mode="const")
    f = before.synthesis.b8.resample_filter
    torch.testing.assert_close(found, upsample(expected, f), rtol=1e-4, atol=1e-5)


def test_every_tensor_of_equal_name_and_shape_is_copied(small, tiny):
    system = larger(tiny)
    initialise(system, small)
    source = snapshot.read(snapshot.find_state(small)).tensors
    for name, module in (system.networks | system.averages).items():
        own = module.state_dict()
        shared = [key for key in own if f"{name}.{key}" in source]
        assert len(shared) > 8
        assert all(torch.equal(own[key], source[f"{name}.{key}"]) for key in shared)


def test_discriminator_goes_on_seeing_what_it_knew(small, tiny):
    """On flat colours the new block gives nearly what the old first layer gave."""
    system = larger(tiny, "channel_base=64")
    colours = torch.rand(100, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    flat = colours[:, :, None, None].expand(-1, -1, 16, 16)
    source = snapshot.read(snapshot.find_state(small)).tensors
    weight, bias = source["D.b8.fromrgb.weight"], source["D.b8.fromrgb.bias"]
    linear = colours @ weight[:, :, 0, 0].T / 3**0.5 + bias
    wanted = functional.leaky_relu(linear, 0.2) * 2**0.5

    def error() -> float:
        with torch.no_grad():
            x, _ = system.d.b16(None, flat)
        return float((x[:, :, 3:5, 3:5].mean(dim=[2, 3]) - wanted).norm() / wanted.norm())

    before = error()
    initialise(system, small)
    assert before > 0.9
    assert error() < 0.7


def test_a_larger_run_trains_from_a_smaller_one(small, tiny, tmp_path, images_zip):
    said: list[str] = []
    settings = [*tiny, "resolution=16", f"init={small}", "total_kimg=0.024"]
    result = train("stylegan2-faces-32", images_zip, tmp_path / "run", settings, say=said.append)
    assert result.outcome == "finished"
    assert any(line.startswith("copied ") for line in said)
    said.clear()
    train(
        "stylegan2-faces-32", images_zip, tmp_path / "run", [*settings, "total_kimg=0.048"],
        say=said.append,
    )  # fmt: skip
    assert not any(line.startswith("copied ") for line in said)  # a continued run is not reset


def test_a_model_file_gives_generator_and_average(small, tiny):
    system = larger(tiny)
    text = initialise(system, small / "model.safetensors")
    assert "of G" in text and "of EMA" in text and "of D" not in text


def test_nothing_in_common_is_an_input_error(small, tiny, tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "state.safetensors"
    meta = {
        "ganvas.state": "1", "preset": "x", "config": "{}", "counters": "{}",
        "step": "0", "images": "0",
    }  # fmt: skip
    save_file({"G.other": torch.zeros(1)}, path, metadata=meta)
    with pytest.raises(InputError, match="shares no tensor"):
        initialise(larger(tiny), path)
    with pytest.raises(InputError):
        initialise(larger(tiny), tmp_path / "missing.safetensors")


@pytest.mark.skipif(os.name == "nt", reason="needs named pipes")
def test_a_pipe_is_refused_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert not snapshot.is_state(tmp_path / "pipe")
