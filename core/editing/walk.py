"""Walks through latent space from one latent to the next, for animations."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..errors import InputError
from ..latents import Latents
from .mixing import MAX_LATENTS

MOTIONS = ("smooth", "linear", "pause")


def latent_walk(
    latents: Latents, frames: int, *, motion: str = "smooth", loop: bool = True
) -> Latents:
    """Walk from each latent to the next in equal steps.

    Args:
        latents: N >= 2 latents, the places that the walk passes.
        frames: steps from one place to the next.
        motion: "linear" goes in straight lines; "smooth" passes the places on a Catmull-Rom spline
            (1974), without corners, at which it may swing a little beyond the line; "pause" goes in
            straight lines and slows down at each place.
        loop: walk from the last place back to the first, so that an animation repeats seamlessly.

    Returns:
        N * frames latents with `loop`, else (N - 1) * frames + 1: every place is itself a frame,
        and no frame stands twice.

    Raises:
        InputError: fewer than two latents, or too many frames.
    """
    if motion not in MOTIONS:
        raise InputError(f"motion: expected one of {MOTIONS}, got {motion!r}")
    places = latents.ws
    count = len(places)
    if count < 2:
        raise InputError("latents: a walk needs at least two latents to go between, got 1")
    segments = count if loop else count - 1
    if frames < 1 or segments * frames > MAX_LATENTS:
        raise InputError(
            f"frames: expected at least 1, and at most {MAX_LATENTS} in all, "
            f"got {segments} x {frames}"
        )
    t = torch.arange(frames, dtype=places.dtype) / frames
    parts = [_segment(places, k, t, motion, loop) for k in range(segments)]
    if not loop:
        parts.append(places[-1:])
    return replace(latents, ws=torch.cat(parts))


def _segment(places: Tensor, k: int, t: Tensor, motion: str, loop: bool) -> Tensor:
    """Latents on the way from place k to the next at the times `t` of 0..1."""
    a, b = places[k], places[(k + 1) % len(places)]
    x = t[:, None, None]
    if motion == "pause":
        x = x * x * (3 - 2 * x)
    if motion != "smooth":
        return a + (b - a) * x
    count = len(places)
    before = places[(k - 1) % count] if loop or k > 0 else 2 * a - b
    after = places[(k + 2) % count] if loop or k + 2 < count else 2 * b - a
    bend = 2 * before - 5 * a + 4 * b - after
    turn = 3 * a - before - 3 * b + after
    return a + 0.5 * x * ((b - before) + x * (bend + x * turn))
