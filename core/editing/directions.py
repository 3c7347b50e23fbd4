"""Editing directions: vectors in W, the layers they belong to, how they are added to latents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import InputError
from ..latents import Latents
from ..ranges import parse_numbers

MAX_STRENGTHS = 256
SCALES = ("spread", "unit")
"""What strength 1 means: one standard deviation along the direction, or a vector of length 1."""


@dataclass(frozen=True)
class Direction:
    """One direction of a generator's W space.

    Attributes:
        vector: [w_dim], the same for every layer, or [layers, w_dim], a row for each layer of
            first_layer..last_layer; float32 on the CPU. Adding it once is strength 1.
        first_layer: first W+ layer that the direction belongs to.
        last_layer: last such layer, included.
        model_hash: SHA-256 of the generator's file.
        name: short name for people, such as "sefa-0".
        value: how good the method finds it (SeFa: the eigenvalue; GANSpace: the share of variance;
            a fitted direction: how well it foretells labels or scores it was not fitted to).
    """

    vector: Tensor
    first_layer: int
    last_layer: int
    model_hash: str
    name: str = ""
    value: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.first_layer <= self.last_layer:
            raise ValueError(
                f"Direction: layers must satisfy 0 <= first <= last, got "
                f"{self.first_layer}..{self.last_layer}"
            )
        layers = self.last_layer - self.first_layer + 1
        shape = tuple(self.vector.shape)
        if shape[:-1] not in ((), (layers,)) or not shape or not self.vector.is_floating_point():
            raise ValueError(
                f"Direction: vector must be floating point [w_dim] or [{layers}, w_dim], got "
                f"{shape} {self.vector.dtype}"
            )

    @property
    def rows(self) -> Tensor:
        """The vector of each layer, [last_layer - first_layer + 1, w_dim]."""
        return self.vector.expand(self.last_layer - self.first_layer + 1, -1)


def layer_range(first: int, last: int, num_ws: int) -> tuple[int, int]:
    """Check a range of W+ layers; a negative `last` means the final layer.

    Returns:
        (first, last), both included.

    Raises:
        InputError: the range is empty or leaves 0..num_ws-1.
    """
    final = num_ws - 1
    last = final if last < 0 else last
    if not 0 <= first <= last <= final:
        raise InputError(
            f"first_layer, last_layer: expected 0 <= first <= last <= {final}, got {first}, {last}"
        )
    return first, last


def check_scale(scale: str) -> None:
    """Refuse what is none of `SCALES`.

    Raises:
        InputError: naming the choice.
    """
    if scale not in SCALES:
        raise InputError(f"scale: expected 'spread' or 'unit', got {scale!r}")


def check_same_generator(direction: Direction, model_hash: str, *, name: str = "direction") -> None:
    """Refuse a direction of another generator than the one whose file has the hash.

    Raises:
        InputError: starting with `name`.
    """
    if direction.model_hash != model_hash:
        raise InputError(
            f"{name}: it belongs to the generator {direction.model_hash[:12]}, expected one of "
            f"{model_hash[:12]}; find it with the same generator"
        )


def parse_strengths(text: str, *, name: str = "strengths") -> tuple[float, ...]:
    """Read numbers separated by commas, spaces or line ends, such as "-3, 0, 3".

    Raises:
        InputError: nothing, too many, or something that is not a finite number; starts with `name`.
    """
    values = parse_numbers(text)
    if values is None or not 1 <= len(values) <= MAX_STRENGTHS:
        raise InputError(
            f"{name}: expected 1 to {MAX_STRENGTHS} numbers like '-3, 0, 3', got {text[:80]!r}"
        )
    return tuple(values)


def apply_direction(
    latents: Latents,
    direction: Direction,
    strengths: Sequence[float],
    *,
    first_layer: int = -1,
    last_layer: int = -1,
) -> Latents:
    """Add a direction to each latent at each strength.

    The order is sample-major: latent 0 at every strength, then latent 1, so a contact sheet with
    `len(strengths)` columns shows one face per row.

    Args:
        latents: N latents, left as they are.
        direction: found on the same generator.
        strengths: S multiples of the direction; 0 gives the latent back.
        first_layer: first layer to edit; negative for the direction's own.
        last_layer: last layer to edit, included; negative for the direction's own.

    Returns:
        N * S latents in W+.

    Raises:
        InputError: the direction belongs to another generator, or the layers do not exist.
    """
    check_same_generator(direction, latents.model_hash)
    num_ws, w_dim = latents.ws.shape[1:]
    if direction.vector.shape[-1] != w_dim:
        raise InputError(
            f"direction: expected {w_dim} numbers for these latents, "
            f"got {direction.vector.shape[-1]}"
        )
    first, last = layer_range(
        direction.first_layer if first_layer < 0 else first_layer,
        direction.last_layer if last_layer < 0 else last_layer,
        num_ws,
    )
    rows = direction.vector
    if rows.ndim == 2:
        if not direction.first_layer <= first <= last <= direction.last_layer:
            raise InputError(
                f"first_layer, last_layer: this direction differs by layer, expected layers within "
                f"{direction.first_layer}..{direction.last_layer}, got {first}, {last}"
            )
        rows = rows[first - direction.first_layer : last - direction.first_layer + 1]
    steps = torch.tensor(list(strengths), dtype=latents.ws.dtype)
    shift = torch.zeros(len(steps), num_ws, w_dim, dtype=latents.ws.dtype)
    shift[:, first : last + 1] = steps[:, None, None] * rows.to(shift)
    ws = latents.ws[:, None] + shift  # [N, S, num_ws, w_dim]
    return replace(latents, ws=ws.flatten(0, 1), space="W+")
