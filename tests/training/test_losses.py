"""Losses against closed forms and regularisers against functions whose derivatives are known."""

import math

import pytest
import torch
from torch import nn

from ganvas.training.ema import ema_beta, update_ema
from ganvas.training.losses import (
    discriminator_loss,
    generator_loss,
    lazy_adam,
    path_length_penalty,
    path_lengths,
    r1_penalty,
)


def test_logistic_losses_at_zero_are_ln_two():
    zero = torch.zeros(5, 1)
    assert discriminator_loss(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert generator_loss(zero).item() == pytest.approx(math.log(2))


def test_discriminator_loss_is_the_cross_entropy():
    real, fake = torch.randn(6, 1), torch.randn(6, 1)
    expected = -torch.log(torch.sigmoid(real)).mean() - torch.log(1 - torch.sigmoid(fake)).mean()
    torch.testing.assert_close(discriminator_loss(real, fake), expected)


def test_generator_loss_does_not_saturate():
    logit = torch.tensor([[-20.0]], requires_grad=True)
    generator_loss(logit).backward()
    assert logit.grad is not None
    assert logit.grad.item() == pytest.approx(-1, abs=1e-6)


def test_losses_stay_finite_at_extreme_logits():
    big = torch.tensor([[1e4], [-1e4]])
    assert torch.isfinite(discriminator_loss(big, big))
    assert discriminator_loss(big, -big).item() == pytest.approx(1e4)


def test_r1_of_a_quadratic_is_known():
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64).float().requires_grad_(True)
    a = torch.tensor(1.5, requires_grad=True)
    logits = 0.5 * a * x.square().sum(dim=[1, 2, 3])
    penalty = r1_penalty(logits, x)
    norm = x.detach().square().sum(dim=[1, 2, 3]).mean()
    torch.testing.assert_close(penalty, (0.5 * a**2 * norm).detach(), check_dtype=False)
    penalty.backward()
    torch.testing.assert_close(a.grad, (a * norm).detach())


def test_r1_takes_each_sample_by_itself():
    x = torch.randn(4, 1, 2, 2, requires_grad=True)
    weight = torch.tensor([0.0, 1.0, 2.0, 3.0])
    logits = (x.sum(dim=[1, 2, 3]) * weight)[:, None]
    expected = 0.5 * (weight**2 * 4).mean()
    torch.testing.assert_close(r1_penalty(logits, x).detach(), expected)


def test_path_length_of_a_linear_generator_is_known():
    matrix = torch.randn(3 * 4 * 4, 2 * 5)
    ws = torch.randn(6, 2, 5, requires_grad=True)
    images = (ws.flatten(1) @ matrix.T).view(6, 3, 4, 4)
    noise = torch.randn(6, 3, 4, 4)
    pulled = (noise.flatten(1) / 4) @ matrix  # J^T y, y scaled by 1 / sqrt(H W)
    expected = pulled.view(6, 2, 5).square().sum(2).mean(1).sqrt()
    lengths = path_lengths(images, ws, noise)
    torch.testing.assert_close(lengths, expected, rtol=1e-4, atol=1e-5)


def test_path_length_penalty_is_zero_at_its_target():
    assert path_length_penalty(torch.full((3,), 2.0), 2.0).item() == 0
    assert path_length_penalty(torch.tensor([1.0, 3.0]), 2.0).item() == 1


def test_path_length_is_differentiable_once_more():
    scale = torch.tensor(2.0, requires_grad=True)
    ws = torch.ones(1, 1, 3, requires_grad=True)
    images = (ws.sum() * scale).expand(1, 1, 2, 2)
    lengths = path_lengths(images, ws, torch.ones(1, 1, 2, 2))
    lengths.sum().backward()  # length = scale * 4 * (1 / 2) * sqrt(3)
    assert scale.grad is not None
    assert scale.grad.item() == pytest.approx(2 * math.sqrt(3), rel=1e-5)


def test_lazy_adam_follows_the_paper():
    lr, betas = lazy_adam(0.002, (0.0, 0.99), 16)
    assert lr == pytest.approx(0.002 * 16 / 17)
    assert betas == (0.0, pytest.approx(0.99 ** (16 / 17)))


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
