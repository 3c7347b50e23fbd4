"""Eyes with lids, lashes, iris and highlight; brows."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..maths import bump, constant_colour, mix, smoothstep
from ..segments import BROW, EYE
from .canvas import Canvas


def _lids(c: Canvas, rx: Tensor) -> tuple[Tensor, Tensor]:
    """Heights of the upper and lower lid edge in eye radii."""
    q = c.q
    arc = (1 - rx**2).clamp(min=0)
    opening = q["eye_open"] * (1 - 0.18 * q["squint"])
    upper = (0.74 * opening + 0.02) * arc**0.62 - 0.2 * (1 - opening)
    lower = (
        -(0.36 + 0.04 * q["eye_size"]) * arc**0.75 * (0.45 + 0.55 * opening)
        - 0.14 * (1 - opening)
        + 0.16 * q["squint"] * arc
    )
    return upper, torch.minimum(lower, upper)


def paint_eyes(c: Canvas) -> None:
    """Sclera, iris, pupil, highlight, lashes, crease and eye shadow."""
    q, dx, dy = c.q, c.d[0], c.d[1]
    radius, sign = q["eye_r"], torch.sign(c.d[0])
    rx = (dx.abs() - q["eye_x"]) / radius
    ry = (dy - q["eye_y"] - (0.02 * q["eye_tilt"] + 0.008) * rx) / radius
    upper, lower = _lids(c, rx)

    def soft(x: Tensor, widen: float = 1.0) -> Tensor:
        return c.soft(x * radius, widen)

    tint = bump(rx, ry, 0.0, 0.75, 0.95, 0.32) * q["makeup"]
    c.lay(q.colour("skin") * constant_colour(c.colour, 0.66, 0.52, 0.62), 0.5 * tint)
    crease = torch.exp(-(((ry - upper - 0.2) / 0.06) ** 2)) * smoothstep(1.1, 0.8, rx.abs())
    c.darken(0.25 * crease)
    eye = (
        soft(upper - ry)
        * soft(ry - lower)
        * soft(1 - rx.abs(), 2.0)
        * smoothstep(0.0, 0.12, q["eye_open"])
    )
    gx, gy = 0.3 * q["gaze_x"] * sign, 0.2 * q["gaze_y"] + 0.1
    rho = torch.sqrt((rx - gx) ** 2 + (ry - gy) ** 2)
    white = constant_colour(c.colour, 0.94, 0.925, 0.91) * (1 - 0.2 * rx**2)
    ball = white * (1 - 0.35 * smoothstep(0.22, 0.0, upper - ry))
    shade = 0.85 + 0.45 * smoothstep(0.15, 0.45, rho) - 0.6 * smoothstep(0.38, 0.5, rho)
    ball = mix(ball, q.colour("iris") * shade, soft(0.5 - rho))
    ball = mix(ball, constant_colour(ball, 0.03, 0.03, 0.035), soft(0.225 - rho))
    azimuth = q["light_azimuth"] * (math.pi / 180)
    spot = torch.sqrt(
        (rx * sign - gx * sign - 0.2 * torch.sin(azimuth)) ** 2 + (ry - gy - 0.2) ** 2
    )
    ball = mix(ball, constant_colour(ball, 1.1, 1.1, 1.1), 0.9 * soft(0.11 - spot, 1.2))
    c.lay(ball, eye)
    c.gloss = c.gloss * (1 - 0.8 * eye)
    ends = smoothstep(1.14, 0.95, rx.abs())
    lash = torch.exp(-(((ry - upper - 0.02) / (0.085 + 0.05 * q["makeup"] - 0.02 * q["m"])) ** 2))
    c.lay(constant_colour(c.colour, 0.07, 0.05, 0.045), lash * ends * (0.72 + 0.2 * q["makeup"]))
    rim = torch.exp(-(((ry - lower + 0.02) / 0.06) ** 2)) * smoothstep(1.05, 0.8, rx.abs())
    c.lay(q.colour("skin") * constant_colour(c.colour, 0.6, 0.42, 0.4), 0.45 * rim * (1 - eye))
    c.mark(eye, EYE)


def paint_brows(c: Canvas) -> None:
    """A tapered stroke above each eye."""
    q, dx, dy = c.q, c.d[0], c.d[1]
    bx = dx.abs() - q["eye_x"]
    arch = 0.028 * (1 + 0.55 * q["brow_arch"] - 0.35 * q["m"])
    height = (
        q["brow_y"]
        + arch * (1 - (bx / 0.15) ** 2)
        - 0.012
        - 0.09 * bx
        + 0.25 * q["eye_tilt"] * bx * 0.3
    )
    thick = (0.024 + 0.008 * q["brow_thickness"] + 0.007 * q["m"]) * (
        0.35 + 0.65 * smoothstep(0.2, 0.0, bx)
    )
    stroke = (
        c.soft(thick - (dy - height).abs(), 1.6)
        * smoothstep(-0.19, -0.13, bx)
        * smoothstep(0.205, 0.14, bx)
    )
    fine = c.grain[1]
    colour = mix(q.colour("hair") * 0.7, q.colour("skin"), 0.12 * torch.ones_like(dx))
    c.lay(colour * (0.8 + 0.35 * fine), 0.85 * stroke)
    c.mark(stroke + 0.2, BROW)
    c.gloss = c.gloss * (1 - 0.6 * stroke)
