"""New latents from old ones: style mixing, interpolation and averages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..errors import InputError
from ..latents import Latents
from .directions import layer_range

ARRANGEMENTS = ("grid", "pairs")
MAX_LATENTS = 65_536
"""Latents of one batch; more is mostly a mistyped number."""


def check_partner(latents: Latents, other: Latents, *, name: str) -> None:
    """Refuse to mix latents of different generators.

    Raises:
        InputError: starting with `name`, the input that `other` came by.
    """
    if other.model_hash != latents.model_hash or other.ws.shape[1:] != latents.ws.shape[1:]:
        raise InputError(
            f"{name}: they belong to the generator {other.model_hash[:12]}, expected latents of "
            f"{latents.model_hash[:12]}"
        )


def mix_styles(
    latents: Latents,
    styles: Latents,
    *,
    first_layer: int,
    last_layer: int = -1,
    strength: float = 1.0,
    arrangement: str = "grid",
) -> Latents:
    """Take some layers of latents from other latents (StyleGAN, section 3.1, figure 3).

    Args:
        latents: N latents, which give the other layers.
        styles: M latents of the same generator, which give the layers of the range.
        first_layer: first W+ layer that `styles` give; 0..3 are pose and shape, later ones colour.
        last_layer: last such layer, included; negative for the final one.
        strength: 1 takes the styles' layers, 0 leaves the latents', values between blend them.
        arrangement: "grid" mixes each latent with each style; "pairs" the first with the first,
            and so on, where a single one on either side goes with all.

    Returns:
        N * M latents, latent 0 with every style first; or max(N, M) of them.

    Raises:
        InputError: different generators, unequal numbers of pairs, or layers that do not exist.
    """
    check_partner(latents, styles, name="styles")
    first, last = layer_range(first_layer, last_layer, latents.ws.shape[1])
    a, b = _arranged(latents.ws, styles.ws, arrangement, "styles")
    ws = a.clone()
    layers = slice(first, last + 1)
    ws[:, layers] = torch.lerp(a[:, layers], b[:, layers], strength)
    return replace(latents, ws=ws, space="W+")


def interpolate(
    latents: Latents, latents_b: Latents, amounts: Sequence[float], arrangement: str = "pairs"
) -> Latents:
    """Blend latents linearly in W, where a straight line passes through plausible faces.

    Args:
        latents: N latents, found at amount 0.
        latents_b: M latents of the same generator, found at amount 1.
        amounts: S numbers; values outside 0..1 go beyond the two faces.
        arrangement: as in `mix_styles`.

    Returns:
        The first pair at every amount, then the second: S latents for each pair.

    Raises:
        InputError: different generators, or unequal numbers of pairs.
    """
    check_partner(latents, latents_b, name="latents_b")
    a, b = _arranged(latents.ws, latents_b.ws, arrangement, "latents_b", len(amounts))
    steps = torch.tensor(list(amounts), dtype=a.dtype)[None, :, None, None]
    ws = a[:, None] * (1 - steps) + b[:, None] * steps  # [pairs, S, num_ws, w_dim]
    space = "W" if latents.space == latents_b.space == "W" else "W+"
    return replace(latents, ws=ws.flatten(0, 1), space=space)


def average(latents: Latents, weights: Sequence[float] = ()) -> Latents:
    """The weighted mean of latents: one face that has something of all.

    Args:
        latents: N latents.
        weights: N numbers, of which only the proportions count; none for equal ones.

    Raises:
        InputError: another number of weights, or weights that sum to zero.
    """
    if weights and len(weights) != len(latents):
        raise InputError(
            f"weights: expected {len(latents)} numbers, one for each latent, got {len(weights)}"
        )
    parts = torch.tensor(list(weights) or [1.0] * len(latents), dtype=torch.float64)
    if abs(float(parts.sum())) <= 1e-6 * float(parts.abs().max()):
        raise InputError("weights: expected numbers that do not sum to 0")
    parts = parts / parts.sum()
    mean = (latents.ws.double() * parts[:, None, None]).sum(dim=0, keepdim=True)
    return replace(latents, ws=mean.to(latents.ws.dtype))


def _arranged(
    a: Tensor, b: Tensor, arrangement: str, name: str, copies: int = 1
) -> tuple[Tensor, Tensor]:
    """Both batches at the same length, as the arrangement says."""
    n, m = len(a), len(b)
    if arrangement not in ARRANGEMENTS:
        raise InputError(f"arrangement: expected one of {ARRANGEMENTS}, got {arrangement!r}")
    count = (n * m if arrangement == "grid" else max(n, m)) * copies
    if count > MAX_LATENTS:
        raise InputError(f"{name}: {count} latents would result, expected at most {MAX_LATENTS}")
    if arrangement == "grid":
        return a.repeat_interleave(m, dim=0), b.repeat(n, 1, 1)
    if n != m and 1 not in (n, m):
        raise InputError(f"{name}: expected {n} latents (or 1) to pair with {n}, got {m}")
    return a.expand(max(n, m), -1, -1), b.expand(max(n, m), -1, -1)
