"""Regularisers against functions whose derivatives are known, and against numerical ones."""

import copy
import math

import pytest
import torch
from torch import nn

from ganvas.training.regularisers import (
    consistency_penalty,
    flip_and_shift,
    gradient_penalty,
    lazy_adam,
    path_length_penalty,
    path_lengths,
    power_iteration,
    r1_penalty,
    r2_penalty,
    spectral_norm,
)


def critic(x, weight):
    """A smooth discriminator of two layers, x [N, 3] -> [N, 1]."""
    return (x @ weight[:3]).tanh() @ weight[3:, :1]


def weights():
    rng = torch.Generator().manual_seed(0)
    return torch.randn(5, 2, generator=rng, dtype=torch.float64, requires_grad=True)


def images(seed=1, count=4):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, generator=rng, dtype=torch.float64)


def penalties():
    def r1(weight, x):
        x = x.requires_grad_(True) if x.is_leaf else x
        return r1_penalty(critic(x, weight), x)

    def gp(weight, x):
        return gradient_penalty(lambda y: critic(y, weight), x, x.flip(0), torch.full((4,), 0.3))

    def bcr(weight, x):
        return consistency_penalty(critic(x, weight), critic(x.flip(1), weight))

    return {"r1": r1, "gradient_penalty": gp, "consistency": bcr}


@pytest.mark.parametrize("name", penalties())
def test_derivatives_by_the_weights_are_the_numerical_ones(name):
    penalty = penalties()[name]
    assert torch.autograd.gradcheck(lambda w: penalty(w, images()), weights())
    assert torch.autograd.gradgradcheck(lambda w: penalty(w, images()), weights())


def test_r1_of_a_quadratic_is_known():
    x = torch.randn(3, 2, 4, 4, requires_grad=True)
    a = torch.tensor(1.5, requires_grad=True)
    logits = 0.5 * a * x.square().sum(dim=[1, 2, 3])
    penalty = r1_penalty(logits, x)
    norm = x.detach().square().sum(dim=[1, 2, 3]).mean()
    torch.testing.assert_close(penalty, (0.5 * a**2 * norm).detach(), check_dtype=False)
    penalty.backward()
    torch.testing.assert_close(a.grad, (a * norm).detach())


@pytest.mark.parametrize("penalty", [r1_penalty, r2_penalty])
def test_each_sample_is_taken_by_itself(penalty):
    x = torch.randn(4, 1, 2, 2, requires_grad=True)
    weight = torch.tensor([0.0, 1.0, 2.0, 3.0])
    logits = (x.sum(dim=[1, 2, 3]) * weight)[:, None]
    expected = 0.5 * (weight**2 * 4).mean()
    torch.testing.assert_close(penalty(logits, x).detach(), expected)


def test_penalties_of_bf16_logits_are_in_float32():
    x = torch.randn(4, 3, dtype=torch.bfloat16, requires_grad=True)
    assert r1_penalty((x * 3).sum(dim=1), x).dtype == torch.float32


@pytest.mark.parametrize("slope", [1.0, 2.5, 0.0])
def test_gradient_penalty_of_a_linear_critic_is_its_slopes_distance_to_one(slope):
    direction = torch.randn(3 * 4 * 4, dtype=torch.float64)
    direction = slope * direction / direction.norm()
    real, fake = torch.randn(2, 5, 3, 4, 4, dtype=torch.float64)
    penalty = gradient_penalty(lambda x: x.flatten(1) @ direction, real, fake, torch.rand(5))
    assert penalty.item() == pytest.approx((slope - 1) ** 2, abs=1e-12)


def test_gradient_penalty_looks_between_the_images():
    seen = []

    def watching(x):
        seen.append(x)
        return x.sum(dim=[1, 2, 3])

    real, fake = torch.ones(3, 1, 2, 2), torch.zeros(3, 1, 2, 2)
    gradient_penalty(watching, real, fake, torch.tensor([0.0, 0.25, 1.0]))
    assert seen[0][:, 0, 0, 0].tolist() == [0, 0.25, 1]


def test_consistency_of_what_does_not_see_the_change_is_zero():
    logits = torch.randn(6, 1)
    assert consistency_penalty(logits, logits).item() == 0
    assert consistency_penalty(logits, logits + 2).item() == pytest.approx(4)


def test_flip_and_shift_moves_each_image_by_its_own_draws():
    image = torch.arange(256.0).view(1, 1, 16, 16).expand(4, -1, -1, -1).clone().requires_grad_()
    middle = 0.5
    draws = torch.tensor(
        [[0.9, middle, middle], [0.1, middle, middle], [0.9, 0.99, middle], [0.9, middle, 0.0]]
    )
    moved = flip_and_shift(image, draws)
    assert torch.equal(moved[0], image[0])
    assert torch.equal(moved[1], image[0].flip(2))
    assert torch.equal(moved[2][:, :14], image[0][:, 2:])  # shifted by 16 / 8 rows
    assert torch.equal(moved[3][:, :, 2:], image[0][:, :, :14])
    assert torch.equal(flip_and_shift(image[2:3], draws[2:3])[0], moved[2])
    moved.sum().backward()
    assert image.grad is not None
    assert image.grad[0].eq(1).all()


def small_network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 1))


def test_spectral_norm_brings_the_largest_singular_value_to_one():
    network = spectral_norm(small_network())
    for _ in range(50):
        power_iteration(network)
    for layer in (network[0], network[2]):
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, 1e-3)


def test_power_iteration_moves_once_and_rests_in_forward_passes():
    network = spectral_norm(small_network())
    before = {k: v.clone() for k, v in network.state_dict().items()}
    network(torch.randn(2, 3, 4, 4))
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    power_iteration(network)
    moved = [k for k, v in network.state_dict().items() if not torch.equal(before[k], v)]
    assert any(name.endswith("._u") for name in moved)
    assert all(name.endswith(("._u", "._v")) for name in moved)


def test_spectral_norm_continues_exactly_from_a_state_dict():
    def train(network, optimizer, first, last):
        for step in range(first, last):
            rng = torch.Generator().manual_seed(step)
            power_iteration(network)
            loss = network(torch.randn(4, 3, 4, 4, generator=rng)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    network = spectral_norm(small_network())
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    train(network, optimizer, 0, 4)
    saved = copy.deepcopy((network.state_dict(), optimizer.state_dict()))
    train(network, optimizer, 4, 8)

    again = spectral_norm(small_network())
    other = torch.optim.Adam(again.parameters(), 1e-2)
    again.load_state_dict(saved[0])
    other.load_state_dict(saved[1])
    train(again, other, 4, 8)
    ends = zip(network.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in ends)


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
    assert lazy_adam(0.002, (0.0, 0.99), None) == (0.002, (0.0, 0.99))
