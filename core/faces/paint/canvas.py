"""The painted surface: per-pixel material, whole pictures or gathered patches of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..maths import mix
from ..values import Values


@dataclass
class Canvas:
    """Material of the face at each pixel; painters replace its tensors, never write into them.

    Attributes:
        d: unit directions [3, ...].
        q: the faces' numbers, broadcastable to the pixels.
        colour: albedo [3, ...].
        segment: class numbers [...] as floats.
        gloss: strength of the highlight [...].
        grain: two noise fields [2, ...] in 0..1, coarse and fine.
    """

    d: Tensor
    q: Values
    colour: Tensor
    segment: Tensor
    gloss: Tensor
    grain: Tensor

    def soft(self, x: Tensor, widen: float = 1.0) -> Tensor:
        """Step from 0 to 1 at x = 0, about a pixel wide; x in direction units."""
        return torch.sigmoid(x / (self.q["pixel"] * widen))

    def lay(self, colour: Tensor, amount: Tensor) -> None:
        """Blend a colour over the albedo."""
        self.colour = mix(self.colour, colour, amount)

    def darken(self, amount: Tensor) -> None:
        """Multiply the albedo by 1 - amount; `amount` is [...] or [3, ...]."""
        self.colour = self.colour * (1 - amount)

    def mark(self, mask: Tensor, segment: int) -> None:
        """Set the class where `mask` exceeds one half."""
        self.segment = torch.where(mask > 0.5, torch.full_like(self.segment, segment), self.segment)

    def gather(self, mask: Tensor) -> tuple[Canvas, Tensor]:
        """The pixels of a whole picture where `mask` [N, H, W] holds, and their flat index."""
        index = mask.flatten().nonzero().squeeze(1)
        faces = index // (mask.shape[1] * mask.shape[2])
        flat = Canvas(
            self.d.flatten(1)[:, index],
            self.q.at(faces),
            self.colour.flatten(1)[:, index],
            self.segment.flatten()[index],
            self.gloss.flatten()[index],
            self.grain.flatten(1)[:, index],
        )
        return flat, index

    def scatter(self, patch: Canvas, index: Tensor) -> None:
        """Put a painted patch back."""
        self.colour = self.colour.flatten(1).index_copy(1, index, patch.colour).view_as(self.colour)
        self.segment = (
            self.segment.flatten().index_copy(0, index, patch.segment).view_as(self.segment)
        )
        self.gloss = self.gloss.flatten().index_copy(0, index, patch.gloss).view_as(self.gloss)
