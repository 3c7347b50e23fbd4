"""Landmarks of the face: exact places on its surface."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .bodies import CLIP
from .camera import Camera
from .march import HeadMap
from .shape import mouth_line
from .values import Values

LANDMARKS: tuple[str, ...] = (
    "left_eye_outer",
    "left_eye",
    "left_eye_inner",
    "right_eye_inner",
    "right_eye",
    "right_eye_outer",
    "nose_tip",
    "nose_left",
    "nose_right",
    "mouth_left",
    "mouth_right",
    "lip_top",
    "lip_bottom",
    "chin",
    "left_brow",
    "right_brow",
)
"""Landmark names; left and right are those of the picture."""


def landmark_points(q: Values, head: HeadMap) -> Tensor:
    """Landmarks on the surface, in the head frame, [3, N, 1, L]."""
    ex, ey, er = q["eye_x"], q["eye_y"], q["eye_r"] * 0.96
    nose, side, mouth = q["nose_y"], q["nose_w"], q["mouth_w"] * 0.97
    zero = torch.zeros_like(ex)
    corner, centre = mouth_line(mouth, q), mouth_line(zero, q)
    tilt = (0.02 * q["eye_tilt"] + 0.008) * 0.96
    brow = q["brow_y"] + 0.028 * (1 + 0.55 * q["brow_arch"] - 0.35 * q["m"]) - 0.012
    places = (
        (-ex - er, ey + tilt),
        (-ex, ey),
        (-ex + er, ey - tilt),
        (ex - er, ey - tilt),
        (ex, ey),
        (ex + er, ey + tilt),
        (zero, nose + 0.03),
        (-side, nose),
        (side, nose),
        (-mouth, corner),
        (mouth, corner),
        (zero, centre + 0.3 * q["gap"] + 0.6 * q["upper_lip"]),
        (zero, centre - 0.7 * q["gap"] - 0.75 * q["lower_lip"]),
        (zero, q["chin_y"]),
        (-ex, brow),
        (ex, brow),
    )
    x = torch.cat([x.view(-1, 1) for x, _ in places], 1)
    y = torch.cat([y.view(-1, 1) for _, y in places], 1)
    return head.surface_point(x, y)


def project_landmarks(points: Tensor, turn: Tensor, camera: Camera, size: int) -> Tensor:
    """Head-frame points [3, N, 1, L] to pixels [N, L, 2]."""
    world = points[:, :, 0].permute(1, 2, 0) @ turn.transpose(1, 2)
    return camera.pixels(world, size)


def landmark_visibility(
    points: Tensor, pixels: Tensor, origin: Tensor, depth: Tensor, covered: Tensor, size: int
) -> Tensor:
    """Whether each landmark is inside the picture and neither behind the head nor under hair.

    Args:
        points: head-frame landmarks [3, N, 1, L].
        pixels: their places [N, L, 2].
        origin: the camera in the head frame [3, N, 1, 1].
        depth: distance to the nearest skin or body [N, H, W].
        covered: 0..1 cover of hair [N, H, W].
        size: width of the picture in pixels.
    """
    grid = (pixels / size * 2 - 1)[:, None]
    maps = torch.stack([depth.clamp(max=CLIP), covered], 1)
    seen = functional.grid_sample(
        maps, grid, mode="nearest", padding_mode="border", align_corners=False
    )[:, :, 0]
    distance = (points - origin).norm(dim=0)[:, 0]
    inside = ((pixels >= 0) & (pixels < size)).all(-1)
    return inside & (distance < seen[:, 0] + 0.08) & (seen[:, 1] < 0.5)
