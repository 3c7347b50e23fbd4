"""Running a restoration network over a batch of any size."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..chunks import Report, in_chunks
from .networks import Convention, enlarged

PLAIN = Convention()
"""Images of any size in -1..1, as ganvas's own restorers take them."""


@torch.no_grad()
def restore(
    network: nn.Module,
    images: Tensor,
    *,
    convention: Convention = PLAIN,
    strength: float = 1.0,
    scale: int = 1,
    chunk: int = 8,
    report: Report | None = None,
) -> Tensor:
    """Restore images and blend the result with the input.

    Args:
        network: maps damaged to restored images, on any device.
        convention: how it is fed; `convention_of` tells it of a loaded model.
        images: [N, 3, H, W] in -1..1, left as they are.
        strength: 0 gives the input back, 1 the restored image, values between blend linearly.
        scale: whole factor of the result's size. The network's result is brought to that size, so
            a network that makes 512 pixels of a face of 128 keeps all of them at 4; the input is
            enlarged bicubically.
        chunk: images per pass; it changes memory and speed only.
        report: called after each chunk with restored images in -1..1.

    Returns:
        Tensor [N, 3, H * scale, W * scale] float32 on the CPU, nominally -1..1 (not clamped).

    Raises:
        ValueError: another shape, a strength outside 0..1, or a scale below 1.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"restore: images must be [N, 3, H, W], got {tuple(images.shape)}")
    if not 0 <= strength <= 1:
        raise ValueError(f"restore: strength must lie in 0..1, got {strength}")
    if scale < 1:
        raise ValueError(f"restore: scale must be at least 1, got {scale}")

    def run(start: int, stop: int) -> Tensor:
        damaged = images[start:stop].float().cpu()
        restored = convention.apply(network, damaged, scale)
        return torch.lerp(enlarged(damaged, scale), restored, strength)

    return in_chunks(run, len(images), chunk, report)
