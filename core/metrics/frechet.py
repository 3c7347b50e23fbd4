"""Frechet distance between two sets of features, taken as Gaussians.

|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)). Source: Heusel et al. 2017, "GANs trained by a two
time-scale update rule converge to a local Nash equilibrium", equation 6; Dowson and Landau 1982.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .statistics import Statistics, check_features


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """Distance of two gathered sets, in float64.

    The trace of the root of S1 S2 is the sum of the roots of the eigenvalues of A^T S2 A, where
    S1 = A A^T: both eigenproblems are symmetric, so that sets of fewer images than dimensions,
    whose covariances are singular, give no complex numbers.

    Raises:
        ValueError: different widths, or fewer than two features in a set.
    """
    if a.dims != b.dims:
        raise ValueError(f"frechet_distance: expected one width, got {a.dims} and {b.dims}")
    first, second = a.covariance, b.covariance
    values, vectors = torch.linalg.eigh(first)
    root = vectors * values.clamp_min(0).sqrt()
    inner = root.T @ second @ root
    eigenvalues = torch.linalg.eigvalsh((inner + inner.T) / 2)
    cross = float(eigenvalues.clamp_min(0).sqrt().sum())
    shift = float((a.mean - b.mean).square().sum())
    # A distance is never negative; its rounding error may be.
    return max(0.0, shift + float(first.trace() + second.trace()) - 2 * cross)


def frechet_from_features(x: Tensor, y: Tensor) -> float:
    """The same distance from features [N, D] and [M, D], without any [D, D] matrix.

    The trace of the root is the nuclear norm of Xc Yc^T / sqrt((N - 1)(M - 1)), Xc and Yc being
    centred: exact, and much cheaper where there are fewer images than dimensions.

    Raises:
        ValueError: not such features, or fewer than two in a set.
    """
    check_features("frechet_from_features", x, y)
    x, y = x.detach().to("cpu", torch.float64), y.detach().to("cpu", torch.float64)
    shift = float((x.mean(0) - y.mean(0)).square().sum())
    x, y = x - x.mean(0), y - y.mean(0)
    n, m = len(x) - 1, len(y) - 1
    traces = float(x.square().sum() / n + y.square().sum() / m)
    cross = float(torch.linalg.svdvals(x @ y.T).sum()) / (n * m) ** 0.5
    return max(0.0, shift + traces - 2 * cross)
