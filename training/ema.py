"""Exponential moving average of weights, measured in images rather than steps."""

from __future__ import annotations

import torch
from torch import nn


def ema_beta(batch: int, half_life_kimg: float, images_seen: int, rampup: float) -> float:
    """Decay of one step such that a weight's share halves every `half_life_kimg` thousand images.

    Args:
        batch: images of the step.
        half_life_kimg: half-life; 0 copies the weights.
        images_seen: images before this step; early in a run the half-life is shorter.
        rampup: the half-life is at most this share of `images_seen`; 0 switches the ramp-up off.

    Returns:
        Beta in [0, 1). Source: Karras et al. 2020 (ADA), appendix C; EDM2's ramp-up.
    """
    half_life = half_life_kimg * 1000
    if rampup > 0:
        half_life = min(half_life, images_seen * rampup)
    return 0.5 ** (batch / half_life) if half_life > 0 else 0.0


@torch.no_grad()
def update_ema(average: nn.Module, source: nn.Module, beta: float) -> None:
    """average <- beta average + (1 - beta) source for parameters; buffers are copied."""
    for a, b in zip(average.parameters(), source.parameters(), strict=True):
        a.lerp_(b, 1 - beta)
    for a, b in zip(average.buffers(), source.buffers(), strict=True):
        a.copy_(b)
