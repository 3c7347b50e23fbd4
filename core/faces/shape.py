"""The head as a star-shaped surface: distance from its centre along each direction.

Head frame: x to the right of the picture, y up, z towards the camera; the skull's half height
is about 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .maths import bump, smoothstep
from .values import Values


def mouth_line(dx: Tensor, q: Values) -> Tensor:
    """Height of the line between the lips at `dx`."""
    u = dx / q["mouth_w"]
    curve = 0.02 + 0.1 * q["smile"]
    bow = 0.005 * torch.cos(u.clamp(-1.5, 1.5) * 6.3) * (1 - q["mouth_open"])
    return q["mouth_y"] + curve * (u * u - 0.4) - bow


def _skull(dx: Tensor, dy: Tensor, dz: Tensor, q: Values) -> Tensor:
    m = q["m"]
    low = smoothstep(-0.12, -0.98, dy)
    corner = 0.07 * q["jaw_width"] + 0.085 * m + 0.05 * q["fullness"]
    width = q["skull"] * (1 - low * (0.24 - corner))
    width = width * (1 - 0.05 * smoothstep(0.25, 0.8, dy))
    lower = 1.04 + 0.03 * q["chin_length"] + 0.025 * m
    high = smoothstep(-0.2, 0.3, dy)
    height = lower + (0.965 + 0.035 * q["head_height"] - lower) * high
    power = 2.25 + (0.3 + 0.25 * m) * low
    total = (dx.abs() / width) ** power + (dy.abs() / height) ** power + (dz.abs() / 0.92) ** power
    return total.clamp(min=1e-6) ** (-1 / power)


def _mouth_relief(dx: Tensor, dy: Tensor, ax: Tensor, q: Values) -> Tensor:
    line, gap = mouth_line(dx, q), q["gap"]
    up, down = q["upper_lip"], q["lower_lip"]
    inside = smoothstep(1.15, 0.7, ax / q["mouth_w"])
    relief = (
        0.026 * torch.exp(-(((dy - line - up * 0.6 - 0.3 * gap) / (up * 0.9)) ** 2))
        + 0.032 * torch.exp(-(((dy - line + down * 0.6 + 0.7 * gap) / (down * 0.85)) ** 2))
        - 0.02 * torch.exp(-(((dy - line + 0.2 * gap) / (0.014 + 0.5 * gap)) ** 2))
    )
    return inside * relief


def _nose_relief(dy: Tensor, ax: Tensor, q: Values) -> Tensor:
    top, tip = q["eye_y"] + 0.09, q["nose_y"]
    t = ((top - dy) / (top - tip)).clamp(0, 1.2)
    width = 0.052 + 0.034 * t**2 * (1 + 0.4 * q["nose_width"])
    height = (0.022 + 0.145 * t**1.3) * (1 + 0.25 * q["nose_projection"] + 0.12 * q["m"])
    under = torch.sigmoid((dy - tip + 0.035) / 0.013)
    root = smoothstep(top + 0.12, top - 0.06, dy)
    ridge = height * torch.exp(-((ax / width) ** 2)) * under * root
    return ridge + 0.055 * bump(ax, dy, q["nose_w"] * 0.75, tip, 0.042, 0.036)


def fold_x(dy: Tensor, q: Values) -> Tensor:
    """Horizontal place of the fold from nose to mouth corner."""
    return q["nose_w"] + 0.07 + 0.5 * (q["nose_y"] - dy).clamp(min=0)


def head_radius(dx: Tensor, dy: Tensor, dz: Tensor, q: Values) -> Tensor:
    """Radius of skull and face, without hair, along unit directions.

    Shapes: dx, dy, dz broadcast against [N, H, W]; returns [N, H, W].
    """
    ax, m = dx.abs(), q["m"]
    front, smile = smoothstep(-0.05, 0.35, dz), q["smile"].clamp(min=0)
    ex, ey, age = q["eye_x"], q["eye_y"], q["age"]
    s = -0.042 * bump(ax, dy, ex * 0.95, ey + 0.02, 0.17, 0.11)
    s = s + 0.034 * bump(ax, dy, ex, ey - 0.005, 0.11, 0.08)
    s = s + (0.008 + 0.016 * m) * bump(ax, dy, 0.2, q["brow_y"] - 0.02, 0.22, 0.055)
    s = s + (0.034 + 0.03 * q["cheekbones"] - 0.008 * m) * bump(ax, dy, 0.46, -0.15, 0.17, 0.13)
    s = s + 0.025 * smile * bump(ax, dy, 0.4, -0.25, 0.14, 0.12)
    s = s + 0.02 * q["squint"] * bump(ax, dy, ex, ey - 0.16, 0.13, 0.06)
    s = s + 0.04 * q["fullness"] * bump(ax, dy, 0.42, -0.45, 0.25, 0.25)
    s = s - 0.025 * age * bump(ax, dy, 0.44, -0.4, 0.14, 0.17)
    s = s + 0.022 * bump(ax, dy, 0.0, q["mouth_y"] + 0.02, 0.26, 0.18)
    s = s + (0.055 + 0.02 * m) * bump(ax, dy, 0.0, q["chin_y"], 0.16 + 0.04 * m, 0.1)
    s = s - 0.028 * bump(ax, dy, 0.0, q["mouth_y"] - 0.125 - 0.5 * q["gap"], 0.16, 0.045)
    s = s + _mouth_relief(dx, dy, ax, q) + _nose_relief(dy, ax, q)
    span = smoothstep(q["mouth_y"] - 0.1, q["mouth_y"] + 0.05, dy) * smoothstep(
        q["nose_y"] + 0.05, q["nose_y"] - 0.03, dy
    )
    fold = torch.exp(-(((ax - fold_x(dy, q)) / 0.026) ** 2)) * span
    s = s - (0.012 * age**1.5 + 0.003 * smile) * fold
    s = s - age * 0.012 * bump(ax, dy, ex, ey - 0.13, 0.11, 0.022)
    return _skull(dx, dy, dz, q) + s * front
