"""The grid of Gaussians: what coverage says of known samples, and that a game learns it."""

import json
import math
import os

import pytest
import torch

from ganvas.training.modegrid import MODES, Game, centres, coverage, draw_points, main, play


def test_the_data_themselves_cover_everything():
    found = coverage(draw_points(20000, torch.Generator().manual_seed(0)))
    assert found.modes == MODES
    assert found.near > 0.99
    assert found.kl < 0.01


@pytest.mark.parametrize("count", [1, 5])
def test_kl_of_some_modes_alone_is_known(count):
    found = coverage(centres()[:count].repeat(100, 1))
    assert found.modes == count
    assert found.near == 1
    assert found.kl == pytest.approx(math.log(MODES / count))


def test_points_between_the_modes_are_not_near():
    found = coverage(centres() + 0.5)
    assert (found.modes, found.near, found.kl) == (0, 0, math.inf)


def test_centres_are_one_apart():
    distances = torch.pdist(centres())
    assert distances.min().item() == 1
    assert centres().mean(dim=0).tolist() == [0, 0]


@pytest.mark.parametrize(
    "settings",
    [
        ["--loss", "relativistic", "--r1-gamma", "0.02", "--r2-gamma", "0.02"],
        ["--loss", "wasserstein", "--gp-weight", "0.1", "--d-steps", "2"],
    ],
    ids=["relativistic", "wgan-gp"],
)
def test_a_short_game_finds_modes_and_is_repeatable(settings, capsys):
    lines = []
    for _ in range(2):
        main([*settings, "--steps", "150", "--batch", "64"])
        lines.append(json.loads(capsys.readouterr().out))
    assert lines[0] == lines[1]
    untrained = play(Game(steps=0))
    assert untrained.modes <= 1
    assert lines[0]["modes"] >= 5
    assert lines[0]["kl"] < 0.7 * untrained.kl


@pytest.mark.skipif(
    not os.environ.get("GANVAS_FULL_CHECKS"), reason="set GANVAS_FULL_CHECKS=1; takes minutes"
)
@pytest.mark.slow
def test_relativistic_with_r1_and_r2_covers_more_than_the_plain_game():
    modern = play(Game(loss="relativistic", r1_gamma=0.02, r2_gamma=0.02))
    plain = play(Game(beta1=0.5))
    assert modern.kl < 0.15
    assert modern.kl < 0.6 * plain.kl


@pytest.mark.skipif(
    not os.environ.get("GANVAS_FULL_CHECKS"), reason="set GANVAS_FULL_CHECKS=1; takes minutes"
)
@pytest.mark.slow
def test_wasserstein_with_its_penalty_covers_the_grid():
    found = play(Game(loss="wasserstein", gp_weight=0.1, d_steps=5, lr=5e-4, steps=1500))
    assert found.modes >= 23
    assert found.kl < 0.2
