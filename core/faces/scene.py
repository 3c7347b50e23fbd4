"""One batch of faces seen by its camera: numbers and rays, and what is marched along them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .bodies import CLIP
from .camera import DISTANCE
from .march import HeadMap
from .values import Values

REACH = 1.3
"""Rays start and end this far from the head's centre: heads with their hair reach about 1.29."""

# Sphere tracing goes this share of each gap. The gap is measured towards the centre and not along
# the shortest way, so a full step could pass through the surface; a start near it may go further.
_RELAX_FIRST, _RELAX_NEAR, _RELAX_SKIN = 0.62, 0.66, 0.7
_STEPS_FIRST, _STEPS_NEAR, _STEPS_SKIN = 11, 4, 4

# Shadow rays start this far above the surface, so that it does not shade itself, and look at
# `_SHADOW_STEPS` places along the light that reach as far as a nose or a fringe stands out.
_SHADOW_LIFT = 0.04
_SHADOW_STEPS, _SHADOW_STRIDE = 7, 0.08
# A gap of -_SHADOW_MARGIN only begins to shade, and the farther the blocker, the softer its edge.
_SHADOW_MARGIN, _SHADOW_SHARPNESS = 0.02, 7.0


@dataclass(frozen=True)
class Scene:
    """Faces and rays in the head frame.

    Attributes:
        q: the faces' numbers.
        turn: head-to-camera rotations [N, 3, 3].
        origin: the camera [3, N, 1, 1].
        d: unit ray directions [3, N, S, S], S = pictures' size x supersample.
        light: unit vectors to the key light [3, N, 1, 1].
        supersample: rays per pixel along each axis.
    """

    q: Values
    turn: Tensor
    origin: Tensor
    d: Tensor
    light: Tensor
    supersample: int

    def rows(self, faces: Tensor) -> Scene:
        """The scene of a subset of faces; `faces` [M] are their numbers."""
        return Scene(
            self.q.rows(faces),
            self.turn[faces],
            self.origin[:, faces],
            self.d[:, faces],
            self.light[:, faces],
            self.supersample,
        )


def trace(s: Scene, head: HeadMap) -> tuple[Tensor, Tensor]:
    """Distances to the outer surface and, under the hair, to the skin; [N, H, W] each.

    With several rays to a pixel, one ray of each pixel is marched from the start, and all of them
    only from the nearest surface that it or its neighbours found.
    """
    d, k = s.d, s.supersample
    coarse = d[:, :, k // 2 :: k, k // 2 :: k] if k > 1 else d
    start = -(s.origin * coarse).sum(0) - REACH
    t = head.march(s.origin, coarse, start, _STEPS_FIRST, _RELAX_FIRST, "outer")
    t = t.clamp(max=DISTANCE + REACH)
    if k > 1:
        nearest = -functional.max_pool2d(-t[:, None], 3, 1, 1)[:, 0]
        t = _enlarge(nearest, d.shape[2])
    # Without the pooled start, some rays at the rim need one step more.
    steps = _STEPS_NEAR if k > 1 else _STEPS_NEAR + 1
    t = head.march(s.origin, d, t, steps, _RELAX_NEAR, "outer")
    return t, head.march(s.origin, d, t, _STEPS_SKIN, _RELAX_SKIN, "head")


def shadow(s: Scene, head: HeadMap, t: Tensor, normal: Tensor) -> Tensor:
    """Soft shadow of head and hair on surfaces at distances `t`, 0 in shadow to 1, [N, H, W].

    It is smooth, so one ray to every second pixel is marched and the result enlarged.
    """
    k = 2 * s.supersample
    small = slice(k // 2, None, k)
    p = (s.origin + t.clamp(max=CLIP) * s.d)[:, :, small, small]
    p = p + _SHADOW_LIFT * normal[:, :, small, small]
    lit = torch.ones_like(p[0])
    for i in range(1, _SHADOW_STEPS + 1):
        gap = head.gap(p + s.light * (_SHADOW_STRIDE * i), "outer")
        lit = torch.minimum(lit, 1 + (gap + _SHADOW_MARGIN) * (_SHADOW_SHARPNESS / i**0.5))
    padded = functional.pad(lit.clamp(0, 1)[:, None], (1, 1, 1, 1), mode="replicate")
    return _enlarge(functional.avg_pool2d(padded, 3, 1)[:, 0], t.shape[1])


def _enlarge(field: Tensor, size: int) -> Tensor:
    """Bilinear resampling of [N, h, w] to [N, size, size]."""
    return functional.interpolate(
        field[:, None], size=(size, size), mode="bilinear", align_corners=False
    )[:, 0]
