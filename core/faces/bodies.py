"""Ellipsoids beside the head: ears, neck, shoulders and long hair."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .maths import bump, constant_colour, dot, mix, normalize, rotate, smoothstep
from .parameters import LONG_HAIR
from .segments import CLOTH, EAR, NECK
from .values import Values

FAR = 1e3
"""Distance of a ray that meets nothing."""
CLIP = 20.0
"""Distances are cut here before they become places: behind everything, yet small and exact."""


@dataclass
class Body:
    """Nearest surface of some bodies along each ray; tensors [N, H, W] or [3, N, H, W]."""

    t: Tensor
    normal: Tensor
    colour: Tensor
    segment: Tensor
    occlusion: Tensor
    gloss: Tensor


def vector(q: Values, *parts: Tensor | float) -> Tensor:
    """Per-face vectors [3, N, 1, 1] from three columns or constants."""
    like = q["yaw"]
    return torch.stack([p if isinstance(p, Tensor) else torch.full_like(like, p) for p in parts])


def ellipsoid(
    origin: Tensor, d: Tensor, centre: Tensor, radii: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Ray against axis-aligned ellipsoid.

    Returns:
        Distance (FAR where missed) [N, H, W], unit normal [3, N, H, W], and how squarely it is
        hit, 0 at the rim to 1 in the middle.
    """
    o, v = (origin - centre) / radii, d / radii
    a, b = dot(v, v), dot(o, v)
    inside = b * b - a * (dot(o, o) - 1)
    root = inside.clamp(min=0).sqrt()
    t = (-b - root) / a
    n = normalize((o + t * v) / radii)
    return torch.where(inside > 0, t, torch.full_like(t, FAR)), n, root / a.sqrt()


def _nearer(
    body: Body,
    t: Tensor,
    normal: Tensor,
    colour: Tensor,
    segment: int,
    occlusion: Tensor,
    gloss: float,
) -> Body:
    front = t < body.t
    return Body(
        torch.where(front, t, body.t),
        torch.where(front, normal, body.normal),
        torch.where(front, colour, body.colour),
        torch.where(front, torch.full_like(t, segment), body.segment),
        torch.where(front, occlusion, body.occlusion),
        torch.where(front, torch.full_like(t, gloss), body.gloss),
    )


def add_ears(body: Body, q: Values, origin: Tensor, d: Tensor) -> Body:
    """Both ears, in the head frame."""
    skin = q.colour("skin")
    hidden = (q["hair_length"] > LONG_HAIR).float()
    for sign in (-1.0, 1.0):
        centre = vector(q, sign * (q["skull"] + 0.045 - 0.14 * hidden), -0.08, -0.03)
        radii = vector(q, 0.095, 0.19 + 0.03 * q["ear_size"], 0.12)
        t, n, _ = ellipsoid(origin, d, centre, radii)
        p = origin + t * d
        hollow = bump(p[1], p[2], -0.05, 0.0, 0.1, 0.07)
        colour = skin * constant_colour(skin, 1.0, 0.88, 0.86) * (1 - 0.3 * hollow)
        body = _nearer(body, t, n, colour, EAR, torch.full_like(t, 0.85), 0.1)
    return body


def add_neck_and_shoulders(
    body: Body, q: Values, origin: Tensor, d: Tensor, to_head: Tensor
) -> Body:
    """Neck and clothed shoulders.

    Args:
        body: what lies in front so far.
        q: the faces' numbers.
        origin: ray origins in the body frame.
        d: ray directions in the body frame.
        to_head: rotations from body to head frame [N, 3, 3], for the normals.
    """
    m, full = q["m"], q["fullness"]
    skin = q.colour("skin") * constant_colour(q.colour("skin"), 0.97, 0.93, 0.91)
    width = 0.375 + 0.065 * m + 0.035 * full
    t, n, _ = ellipsoid(origin, d, vector(q, 0.0, -1.2, -0.24), vector(q, width, 1.3, 0.4))
    p = origin + t * d
    shadow = 0.5 + 0.5 * smoothstep(-0.82, -1.3, p[1])
    body = _nearer(body, t, rotate(to_head, n), skin.expand_as(n), NECK, shadow, 0.06)
    cloth = q.colour("cloth")
    for kind in (0, 1):
        if kind == 0:
            centre = vector(q, 0.0, -1.62, -0.34)
            radii = vector(q, 0.78 + 0.1 * m, 0.5, 0.42)
        else:
            centre = vector(q, 0.0, -2.05, -0.36)
            radii = vector(q, 1.28 + 0.16 * m, 0.78, 0.55)
        t, n, _ = ellipsoid(origin, d, centre, radii)
        p = origin + t * d
        collar = -1.22 - 0.12 * (1 - m) + 0.5 * p[0].abs() ** 1.2
        cut = smoothstep(0.0, 0.03, p[1] - collar) * smoothstep(0.0, 0.1, p[2])
        open_neck = smoothstep(0.62, 0.5, p[0].abs())
        colour = mix(cloth.expand_as(n), skin.expand_as(n), cut * open_neck)
        edge = torch.exp(-(((p[1] - collar) / 0.03) ** 2)) * open_neck
        body = _nearer(
            body,
            t,
            rotate(to_head, n),
            colour * (1 - 0.2 * edge),
            CLOTH,
            0.7 + 0.3 * smoothstep(0.3, 0.7, p[0].abs()),
            0.04,
        )
    return body
