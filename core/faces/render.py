"""Renders faces with exact segmentation and landmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .bodies import FAR, Body, add_ears, add_neck_and_shoulders
from .camera import DISTANCE, Camera, aligned_camera, fixed_camera, rotation
from .glasses import add_glasses
from .hair import HairLayer, long_hair, scalp_layer
from .landmarks import landmark_points, landmark_visibility, project_landmarks
from .march import HEAD, OUTER, HeadMap, surface_normal
from .maths import dot, mix, rotate, smoothstep
from .paint import Canvas, paint_beard, paint_brows, paint_eyes, paint_mouth, paint_skin
from .parameters import LONG_HAIR, check_parameters
from .randomness import lattice
from .segments import BACKGROUND, CLOTH, GLASSES, HAIR, SKIN
from .shading import background, expose, key_direction, shade, steepness_mask
from .values import Values, face_values


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


@dataclass
class _Scene:
    """One batch in the making: numbers, surfaces and rays in the head frame."""

    q: Values
    head: HeadMap
    turn: Tensor
    origin: Tensor
    d: Tensor
    light: Tensor
    supersample: int


def _enlarge(field: Tensor, size: int) -> Tensor:
    """Bilinear resampling of [N, h, w] to [N, size, size]."""
    return functional.interpolate(
        field[:, None], size=(size, size), mode="bilinear", align_corners=False
    )[:, 0]


def _grain(noise: Tensor, uv: Tensor, across: float, along: float) -> Tensor:
    """Noise [N, 1, K, K] looked up at stretched map places [2, N, H, W]; returns [N, H, W]."""
    grid = torch.stack([uv[0] * across, uv[1] * along], -1)
    return functional.grid_sample(noise, grid, align_corners=True, padding_mode="reflection")[:, 0]


def _trace(s: _Scene, steps: int = 11) -> tuple[Tensor, Tensor]:
    """Distances to the outer surface and, under the hair, to the skin; [N, H, W] each."""
    d, k = s.d, s.supersample
    coarse = d[:, :, k // 2 :: k, k // 2 :: k] if k > 1 else d
    start = -(s.origin * coarse).sum(0) - 1.3
    t = s.head.march(s.origin, coarse, start, steps, 0.62, "outer").clamp(max=DISTANCE + 1.3)
    if k > 1:
        t = _enlarge(-functional.max_pool2d(-t[:, None], 3, 1, 1)[:, 0], d.shape[2])
    t = s.head.march(s.origin, d, t, 4 if k > 1 else 5, 0.66, "outer")
    return t, s.head.march(s.origin, d, t, 4, 0.7, "head")


def _paint(s: _Scene, t: Tensor, noise: Tensor) -> tuple[Canvas, Tensor, Tensor, Tensor]:
    """Painted skin at distances `t`; with its normals, steepness and soft hit."""
    p = s.origin + t * s.d
    (radius, gx, gy), d, uv = s.head.at(p, HEAD)
    normal, steep = surface_normal(d, radius, gx, gy)
    hit = ((torch.sqrt(dot(p, p)) - radius < 0.05) & (t < DISTANCE + 1.2)).float()
    coarse, fine = _grain(noise, uv, 1.0, 1.0), _grain(noise, uv, 3.1, 3.1)
    canvas = Canvas(
        d, s.q, d, torch.full_like(t, SKIN), 0.13 + 0.06 * coarse, torch.stack([coarse, fine])
    )
    paint_skin(canvas)
    q, dx, dy = s.q, d[0].abs(), d[1]
    facing = (hit > 0) & (d[2] > 0.05)
    hairy = (q["beard"] > 0) | (q["moustache"] > 0) | (q["masculinity"] > 0.6)
    beard = (hit > 0) & (d[2] > -0.3) & (dy < -0.15) & hairy
    around_eyes = (
        facing
        & ((dx - q["eye_x"]).abs() < 1.5 * q["eye_r"])
        & ((dy - q["eye_y"]).abs() < 1.5 * q["eye_r"])
    )
    around_brows = facing & ((dx - q["eye_x"]).abs() < 0.24) & ((dy - q["brow_y"]).abs() < 0.13)
    around_mouth = facing & (dx < 0.42) & (dy < q["nose_y"] + 0.1) & (dy > q["mouth_y"] - 0.3)
    for where, painter in (
        (beard, paint_beard),
        (around_eyes, paint_eyes),
        (around_brows, paint_brows),
        (around_mouth, paint_mouth),
    ):
        patch, index = canvas.gather(where)
        painter(patch)
        canvas.scatter(patch, index)
    return canvas, normal, steep, hit


def _open_sky(s: _Scene, canvas: Canvas) -> Tensor:
    """Occlusion painted where the face is hollow."""
    q, dx, dy = s.q, canvas.d[0].abs(), canvas.d[1]
    socket = torch.exp(
        -(((dx - q["eye_x"] * 0.85) / 0.15) ** 2) - ((dy - q["eye_y"] - 0.07) / 0.08) ** 2
    )
    nose = torch.exp(-((dx / 0.1) ** 2) - ((dy - q["nose_y"] + 0.065) / 0.035) ** 2)
    chin = torch.exp(-((dx / 0.16) ** 2) - ((dy - q["mouth_y"] + 0.135) / 0.04) ** 2)
    under = smoothstep(-0.8, -0.98, dy)
    return 1 - 0.14 * socket - 0.26 * nose - 0.12 * chin - 0.3 * under


def _shadow(s: _Scene, t: Tensor, normal: Tensor) -> Tensor:
    """Soft shadow of head and hair, marched at a lower resolution."""
    k = 2 * s.supersample
    small = slice(k // 2, None, k)
    p = (s.origin + t.clamp(max=20.0) * s.d)[:, :, small, small]
    p = p + 0.04 * normal[:, :, small, small]
    open_ = torch.ones_like(p[0])
    for i in range(1, 8):
        gap = s.head.gap(p + s.light * (0.08 * i), "outer")
        open_ = torch.minimum(open_, 1 + (gap + 0.02) * (7.0 / i**0.5))
    padded = functional.pad(open_.clamp(0, 1)[:, None], (1, 1, 1, 1), mode="replicate")
    return _enlarge(functional.avg_pool2d(padded, 3, 1)[:, 0], t.shape[1])


def _long_layer(s: _Scene) -> tuple[HairLayer, Tensor] | None:
    """Shaded long hair of the faces that have it, with their numbers; None when none has."""
    faces = (
        ((s.q.flat("hair_length") > LONG_HAIR) & (s.q.flat("baldness") < 0.5)).nonzero().squeeze(1)
    )
    if len(faces) == 0:
        return None
    q = s.q.rows(faces)
    layer = long_hair(q, s.origin[:, faces], s.d[:, faces])
    layer.colour = shade(
        q,
        layer.colour,
        layer.normal,
        s.d[:, faces],
        s.light[:, faces],
        s.turn[faces],
        0.75,
        layer.occlusion,
        layer.gloss,
        0.0,
        1.0,
        9,
    )
    return layer, faces


def _body(s: _Scene, skin: Body, around: Tensor, directions: Tensor) -> Body:
    """Head, ears, neck and shoulders, nearest first; the trunk follows the head's turn weakly."""
    yaw, pitch, roll = (s.q.flat(n) for n in ("yaw", "pitch", "roll"))
    body = add_ears(skin, s.q, s.origin, s.d)
    trunk = rotation(yaw * 0.35, pitch * 0.0, roll * 0.3)
    to_trunk = trunk.transpose(1, 2)
    return add_neck_and_shoulders(
        body,
        s.q,
        rotate(to_trunk, around),
        rotate(to_trunk, directions),
        s.turn.transpose(1, 2) @ trunk,
    )


