"""The layers of a picture, put together: backdrop, bodies, shell of hair, long hair, glasses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .bodies import FAR, Body
from .glasses import add_glasses
from .hair import HairLayer, long_hair, scalp_layer
from .march import OUTER, HeadMap, surface_normal
from .maths import dot, mix
from .parameters import LONG_HAIR
from .randomness import lattice
from .scene import Scene, shadow, trace
from .segments import BACKGROUND, CLOTH, GLASSES, HAIR
from .shading import background, shade
from .solid import SIDE, grain, solid_surface

_GRAIN_SIZE, _CLOUD_SIZE = 48, 4  # grid points of the noise on skin and hair, and of the backdrop
# Exponents of the highlights: skin's is narrow, that of many strands wide.
_GLOSS_BODY, _GLOSS_SHELL, _GLOSS_LONG = 22, 10, 9
# Hair scatters light into its own shadow; long hair, seldom under the head's, gets one value.
_SHADE_SHELL, _SHADE_LONG = 0.3, 0.75


@dataclass(frozen=True)
class Picture:
    """A lit picture and what is known of each ray.

    Attributes:
        colour: light before exposure [3, N, H, W].
        segment: class numbers [N, H, W] as floats.
        depth: distance of skin or body [N, H, W], `FAR` where there is none.
        hair: cover of hair [N, H, W] in 0..1.
    """

    colour: Tensor
    segment: Tensor
    depth: Tensor
    hair: Tensor


def compose(s: Scene, head: HeadMap) -> Picture:
    """Draw all layers, from the back to the front."""
    texture = s.q.flat("texture")
    noise = lattice(texture, "grain", _GRAIN_SIZE)
    outer_t, skin_t = trace(s, head)
    body = solid_surface(s, head, skin_t, noise)
    dark = shadow(s, head, torch.minimum(body.t, outer_t), body.normal)
    shell = _shell(s, head, outer_t, body, dark, noise)

    colour, segment = _bodies_on_backdrop(s, body, dark, texture)
    colour, hair = _with_hair(s, colour, body, shell)
    segment = torch.where(hair > 0.5, torch.full_like(segment, HAIR), segment)
    nearest = torch.minimum(body.t, torch.where(shell.alpha > 0.5, outer_t, FAR))
    colour, segment = _with_glasses(s, colour, segment, nearest)
    return Picture(colour, segment, body.t, hair)


def _bodies_on_backdrop(
    s: Scene, body: Body, dark: Tensor, texture: Tensor
) -> tuple[Tensor, Tensor]:
    """Colour [3, N, H, W] and classes [N, H, W] of everything solid."""
    size = s.d.shape[2]
    clouds = functional.interpolate(
        lattice(texture, "background", _CLOUD_SIZE),
        size=(size, size),
        mode="bicubic",
        align_corners=True,
    )[:, 0]
    flesh = ((body.segment < GLASSES) | (body.segment > HAIR)).float() * (body.segment != CLOTH)
    lit = shade(s, body, dark, flesh, _GLOSS_BODY)
    solid = body.t < FAR
    colour = mix(background(s.q, clouds, size), lit, solid.float())
    return colour, torch.where(solid, body.segment, torch.full_like(body.segment, BACKGROUND))


def _shell(
    s: Scene, head: HeadMap, t: Tensor, body: Body, dark: Tensor, noise: Tensor
) -> HairLayer:
    """The lit shell of hair at distances `t`, transparent where a body lies before it."""
    p = s.origin + t * s.d
    (radius, gx, gy, cover), d, uv = head.at(p, OUTER)
    normal, _ = surface_normal(d, radius, gx, gy)
    gap = torch.sqrt(dot(p, p)) - radius
    hit = torch.sigmoid((0.08 - gap) / 0.012) * (t < SIDE)
    strands = grain(noise, uv, 2.3, 1.1)
    layer = scalp_layer(s.q, t, hit, normal, d, cover, strands)
    layer.alpha = layer.alpha * torch.sigmoid((body.t - t + 0.02) / 0.01)
    light = _SHADE_SHELL + (1 - _SHADE_SHELL) * dark
    layer.colour = shade(s, layer, light, 0.0, _GLOSS_SHELL)
    return layer


def _with_hair(s: Scene, colour: Tensor, body: Body, shell: HairLayer) -> tuple[Tensor, Tensor]:
    """The picture under its hair, and the cover of hair [N, H, W].

    Long hair is laid twice: where it is behind the shell (and before the bodies) under the shell,
    and where it is in front of both, such as a lock beside the face, over it.
    """
    covered = mix(colour, shell.colour, shell.alpha)
    wearers = _faces((s.q.flat("hair_length") > LONG_HAIR) & (s.q.flat("baldness") < 0.5))
    if len(wearers) == 0:
        return covered, shell.alpha
    few = s.rows(wearers)
    layer = long_hair(few.q, few.origin, few.d)
    layer.colour = shade(few, layer, _SHADE_LONG, 0.0, _GLOSS_LONG)
    amount = layer.alpha * torch.sigmoid((body.t[wearers] - layer.t) / 0.02)
    over = amount * torch.sigmoid((shell.t[wearers] - layer.t) / 0.04)
    under = mix(colour[:, wearers], layer.colour, amount)
    under = mix(under, shell.colour[:, wearers], shell.alpha[wearers])
    covered = covered.index_copy(1, wearers, mix(under, layer.colour, over))
    long = torch.zeros_like(shell.alpha).index_copy(0, wearers, amount)
    return covered, torch.maximum(long, shell.alpha)


def _with_glasses(
    s: Scene, colour: Tensor, segment: Tensor, nearest: Tensor
) -> tuple[Tensor, Tensor]:
    """Colour and classes with glasses on the faces that wear them, before what is `nearest`."""
    wearers = _faces(s.q.flat("glasses") > 0)
    if len(wearers) == 0:
        return colour, segment
    few = s.rows(wearers)
    seen, mask = add_glasses(few.q, colour[:, wearers], nearest[wearers], few.origin, few.d)
    marked = torch.where(mask > 0.5, torch.full_like(mask, GLASSES), segment[wearers])
    return colour.index_copy(1, wearers, seen), segment.index_copy(0, wearers, marked)


def _faces(chosen: Tensor) -> Tensor:
    """Numbers of the faces for which bool [N] holds."""
    return chosen.nonzero().squeeze(1)
