"""Small elementwise helpers shared by the face renderer.

Vectors and colours carry their three components on the first axis, [3, N, H, W] or [3, K], so
that every operation runs over contiguous memory.
"""

from __future__ import annotations

import torch
from torch import Tensor


def smoothstep(low: Tensor | float, high: Tensor | float, x: Tensor) -> Tensor:
    """Cubic step that is 0 at `low` and 1 at `high` (`high` may lie below `low`)."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def bump(x: Tensor, y: Tensor, centre_x, centre_y, width_x, width_y) -> Tensor:
    """Axis-aligned Gaussian, 1 at its centre and 1/e one width away."""
    return torch.exp(-(((x - centre_x) / width_x) ** 2) - ((y - centre_y) / width_y) ** 2)


def mix(base: Tensor, other: Tensor, amount: Tensor) -> Tensor:
    """Linear blend; `amount` 0 gives `base`, 1 gives `other`."""
    return base + (other - base) * amount


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product over the first axis, [3, ...] -> [...]."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def normalize(a: Tensor) -> Tensor:
    """Unit vectors over the first axis, [3, ...] -> [3, ...]."""
    return a * torch.rsqrt(dot(a, a) + 1e-12)


def rotate(matrix: Tensor, v: Tensor) -> Tensor:
    """Apply one matrix per face: matrix [N, 3, 3], v [3, N, H, W] -> [3, N, H, W]."""
    m = matrix[:, :, :, None, None]
    return torch.stack(
        [m[:, i, 0] * v[0] + m[:, i, 1] * v[1] + m[:, i, 2] * v[2] for i in range(3)]
    )


def constant_colour(like: Tensor, red: float, green: float, blue: float) -> Tensor:
    """A colour that broadcasts against a [3, ...] tensor of the rank of `like`."""
    shape = (3,) + (1,) * (like.dim() - 1)
    return torch.tensor([red, green, blue], device=like.device, dtype=like.dtype).view(shape)


def hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """HSV in 0..1 to RGB, [N] -> [3, N]."""
    k = torch.stack([(hue * 6 + offset) % 6 for offset in (5.0, 3.0, 1.0)])
    return value - value * saturation * torch.minimum(k, 4 - k).clamp(0, 1)
