"""Light: a wrapped key light with soft shadow, a sky, skin translucency, gloss and rim."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from .maths import constant_colour, dot, normalize, smoothstep
from .scene import Scene
from .values import Values


def key_direction(q: Values, turn: Tensor) -> Tensor:
    """Unit vectors to the key light in the head frame, [3, N, 1, 1]."""
    azimuth = q.flat("light_azimuth") * (math.pi / 180)
    elevation = q.flat("light_elevation") * (math.pi / 180)
    world = torch.stack(
        [azimuth.sin() * elevation.cos(), elevation.sin(), azimuth.cos() * elevation.cos()], -1
    )
    return torch.einsum("ni,nij->jn", world, turn)[:, :, None, None]


class Surface(Protocol):
    """What `shade` asks of a surface; tensors [N, H, W] or [3, N, H, W], normals in head frame."""

    @property
    def normal(self) -> Tensor: ...
    @property
    def colour(self) -> Tensor:
        """Albedo."""
        ...

    @property
    def occlusion(self) -> Tensor:
        """0 hidden from the sky to 1 open."""
        ...

    @property
    def gloss(self) -> Tensor:
        """Strength of the highlight."""
        ...


def shade(
    s: Scene, surface: Surface, shadow: Tensor | float, flesh: Tensor | float, sharpness: int
) -> Tensor:
    """Lit colour of a surface, [3, N, H, W].

    Args:
        s: the faces' numbers, rays and light.
        surface: what the rays meet.
        shadow: 0 in shadow to 1 in light.
        flesh: 1 where light bleeds through skin.
        sharpness: exponent of the highlight.
    """
    q, normal, colour = s.q, surface.normal, surface.colour
    facing = dot(normal, s.light)
    key = q["key"] * (0.74 + 0.2 * q["skin_tone"])
    warm = torch.stack([1 + 0.07 * q["warmth"], torch.ones_like(key), 1 - 0.09 * q["warmth"]])
    direct = key * (facing * 0.78 + 0.22).clamp(min=0) * (0.35 + 0.65 * shadow)
    up = dot(normal, s.turn[:, 1].t()[:, :, None, None])
    sky = q["ambient"] * (0.88 + 0.2 * up) * surface.occlusion
    lit = colour * (sky + direct * (0.55 + 0.45 * surface.occlusion) * warm)
    bleed = torch.exp(-(((facing - 0.05) / 0.22) ** 2)) * 0.08 * flesh
    lit = lit + colour * bleed * constant_colour(lit, 1.0, 0.25, 0.15)
    highlight = dot(normal, normalize(s.light - s.d)).clamp(min=0) ** sharpness
    lit = lit + surface.gloss * highlight * (shadow * key * 0.75) * warm
    edge = (1 + dot(normal, s.d)).clamp(0, 1) ** 3 * q["rim"] * 0.13
    return lit + edge * (0.3 + colour)


def background(q: Values, clouds: Tensor, size: int) -> Tensor:
    """A smooth backdrop with a gradient from the light's side, [3, N, size, size]."""
    g = torch.linspace(-1, 1, size, device=clouds.device)
    azimuth = q["light_azimuth"] * (math.pi / 180)
    x, y = g.view(1, 1, size), g.view(1, size, 1)
    fall = 1 + 0.14 * x * torch.sin(azimuth) - 0.1 * y - 0.08 * (x * x + y * y)
    return q.colour("background") * (fall + 0.6 * q["background_texture"] * (clouds - 0.5))


def expose(colour: Tensor) -> Tensor:
    """Soft shoulder into 0..1."""
    x = colour.clamp(0, 1.6)
    return (x * 1.2 / (1 + 0.23 * x * x)).clamp(0, 1)


def steepness_mask(steepness: Tensor) -> Tensor:
    """1 on gentle slopes, 0 on walls."""
    return smoothstep(1.3, 0.7, steepness)
