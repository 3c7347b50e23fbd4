"""Does a loss cover all modes? 25 Gaussians on a grid, two perceptrons, and a divergence.

python -m ganvas.training.modegrid --loss relativistic --r1-gamma 0.02 --r2-gamma 0.02

Kullback-Leibler divergence of the generated modes from the uniform distribution tells losses apart
where a count of the modes found does not.
"""

from __future__ import annotations

import argparse
import copy
import json
from dataclasses import asdict, dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from . import regularisers
from .losses import LOSSES
from .system import initial_weights

SIDE = 5
MODES = SIDE**2
SPREAD = 0.05
"""Standard deviation of a Gaussian; neighbouring centres are 1 apart."""
_NEAR = 4  # deviations within which a sample belongs to a mode
_MISSED = 0.1  # a mode with less than this share of its samples is missed
_HIDDEN, _LAYERS = 128, 3
_SLOPE = 0.2
_EMA = 0.995
_EVALUATED = 10000
_HELP = {
    "loss": "the game's loss",
    "r1_gamma": "weight of R1, on reals",
    "r2_gamma": "weight of R2, on fakes",
    "gp_weight": "weight of WGAN-GP's gradient penalty",
    "steps": "of the generator",
    "d_steps": "steps of the discriminator for each of them",
    "batch": "points of a step",
    "lr": "learning rate of both networks",
    "beta1": "decay of Adam's first moment",
    "beta2": "decay of Adam's second moment",
    "seed": "everything random follows from it",
}


@dataclass(frozen=True)
class Game:
    """What is tried on the grid.

    Attributes:
        loss: a name of `losses.LOSSES`.
        r1_gamma, r2_gamma, gp_weight: weights of the penalties.
        steps: of the generator.
        d_steps: steps of the discriminator for each of them.
        batch: points of a step.
        lr, beta1, beta2: of both networks' Adam.
        seed: everything random follows from it.
    """

    loss: str = "non-saturating"
    r1_gamma: float = 0.0
    r2_gamma: float = 0.0
    gp_weight: float = 0.0
    steps: int = 4000
    d_steps: int = 1
    batch: int = 256
    lr: float = 1e-3
    beta1: float = 0.0
    beta2: float = 0.99
    seed: int = 0


@dataclass(frozen=True)
class Coverage:
    """How well samples cover the grid.

    Attributes:
        modes: of the 25, those with a tenth of their share or more.
        near: share of samples that lie within 4 deviations of a centre.
        kl: divergence of the near samples' modes from equal shares, in nats; 0 is perfect.
    """

    modes: int
    near: float
    kl: float


def centres() -> Tensor:
    """The centres of the Gaussians, [25, 2]."""
    axis = torch.arange(SIDE) - (SIDE - 1) / 2
    return torch.cartesian_prod(axis, axis)


def draw_points(count: int, rng: torch.Generator) -> Tensor:
    """Points of the grid of Gaussians, [count, 2]."""
    index = torch.randint(MODES, (count,), generator=rng)
    return centres()[index] + SPREAD * torch.randn(count, 2, generator=rng)


def coverage(points: Tensor) -> Coverage:
    """Compare points [N, 2] with the grid."""
    distance, index = torch.cdist(points, centres().to(points)).min(dim=1)
    near = distance < _NEAR * SPREAD
    counts = torch.bincount(index[near], minlength=MODES).double()
    share = counts[counts > 0] / counts.sum()
    return Coverage(
        modes=int((counts >= _MISSED * len(points) / MODES).sum()),
        near=float(near.double().mean()),
        kl=float((share * (share * MODES).log()).sum()) if near.any() else float("inf"),
    )


def play(game: Game) -> Coverage:
    """Train two small perceptrons on the grid and see what the averaged generator covers."""
    losses = LOSSES[game.loss]
    rng = torch.Generator().manual_seed(game.seed)
    with initial_weights(game.seed):
        g, d = _perceptron(2), _perceptron(1)
    average = copy.deepcopy(g)
    betas = (game.beta1, game.beta2)
    opt_g = torch.optim.Adam(g.parameters(), game.lr, betas)
    opt_d = torch.optim.Adam(d.parameters(), game.lr, betas)

    def latents(count: int) -> Tensor:
        return torch.randn(count, 2, generator=rng)

    for _ in range(game.steps):
        for _ in range(game.d_steps):
            real = draw_points(game.batch, rng).requires_grad_(True)
            fake = g(latents(game.batch)).detach().requires_grad_(True)
            real_logits, fake_logits = d(real), d(fake)
            loss = losses.discriminator(real_logits, fake_logits)
            if game.r1_gamma > 0:
                loss = loss + game.r1_gamma * regularisers.r1_penalty(real_logits, real)
            if game.r2_gamma > 0:
                loss = loss + game.r2_gamma * regularisers.r2_penalty(fake_logits, fake)
            if game.gp_weight > 0:
                share = torch.rand(game.batch, generator=rng)
                penalty = regularisers.gradient_penalty(d, real, fake, share)
                loss = loss + game.gp_weight * penalty
            _update(opt_d, loss)
        real_logits = d(draw_points(game.batch, rng)).detach()
        _update(opt_g, losses.generator(d(g(latents(game.batch))), real_logits))
        with torch.no_grad():
            for a, b in zip(average.parameters(), g.parameters(), strict=True):
                a.lerp_(b, 1 - _EMA)
    with torch.no_grad():
        return coverage(average(latents(_EVALUATED)))


def _update(optimizer: torch.optim.Adam, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _perceptron(outputs: int) -> nn.Sequential:
    sizes = [2, *[_HIDDEN] * _LAYERS]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.LeakyReLU(_SLOPE)]
    return nn.Sequential(*layers, nn.Linear(_HIDDEN, outputs))


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and print a line of JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m ganvas.training.modegrid",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    for name, value in asdict(Game()).items():
        choices = sorted(LOSSES) if name == "loss" else None
        flag, text = "--" + name.replace("_", "-"), _HELP[name]
        parser.add_argument(flag, type=type(value), default=value, choices=choices, help=text)
    game = Game(**vars(parser.parse_args(arguments)))
    print(json.dumps({**asdict(game), **asdict(play(game))}))


if __name__ == "__main__":
    main()
