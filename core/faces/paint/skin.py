"""Skin tone, blush, freckles, wrinkles, stubble and beard."""

from __future__ import annotations

import torch
from torch import Tensor

from ..maths import bump, constant_colour, smoothstep
from ..segments import BEARD
from ..shape import fold_x, mouth_line
from .canvas import Canvas


def paint_skin(c: Canvas) -> None:
    """Base colour with blush, freckles, shadows under the eyes, folds and wrinkles."""
    q, dx, dy = c.q, c.d[0], c.d[1]
    ax, age = dx.abs(), q["age"]
    coarse, fine = c.grain[0], c.grain[1]
    colour = q.colour("skin") * (1 + 0.05 * (coarse - 0.5) + 0.05 * age * (fine - 0.5))
    pink = constant_colour(colour, -0.35, 1.1, 0.8)
    blush = bump(ax, dy, 0.44, -0.2, 0.17, 0.13) + 0.6 * bump(ax, dy, 0.0, -0.21, 0.1, 0.08)
    blush = blush * (0.07 + 0.06 * q["makeup"] + 0.03 * q["smile"].clamp(min=0))
    colour = colour * (1 - blush * (1 - 0.5 * q["skin_tone"]) * pink)
    spots = (
        smoothstep(0.66, 0.84, fine)
        * q["freckles"]
        * (1 - q["skin_tone"])
        * bump(ax, dy, 0.3, -0.13, 0.35, 0.15)
    )
    colour = colour * (1 - 0.3 * spots * constant_colour(colour, 0.6, 1.0, 1.0))
    bags = (0.04 + 0.19 * age) * bump(ax, dy, q["eye_x"], q["eye_y"] - 0.125, 0.11, 0.035)
    colour = colour * (1 - bags * constant_colour(colour, 0.9, 1.0, 0.8))
    span = smoothstep(q["mouth_y"] - 0.06, q["mouth_y"] + 0.06, dy) * smoothstep(
        q["nose_y"] + 0.04, q["nose_y"] - 0.04, dy
    )
    fold = torch.exp(-(((ax - fold_x(dy, q)) / 0.016) ** 2)) * span
    old = age * smoothstep(0.35, 0.8, age)
    fore = torch.sin((dy + 0.04 * torch.cos(dx * 5)) * 62).clamp(min=0)
    fore = fore * bump(dx, dy, 0.0, 0.44, 0.33, 0.09)
    lines = (0.01 + 0.24 * age**1.5 + 0.025 * q["smile"].clamp(min=0)) * fold + 0.16 * old * fore
    c.colour = colour * (1 - lines)


def beard_density(c: Canvas) -> tuple[Tensor, Tensor]:
    """Cover of beard or moustache and the region of stubble, both [...] in 0..1."""
    q, dx, dy, dz = c.q, c.d[0], c.d[1], c.d[2]
    ax = dx.abs()
    mw, my = q["mouth_w"], q["mouth_y"]
    cheek = -0.43 + 1.8 * (ax - 0.24).clamp(min=0) ** 2
    region = smoothstep(0.07, -0.13, dy - cheek) * smoothstep(-0.28, -0.08, dz)
    region = region * smoothstep(-0.99, -0.92, dy)
    line = mouth_line(dx, q)
    middle = line + 0.5 * (q["upper_lip"] - q["lower_lip"]) - 0.2 * q["gap"]
    half = 0.5 * (q["upper_lip"] + q["lower_lip"] + q["gap"]) + 0.012
    away = smoothstep(0.85, 1.3, torch.sqrt((ax / (mw * 1.08)) ** 2 + ((dy - middle) / half) ** 2))
    beside = smoothstep(mw * 0.95, mw * 1.25, ax)
    beard = region * torch.maximum(beside, smoothstep(my + 0.02, my - 0.06, dy)) * q["beard"]
    arch = my + 0.085 - 0.55 * ax * ax
    moustache = smoothstep(0.07, 0.02, (dy - arch).abs()) * smoothstep(mw * 1.4, mw * 1.05, ax)
    moustache = moustache * smoothstep(q["nose_y"] - 0.03, q["nose_y"] - 0.07, dy) * q["moustache"]
    return torch.maximum(beard, moustache) * away, region * away


def paint_beard(c: Canvas) -> None:
    """Stubble of adult men, moustache and beard."""
    q, fine = c.q, c.grain[1]
    cover, region = beard_density(c)
    stubble = 0.13 * smoothstep(0.6, 1.0, q["masculinity"]) * region
    c.lay(q.colour("natural_hair"), stubble * (1 - q["skin_tone"] * 0.5))
    amount = smoothstep(0.1, 0.75, cover + 0.22 * (fine - 0.5) * (cover > 0.02)) * 0.93
    c.lay(q.colour("hair") * (0.75 + 0.4 * fine), amount)
    c.mark(cover + 0.2, BEARD)
    c.gloss = c.gloss * (1 - 0.7 * amount)
