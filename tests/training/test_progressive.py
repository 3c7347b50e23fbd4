"""PGGAN and StyleGAN1: the schedule of growth, the fade-in, exact resume, files on the way."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ganvas.core import checkpoints
from ganvas.core.errors import InputError
from ganvas.core.models import pggan, stylegan1_discriminator
from ganvas.core.models.progressive import doubled, halved
from ganvas.training import snapshot, train
from ganvas.training.config import override
from ganvas.training.configs.progressive import Stage
from ganvas.training.distributed import Ranks
from ganvas.training.feed import Feed
from ganvas.training.images import SyntheticImages
from ganvas.training.presets import PRESETS
from ganvas.training.systems import build
from ganvas.training.systems.progressive import at_stage

SMALL = [
    "resolution=16",
    "start_resolution=4",
    "batch=8",
    "z_dim=8",
    "channel_base=64",
    "channel_max=8",
    "stable_kimg=0.016",
    "fade_kimg=0.032",
    "total_kimg=0.12",
    "tick_kimg=0.008",
    "snapshot_kimg=0.04",
    "amp=none",
    "threads=1",
    "watch_images=8",
    "report=false",
]
SYSTEMS = {"pggan-64": [], "stylegan1-64": ["w_dim=8", "mapping_layers=1"]}


def settings_of(preset, *extra):
    return [*SMALL, *SYSTEMS[preset], *extra]


def system_of(preset, *extra):
    config = override(PRESETS[preset].config, settings_of(preset, *extra))
    feed = Feed(SyntheticImages(16), config, 0, 1)
    return build(config, feed, Ranks(0, 1, torch.device("cpu")))


def test_a_resolution_fades_in_and_then_stays():
    config = override(PRESETS["pggan-64"].config, SMALL)
    stages = [config.stage(step) for step in range(16)]
    half = [Stage(8, 0.25), Stage(8, 0.5), Stage(8, 0.75), Stage(8, 1.0)]
    assert stages[:2] == [Stage(4, 1.0)] * 2
    assert stages[2:6] == half
    assert stages[6:8] == [Stage(8, 1.0)] * 2
    assert stages[8:12] == [Stage(16, stage.alpha) for stage in half]
    assert stages[12:] == [Stage(16, 1.0)] * 4
    assert config.growth_kimg == pytest.approx(0.096)


@given(
    batch=st.sampled_from([4, 8, 12, 64]),
    stable=st.floats(0, 1),
    fade=st.floats(0, 1),
    start=st.sampled_from([4, 8, 32, 64]),
)
def test_growth_never_goes_back(batch, stable, fade, start):
    changes = [f"batch={batch}", f"stable_kimg={stable}", f"fade_kimg={fade}"]
    base = PRESETS["pggan-64"].config
    config = override(base, [*changes, f"start_resolution={start}", "total_kimg=100"])
    stages = [config.stage(step) for step in range(0, round(9000 / batch))]
    assert stages == sorted(stages)
    assert stages[-1] == Stage(64, 1.0)
    assert all(0 < stage.alpha <= 1 for stage in stages)


def test_a_run_too_short_to_grow_is_refused():
    with pytest.raises(InputError, match=r"total_kimg must be at least 0.096, .* got 0.09"):
        override(PRESETS["pggan-64"].config, [*SMALL, "total_kimg=0.09"])
    with pytest.raises(InputError, match=r"start_resolution must be a power of two of 4..16"):
        override(PRESETS["pggan-64"].config, [*SMALL, "start_resolution=32"])


def test_real_images_fade_in_as_fakes_do():
    images = torch.rand(2, 3, 16, 16)
    small = at_stage(images, Stage(8, 1.0))
    torch.testing.assert_close(small, images.unflatten(3, (8, 2)).unflatten(2, (8, 2)).mean((3, 5)))
    nearly_old = at_stage(images, Stage(16, 1e-9))
    torch.testing.assert_close(nearly_old[:, :, ::2, 1::2], small)
    torch.testing.assert_close(at_stage(images, Stage(16, 0.5)), (images + nearly_old) / 2)


@pytest.mark.parametrize("preset", SYSTEMS)
def test_a_resolution_that_has_not_faded_in_shows_the_one_before(preset):
    system = system_of(preset)
    g, d = (system.networks[name].eval() for name in "GD")
    z, images = torch.randn(4, 8), torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        before = g(z, resolution=8)
        torch.testing.assert_close(g(z, resolution=16, alpha=0.0), doubled(before), rtol=0, atol=0)
        assert not torch.equal(g(z, resolution=16), doubled(before))
        seen = d(images, resolution=16, alpha=0.0)
        torch.testing.assert_close(seen, d(halved(images), resolution=8), rtol=0, atol=0)
        assert not torch.equal(seen, d(images, resolution=16))


def test_each_system_has_the_discriminator_of_its_paper():
    """StyleGAN1's blurs before it halves (Karras et al. 2019, section 2), PGGAN's does not."""
    kinds = {"pggan-64": pggan.Discriminator, "stylegan1-64": stylegan1_discriminator.Discriminator}
    for preset, kind in kinds.items():
        d = system_of(preset).networks["D"]
        assert isinstance(d, kind)
        assert d.config.mbstd_group_size == 4


@pytest.mark.parametrize("preset", SYSTEMS)
def test_layers_to_come_rest_until_their_resolution(preset):
    system = system_of(preset)
    before = {name: tensor.clone() for name, tensor in system.networks["G"].state_dict().items()}
    for step in range(2):
        system.step(step)
    after = system.networks["G"].state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    if preset == "pggan-64":
        grown = {name for name in before if name.startswith(("scaleLayers", "toRGBLayers.1"))}
        first = "toRGBLayers.0.module.weight"
    else:
        grown = {name for name in before if name.startswith(("synthesis.b8", "synthesis.b16"))}
        first = "synthesis.b4.torgb.weight"
        assert "mapping.w_avg" in moved
    assert first in moved and grown and not moved & grown


@pytest.mark.parametrize("preset", SYSTEMS)
def test_from_the_middle_of_a_fade_it_continues_exactly(preset, tmp_path, images_zip):
    settings = settings_of(preset)
    train(preset, images_zip, tmp_path / "a", settings, say=str)
    short = [*settings, "snapshot_kimg=0.072"]  # in the second fade
    train(preset, images_zip, tmp_path / "b", short, say=str)
    resume = tmp_path / "b" / "training-state-0000000072.safetensors"
    train(preset, images_zip, tmp_path / "c", settings, resume=resume, say=str)
    first, second = (snapshot.read(snapshot.find_state(tmp_path / name)).tensors for name in "ac")
    assert first.keys() == second.keys()
    assert all(first[key].equal(second[key]) for key in first)


@pytest.mark.parametrize("preset", SYSTEMS)
def test_a_file_on_the_way_holds_the_network_as_far_as_it_has_grown(preset, tmp_path, images_zip):
    train(preset, images_zip, tmp_path, settings_of(preset), say=str)
    files = sorted(tmp_path.glob("model-*.safetensors"))
    sizes = {}
    for path in files:
        model = checkpoints.load(path)
        with torch.no_grad():
            image = model.generator(torch.randn(2, 8))
        assert torch.isfinite(image).all()
        sizes[path.stem] = image.shape[-1]
    assert sizes == {"model-0000000080": 16, "model-0000000120": 16}
    system = system_of(preset)
    system.step(0)
    assert system.model({}).config["img_resolution"] == 4
    images, _ = system.grid()
    assert images.shape == (64, 3, 16, 16)
    assert torch.equal(images[:, :, ::4, ::4], images[:, :, 3::4, 3::4])


@pytest.mark.parametrize("preset", SYSTEMS)
def test_two_parts_take_the_step_of_one(preset):
    one, two = system_of(preset), system_of(preset, "grad_accum=2")
    for step in range(6):
        one.step(step)
        two.step(step)
        whole, halves = (system.meter.drain(system.ranks) for system in (one, two))
        assert halves == pytest.approx(whole, rel=2e-3, abs=2e-3)
