"""Style mixing: a second latent's styles from a random layer on."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .streams import Stream, normal, uniforms


class Mapping(Protocol):
    """A mapping network: z [N, z_dim] and labels to ws [N, num_ws, w_dim]."""

    def __call__(self, z: Tensor, c: Tensor | None) -> Tensor: ...


def mixed_styles(
    mapping: Mapping,
    ws: Tensor,
    c: Tensor | None,
    *,
    seed: int,
    stream: Stream,
    sample: np.ndarray,
    z_dim: int,
    share: float,
) -> Tensor:
    """Replace the later ws of a share of samples by those of other latents.

    Args:
        mapping: makes the other ws.
        ws: [N, num_ws, w_dim] of these samples.
        c: their labels [N, L], which the other latents get as well; None for a mapping without.
        seed: the run's.
        stream: of the other latents.
        sample: the samples' numbers, int64 [N].
        z_dim: features of z.
        share: of samples that are mixed, 0..1; the first layer always stays.

    Returns:
        [N, num_ws, w_dim]. Source: Karras et al. 2019, "A style-based generator architecture for
        generative adversarial networks", section 3.1.
    """
    if share == 0 or ws.shape[1] == 1:
        return ws
    mix = normal(seed, stream, sample, (z_dim,)).to(ws.device)
    coins = uniforms(seed, Stream.MIX_COIN, sample, 2)
    cutoff = 1 + (coins[:, 1] * (ws.shape[1] - 1)).long()
    cutoff = torch.where(coins[:, 0] < share, cutoff, ws.shape[1])
    later = torch.arange(ws.shape[1]) >= cutoff[:, None]
    others = mapping(mix, c)[:, : ws.shape[1]]
    return torch.where(later[:, :, None].to(ws.device), others, ws)
