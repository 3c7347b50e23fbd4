"""The table of face parameters: names, ranges, groups and meanings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Parameter:
    """One number that describes a face.

    Attributes:
        name: key in the parameter dictionary.
        low: smallest value `render` accepts.
        high: largest value `render` accepts.
        default: value of the plain face.
        group: identity, hair, attribute, expression, pose, light or scene.
        meaning: what the number changes, with its unit.
    """

    name: str
    low: float
    high: float
    default: float
    group: str
    meaning: str


def _table(group: str, *rows: tuple[str, float, float, float, str]) -> tuple[Parameter, ...]:
    return tuple(
        Parameter(name, low, high, default, group, meaning)
        for name, low, high, default, meaning in rows
    )


PARAMETERS: tuple[Parameter, ...] = (
    *_table(
        "identity",
        ("head_width", -1, 1, 0, "narrow to wide skull"),
        ("head_height", -1, 1, 0, "low to high skull"),
        ("jaw_width", -1, 1, 0, "tapered to square jaw"),
        ("chin_length", -1, 1, 0, "short to long chin"),
        ("cheekbones", -1, 1, 0, "flat to prominent cheekbones"),
        ("fullness", -1, 1, 0, "lean to full cheeks and neck"),
        ("eye_size", -1, 1, 0, "small to large eyes"),
        ("eye_distance", -1, 1, 0, "close to wide-set eyes"),
        ("eye_tilt", -1, 1, 0, "outer corners down to up"),
        ("eye_height", -1, 1, 0, "low to high eyes"),
        ("brow_thickness", -1, 1, 0, "thin to bushy brows"),
        ("brow_height", -1, 1, 0, "low to high brows"),
        ("brow_arch", -1, 1, 0, "straight to arched brows"),
        ("nose_width", -1, 1, 0, "narrow to wide nose"),
        ("nose_length", -1, 1, 0, "short to long nose"),
        ("nose_projection", -1, 1, 0, "flat to projecting nose"),
        ("mouth_width", -1, 1, 0, "narrow to wide mouth"),
        ("mouth_height", -1, 1, 0, "high to low mouth"),
        ("lip_fullness", -1, 1, 0, "thin to full lips"),
        ("ear_size", -1, 1, 0, "small to large ears"),
        ("masculinity", 0, 1, 0.5, "feminine to masculine bone structure"),
        ("skin_tone", 0, 1, 0.25, "light to dark skin"),
        ("ruddiness", -1, 1, 0, "sallow to ruddy skin"),
        ("freckles", 0, 1, 0, "strength of freckles"),
        ("iris_hue", 0, 1, 0.1, "brown over green to blue irises"),
        ("hair_tone", 0, 1, 0.2, "black to blond natural hair"),
        ("hair_red", 0, 1, 0.1, "ash to red natural hair"),
        ("texture", 0, 1, 0.5, "number of the skin and hair noise pattern, no order"),
    ),
    *_table(
        "hair",
        ("hair_volume", 0, 1, 0.5, "cropped to voluminous"),
        ("hair_length", 0, 1, 0.2, "short to past the shoulders; above 0.35 it covers the ears"),
        ("hairline", -1, 1, 0, "low to receding hairline"),
        ("hair_part", -1, 1, 0, "parting at the left to right of the image"),
        ("fringe", 0, 1, 0, "length of the fringe"),
        ("curl", 0, 1, 0.2, "straight to curly"),
        ("baldness", 0, 1, 0, "full hair to a bald crown"),
        ("grey", 0, 1, 0, "natural to white hair, brows and beard"),
    ),
    *_table(
        "attribute",
        ("age", 0, 1, 0.25, "about 18 to 80 years: folds, wrinkles, thinner lips"),
        ("beard", 0, 1, 0, "clean-shaven to full beard"),
        ("moustache", 0, 1, 0, "none to full moustache"),
        ("glasses", 0, 1, 0, "opacity of the glasses' frame"),
        ("glasses_tint", 0, 1, 0, "clear to dark lenses"),
        ("makeup", 0, 1, 0, "lipstick, lashes, eye shadow and blush"),
    ),
    *_table(
        "expression",
        ("smile", -0.4, 1, 0.15, "frown to full smile; the mouth and cheeks only"),
        ("mouth_open", 0, 1, 0, "closed to open mouth"),
        ("eye_open", 0, 1, 0.85, "closed to wide eyes"),
        ("squint", 0, 1, 0, "raised lower lids, as in a laugh"),
        ("brow_raise", -1, 1, 0, "lowered to raised brows"),
        ("gaze_x", -1, 1, 0, "gaze to the left or right of the image"),
        ("gaze_y", -1, 1, 0, "gaze down or up"),
    ),
    *_table(
        "pose",
        ("yaw", -60, 60, 0, "degrees, head turned to the right of the image"),
        ("pitch", -25, 25, 0, "degrees, head lowered"),
        ("roll", -20, 20, 0, "degrees, head tilted anticlockwise; alignment undoes it"),
    ),
    *_table(
        "light",
        ("light_azimuth", -80, 80, 25, "degrees, key light from the left or right"),
        ("light_elevation", -10, 70, 35, "degrees, height of the key light"),
        ("key", 0.3, 1.1, 0.7, "strength of the key light"),
        ("ambient", 0.3, 0.7, 0.5, "strength of the surrounding light"),
        ("warmth", -1, 1, 0, "cool to warm key light"),
        ("rim", 0, 1, 0.2, "strength of the light from behind"),
    ),
    *_table(
        "scene",
        ("background_hue", 0, 1, 0.6, "hue of the background"),
        ("background_saturation", 0, 0.6, 0.15, "saturation of the background"),
        ("background_value", 0.1, 0.95, 0.6, "brightness of the background"),
        ("background_texture", 0, 1, 0.2, "strength of soft clouds in the background"),
        ("cloth_hue", 0, 1, 0.6, "hue of the clothes"),
        ("cloth_saturation", 0, 0.8, 0.3, "saturation of the clothes"),
        ("cloth_value", 0.1, 0.9, 0.4, "brightness of the clothes"),
    ),
)

LONG_HAIR = 0.35
"""Value of `hair_length` above which hair falls beside the face and covers the ears."""

PARAMETER_NAMES: tuple[str, ...] = tuple(p.name for p in PARAMETERS)
IDENTITY: tuple[str, ...] = tuple(p.name for p in PARAMETERS if p.group == "identity")
POSE: tuple[str, ...] = tuple(p.name for p in PARAMETERS if p.group == "pose")


def default_parameters(count: int = 1, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The plain face, `count` times: name -> float32 [count]."""
    return {p.name: torch.full((count,), float(p.default), device=device) for p in PARAMETERS}


