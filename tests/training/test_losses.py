"""Losses against closed forms and numerical derivatives; the average's half-life."""

import math

import pytest
import torch
from torch import nn

from ganvas.training.ema import ema_beta, update_ema
from ganvas.training.losses import LOSSES, discriminator_loss, generator_loss

LN2 = math.log(2)

# Of logits that are all 0: the discriminator's loss and the generator's.
AT_ZERO = {
    "minimax": (2 * LN2, -LN2),
    "non-saturating": (2 * LN2, LN2),
    "hinge": (2, 0),
    "least-squares": (0.5, 0.5),
    "wasserstein": (0, 0),
    "relativistic": (LN2, LN2),
}
# Of real logits 2 and fake logits -3, where the discriminator is right.
WHERE_D_IS_RIGHT = {
    "minimax": (math.log1p(math.exp(-2)) + math.log1p(math.exp(-3)), -math.log1p(math.exp(-3))),
    "non-saturating": (
        math.log1p(math.exp(-2)) + math.log1p(math.exp(-3)),
        math.log1p(math.exp(3)),
    ),
    "hinge": (0, 3),
    "least-squares": (0.5 * (1 + 9), 0.5 * 16),
    "wasserstein": (-5, 3),
    "relativistic": (math.log1p(math.exp(-5)), math.log1p(math.exp(5))),
}


def logits(seed, dtype=torch.float64):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(6, 1, generator=rng, dtype=dtype)


def test_every_loss_has_known_values():
    assert set(LOSSES) == set(AT_ZERO) == set(WHERE_D_IS_RIGHT)


@pytest.mark.parametrize("name", LOSSES)
def test_known_values(name):
    for values, real, fake in ((AT_ZERO, 0.0, 0.0), (WHERE_D_IS_RIGHT, 2.0, -3.0)):
        x, y = torch.full((5, 1), real), torch.full((5, 1), fake)
        assert LOSSES[name].discriminator(x, y).item() == pytest.approx(values[name][0], abs=1e-6)
        assert LOSSES[name].generator(y, x).item() == pytest.approx(values[name][1], abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("side", ["discriminator", "generator"])
def test_derivatives_are_the_numerical_ones(name, side):
    loss = getattr(LOSSES[name], side)
    a, b = (logits(seed).requires_grad_(True) for seed in (1, 2))
    assert torch.autograd.gradcheck(loss, (a, b))
    assert torch.autograd.gradgradcheck(loss, (a, b))


@pytest.mark.parametrize("name", LOSSES)
def test_each_network_lowers_its_loss_by_moving_its_way(name):
    """D wants reals up and fakes down, G wants fakes up."""
    real, fake = (logits(seed).requires_grad_(True) for seed in (3, 4))
    for_real, for_fake = torch.autograd.grad(LOSSES[name].discriminator(real, fake), (real, fake))
    (fakes_up,) = torch.autograd.grad(LOSSES[name].generator(fake, real), fake)
    if name != "least-squares":  # which pulls towards fixed values from both sides
        assert for_real.le(0).all()
        assert for_fake.ge(0).all()
        assert fakes_up.lt(0).all()
    assert fakes_up.sum() < 0


@pytest.mark.parametrize("name", LOSSES)
def test_only_a_paired_loss_looks_at_real_images(name):
    fake = logits(5)
    one, two = (LOSSES[name].generator(fake, logits(seed)) for seed in (6, 7))
    assert (one != two).item() == LOSSES[name].paired


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_bf16_logits_are_in_float32(name):
    x, y = logits(1, torch.bfloat16), logits(2, torch.bfloat16)
    for loss in (LOSSES[name].discriminator, LOSSES[name].generator):
        assert loss(x, y).dtype == torch.float32
        torch.testing.assert_close(loss(x, y), loss(x.float(), y.float()))


def test_discriminator_loss_is_the_cross_entropy():
    real, fake = torch.randn(6, 1), torch.randn(6, 1)
    expected = -torch.log(torch.sigmoid(real)).mean() - torch.log(1 - torch.sigmoid(fake)).mean()
    torch.testing.assert_close(discriminator_loss(real, fake), expected)


def test_generator_loss_does_not_saturate_and_minimax_does():
    for name, slope in (("non-saturating", -1), ("minimax", 0)):
        logit = torch.tensor([[-20.0]], requires_grad=True)
        LOSSES[name].generator(logit, logit.detach()).backward()
        assert logit.grad is not None
        assert logit.grad.item() == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_stay_finite_at_extreme_logits(name):
    big = torch.tensor([[1e4], [-1e4]])
    for a, b in ((big, big), (big, -big)):
        assert torch.isfinite(LOSSES[name].discriminator(a, b))
        assert torch.isfinite(LOSSES[name].generator(a, b))
    assert discriminator_loss(big, -big).item() == pytest.approx(1e4)
    assert generator_loss(big).item() == pytest.approx(0.5e4)


def test_ema_forgets_half_in_its_half_life():
    average, source = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.ones_(average.weight)
    nn.init.zeros_(source.weight)
    for step in range(50):
        update_ema(average, source, ema_beta(20, 1.0, step * 20 + 10**9, 0.05))
    assert average.weight.item() == pytest.approx(0.5, rel=1e-4)


def test_ema_is_short_early_in_a_run():
    assert ema_beta(32, 10, 0, 0.05) == 0
    assert ema_beta(32, 10, 3200, 0.05) == pytest.approx(0.5 ** (32 / 160))
    assert ema_beta(32, 10, 10**7, 0.05) == pytest.approx(0.5 ** (32 / 10000))
    assert ema_beta(32, 10, 0, 0.0) == pytest.approx(0.5 ** (32 / 10000))
    assert ema_beta(32, 0, 10**7, 0.05) == 0


def test_ema_copies_buffers():
    average, source = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    source.running_mean = torch.tensor([3.0, 4.0])
    update_ema(average, source, 0.9)
    assert average.running_mean is not None
    assert average.running_mean.tolist() == [3, 4]