def _compose(s: _Scene, noise: Tensor, phase: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Picture [3, N, H, W], classes, depth of skin and bodies, cover of hair; all [N, H, W]."""
    outer_t, skin_t = _trace(s)
    canvas, normal, steep, hit = _paint(s, skin_t, noise)
    far = torch.full_like(skin_t, FAR)
    around = torch.zeros_like(s.origin)
    around[2] = DISTANCE
    world = rotate(s.turn, s.d)
    skin = Body(
        torch.where(hit > 0, skin_t, far),
        normal,
        canvas.colour,
        canvas.segment,
        _open_sky(s, canvas),
        canvas.gloss * steepness_mask(steep),
    )
    body = _body(s, skin, around, world)
    solid = (body.t < FAR).float()
    flesh = ((body.segment < GLASSES) | (body.segment > HAIR)).float() * (body.segment != CLOTH)
    shadow = _shadow(s, torch.minimum(body.t, outer_t), body.normal)
    lit = shade(
        s.q,
        body.colour,
        body.normal,
        s.d,
        s.light,
        s.turn,
        shadow,
        body.occlusion,
        body.gloss,
        flesh,
    )

    p = s.origin + outer_t * s.d
    (radius, gx, gy, cover), d, uv = s.head.at(p, OUTER)
    shell_normal, _ = surface_normal(d, radius, gx, gy)
    gap = torch.sqrt(dot(p, p)) - radius
    shell_hit = torch.sigmoid((0.08 - gap) / 0.012) * (outer_t < DISTANCE + 1.2)
    shell = scalp_layer(
        s.q, outer_t, shell_hit, shell_normal, d, cover, _grain(noise, uv, 2.3, 1.1)
    )
    shell_alpha = shell.alpha * torch.sigmoid((body.t - outer_t + 0.02) / 0.01)
    shell_lit = shade(
        s.q,
        shell.colour,
        shell.normal,
        s.d,
        s.light,
        s.turn,
        0.3 + 0.7 * shadow,
        shell.occlusion,
        shell.gloss,
        0.0,
        1.0,
        10,
    )

    size = s.d.shape[2]
    clouds = functional.interpolate(
        lattice(phase, "background", 4), size=(size, size), mode="bicubic", align_corners=True
    )[:, 0]
    picture = mix(background(s.q, clouds, size), lit, solid)
    segment = torch.where(solid > 0, body.segment, torch.full_like(solid, BACKGROUND))
    hairy = torch.zeros_like(solid)
    long = _long_layer(s)
    if long is not None:
        layer, faces = long
        amount = layer.alpha * torch.sigmoid((body.t[faces] - layer.t) / 0.02)
        hairy = hairy.index_copy(0, faces, amount)
        under = mix(picture[:, faces], layer.colour, amount)
        under = mix(under, shell_lit[:, faces], shell_alpha[faces])
        over = amount * torch.sigmoid((outer_t[faces] - layer.t) / 0.04)
        picture = mix(picture, shell_lit, shell_alpha)
        picture = picture.index_copy(1, faces, mix(under, layer.colour, over))
    else:
        picture = mix(picture, shell_lit, shell_alpha)
    hairy = torch.maximum(hairy, shell_alpha)
    segment = torch.where(hairy > 0.5, torch.full_like(segment, HAIR), segment)
    depth = torch.minimum(body.t, torch.where(shell_alpha > 0.5, outer_t, far))
    wearing = (s.q.flat("glasses") > 0).nonzero().squeeze(1)
    if len(wearing):
        seen, mask = add_glasses(
            s.q.rows(wearing),
            picture[:, wearing],
            depth[wearing],
            s.origin[:, wearing],
            s.d[:, wearing],
        )
        picture = picture.index_copy(1, wearing, seen)
        segment = segment.index_copy(
            0, wearing, torch.where(mask > 0.5, torch.full_like(mask, GLASSES), segment[wearing])
        )
    return picture, segment, body.t, hairy


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
    camera: Camera = aligned_camera(values, turn) if align else fixed_camera(values)
    pixels = size * supersample
    q = values.extended(pixel=camera.scale / pixels * 0.5)
    head = HeadMap(q, 136 if size <= 64 else 184)
    back = turn.transpose(1, 2)
    origin = (back @ turn.new_tensor([0.0, 0.0, DISTANCE])).t()[:, :, None, None]
    scene = _Scene(
        q,
        head,
        turn,
        origin,
        rotate(back, camera.rays(pixels)),
        key_direction(q, turn),
        supersample,
    )
    picture, segment, depth, hairy = _compose(
        scene, lattice(checked["texture"], "grain", 48), checked["texture"]
    )
    images = expose(picture).transpose(0, 1)
    if supersample > 1:
        images = functional.avg_pool2d(images, supersample)
    middle = slice(supersample // 2, None, supersample)
    points = landmark_points(q, head)
    places = project_landmarks(points, turn, camera, size)
    return Faces(
        images.contiguous(),
        segment[:, middle, middle].to(torch.uint8),
        places,
        landmark_visibility(points, places, origin, depth, hairy, size),
    )
