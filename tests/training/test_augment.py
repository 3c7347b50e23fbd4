"""ADA and DiffAugment: identity, independence of samples, gradients, and the controller."""

import pytest
import torch

from ganvas.training.ada import ADA_DRAWS, AdaptiveAugmenter, ada_augment, ada_update
from ganvas.training.config import override
from ganvas.training.diffaugment import DIFF_DRAWS, diff_augment
from ganvas.training.distributed import Ranks
from ganvas.training.meter import Meter
from ganvas.training.presets import PRESETS
from ganvas.training.streams import Stream, numbers, uniforms

ALONE = Ranks(0, 1, torch.device("cpu"))


def images(count: int = 6, size: int = 16) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def draws(count: int, width: int) -> torch.Tensor:
    return uniforms(0, Stream.AUGMENT_REAL, numbers(0, count), width)


@pytest.mark.parametrize("p", [0.0, torch.tensor(0.0)])
def test_probability_zero_changes_nothing(p):
    x = images()
    assert torch.equal(ada_augment(x, draws(6, ADA_DRAWS), p), x)


def test_probability_one_changes_every_image():
    x = images()
    y = ada_augment(x, draws(6, ADA_DRAWS), torch.tensor(1.0))
    assert y.shape == x.shape
    assert torch.isfinite(y).all()
    assert ((y - x).abs().amax(dim=[1, 2, 3]) > 0.05).all()


def test_share_of_changed_images_grows_with_p():
    x, u = images(200, 8), draws(200, ADA_DRAWS)
    changed = [
        ((ada_augment(x, u, torch.tensor(p)) - x).abs().amax(dim=[1, 2, 3]) > 1e-6).sum().item()
        for p in (0.0, 0.05, 0.2, 0.5)
    ]
    assert changed == sorted(changed)
    assert changed[0] == 0 and 40 < changed[1] < 160 and changed[3] > 190


@pytest.mark.parametrize("augment,width", [(ada_augment, ADA_DRAWS), (diff_augment, DIFF_DRAWS)])
def test_sample_does_not_depend_on_its_batch(augment, width):
    x, u = images(), draws(6, width)
    arguments = (torch.tensor(0.7),) if augment is ada_augment else ()
    whole = augment(x, u, *arguments)
    torch.testing.assert_close(
        augment(x[4:5], u[4:5], *arguments), whole[4:5], rtol=1e-5, atol=1e-5
    )


def only(index: int, values: dict[int, float]) -> torch.Tensor:
    """Draws in which one transform alone happens at p = 0.5, with given values."""
    u = torch.full((1, ADA_DRAWS), 0.9)
    u[:, index] = 0.0
    for place, value in values.items():
        u[:, 13 + place] = value
    return u


def test_mirror_is_exact():
    x = images(1)
    y = ada_augment(x, only(0, {0: 0.1}), 0.5)
    torch.testing.assert_close(y, x.flip(3), rtol=0, atol=1e-5)


def test_quarter_turns_are_exact():
    x = images(1)
    y = ada_augment(x, only(1, {1: 0.3}), 0.5)  # floor(0.3 * 4) = 1 turn
    turns = [torch.rot90(x, k, (2, 3)) for k in (1, 3)]
    assert min((y - turned).abs().max().item() for turned in turns) < 1e-4


def test_shift_moves_by_whole_pixels():
    x = images(1)
    y = ada_augment(x, only(2, {2: 0.99, 3: 0.5}), 0.5)  # round(0.98 * 2) = 2 pixels
    torch.testing.assert_close(y[..., :-2], x[..., 2:], rtol=0, atol=1e-4)


def test_luma_flip_mirrors_the_grey_axis():
    x = images(1)
    y = ada_augment(x, only(8, {10: 0.1}), 0.5)
    torch.testing.assert_close(y.mean(1), -x.mean(1), rtol=0, atol=1e-5)
    torch.testing.assert_close(y - y.mean(1, True), x - x.mean(1, True), rtol=0, atol=1e-5)


def test_hue_keeps_luma_and_chroma():
    x = images(1)
    y = ada_augment(x, only(9, {11: 0.8}), 0.5)
    torch.testing.assert_close(y.mean(1), x.mean(1), rtol=0, atol=1e-5)
    chroma = [(image - image.mean(1, True)).norm(dim=1) for image in (x, y)]
    torch.testing.assert_close(chroma[0], chroma[1], rtol=1e-4, atol=1e-5)
    assert (y - x).abs().max() > 0.1


@pytest.mark.parametrize("augment,width", [(ada_augment, ADA_DRAWS), (diff_augment, DIFF_DRAWS)])
def test_gradients_reach_the_images(augment, width):
    x = images().requires_grad_(True)
    arguments = (torch.tensor(0.5),) if augment is ada_augment else ()
    augment(x, draws(6, width), *arguments).square().sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().sum(dim=[1, 2, 3]) > 0).all()


def test_controller_moves_towards_its_target():
    p = torch.tensor(0.5)
    up = ada_update(p, torch.tensor(0.9), 0.6, 1000, 500)
    down = ada_update(p, torch.tensor(0.1), 0.6, 1000, 500)
    assert (up - p).item() == pytest.approx(0.002, rel=1e-4)
    assert (down - p).item() == pytest.approx(-0.002, rel=1e-4)
    assert ada_update(torch.tensor(0.0), torch.tensor(0.0), 0.6, 1000, 500) == 0
    assert ada_update(torch.tensor(1.0), torch.tensor(1.0), 0.6, 1000, 500) == 1


def test_controller_acts_every_interval_and_survives_a_restart():
    config = override(
        PRESETS["stylegan2-faces-16"].config,
        ["augment=ada", "ada_interval=2", "ada_kimg=0.1", "ada_target=0.5"],
    )
    first, meter = AdaptiveAugmenter(config, ALONE), Meter(ALONE.device)
    first.observe(torch.ones(8, 1))
    first.after_step(0, meter)
    assert first.p == 0
    second = AdaptiveAugmenter(config, ALONE)
    second.load_state(first.state())
    for augmenter in (first, second):
        augmenter.observe(torch.ones(8, 1))
        augmenter.after_step(1, meter)
        assert augmenter.p.item() == pytest.approx(16 / 100)


def test_diffaugment_cuts_a_square_of_half_the_side():
    u = torch.full((1, DIFF_DRAWS), 0.5)  # brightness 0, saturation 1, contrast 1, no shift
    x = torch.rand(1, 3, 16, 16) + 0.5
    y = diff_augment(x, u)
    assert (y == 0).sum().item() == 3 * 8 * 8
    kept = y != 0
    torch.testing.assert_close(y[kept], x[kept])


def test_diffaugment_shift_fills_with_grey():
    u = torch.full((1, DIFF_DRAWS), 0.5)
    u[:, 3], u[:, 5], u[:, 6] = 0.99, 0.0, 0.0  # two rows up; cutout in the top left corner
    x = torch.rand(1, 3, 16, 16) + 0.5
    y = diff_augment(x, u)
    assert (y[:, :, -2:] == 0).all()
    torch.testing.assert_close(y[:, :, 8:-2], x[:, :, 10:])
