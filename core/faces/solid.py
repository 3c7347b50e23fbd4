"""What hair and glasses lie on: the painted head with its ears, neck and shoulders."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .bodies import FAR, Body, add_ears, add_neck_and_shoulders
from .camera import DISTANCE, rotation
from .march import HEAD, HeadMap, surface_normal
from .maths import dot, rotate, smoothstep
from .paint import Canvas, paint_beard, paint_brows, paint_eyes, paint_mouth, paint_skin
from .scene import Scene
from .segments import SKIN
from .shading import steepness_mask

SIDE = DISTANCE + 1.2
"""Rays that have come this far have passed the head."""

# A marched ray has hit when it ends this close to the surface.
_TOUCH = 0.05
# The trunk follows the head's turn by these shares; a nod does not move it.
_TRUNK_YAW, _TRUNK_ROLL = 0.35, 0.3


def solid_surface(s: Scene, head: HeadMap, t: Tensor, noise: Tensor) -> Body:
    """The nearest surface of head and bodies, unlit.

    Args:
        s: faces and rays.
        head: their surfaces.
        t: distances of the skin [N, H, W].
        noise: grain of the skin [N, 1, K, K] in 0..1.
    """
    skin = _skin(s, head, t, noise)
    return _trunk(s, add_ears(skin, s.q, s.origin, s.d))


def grain(noise: Tensor, uv: Tensor, across: float = 1.0, along: float = 1.0) -> Tensor:
    """Noise [N, 1, K, K] looked up at stretched map places [2, N, H, W]; returns [N, H, W]."""
    grid = torch.stack([uv[0] * across, uv[1] * along], -1)
    return functional.grid_sample(noise, grid, align_corners=True, padding_mode="reflection")[:, 0]


def _skin(s: Scene, head: HeadMap, t: Tensor, noise: Tensor) -> Body:
    p = s.origin + t * s.d
    (radius, gx, gy), d, uv = head.at(p, HEAD)
    normal, steep = surface_normal(d, radius, gx, gy)
    hit = (torch.sqrt(dot(p, p)) - radius < _TOUCH) & (t < SIDE)
    coarse, fine = grain(noise, uv), grain(noise, uv, 3.1, 3.1)
    gloss = 0.13 + 0.06 * coarse
    canvas = Canvas(d, s.q, d, torch.full_like(t, SKIN), gloss, torch.stack([coarse, fine]))
    paint_skin(canvas)
    _paint_features(canvas, hit)
    return Body(
        torch.where(hit, t, torch.full_like(t, FAR)),
        normal,
        canvas.colour,
        canvas.segment,
        _open_sky(canvas),
        canvas.gloss * steepness_mask(steep),
    )


def _paint_features(canvas: Canvas, hit: Tensor) -> None:
    """Beard, eyes, brows and mouth, each on the pixels that it can reach: this saves most work."""
    q, dx, dy, dz = canvas.q, canvas.d[0].abs(), canvas.d[1], canvas.d[2]
    facing = hit & (dz > 0.05)
    hairy = (q["beard"] > 0) | (q["moustache"] > 0) | (q["masculinity"] > 0.6)
    beard = hit & (dz > -0.3) & (dy < -0.15) & hairy
    around_eyes = (
        facing
        & ((dx - q["eye_x"]).abs() < 1.5 * q["eye_r"])
        & ((dy - q["eye_y"]).abs() < 1.5 * q["eye_r"])
    )
    around_brows = facing & ((dx - q["eye_x"]).abs() < 0.24) & ((dy - q["brow_y"]).abs() < 0.13)
    around_mouth = facing & (dx < 0.42) & (dy < q["nose_y"] + 0.1) & (dy > q["mouth_y"] - 0.3)
    for where, painter in (
        (beard, paint_beard),
        (around_eyes, paint_eyes),
        (around_brows, paint_brows),
        (around_mouth, paint_mouth),
    ):
        patch, index = canvas.gather(where)
        painter(patch)
        canvas.scatter(patch, index)


def _open_sky(canvas: Canvas) -> Tensor:
    """Occlusion painted where the face is hollow: eye sockets, under nose, lip and chin."""
    q, dx, dy = canvas.q, canvas.d[0].abs(), canvas.d[1]
    socket = torch.exp(
        -(((dx - q["eye_x"] * 0.85) / 0.15) ** 2) - ((dy - q["eye_y"] - 0.07) / 0.08) ** 2
    )
    nose = torch.exp(-((dx / 0.1) ** 2) - ((dy - q["nose_y"] + 0.065) / 0.035) ** 2)
    chin = torch.exp(-((dx / 0.16) ** 2) - ((dy - q["mouth_y"] + 0.135) / 0.04) ** 2)
    under = smoothstep(-0.8, -0.98, dy)
    return 1 - 0.14 * socket - 0.26 * nose - 0.12 * chin - 0.3 * under


def _trunk(s: Scene, body: Body) -> Body:
    """Neck and shoulders behind `body`, in a frame of their own."""
    yaw, roll = s.q.flat("yaw"), s.q.flat("roll")
    trunk = rotation(yaw * _TRUNK_YAW, torch.zeros_like(yaw), roll * _TRUNK_ROLL)
    to_trunk = trunk.transpose(1, 2)
    camera = torch.zeros_like(s.origin)
    camera[2] = DISTANCE
    return add_neck_and_shoulders(
        body,
        s.q,
        rotate(to_trunk, camera),
        rotate(to_trunk, rotate(s.turn, s.d)),
        s.turn.transpose(1, 2) @ trunk,
    )
