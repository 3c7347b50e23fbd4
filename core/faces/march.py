"""Direction textures of the head and its hair, and rays marched against them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .hairmap import hair_coverage, hair_thickness
from .maths import dot
from .shape import head_radius
from .values import Values

# The directions fill the unit disc of the map; the margin lets differences reach over its rim.
_SPAN = 1.02
# The direction straight back is the whole rim of the disc; these keep divisions there finite.
_RIM, _TINY_NORM, _TINY_RIM = 0.9999, 1e-9, 1e-4
_MAX_COVER = 0.5  # hair is opaque long before: cutting here keeps interpolated edges sharp
HEAD, OUTER = slice(0, 3), slice(3, 7)


def _gradient(field: Tensor, step: float) -> tuple[Tensor, Tensor]:
    gx = functional.pad(field[:, :, 2:] - field[:, :, :-2], (1, 1)) / (2 * step)
    gy = functional.pad(field[:, 2:] - field[:, :-2], (0, 0, 1, 1)) / (2 * step)
    return gx, gy


def _soften(field: Tensor) -> Tensor:
    padded = functional.pad(field[:, None], (1, 1, 1, 1), mode="replicate")
    return functional.avg_pool2d(padded, 3, 1)[:, 0]


class HeadMap:
    """Radius, gradient and hair coverage on a Lambert equal-area map of all directions.

    Args:
        q: the faces' numbers.
        texels: T, width and height of the map.

    Attributes:
        channels: [N, 7, T, T], head radius and its two map derivatives, radius of head or hair
            with its derivatives, hair coverage.
    """

    def __init__(self, q: Values, texels: int) -> None:
        g = torch.linspace(-_SPAN, _SPAN, texels, device=q.flat("yaw").device)
        y, x = torch.meshgrid(g, g, indexing="ij")
        square = (x * x + y * y).clamp(max=_RIM)
        k = 2 * (1 - square).sqrt()
        dx, dy, dz = (x * k)[None], (y * k)[None], (1 - 2 * square)[None]
        step = 2 * _SPAN / (texels - 1)
        head = _soften(head_radius(dx, dy, dz, q))
        cover = hair_coverage(dx, dy, dz, q)
        outer = _soften(torch.maximum(head, head + hair_thickness(dx, dy, dz, cover, q)))
        cover = cover.clamp(-_MAX_COVER, _MAX_COVER)
        self.channels = torch.stack(
            [head, *_gradient(head, step), outer, *_gradient(outer, step), cover], 1
        )
        self._radii = {
            "head": self.channels[:, 0:1].contiguous(),
            "outer": self.channels[:, 3:4].contiguous(),
        }

    @staticmethod
    def _place(p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        norm = torch.sqrt(dot(p, p) + _TINY_NORM)
        d = p / norm
        uv = d[:2] * torch.rsqrt(2 * (1 + d[2]) + _TINY_RIM)
        return norm, d, uv

    @staticmethod
    def _sample(texture: Tensor, uv: Tensor) -> Tensor:
        grid = torch.stack([uv[0], uv[1]], -1) * (1 / _SPAN)
        return functional.grid_sample(
            texture, grid, mode="bilinear", padding_mode="border", align_corners=True
        )

    def gap(self, p: Tensor, surface: str) -> Tensor:
        """Distance from the centre minus the radius, [3, N, H, W] -> [N, H, W]."""
        norm, _, uv = self._place(p)
        return norm - self._sample(self._radii[surface], uv)[:, 0]

    def at(self, p: Tensor, part: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Channels [C, N, H, W], unit directions [3, N, H, W] and map places [2, N, H, W]."""
        _, d, uv = self._place(p)
        return self._sample(self.channels[:, part], uv).transpose(0, 1), d, uv

    def surface_point(self, dx: Tensor, dy: Tensor) -> Tensor:
        """Points of the face above directions (dx, dy), both [N, L]; returns [3, N, 1, L]."""
        dz = (1 - dx * dx - dy * dy).clamp(min=0.01).sqrt()
        d = torch.stack([dx, dy, dz])[:, :, None]
        _, _, uv = self._place(d)
        return d * self._sample(self._radii["head"], uv)[:, 0]

    def march(
        self, origin: Tensor, d: Tensor, t: Tensor, steps: int, relax: float, surface: str
    ) -> Tensor:
        """Relaxed sphere tracing from distances `t` along unit rays."""
        for _ in range(steps):
            t = t + relax * self.gap(origin + t * d, surface)
        return t


def surface_normal(d: Tensor, radius: Tensor, gx: Tensor, gy: Tensor) -> tuple[Tensor, Tensor]:
    """Normal of the surface |p| = R(direction) from map derivatives.

    Returns:
        The unit normal [3, ...] and the steepness |grad R| / R [...].
    """
    k = torch.rsqrt(2 * (1 + d[2]) + _TINY_RIM)
    g = torch.stack([gx * k, gy * k, -(gx * d[0] + gy * d[1]) * k**3])
    g = g - dot(g, d) * d
    n = d - g / radius
    return n * torch.rsqrt(dot(n, n) + 1e-12), torch.sqrt(dot(g, g)) / radius
