"""Renders faces with exact segmentation and landmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .camera import DISTANCE, aligned_camera, fixed_camera, rotation
from .compose import compose
from .landmarks import landmark_points, landmark_visibility, project_landmarks
from .march import HeadMap
from .maths import rotate
from .parameters import check_parameters
from .scene import Scene
from .shading import expose, key_direction
from .values import face_values


@dataclass(frozen=True)
class Faces:
    """Rendered faces and their ground truth.

    Attributes:
        images: float32 [N, 3, S, S] in 0..1.
        segmentation: uint8 [N, S, S], places in `SEGMENTS`.
        landmarks: float32 [N, L, 2], x and y in pixels from the top left corner.
        visibility: bool [N, L]; inside the picture, not behind the head, not under hair.
    """

    images: Tensor
    segmentation: Tensor
    landmarks: Tensor
    visibility: Tensor


@torch.no_grad()
def render(
    params: Mapping[str, Tensor], size: int = 64, supersample: int = 2, align: bool = True
) -> Faces:
    """Render faces.

    Each face is a star-shaped displaced head, marched in direction textures, under a translucent
    shell of hair. A face's picture depends on its own parameters only, whatever the batch.

    Args:
        params: every name of `PARAMETERS` -> float [N], on one device.
        size: width and height of the pictures in pixels.
        supersample: rays per pixel along each axis.
        align: bring eyes and mouth to canonical places, exactly, from the landmarks; otherwise
            every face is seen by the same fixed camera.

    Returns:
        The pictures with segmentation, landmarks and visibility.

    Raises:
        ValueError: a parameter is missing, unknown or out of range, or a size is not positive.
    """
    if size < 8 or supersample < 1:
        raise ValueError(
            f"render: expected size >= 8 and supersample >= 1, got {size} and {supersample}"
        )
    checked = check_parameters(params)
    values = face_values(checked)
    turn = rotation(checked["yaw"], checked["pitch"], checked["roll"])
    camera = aligned_camera(values, turn) if align else fixed_camera(values)
    rays = size * supersample
    q = values.extended(pixel=camera.scale / rays * 0.5)
    head = HeadMap(q, texels=136 if size <= 64 else 184)  # finer than the face's pixels in either
    back = turn.transpose(1, 2)
    scene = Scene(
        q,
        turn,
        origin=(back @ turn.new_tensor([0.0, 0.0, DISTANCE])).t()[:, :, None, None],
        d=rotate(back, camera.rays(rays)),
        light=key_direction(q, turn),
        supersample=supersample,
    )
    picture = compose(scene, head)

    images = expose(picture.colour).transpose(0, 1)
    if supersample > 1:
        images = functional.avg_pool2d(images, supersample)
    middle = slice(supersample // 2, None, supersample)
    points = landmark_points(q, head)
    places = project_landmarks(points, turn, camera, size)
    return Faces(
        images.contiguous(),
        picture.segment[:, middle, middle].to(torch.uint8),
        places,
        landmark_visibility(points, places, scene.origin, picture.depth, picture.hair, size),
    )
