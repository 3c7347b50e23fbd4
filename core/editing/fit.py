"""Fitting a direction to what people or measurements say about latents: labels or scores.

Ridge regression from w to the target; for two classes, with targets that give both the same
weight, its solution is Fisher's linear discriminant (Hastie et al., The Elements of Statistical
Learning, sections 3.4.1 and 4.3). Little regularisation follows the target and nothing else, much
of it gives the difference of the classes' means. The amount is the one that foretells left-out
latents best, by the closed form of leave-one-out residuals for linear smoothers (section 7.10.1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..latents import Latents
from .directions import Direction, check_scale, layer_range

KINDS = ("auto", "labels", "scores")
MIN_LATENTS = 6
MIN_OF_A_CLASS = 2
PENALTIES = tuple(10.0 ** (k / 2) for k in range(-10, 5))
"""Ridge penalties tried, in units of the largest squared singular value of the latents."""


@dataclass(frozen=True)
class Fit:
    """A fitted direction and how far to trust it.

    Attributes:
        direction: its `value` is `quality`.
        kind: "labels" or "scores".
        count: latents used.
        quality: on latents left out of the fit: the share told right, averaged over both classes
            (0.5 is guessing), or the explained share of the scores' variance (0 is guessing).
    """

    direction: Direction
    kind: str
    count: int
    quality: float

    def __str__(self) -> str:
        if self.kind == "labels":
            return (
                f"fitted to {self.count} labels; tells {self.quality:.0%} of left-out ones right "
                "(50% is guessing)"
            )
        return (
            f"fitted to {self.count} scores; explains {self.quality:.0%} of the variance of "
            "left-out ones (0% is guessing)"
        )


def parse_targets(text: str) -> list[float]:
    """Read one number per latent, separated by commas, spaces or line ends; "?" leaves one out.

    Returns:
        Finite numbers, and NaN where a "?" stands.

    Raises:
        InputError: something else stands there.
    """
    values = []
    for word in text.replace(",", " ").replace(";", " ").split():
        try:
            value = math.nan if word == "?" else float(word)
        except ValueError:
            value = math.inf
        if math.isinf(value) or (math.isnan(value) and word != "?"):
            raise InputError(
                "targets: expected a number or ? for each latent, such as '1 0 0 ? 1', "
                f"got {word[:40]!r}"
            )
        values.append(value)
    return values


def fit_direction(
    latents: Latents,
    targets: Sequence[float],
    *,
    kind: str = "auto",
    first_layer: int = 0,
    last_layer: int = -1,
    scale: str = "spread",
    name: str = "fitted",
) -> Fit:
    """Find the direction along which a target grows fastest.

    Args:
        latents: N latents; where their layers differ, the mean over the range of layers is used.
        targets: N numbers, NaN where nothing is known. Labels are 0 and 1 (or any two numbers).
        kind: "labels" for two classes, "scores" for numbers, "auto" to tell by how many values
            there are.
        first_layer: first W+ layer looked at and later edited.
        last_layer: last such layer, included; negative for the final one.
        scale: "spread" makes strength 1 one standard deviation of the latents along the
            direction; "unit" gives a unit vector.
        name: the direction's name.

    Raises:
        InputError: too few latents, other numbers of them than targets, all targets alike, or a
            range of layers that does not exist.
    """
    check_scale(scale)
    if kind not in KINDS:
        raise InputError(f"kind: expected one of {KINDS}, got {kind!r}")
    first, last = layer_range(first_layer, last_layer, latents.ws.shape[1])
    if len(targets) != len(latents):
        raise InputError(
            f"targets: expected {len(latents)} numbers, one for each latent, got {len(targets)}"
        )
    given = torch.tensor(list(targets), dtype=torch.float64)
    known = ~given.isnan()
    y = given[known]
    if len(y) < MIN_LATENTS:
        raise InputError(f"targets: expected at least {MIN_LATENTS} known numbers, got {len(y)}")
    values = y.unique()
    if len(values) < 2:
        raise InputError(f"targets: all of them are {float(y[0]):g}, expected different ones")
    two_classes = len(values) == 2 if kind == "auto" else kind == "labels"
    if two_classes:
        y = _class_targets(y, values)
    x = latents.ws[known, first : last + 1].double().mean(dim=1)
    x = x - x.mean(dim=0)
    if float(x.norm()) == 0:
        raise InputError("latents: all of them are the same, so no direction tells them apart")
    slope, left_out = _ridge(x, y - y.mean())
    quality = _told_right(y, left_out) if two_classes else _explained(y, left_out)
    unit = slope / slope.norm()
    length = float((x @ unit).std()) if scale == "spread" else 1.0
    vector = (unit * length).float()
    direction = Direction(vector, first, last, latents.model_hash, name, quality)
    return Fit(direction, "labels" if two_classes else "scores", len(y), quality)


def _class_targets(y: Tensor, values: Tensor) -> Tensor:
    """Targets that sum to zero and weigh both classes the same: N / N_1 and -N / N_0."""
    if len(values) != 2:
        raise InputError(
            f"targets: expected two different labels such as 0 and 1, got {len(values)} numbers"
        )
    high = y == values[1]
    ones, zeros = int(high.sum()), int((~high).sum())
    if min(ones, zeros) < MIN_OF_A_CLASS:
        raise InputError(
            f"targets: expected at least {MIN_OF_A_CLASS} latents of either label, "
            f"got {zeros} of {float(values[0]):g} and {ones} of {float(values[1]):g}"
        )
    return torch.where(high, len(y) / ones, -len(y) / zeros).double()


def _ridge(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Slope [w_dim] at the best penalty, and each target as foretold by a fit to all others [N].

    `x` and `y` are centred. With x = U S V^T the fit is H y, H = U diag(S^2 / (S^2 + p)) U^T + 1/N,
    and a left-out residual is (y_i - (H y)_i) / (1 - H_ii).
    """
    u, s, vt = torch.linalg.svd(x, full_matrices=False)
    weight = u.T @ y
    best: tuple[float, Tensor, Tensor] | None = None
    for penalty in PENALTIES:
        ridge = penalty * float(s[0]) ** 2
        shrink = s.square() / (s.square() + ridge)
        leverage = (u.square() @ shrink + 1 / len(y)).clamp(max=1 - 1e-9)
        residual = (y - u @ (shrink * weight)) / (1 - leverage)
        error = float(residual.square().mean())
        if best is None or error < best[0]:
            best = (error, vt.T @ (s / (s.square() + ridge) * weight), y - residual)
    if best is None or float(best[1].norm()) == 0:
        raise InputError("targets: they do not depend on the latents at all")
    return best[1], best[2]


def _told_right(y: Tensor, left_out: Tensor) -> float:
    """Share of left-out latents on their class's side, averaged over both classes.

    The border lies halfway between the classes' means, as a class may be much smaller.
    """
    high = y > 0
    border = (left_out[high].mean() + left_out[~high].mean()) / 2
    right = (left_out > border) == high
    return float((right[high].double().mean() + right[~high].double().mean()) / 2)


def _explained(y: Tensor, left_out: Tensor) -> float:
    """1 - the left-out squared error over that of the mean of the others; at least 0."""
    count = len(y)
    centred = y - y.mean()
    of_the_mean = (centred * count / (count - 1)).square().sum()
    return max(0.0, 1 - float((centred - left_out).square().sum() / of_the_mean))
