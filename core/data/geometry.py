"""Which square of an image a training image shows, and how it is cut out without aliasing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..errors import InputError
from .decode import MAX_PIXELS

CROPS = ("none", "center", "celeba", "face", "align")  # what a user may choose
FACE_CROPS = ("face", "align")
NO_LANDMARKS = (
    "no landmarks are known; faces are not detected here, give a data set that has them (CelebA, "
    "FFHQ, procedural faces) or crop the center"
)
HALVES = ("left", "right")  # of a pair of images side by side
FILTERS = {"lanczos": Image.Resampling.LANCZOS, "box": Image.Resampling.BOX}
CELEBA_SIZE = (178, 218)
CELEBA_SIDE = 148
_REACH = 8  # a rotated square is read at up to this many pixels for each one of the result

Point = tuple[float, float]


@dataclass(frozen=True)
class Square:
    """A square in pixels of an image: a place (u, v) of the result, 0..1 each, lies at
    `centre + (2u - 1) * half + (2v - 1) * quarter turn of half`.

    Attributes:
        centre: its middle.
        half: from the middle to the middle of its right side.
    """

    centre: Point
    half: Point

    @property
    def side(self) -> float:
        """Side in pixels of the image."""
        return 2 * math.hypot(*self.half)

    def to_result(self, points: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
        """Points [L, 2] of the image, in pixels of a result of this size."""
        moved = points.astype(np.float64) - self.centre
        hx, hy = self.half
        scale = size / (2 * (hx * hx + hy * hy))
        u = (moved[:, 0] * hx + moved[:, 1] * hy) * scale + size / 2
        v = (moved[:, 1] * hx - moved[:, 0] * hy) * scale + size / 2
        return np.stack([u, v], axis=1).astype(np.float32)


def whole(width: int, height: int) -> Square:
    """The largest square in the middle of an image, on whole pixels."""
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return Square((left + side / 2, top + side / 2), (side / 2, 0.0))


def eyes_and_mouth(points: npt.NDArray[np.float32], names: Sequence[str] | None) -> list[Point]:
    """Left eye, right eye, and left and right corner of the mouth (left of the picture).

    Args:
        points: landmarks [L, 2] in pixels.
        names: their names; without names, the 68 of the iBUG scheme, or eyes, nose and corners
            of the mouth as in CelebA.

    Raises:
        InputError: landmarks of another kind.
    """
    wanted = ("left_eye", "right_eye", "mouth_left", "mouth_right")
    if names is not None and all(name in names for name in wanted):
        chosen = [points[names.index(name)] for name in wanted]
    elif len(points) == 68:
        chosen = [points[36:42].mean(0), points[42:48].mean(0), points[48], points[54]]
    elif names is None and len(points) == 5:
        chosen = [points[0], points[1], points[3], points[4]]
    else:
        raise InputError(
            f"landmarks: expected {', '.join(wanted)}, or 68 or 5 points, got {len(points)} others"
        )
    return [(float(x), float(y)) for x, y in chosen]


def face_square(four: Sequence[Point], upright: bool = False) -> Square:
    """The square around a face, as in CelebA-HQ and FFHQ.

    Args:
        four: left eye, right eye, left and right corner of the mouth.
        upright: keep the picture's own axes instead of the face's.

    Raises:
        InputError: all in one place.

    Source: Karras et al. 2018, "Progressive growing of GANs", appendix C.
    """
    left, right, mouth_left, mouth_right = (np.array(point, dtype=np.float64) for point in four)
    eyes, mouth = (left + right) / 2, (mouth_left + mouth_right) / 2
    across, down = right - left, mouth - eyes
    side = max(4.0 * float(np.hypot(*across)), 3.6 * float(np.hypot(*down)))
    axis = across + np.array([down[1], -down[0]])
    length = float(np.hypot(*axis))
    if not (side > 1 and length > 0):
        raise InputError("landmarks: eyes and mouth lie in one place")
    centre = eyes + 0.1 * down
    half = np.array([1.0, 0.0]) if upright else axis / length
    half = half * (side / 2)
    return Square((float(centre[0]), float(centre[1])), (float(half[0]), float(half[1])))


def choose_square(
    crop: str,
    width: int,
    height: int,
    points: npt.NDArray[np.float32] | None,
    names: Sequence[str] | None,
) -> Square:
    """The square that a crop shows of an image.

    "none" and "center" are the largest square in the middle, "celeba" the middle 148 pixels of an
    aligned CelebA image (Larsen et al. 2016, "Autoencoding beyond pixels"), "face" a square around
    the face and "align" the same turned so that the eyes are level; both need landmarks.

    "left" and "right" are the halves of two square images side by side.

    Raises:
        InputError: an image of another shape than the crop is made for, or no or unknown
            landmarks.
    """
    if crop in FACE_CROPS:
        if points is None:
            raise InputError(NO_LANDMARKS)
        return face_square(eyes_and_mouth(points, names), upright=crop == "face")
    if crop == "celeba":
        if (width, height) != CELEBA_SIZE:
            raise InputError(f"crop celeba: expected an image of 178x218, got {width}x{height}")
        return Square((width / 2, height / 2), (CELEBA_SIDE / 2, 0.0))
    if crop in HALVES:
        if width != 2 * height:
            raise InputError(
                f"expected two square images side by side, like 512x256, got {width}x{height}"
            )
        middle = height / 2 if crop == "left" else 1.5 * height
        return Square((middle, height / 2), (height / 2, 0.0))
    if crop == "none" and width != height:
        raise InputError(f"images must be square, this is {width}x{height}; choose a crop")
    return whole(width, height)


def cut(
    image: npt.NDArray[np.uint8], square: Square, size: int, filter_name: str = "lanczos"
) -> npt.NDArray[np.uint8]:
    """The square of an image [H, W, 3] at a size [size, size, 3], antialiased.

    What lies outside the image is filled with its mirror image.

    Raises:
        InputError: a square that lies mostly outside (its centre does), or is absurdly large.
    """
    height, width = image.shape[:2]
    (cx, cy), (hx, hy) = square.centre, square.half
    fits = 0 <= cx <= width and 0 <= cy <= height and square.side <= 3 * max(width, height)
    if not fits or square.side**2 > 2 * MAX_PIXELS:
        raise InputError(
            f"a square of {square.side:.0f} px around ({cx:.0f}, {cy:.0f}) does not fit an image "
            f"of {width}x{height}"
        )
    resampling = FILTERS[filter_name]
    reach = abs(hx) + abs(hy)
    edges = (cx - reach, cy - reach, cx + reach, cy + reach)
    margins = (-edges[1], edges[3] - height, -edges[0], edges[2] - width)
    if max(margins) > 0:
        top, bottom, left, right = (max(0, math.ceil(margin)) for margin in margins)
        image = np.pad(image, ((top, bottom), (left, right), (0, 0)), mode="symmetric")
        cx, cy = cx + left, cy + top
    picture = Image.fromarray(image)
    if hy == 0:
        box = (cx - hx, cy - hx, cx + hx, cy + hx)
        if box == (0, 0, size, size) and picture.size == (size, size):
            return image
        return np.array(picture.resize((size, size), resampling, box=box))
    # Read the turned square at full detail first, then reduce it with the antialiasing filter.
    detail = max(1, min(_REACH, math.ceil(square.side / size)))
    shrink = square.side / (size * detail)
    if shrink > 1:
        smaller = (
            max(1, round(picture.width / shrink)),
            max(1, round(picture.height / shrink)),
        )
        fx, fy = smaller[0] / picture.width, smaller[1] / picture.height
        picture = picture.resize(smaller, Image.Resampling.LANCZOS)
        matrix = _matrix((cx, cy), (hx, hy), size * detail, fx, fy)
    else:
        matrix = _matrix((cx, cy), (hx, hy), size * detail, 1.0, 1.0)
    side = (size * detail, size * detail)
    turned = picture.transform(side, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    return np.array(turned if detail == 1 else turned.resize((size, size), resampling))


def _matrix(centre: Point, half: Point, size: int, fx: float, fy: float) -> tuple[float, ...]:
    """Output to input coordinates as PIL takes them (it adds half a pixel by itself)."""
    (cx, cy), (hx, hy) = centre, half
    step_x, step_y = 2 * hx / size, 2 * hy / size
    return (
        step_x * fx, -step_y * fx, (cx - hx + hy) * fx,
        step_y * fy, step_x * fy, (cy - hy - hx) * fy,
    )  # fmt: skip
