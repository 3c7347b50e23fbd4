"""Noise that a generator adds to its features: stored, drawn or none."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

NoiseMode = Literal["const", "random", "none"]
NoiseSource = torch.Generator | Sequence[torch.Generator] | Tensor | None


def check_noise(
    network: str, noise_mode: NoiseMode, generator: NoiseSource, count: int
) -> NoiseSource:
    """The noise source with seeds made generators.

    Args:
        network: who asks, for messages.
        noise_mode: "const", "random" or "none".
        generator: source of random noise: one torch.Generator for the batch; a list of `count` of
            them, or int64 [count] seeds, which make a sample independent of its batch; or None for
            torch's own.
        count: samples.

    Raises:
        ValueError: an argument is not as above.
    """
    if noise_mode not in get_args(NoiseMode):
        raise ValueError(
            f"{network}: expected noise_mode of {get_args(NoiseMode)}, got {noise_mode!r}"
        )
    if isinstance(generator, Tensor):
        generator = [torch.Generator().manual_seed(seed) for seed in generator.tolist()]
    if isinstance(generator, Sequence) and len(generator) != count:
        raise ValueError(
            f"{network}: expected {count} noise generators or seeds, got {len(generator)}"
        )
    return generator


def draw_noise(
    stored: Tensor, count: int, noise_mode: NoiseMode, generator: NoiseSource
) -> Tensor | None:
    """Noise of one layer, [count or 1, 1, H, W] like the [H, W] `stored`, or None for "none"."""
    if noise_mode == "none":
        return None
    if noise_mode == "const":
        return stored[None, None]
    shape = (1, *stored.shape)
    if isinstance(generator, Sequence):
        return torch.stack([_normal(shape, stored, rng) for rng in generator])
    assert not isinstance(generator, Tensor)
    return _normal((count, *shape), stored, generator)


def _normal(shape: Sequence[int], like: Tensor, rng: torch.Generator | None) -> Tensor:
    device = like.device if rng is None else rng.device
    return torch.randn(shape, generator=rng, dtype=like.dtype, device=device).to(like.device)
