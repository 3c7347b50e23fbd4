"""Glasses: frame and lenses in a plane before the eyes, temples along the head."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .maths import mix
from .values import Values

_PLANE = 1.0


def add_glasses(
    q: Values, lit: Tensor, depth: Tensor, origin: Tensor, d: Tensor
) -> tuple[Tensor, Tensor]:
    """Draw glasses over a lit picture.

    Args:
        q: the faces' numbers.
        lit: colours [3, N, H, W].
        depth: distance to the nearest surface [N, H, W].
        origin: ray origins in the head frame [3, N, 1, 1].
        d: ray directions in the head frame [3, N, H, W].

    Returns:
        The picture, and the frame's cover [N, H, W].
    """

    def soft(x: Tensor, widen: float = 1.0) -> Tensor:
        return torch.sigmoid(x / (q["pixel"] * widen))

    t = (_PLANE - origin[2]) / d[2]
    p = origin + t * d
    ey = q["eye_y"] - 0.015
    ring = ((p[0].abs() - q["eye_x"]) / 0.235).abs() ** 2.6 + ((p[1] - ey) / 0.19).abs() ** 2.6
    frame = soft(0.13 - (ring - 1).abs(), 4.0)
    bridge = soft(0.016 - (p[1] - ey - 0.06 + 0.15 * p[0] ** 2).abs()) * soft(
        q["eye_x"] - 0.22 - p[0].abs()
    )
    seen = ((t < depth + 0.08) & (t > 0)).float()
    mask = torch.maximum(frame, bridge) * seen
    for sign in (-1.0, 1.0):
        side = sign * (q["eye_x"] + 0.245)
        across = torch.where(d[0].abs() < 1e-4, torch.full_like(d[0], 1e-4), d[0])
        ts = (side - origin[0]) / across
        ps = origin + ts * d
        bar = soft(0.02 - (ps[1] - ey - 0.04).abs())
        bar = bar * ((ps[2] < _PLANE) & (ps[2] > 0.1) & (ts < depth + 0.03) & (ts > 0)).float()
        mask = torch.maximum(mask, bar)
    mask = (mask * q["glasses"]).clamp(0, 1)
    lens = soft(1 - ring, 8.0) * q["glasses"] * seen
    azimuth = q["light_azimuth"] * (math.pi / 180)
    glint = torch.sigmoid((0.05 - (p[0] + p[1] * 0.6 + 0.1 * torch.sin(azimuth)).abs()) / 0.01)
    lit = lit * (1 - lens * (0.03 + 0.75 * q["glasses_tint"])) + 0.05 * lens * glint
    return mix(lit, q.colour("frame").expand_as(lit), mask), mask
