"""Lips, mouth opening with teeth and tongue, nostrils."""

from __future__ import annotations

import torch

from ..maths import bump, constant_colour, mix, smoothstep
from ..segments import LIPS, MOUTH
from ..shape import mouth_line
from .canvas import Canvas


def paint_mouth(c: Canvas) -> None:
    """Lips over the skin, then the opening between them; nostrils under the nose."""
    q, dx, dy = c.q, c.d[0], c.d[1]
    ax, gap = dx.abs(), q["gap"]
    nostril = bump(ax, dy, q["nose_w"] * 0.48, q["nose_y"] - 0.036, 0.03, 0.014)
    c.darken(0.6 * nostril)
    wing = bump(ax, dy, q["nose_w"] * 1.12, q["nose_y"] + 0.0, 0.018, 0.035)
    c.darken(0.2 * wing)
    tip = bump(dx, dy, 0.0, q["nose_y"] + 0.05, 0.05, 0.05)
    c.gloss = c.gloss + 0.22 * tip
    line, u = mouth_line(dx, q), ax / q["mouth_w"]
    profile = (1 - u**2).clamp(min=0)
    up, down = line + 0.3 * gap * profile, line - 0.7 * gap * profile
    bow = 1 - 0.25 * torch.exp(-((dx / 0.035) ** 2))
    top = up + q["upper_lip"] * profile**0.7 * bow
    bottom = down - q["lower_lip"] * profile**0.6
    ends = c.soft(1 - u, 6.0)
    lips = c.soft(top - dy, 1.2) * c.soft(dy - bottom, 1.2) * ends
    c.lay(q.colour("lips"), 0.85 * lips)
    c.gloss = c.gloss + 0.25 * lips
    c.mark(lips, LIPS)
    closed = 1 - smoothstep(0.0, 0.03, gap)
    seam = torch.exp(-(((dy - line) / 0.011) ** 2)) * smoothstep(1.12, 0.95, u) * closed
    c.lay(q.colour("skin") * constant_colour(c.colour, 0.4, 0.22, 0.22), 0.75 * seam)
    corner = bump(u, dy, 1.03, line, 0.09, 0.022)
    c.darken(0.22 * corner)
    opening = c.soft(up - dy) * c.soft(dy - down) * ends * smoothstep(0.004, 0.02, gap)
    dark = constant_colour(c.colour, 0.2, 0.06, 0.06)
    tongue = bump(dx, dy, 0.0, q["mouth_y"] - 0.75 * gap, 0.11, 0.03)
    inner = mix(dark.expand_as(c.colour), constant_colour(c.colour, 0.66, 0.28, 0.28), 0.8 * tongue)
    teeth = c.soft(dy - (up - 0.078), 1.0) * smoothstep(1.0, 0.85, u)
    ivory = constant_colour(c.colour, 0.9, 0.88, 0.83) * (0.96 + 0.04 * torch.cos(dx * 95))
    inner = mix(inner, ivory * (1 - 0.25 * u.clamp(max=1.0) ** 2), teeth)
    c.lay(inner, opening)
    c.mark(opening, MOUTH)
    c.gloss = c.gloss * (1 - 0.7 * opening)