def check_parameters(params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Validate a parameter dictionary and return a float32 copy in table order.

    Raises:
        ValueError: a name is missing or unknown, shapes differ, or a value is out of its range.
    """
    unknown = sorted(set(params) - set(PARAMETER_NAMES))
    missing = [name for name in PARAMETER_NAMES if name not in params]
    if unknown or missing:
        raise ValueError(f"face parameters: unknown {unknown}, missing {missing}")
    count = params["yaw"].shape[0] if params["yaw"].dim() == 1 else -1
    checked = {}
    for p in PARAMETERS:
        value = params[p.name]
        if value.dim() != 1 or value.shape[0] != count:
            raise ValueError(
                f"face parameter {p.name}: expected shape [{count}], got {list(value.shape)}"
            )
        value = value.detach().to(torch.float32)
        if not bool(((value >= p.low - 1e-6) & (value <= p.high + 1e-6)).all()):
            raise ValueError(
                f"face parameter {p.name}: expected {p.low} to {p.high}, got "
                f"{float(value.min())} to {float(value.max())}"
            )
        checked[p.name] = value
    return checked


def face_labels(params: Mapping[str, Tensor]) -> list[dict[str, float]]:
    """One JSON-able dictionary of exact parameter values per face, in table order."""
    columns = {name: params[name].tolist() for name in PARAMETER_NAMES}
    count = len(columns["yaw"])
    return [{name: columns[name][i] for name in PARAMETER_NAMES} for i in range(count)]
