"""Running a restoration network over a batch of any size."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..chunks import Report, in_chunks
from .networks import Convention

PLAIN = Convention()
"""Images of any size in -1..1, as ganvas's own restorers take them."""


@torch.no_grad()
def restore(
    network: nn.Module,
    images: Tensor,
    *,
    convention: Convention = PLAIN,
    strength: float = 1.0,
    chunk: int = 8,
    report: Report | None = None,
) -> Tensor:
    """Restore images and blend the result with the input.

    Args:
        network: maps damaged to restored images, on any device.
        convention: how it is fed; `convention_of` tells it of a loaded model.
        images: [N, 3, H, W] in -1..1, left as they are.
        strength: 0 gives the input back, 1 the restored image, values between blend linearly.
        chunk: images per pass; it changes memory and speed only.
        report: called after each chunk with restored images in -1..1.

    Returns:
        Tensor [N, 3, H, W] float32 on the CPU, nominally -1..1 (not clamped).

    Raises:
        ValueError: another shape, or a strength outside 0..1.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"restore: images must be [N, 3, H, W], got {tuple(images.shape)}")
    if not 0 <= strength <= 1:
        raise ValueError(f"restore: strength must lie in 0..1, got {strength}")

    def run(start: int, stop: int) -> Tensor:
        damaged = images[start:stop].float().cpu()
        return torch.lerp(damaged, convention.apply(network, damaged), strength)

    return in_chunks(run, len(images), chunk, report)
