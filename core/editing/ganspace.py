"""Principal directions of W (GANSpace; Harkonen et al., NeurIPS 2020, section 2.1).

For style-based generators the method is a principal component analysis of the mapping network's
outputs: many z are drawn, and the eigenvectors of the covariance of their w are the directions in
which the model's faces differ most. An edit v_k is applied to a range of layers (section 2.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..chunks import Report
from ..errors import InputError
from .directions import Direction, check_scale, layer_range
from .spread import check_count, fix_signs, sample_w

if TYPE_CHECKING:
    from ..models.plans import AnyGenerator


def principal_directions(
    generator: AnyGenerator,
    model_hash: str,
    *,
    count: int,
    samples: int = 10_000,
    first_layer: int = 0,
    last_layer: int = -1,
    scale: str = "spread",
    report: Report | None = None,
) -> list[Direction]:
    """Find the directions in which the generator's latents vary most.

    Args:
        generator: a StyleGAN generator of any version, on any device.
        model_hash: SHA-256 of its file.
        count: number of directions, 1..w_dim, in order of falling variance.
        samples: latents drawn, of the seeds 0 .. samples-1; more than w_dim of them.
        first_layer: first W+ layer that is edited later.
        last_layer: last such layer, included; negative for the final one.
        scale: "spread" makes strength 1 one standard deviation; "unit" gives unit vectors.
        report: called after each chunk of latents.

    Returns:
        `count` directions, mutually orthogonal, with deterministic signs; `value` is the share of
        the whole variance.

    Raises:
        InputError: count, samples, layers or scale do not fit the generator, or it has no W.
    """
    check_count(generator, count)
    check_scale(scale)
    w_dim = generator.config.w_dim
    if samples <= w_dim:
        raise InputError(
            f"samples: expected more than {w_dim} (the dimensions of W) to find directions in, "
            f"got {samples}"
        )
    first, last = layer_range(first_layer, last_layer, generator.num_ws)
    w = sample_w(generator, samples, report)
    values, columns = torch.linalg.eigh(w.T.cov())  # ascending
    values = values.flip(0).clamp(min=0)
    vectors = fix_signs(columns.T.flip(0)[:count])
    lengths = values[:count].sqrt() if scale == "spread" else torch.ones(count).double()
    shares = values / values.sum().clamp(min=torch.finfo(torch.float64).tiny)
    scaled = (vectors * lengths[:, None]).float()
    return [
        Direction(scaled[k].clone(), first, last, model_hash, f"ganspace-{k}", float(shares[k]))
        for k in range(count)
    ]
