"""Draws plausible faces: each face depends on its own seed only."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .parameters import IDENTITY, PARAMETERS
from .randomness import normal, uniform

_POSITIVE = (1 << 63) - 1


def _as_seeds(seeds: Sequence[int] | Tensor) -> Tensor:
    if not isinstance(seeds, Sequence):
        if seeds.dim() != 1 or seeds.is_floating_point():
            raise ValueError(
                f"seeds: expected a 1-D integer tensor, got shape {list(seeds.shape)} {seeds.dtype}"
            )
        return seeds.to(device="cpu", dtype=torch.int64)
    return torch.tensor([int(s) & _POSITIVE for s in seeds], dtype=torch.int64)


class _Draw:
    """Named draws for a column of seeds."""

    def __init__(self, seeds: Tensor) -> None:
        self.seeds = seeds

    def u(self, name: str) -> Tensor:
        return uniform(self.seeds, name)

    def n(self, name: str, deviation: float, limit: float = 1.0) -> Tensor:
        return (normal(self.seeds, name) * deviation).clamp(-limit, limit)

    def chance(self, name: str, probability: float | Tensor) -> Tensor:
        return (uniform(self.seeds, name + "?") < probability).float()


def _identity(d: _Draw) -> dict[str, Tensor]:
    p: dict[str, Tensor] = {}
    for row in PARAMETERS:
        if row.group == "identity" and row.low < 0:
            p[row.name] = d.n(row.name, 0.42)
    man = d.chance("masculinity", 0.5)
    p["masculinity"] = torch.where(
        man > 0, 0.7 + 0.3 * d.u("masculinity"), 0.3 * d.u("masculinity")
    )
    p["skin_tone"] = d.u("skin_tone") ** 1.4
    dark = (p["skin_tone"] > 0.5).float()
    p["freckles"] = d.u("freckles") ** 3 * (1 - dark)
    p["iris_hue"] = torch.where(dark > 0, 0.12 * d.u("iris_hue"), d.u("iris_hue") ** 1.4)
    p["hair_tone"] = torch.where(dark > 0, 0.1 * d.u("hair_tone"), d.u("hair_tone") ** 1.7)
    p["hair_red"] = d.u("hair_red") ** 2
    p["texture"] = d.u("texture")
    return p


def _rest(d: _Draw, identity: dict[str, Tensor]) -> dict[str, Tensor]:
    man = (identity["masculinity"] > 0.5).float()
    dark = (identity["skin_tone"] > 0.5).float()
    p: dict[str, Tensor] = {}
    p["age"] = d.u("age") ** 1.3
    old = ((p["age"] - 0.45) / 0.4).clamp(0, 1)
    p["grey"] = (d.u("grey") * 1.5 - 0.35).clamp(0, 1) * old
    p["hair_volume"] = 0.2 + 0.75 * d.u("hair_volume")
    short = torch.where(man > 0, d.chance("hair_length", 0.93), d.chance("hair_length", 0.22))
    length = d.u("hair_length")
    p["hair_length"] = torch.where(short > 0, 0.3 * length, 0.42 + 0.58 * length)
    p["hairline"] = (d.n("hairline", 0.3) + 0.6 * man * p["age"] - 0.1).clamp(-1, 1)
    p["hair_part"] = d.n("hair_part", 0.5)
    p["fringe"] = d.chance("fringe", 0.35 - 0.15 * man) * (0.4 + 0.6 * d.u("fringe"))
    p["curl"] = torch.where(dark > 0, d.u("curl"), d.u("curl") ** 2)
    bald = d.chance("baldness", 0.22) * man * (p["age"] > 0.35).float()
    p["baldness"] = bald * (0.5 + 0.5 * d.u("baldness"))
    beard = man * d.chance("beard", 0.4)
    p["beard"] = beard * (0.35 + 0.65 * d.u("beard"))
    p["moustache"] = torch.maximum(
        p["beard"], man * d.chance("moustache", 0.1) * (0.4 + 0.6 * d.u("moustache"))
    )
    p["glasses"] = d.chance("glasses", 0.2)
    p["glasses_tint"] = d.chance("glasses_tint", 0.15) * d.u("glasses_tint") ** 1.5
    p["makeup"] = (1 - man) * d.u("makeup")
    smiling = d.chance("smile", 0.62)
    p["smile"] = torch.where(smiling > 0, 0.25 + 0.7 * d.u("smile"), -0.12 + 0.35 * d.u("smile"))
    p["mouth_open"] = d.chance("mouth_open", 0.35) * d.u("mouth_open") ** 1.5 * 0.7
    p["eye_open"] = (0.68 + 0.32 * d.u("eye_open")) * (1 - d.chance("eye_open", 0.015))
    p["squint"] = (0.4 * p["smile"].clamp(min=0) * d.u("squint") + 0.12 * d.u("squint 2")).clamp(
        0, 1
    )
    p["brow_raise"] = (d.n("brow_raise", 0.3) + 0.1).clamp(-1, 1)
    p["gaze_x"], p["gaze_y"] = d.n("gaze_x", 0.25), d.n("gaze_y", 0.15)
    p["yaw"], p["pitch"] = d.n("yaw", 12.0, 35.0), d.n("pitch", 6.0, 16.0)
    p["roll"] = d.n("roll", 3.0, 9.0)
    p["light_azimuth"] = d.n("light_azimuth", 30.0, 65.0)
    p["light_elevation"] = 18 + 34 * d.u("light_elevation")
    p["key"], p["ambient"] = 0.56 + 0.38 * d.u("key"), 0.5 + 0.18 * d.u("ambient")
    p["warmth"], p["rim"] = d.n("warmth", 0.45), 0.6 * d.u("rim")
    p["background_hue"] = d.u("background_hue")
    p["background_saturation"] = 0.42 * d.u("background_saturation") ** 1.5
    p["background_value"] = 0.2 + 0.68 * d.u("background_value")
    p["background_texture"] = 0.5 * d.u("background_texture") ** 1.5
    p["cloth_hue"] = d.u("cloth_hue")
    p["cloth_saturation"] = 0.65 * d.u("cloth_saturation")
    p["cloth_value"] = 0.15 + 0.65 * d.u("cloth_value")
    return p


def sample_parameters(
    seeds: Sequence[int] | Tensor, identities: Sequence[int] | Tensor | None = None
) -> dict[str, Tensor]:
    """Draw one face per seed.

    Args:
        seeds: integers [N]; every draw is a hash of the face's own seed, so a face is the same
            in any batch.
        identities: optional integers [N]; when given, the parameters named in `IDENTITY` come
            from these numbers and the rest (hair style, expression, pose, light, scene) from
            `seeds`: equal numbers are the same person in different pictures.

    Returns:
        name -> float32 [N] on the CPU, in the order of `PARAMETERS`.

    Raises:
        ValueError: seeds is not a list of integers, or the two lengths differ.
    """
    own = _as_seeds(seeds)
    person = own if identities is None else _as_seeds(identities)
    if len(person) != len(own):
        raise ValueError(f"identities: expected {len(own)} numbers, got {len(person)}")
    drawn = _identity(_Draw(person))
    drawn.update(_rest(_Draw(own), drawn))
    assert set(IDENTITY) <= set(drawn)
    return {row.name: drawn[row.name].clamp(row.low, row.high) for row in PARAMETERS}
