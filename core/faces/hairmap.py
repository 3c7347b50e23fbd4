"""Where hair grows and how thick it lies, as functions of the direction from the head's centre."""

from __future__ import annotations

import torch
from torch import Tensor

from .maths import smoothstep
from .parameters import LONG_HAIR
from .values import Values


def hair_coverage(dx: Tensor, dy: Tensor, dz: Tensor, q: Values) -> Tensor:
    """Signed measure of the scalp: above 0 hair grows, below it is skin; about one unit per radian.

    The front edge is an oval round the face, so that the line turns from forehead to temple
    without a corner.
    """
    ax = dx.abs()
    long = (q["hair_length"] > LONG_HAIR).float()
    fringe, line = q["fringe"], q["hairline"]
    sweep = 1 - smoothstep(0.1, 0.75, (dx * torch.sign(q["hair_part"] + 1e-6) + 0.25).abs())
    height = 0.625 + 0.055 * line + 0.015 * q["m"]
    temple = torch.exp(-(((ax - 0.36) / 0.17) ** 2)) * (1 - fringe)
    height = height + (0.05 + 0.17 * line.clamp(min=0)) * temple
    height = height + 0.06 * sweep * (1 - fringe) * (1 - q["curl"])
    strands = torch.sin(dx * 21 + q["phase"]) + 0.6 * torch.sin(dx * 47 + 2 * q["phase"])
    height = height - fringe * (0.25 + 0.02 * strands) * smoothstep(0.75, 0.45, ax)
    width = 0.69 + 0.02 * q["m"] - 0.05 * long * smoothstep(0.2, -0.6, dy)
    width = width + 0.13 * (1 - long) * smoothstep(0.4, -0.02, dy)
    rim = (ax / width) ** 2.6 + (dy.clamp(min=0) / height) ** 2.6
    oval = (rim + 1e-6) ** (1 / 2.6) - 1
    oval = torch.where(dz > 0, oval, torch.full_like(oval, 0.6))
    oval = torch.maximum(oval, 1.5 * smoothstep(0.15, -0.2, dz) - 0.9)
    bearded = smoothstep(0.1, 0.4, q["beard"]) * smoothstep(-0.05, 0.15, dz)
    side = -0.05 - 0.75 * long - 0.2 * bearded
    side = side + 0.15 * smoothstep(0.08, -0.06, dz) * (1 - long)
    nape = smoothstep(-0.16, -0.5, dz)
    low = dy - (side * (1 - nape) + (-0.62) * nape)
    field = torch.minimum(oval * 0.7, low)
    crown = 1.1 * (q["baldness"] / 0.6).clamp(max=1.0) * smoothstep(0.0, 0.28, dy)
    return field - crown - 1.5 * smoothstep(0.62, 0.85, q["baldness"])


def hair_thickness(dx: Tensor, dy: Tensor, dz: Tensor, cover: Tensor, q: Values) -> Tensor:
    """Height of the hair above the scalp; negative where there is none."""
    volume, curl, length = q["hair_volume"], q["curl"], q["hair_length"]
    top = smoothstep(-0.1, 0.75, dy)
    part = torch.exp(-(((dx - 0.33 * q["hair_part"]) / 0.07) ** 2)) * (1 - curl) * (1 - q["fringe"])
    long = (length > LONG_HAIR).float()
    side = 0.1 + 0.25 * volume * volume + 0.25 * long
    thick = 0.02 + 0.015 * long + (0.035 + 0.115 * volume) * (side + (1 - side) * top)
    thick = thick + 0.06 * length * long * (1 - top)
    thick = thick + 0.07 * curl * curl * volume * (0.35 + 0.65 * torch.maximum(top, long))
    thick = thick - 0.03 * part * smoothstep(0.2, 0.6, dy) * volume
    waves = (
        torch.sin(dx * 15 + q["phase"])
        * torch.sin(dy * 14 + 1.3 * q["phase"])
        * torch.cos(dz * 13 + 0.7 * q["phase"])
    )
    thick = thick * (1 + (0.07 + 0.3 * curl) * waves)
    return thick * smoothstep(0.05, 0.27, cover) - 0.05 * smoothstep(0.02, -0.1, cover)
