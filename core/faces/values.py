"""Per-face numbers that broadcast over images or over a gathered list of pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from .maths import hsv


class Values:
    """Parameters, feature positions and colours of N faces in broadcastable form.

    `values["smile"]` is [N, 1, 1]; after `at(index)` it is [K], one number per gathered pixel.
    `values.colour("skin")` is [3, N, 1, 1] or [3, K].
    """

    def __init__(
        self, numbers: dict[str, Tensor], colours: dict[str, Tensor], index: Tensor | None = None
    ) -> None:
        self._numbers, self._colours, self._index = numbers, colours, index
        self._cache: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._cache:
            flat = self._numbers[name]
            self._cache[name] = flat.view(-1, 1, 1) if self._index is None else flat[self._index]
        return self._cache[name]

    def colour(self, name: str) -> Tensor:
        """RGB of a material, [3, N, 1, 1] or [3, K]."""
        flat = self._colours[name]
        return flat[:, :, None, None] if self._index is None else flat[:, self._index]

    def flat(self, name: str) -> Tensor:
        """The plain column [N]."""
        return self._numbers[name]

    def at(self, index: Tensor) -> Values:
        """Values per gathered pixel; `index` [K] is the face number of each."""
        return Values(self._numbers, self._colours, index)

    def rows(self, faces: Tensor) -> Values:
        """The values of a subset of faces; `faces` [M] are their numbers."""
        return Values(
            {k: v[faces] for k, v in self._numbers.items()},
            {k: v[:, faces] for k, v in self._colours.items()},
        )

    def extended(self, **columns: Tensor) -> Values:
        """A copy with further columns [N]."""
        return Values({**self._numbers, **columns}, self._colours)

    def where(self, **changes: float) -> Values:
        """A copy with some numbers replaced by constants."""
        numbers = dict(self._numbers)
        for name, value in changes.items():
            numbers[name] = torch.full_like(numbers[name], value)
        return Values(numbers, self._colours)


def _features(p: dict[str, Tensor]) -> dict[str, Tensor]:
    """Feature positions as x, y of unit directions from the head's centre."""
    m = p["masculinity"] * 2 - 1
    smile = p["smile"].clamp(min=0)
    f = {"m": m}
    f["eye_x"] = 0.371 + 0.022 * p["eye_distance"]
    f["eye_y"] = 0.05 + 0.02 * p["eye_height"]
    f["eye_r"] = 0.168 + 0.016 * p["eye_size"] - 0.01 * m
    f["brow_y"] = f["eye_y"] + 0.212 + 0.02 * p["brow_height"] + 0.035 * p["brow_raise"] - 0.022 * m
    f["nose_y"] = -0.235 - 0.03 * p["nose_length"] - 0.012 * m
    f["nose_w"] = 0.1 + 0.022 * p["nose_width"] + 0.014 * m
    f["mouth_rest"] = -0.495 - 0.025 * p["mouth_height"] - 0.01 * m
    f["mouth_y"] = f["mouth_rest"]
    f["mouth_w"] = 0.222 + 0.026 * p["mouth_width"] + 0.06 * smile - 0.025 * p["mouth_open"]
    f["upper_lip"] = (
        0.047
        * (1 + 0.4 * p["lip_fullness"])
        * (1 - 0.3 * p["age"])
        * (1 - 0.18 * m)
        * (1 - 0.35 * smile)
    )
    f["lower_lip"] = (
        0.06
        * (1 + 0.4 * p["lip_fullness"])
        * (1 - 0.25 * p["age"])
        * (1 - 0.15 * m)
        * (1 - 0.38 * smile)
    )
    f["gap"] = 0.12 * p["mouth_open"] + 0.068 * smile**1.6
    f["chin_y"] = -0.765 - 0.035 * p["mouth_open"] - 0.02 * p["chin_length"]
    f["skull"] = 0.765 + 0.035 * p["head_width"] + 0.015 * m + 0.015 * p["fullness"]
    return f


def _colours(p: dict[str, Tensor], f: dict[str, Tensor]) -> dict[str, Tensor]:
    t = p["skin_tone"]

    def tone(light: float, middle: float, dark: float) -> Tensor:
        return (light * (1 - t) + middle * t) * (1 - t) + (middle * (1 - t) + dark * t) * t

    skin = torch.stack(
        [
            tone(0.91, 0.76, 0.29) + 0.025 * p["ruddiness"],
            tone(0.735, 0.53, 0.185) - 0.015 * p["ruddiness"],
            tone(0.635, 0.37, 0.13) - 0.015 * p["ruddiness"],
        ]
    )
    h, r = p["hair_tone"], p["hair_red"]
    natural = torch.stack(
        [
            0.085 + 0.72 * h + 0.2 * r * h.sqrt(),
            0.062 + 0.56 * h - 0.05 * r * h,
            0.052 + 0.33 * h - 0.18 * r * h,
        ]
    ).clamp(0.02, 1)
    white = torch.tensor([0.76, 0.76, 0.77], device=t.device)[:, None]
    hair = natural + (white - natural) * p["grey"] * 0.92
    i = p["iris_hue"]
    iris = torch.stack([0.33 - 0.15 * i, 0.2 + 0.24 * i, 0.1 + 0.45 * i])
    dice = (p["texture"] * 97) % 1
    stick = hsv((0.93 + 0.1 * dice) % 1, torch.full_like(t, 0.68), torch.full_like(t, 0.72))
    factor = torch.tensor([0.88, 0.56, 0.57], device=t.device)[:, None]
    lips = skin * factor + (stick - skin * factor) * 0.5 * p["makeup"]
    frame = hsv((p["texture"] * 37) % 1, 0.45 * (dice > 0.6), 0.07 + 0.25 * (dice > 0.8))
    return {
        "skin": skin,
        "hair": hair,
        "natural_hair": natural,
        "iris": iris,
        "lips": lips,
        "frame": frame,
        "cloth": hsv(p["cloth_hue"], p["cloth_saturation"], p["cloth_value"]),
        "background": hsv(p["background_hue"], p["background_saturation"], p["background_value"]),
    }


def face_values(params: dict[str, Tensor]) -> Values:
    """Parameters plus derived feature positions and colours."""
    features = _features(params)
    phase = {"phase": params["texture"] * 1000.0}
    return Values({**params, **features, **phase}, _colours(params, features))
