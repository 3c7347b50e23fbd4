"""Which sorts of real images a generator still draws: clusters of the data, and who visits them."""

from __future__ import annotations

import torch
from torch import Tensor

from .diversity import thumbnails

REACHED = 0.25  # a cluster counts as visited from this share of its real frequency on
_ROUNDS = 30


class Modes:
    """Clusters of real images, found by k-means on 16 px thumbnails.

    Source: after Richardson and Weiss 2018, "On GANs and GMMs", section 3, whose bins these are;
    what is counted here is the share of the data that lies in bins the fakes (nearly) never visit.

    Args:
        reals: uint8 in 0..255 or float in 0..1, [N, C, H, W], N >= count.
        count: clusters.
        seed: of the first centres.

    Attributes:
        centres: [count, D].
        shares: of the real images, [count], sum 1.

    Raises:
        ValueError: fewer images than clusters.
    """

    def __init__(self, reals: Tensor, count: int = 20, seed: int = 0) -> None:
        if not 1 <= count <= len(reals):
            raise ValueError(f"Modes: expected {count} images or more, got {len(reals)}")
        points = thumbnails(reals)
        self.centres = _spread_out(points, count, seed)
        for _ in range(_ROUNDS):
            nearest = self._assign(points)
            sums = torch.zeros_like(self.centres).index_add_(0, nearest, points)
            sizes = torch.bincount(nearest, minlength=count)[:, None]
            # A centre that lost all its images stays where it was.
            moved = torch.where(sizes > 0, sums / sizes.clamp(min=1), self.centres)
            if torch.equal(moved, self.centres):
                break
            self.centres = moved
        self.shares = self._share(points)

    def coverage(self, images: Tensor) -> float:
        """Share of the real images whose cluster `images` [N, C, H, W] visit; about 1 for reals."""
        visited = self._share(thumbnails(images)) >= REACHED * self.shares
        return float(self.shares[visited].sum())

    def _assign(self, points: Tensor) -> Tensor:
        return torch.cdist(points, self.centres).argmin(dim=1)

    def _share(self, points: Tensor) -> Tensor:
        return torch.bincount(self._assign(points), minlength=len(self.centres)) / len(points)


def _spread_out(points: Tensor, count: int, seed: int) -> Tensor:
    """First centres: each drawn with probability proportional to its squared distance to the rest.

    Source: Arthur and Vassilvitskii 2007, "k-means++".
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = [int(torch.randint(len(points), (1,), generator=generator))]
    nearest = (points - points[chosen[0]]).square().sum(dim=1)
    while len(chosen) < count:
        weights = nearest if float(nearest.sum()) > 0 else torch.ones_like(nearest)
        chosen.append(int(torch.multinomial(weights, 1, generator=generator)))
        nearest = torch.minimum(nearest, (points - points[chosen[-1]]).square().sum(dim=1))
    return points[chosen].clone()
