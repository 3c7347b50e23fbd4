"""Hair colour, strands and the long hair that falls beside and behind the face."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .bodies import CLIP, FAR, ellipsoid, vector
from .maths import mix, smoothstep
from .parameters import LONG_HAIR
from .values import Values


@dataclass
class HairLayer:
    """A translucent layer of hair: distance, normal, albedo, gloss, cover and occlusion."""

    t: Tensor
    normal: Tensor
    colour: Tensor
    gloss: Tensor
    alpha: Tensor
    occlusion: Tensor


def strands(d: Tensor, grain: Tensor, q: Values) -> Tensor:
    """Strand pattern over the scalp in about -1..1, combed from the parting."""
    angle = torch.atan2(d[0] - 0.3 * q["hair_part"], d[2] * 0.6 + d[1] * 0.8 + 0.35)
    curl = q["curl"]
    wave = torch.sin(angle * 31 + q["phase"] + 3 * curl * torch.sin(d[1] * 9 + d[0] * 5))
    fine = torch.sin(angle * 67 + 2 * q["phase"] + 5 * curl * torch.sin(d[1] * 13))
    return (0.45 * wave + 0.3 * fine + 0.8 * (grain - 0.5)).clamp(-1, 1)


def scalp_layer(
    q: Values, t: Tensor, hit: Tensor, normal: Tensor, d: Tensor, cover: Tensor, grain: Tensor
) -> HairLayer:
    """The shell of hair over the scalp; `hit` is the soft cover of the outer surface."""
    pattern = strands(d, grain, q)
    fade = 0.035 + 0.05 * smoothstep(0.35, 0.0, q["hair_volume"])
    alpha = torch.sigmoid((cover - 0.02 + 0.028 * pattern) / (0.3 * fade)) * hit
    shade = 1 + 0.17 * pattern
    root = 0.72 + 0.28 * smoothstep(-0.02, 0.16, cover)
    occlusion = root * (0.72 + 0.28 * smoothstep(-0.5, 0.4, d[1]))
    colour = q.colour("hair") * shade
    return HairLayer(t, normal, colour, (0.28 + 0.16 * pattern).clamp(min=0), alpha, occlusion)


def long_hair(q: Values, origin: Tensor, d: Tensor) -> HairLayer:
    """Hair behind the neck and in two locks beside the face, merged softly by depth."""
    length, volume, curl = q["hair_length"], q["hair_volume"], q["curl"]
    grow = ((length - LONG_HAIR) / (1 - LONG_HAIR)).clamp(0, 1)
    layers = [
        (
            vector(q, 0.0, -0.32 * grow, -0.36),
            vector(q, 0.86 + 0.06 * grow + 0.1 * volume + 0.06 * curl, 0.9 + 0.5 * grow, 0.6),
        )
    ]
    for sign in (-1.0, 1.0):
        layers.append(
            (
                vector(q, sign * (q["skull"] + 0.02), -0.2 - 0.32 * grow, -0.08),
                vector(q, 0.17 + 0.05 * volume + 0.03 * curl, 0.62 + 0.34 * grow, 0.26),
            )
        )
    t = n = alpha = None
    for centre, radii in layers:
        ti, ni, square = ellipsoid(origin, d, centre, radii)
        ai = smoothstep(0.02, 0.16, square)
        if t is None or n is None or alpha is None:
            t, n, alpha = ti, ni, ai
            continue
        front = torch.sigmoid((t - ti) / 0.04) * ai
        front = torch.where(ti >= FAR, torch.zeros_like(front), front)
        n = mix(n, ni, front)
        t = torch.where(front > 0.5, ti, t)
        alpha = torch.maximum(alpha, ai * (ti < FAR))
    assert t is not None and n is not None and alpha is not None
    p = origin + t.clamp(max=CLIP) * d
    pattern = 0.5 * torch.sin(
        p[0] * 30 + q["phase"] + curl * 2.5 * torch.sin(p[1] * 9 + q["phase"])
    ) + 0.35 * torch.sin(p[0] * 63 + curl * 3 * torch.sin(p[1] * 13))
    bottom = -0.62 - 0.85 * grow + 0.05 * torch.sin(p[0] * 8 + q["phase"]) + 0.03 * pattern
    alpha = alpha * smoothstep(-0.05, 0.05, p[1] - bottom) * (t < FAR)
    alpha = alpha * smoothstep(-0.1, 0.1, 0.62 - p[1])
    colour = q.colour("hair") * (0.9 + 0.17 * pattern)
    depth = 0.55 + 0.45 * smoothstep(-0.5, 0.15, p[2])
    return HairLayer(t, n, colour, 0.2 + 0.12 * pattern, alpha, depth)
