"""Perceptual path length: how fast images change along straight paths between latents.

Source: Karras et al. 2019, "A style-based generator architecture for generative adversarial
networks", section 4.1: the mean of d(G(t), G(t + epsilon)) / epsilon^2 over random paths and places
t. Lower is smoother. The distance d is the squared distance of features, whatever network gives
them, so that a length means something only beside the name of that network. Every path counts: the
scripts behind published numbers leave out the lowest and the highest percent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Space = Literal["w", "z"]
EPSILON = 1e-4
FACE = (0.3, 0.2, 0.9, 0.8)
"""Top, left, bottom and right of the face in an aligned picture, as parts of its sides."""


class PathLength(NamedTuple):
    """Mean over the paths, and the standard error of that mean."""

    mean: float
    error: float


def lerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """The straight line from a [N, ...] to b at t [N] in 0..1."""
    t = t.view(-1, *[1] * (a.ndim - 1))
    return a + (b - a) * t


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """The great circle from a [N, D] to b at t [N] in 0..1; lengths change evenly.

    Source: Shoemake 1985, "Animating rotation with quaternion curves". Parallel vectors, which
    have no unique circle, get the straight line.
    """
    length_a, length_b = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    unit_a, unit_b = a / length_a, b / length_b
    cosine = (unit_a * unit_b).sum(1, keepdim=True).clamp(-1, 1)
    angle, sine = cosine.acos(), (1 - cosine.square()).sqrt()
    t = t.view(-1, 1)
    length = length_a + (length_b - length_a) * t
    first, second = ((1 - t) * angle).sin() / sine, (t * angle).sin() / sine
    arc = length * (first * unit_a + second * unit_b)
    return torch.where(sine > 1e-6, arc, lerp(a, b, t.flatten()))


def crop_face(images: Tensor) -> Tensor:
    """The face of aligned pictures [N, C, H, W], without most hair and background."""
    height, width = images.shape[2:]
    top, left, bottom, right = FACE
    rows = slice(int(top * height), max(int(top * height) + 1, round(bottom * height)))
    columns = slice(int(left * width), max(int(left * width) + 1, round(right * width)))
    return images[:, :, rows, columns]


@dataclass(frozen=True)
class PathSampler:
    """How paths of one generator are measured.

    Attributes:
        generate: latents [N, ...] to images [N, C, H, W], the same noise for the same row.
        embed: images to features [N, D].
        space: "w": straight lines; "z": great circles, which keep the latents' lengths.
        epsilon: step along the path.
        crop: whether only the face is compared.
    """

    generate: Callable[[Tensor], Tensor]
    embed: Callable[[Tensor], Tensor]
    space: Space = "w"
    epsilon: float = EPSILON
    crop: bool = False

    def lengths(self, a: Tensor, b: Tensor, t: Tensor) -> Tensor:
        """Squared speed of the features at place t of the paths from a to b, float64 [N].

        Args:
            a: latents [N, ...] where the paths begin.
            b: latents where they end.
            t: places [N] in 0..1.

        Raises:
            ValueError: shapes that differ, or an epsilon that is not positive.
        """
        if a.shape != b.shape or t.shape != a.shape[:1] or not self.epsilon > 0:
            raise ValueError(
                "path_lengths: expected two latents and one t per path and epsilon > 0, got "
                f"{list(a.shape)}, {list(b.shape)}, {list(t.shape)} and {self.epsilon}"
            )
        between = lerp if self.space == "w" else slerp
        # In float64: epsilon is no more than a thousand roundings of float32.
        a64, b64, t64 = a.double(), b.double(), t.double()
        places = torch.cat([between(a64, b64, t64), between(a64, b64, t64 + self.epsilon)])
        images = self.generate(places.to(a.dtype))
        images = crop_face(images) if self.crop else images
        here, there = self.embed(images).double().chunk(2)
        return (there - here).square().sum(1) / self.epsilon**2


def summarise(lengths: Tensor) -> PathLength:
    """Mean and standard error of path lengths [N].

    Raises:
        ValueError: fewer than two, or not finite.
    """
    if lengths.ndim != 1 or len(lengths) < 2 or not bool(lengths.isfinite().all()):
        raise ValueError(f"path_length: expected 2 or more finite lengths, got {lengths.shape}")
    lengths = lengths.double()
    return PathLength(float(lengths.mean()), float(lengths.std() / len(lengths) ** 0.5))
