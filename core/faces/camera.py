"""Camera rays, with each face brought to its canonical place by a similarity of the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .shape import head_radius
from .values import Values

DISTANCE = 7.0
EYE_LINE, EYE_SPAN, EYE_TO_MOUTH = 0.45, 0.275, 0.225
_PLAIN_SCALE, _PLAIN_CENTRE = 2.6, -0.12


def rotation(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """Head-to-camera rotations [N, 3, 3] from degrees [N]."""
    y, p, r = (a * (math.pi / 180) for a in (yaw, pitch, roll))
    o, i = torch.zeros_like(y), torch.ones_like(y)

    def matrix(*entries: Tensor) -> Tensor:
        return torch.stack(entries, -1).view(-1, 3, 3)

    ry = matrix(y.cos(), o, y.sin(), o, i, o, -y.sin(), o, y.cos())
    rx = matrix(i, o, o, o, p.cos(), -p.sin(), o, p.sin(), p.cos())
    rz = matrix(r.cos(), -r.sin(), o, r.sin(), r.cos(), o, o, o, i)
    return rz @ ry @ rx


def project(points: Tensor) -> Tensor:
    """Camera-frame points [..., 3] to the picture plane [..., 2]."""
    return points[..., :2] * (DISTANCE / (DISTANCE - points[..., 2:]))


@dataclass(frozen=True)
class Camera:
    """Similarity from frame coordinates (-0.5..0.5, y up) to the picture plane.

    Attributes:
        a: [N] scale times cosine.
        b: [N] scale times sine.
        centre: [N, 2] plane point in the middle of the frame.
    """

    a: Tensor
    b: Tensor
    centre: Tensor

    @property
    def scale(self) -> Tensor:
        """Width of the frame in head units, [N]."""
        return torch.sqrt(self.a**2 + self.b**2)

    def rays(self, size: int) -> Tensor:
        """Unit ray directions of the pixel centres, [3, N, size, size]."""
        g = (torch.arange(size, device=self.a.device) + 0.5) / size - 0.5
        y, x = torch.meshgrid(-g, g, indexing="ij")
        a, b = self.a.view(-1, 1, 1), self.b.view(-1, 1, 1)
        u = a * x - b * y + self.centre[:, 0].view(-1, 1, 1)
        v = b * x + a * y + self.centre[:, 1].view(-1, 1, 1)
        d = torch.stack([u, v, torch.full_like(u, -DISTANCE)])
        return d / torch.sqrt(u * u + v * v + DISTANCE**2)

    def pixels(self, points: Tensor, size: int) -> Tensor:
        """Camera-frame points [N, L, 3] to pixels [N, L, 2]; x right, y down, corner origin."""
        w = project(points) - self.centre[:, None]
        a, b, s2 = self.a[:, None], self.b[:, None], (self.scale**2)[:, None]
        x = (a * w[..., 0] + b * w[..., 1]) / s2
        y = (a * w[..., 1] - b * w[..., 0]) / s2
        return torch.stack([x + 0.5, 0.5 - y], -1) * size


def _anchors(q: Values, turn: Tensor) -> Tensor:
    """Projected left eye, right eye and mouth, [N, 3, 2], for a face at rest."""
    rest = q.where(
        smile=0.0,
        mouth_open=0.0,
        squint=0.0,
        brow_raise=0.0,
        gap=0.0,
        mouth_w=0.22,
        upper_lip=0.04,
        lower_lip=0.055,
        chin_y=-0.765,
    )
    ex, ey, my = q["eye_x"], q["eye_y"], q["mouth_rest"]
    dx = torch.cat([-ex, ex, torch.zeros_like(ex)], -1)
    dy = torch.cat([ey, ey, my], -1)
    dz = (1 - dx**2 - dy**2).sqrt()
    radius = head_radius(dx, dy, dz, rest)
    points = (torch.stack([dx, dy, dz], -1) * radius[..., None])[:, 0]
    return project(points @ turn.transpose(1, 2))


def aligned_camera(q: Values, turn: Tensor) -> Camera:
    """Frame each face by its eyes and mouth, in the manner of aligned portrait data sets.

    The eyes' midpoint lies at half width and `EYE_LINE` of the height; the scale is the larger
    of those that give the eyes `EYE_SPAN` of the width and eyes to mouth `EYE_TO_MOUTH` of the
    height. Expression does not move the frame.
    """
    anchors = _anchors(q, turn)
    eyes = anchors[:, 1] - anchors[:, 0]
    middle = (anchors[:, 0] + anchors[:, 1]) / 2
    rise = middle - anchors[:, 2]
    axis = eyes + torch.stack([rise[:, 1], -rise[:, 0]], -1)
    axis = axis / axis.norm(dim=-1, keepdim=True)
    scale = torch.maximum(eyes.norm(dim=-1) / EYE_SPAN, rise.norm(dim=-1) / EYE_TO_MOUTH)
    a, b = axis[:, 0] * scale, axis[:, 1] * scale
    up = torch.stack([-b, a], -1)
    half = anchors[:, 2] + rise / 2
    along = ((half - middle) * axis).sum(-1, keepdim=True) * axis
    return Camera(a, b, middle + along - up * (0.5 - EYE_LINE))


def fixed_camera(q: Values) -> Camera:
    """The same frame for every face."""
    a = torch.full_like(q.flat("yaw"), _PLAIN_SCALE)
    centre = torch.zeros(len(a), 2, device=a.device)
    centre[:, 1] = _PLAIN_CENTRE
    return Camera(a, torch.zeros_like(a), centre)
