"""Damage to photographs with exactly known parameters.

The chain of Wang et al. 2021 (GFP-GAN), equation 1: blur, reduction, noise and JPEG at the reduced
size, enlargement back; then rectangular holes. Every sample depends on its own seed alone, never
on its neighbours in the batch.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..data.counter import hash64, uniform
from .resample import area_matrix, cubic_matrix, gaussian_matrix, resample

HOLE_VALUE = 0.5
_STREAM_SAMPLE = 101
_STREAM_NOISE = 102
_STREAM_HOLES = 103


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """Parameters of the damage of one image; the defaults leave it as it is.

    Attributes:
        blur_sigma: standard deviation of the Gaussian blur, pixels of the image given; 0 is none.
        downscale: factor of the reduction before noise and JPEG, any real number >= 1.
        noise_std: standard deviation of the Gaussian noise for values in 0..1.
        jpeg_quality: quality of the JPEG compression (4:2:0) in 1..100, None for none.
        hole_count: number of grey rectangles.
        hole_size: their mean side, as a fraction of the image's side.
    """

    blur_sigma: float = 0.0
    downscale: float = 1.0
    noise_std: float = 0.0
    jpeg_quality: int | None = None
    hole_count: int = 0
    hole_size: float = 0.2

    def __post_init__(self) -> None:
        problems = [
            (0 <= self.blur_sigma <= 64, "blur_sigma must lie in 0..64"),
            (1 <= self.downscale <= 64, "downscale must lie in 1..64"),
            (0 <= self.noise_std <= 1, "noise_std must lie in 0..1"),
            (self.jpeg_quality is None or 1 <= self.jpeg_quality <= 100, "jpeg_quality in 1..100"),
            (0 <= self.hole_count <= 64, "hole_count must lie in 0..64"),
            (0 < self.hole_size <= 1, "hole_size must lie in 0..1"),
        ]
        for holds, message in problems:
            if not holds:
                raise ValueError(f"Degradation: {message}, got {self}")


class Box(NamedTuple):
    """Pixels [top, top + height) x [left, left + width)."""

    top: int
    left: int
    height: int
    width: int


DEFAULT = Degradation(
    blur_sigma=1.0, downscale=2.0, noise_std=0.04, jpeg_quality=50, hole_count=1, hole_size=0.15
)
"""Moderately strong damage for faces of 64 px."""

PRESETS: dict[str, Degradation] = {
    "none": Degradation(),
    "light": Degradation(blur_sigma=0.6, downscale=1.5, noise_std=0.02, jpeg_quality=75),
    "default": DEFAULT,
    "heavy": Degradation(
        blur_sigma=1.3, downscale=2.5, noise_std=0.06, jpeg_quality=45, hole_count=2, hole_size=0.2
    ),
    "blur": Degradation(blur_sigma=1.8),
    "small": Degradation(downscale=4.0),
    "noise": Degradation(noise_std=0.12),
    "jpeg": Degradation(jpeg_quality=15),
    "holes": Degradation(hole_count=3, hole_size=0.2),
}


def sample_degradations(
    seeds: Sequence[int] | Tensor, strength: Degradation = DEFAULT, spread: float = 0.5
) -> list[Degradation]:
    """Draw a different damage for each image, around a given strength.

    Each parameter p becomes p times a uniform number in [1 - spread, 1 + spread] (for downscale
    and JPEG the distance from "none" is scaled); the hole count is uniform in 0..hole_count.

    Args:
        seeds: one integer per image.
        strength: the centre; a parameter that it leaves at "none" stays there.
        spread: in 0..1; with 0 only the hole count varies.

    Returns:
        One exact `Degradation` per seed, the same for a seed whatever the others are.

    Raises:
        ValueError: a spread outside 0..1.
    """
    if not 0 <= spread <= 1:
        raise ValueError(f"sample_degradations: spread must lie in 0..1, got {spread}")
    u = np.stack([uniform(seeds, _STREAM_SAMPLE, field) for field in range(6)], axis=1)
    factors = 1 + spread * (2 * u - 1)
    quality = strength.jpeg_quality
    return [
        replace(
            strength,
            blur_sigma=min(64.0, strength.blur_sigma * float(f[0])),
            downscale=min(64.0, 1 + (strength.downscale - 1) * float(f[1])),
            noise_std=min(1.0, strength.noise_std * float(f[2])),
            jpeg_quality=None
            if quality is None
            else int(np.clip(round(100 - (100 - quality) * float(f[3])), 10, 100)),
            hole_count=int(u[i, 4] * (strength.hole_count + 1)),
            hole_size=float(np.clip(strength.hole_size * f[5], 1e-3, 1.0)),
        )
        for i, f in enumerate(factors)
    ]


def hole_boxes(degradation: Degradation, seed: int, height: int, width: int) -> list[Box]:
    """The exact rectangles that `degrade` fills for this seed, in an image of this size."""
    boxes = []
    for hole in range(degradation.hole_count):
        u = [float(uniform(seed, _STREAM_HOLES, hole, k)[0]) for k in range(4)]
        sides = []
        for size, stretch in ((height, 0.6 + 0.8 * u[0]), (width, 0.6 + 0.8 * u[1])):
            sides.append(min(size, max(1, round(size * degradation.hole_size * stretch))))
        h, w = sides
        boxes.append(Box(int(u[2] * (height - h + 1)), int(u[3] * (width - w + 1)), h, w))
    return boxes


def _jpeg(image: Tensor, quality: int) -> Tensor:
    """A JPEG round trip of one image [3, H, W] in 0..1."""
    pixels = image.permute(1, 2, 0).mul(255).round_().to(torch.uint8).contiguous().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=2)
    with Image.open(buffer) as decoded:
        back = np.array(decoded)
    return torch.from_numpy(back).permute(2, 0, 1).to(torch.float32).div_(255)


def _noise(seed: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal float32 numbers, a function of the seed alone."""
    key = int(hash64(seed, _STREAM_NOISE)[0])
    generator = np.random.Generator(np.random.Philox(key=key))
    return torch.from_numpy(generator.standard_normal(shape, dtype=np.float32))


def _shrinking(size: int, small: int, sigma: float) -> Tensor:
    """Blur and reduction along one axis, float32 [small, size]."""
    blur = gaussian_matrix(size, sigma)
    return area_matrix(size, small) @ blur if small != size else blur


def _degrade_one(image: Tensor, d: Degradation, seed: int) -> Tensor:
    """The whole chain for one image [3, H, W] in 0..1."""
    height, width = image.shape[1:]
    small_h, small_w = (max(1, round(size / d.downscale)) for size in (height, width))
    shrunk, square = (small_h, small_w) != (height, width), height == width
    if d.blur_sigma > 0 or shrunk:
        rows = _shrinking(height, small_h, d.blur_sigma)
        columns = rows if square else _shrinking(width, small_w, d.blur_sigma)
        image = resample(image, rows, columns)
    if d.noise_std > 0:
        image = image + d.noise_std * _noise(seed, tuple(image.shape))
    image = image.clamp(0, 1)
    if d.jpeg_quality is not None:
        image = _jpeg(image, d.jpeg_quality)
    if shrunk:
        rows = cubic_matrix(small_h, height)
        columns = rows if square else cubic_matrix(small_w, width)
        image = resample(image, rows, columns).clamp(0, 1)
    for box in hole_boxes(d, seed, height, width):
        top, left = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
        image[:, top, left] = HOLE_VALUE
    return image


def degrade(
    images: Tensor,
    degradations: Degradation | Sequence[Degradation],
    seeds: Sequence[int] | Tensor,
) -> Tensor:
    """Damage a batch of images.

    Args:
        images: float [N, 3, H, W] in 0..1.
        degradations: one for all images, or one each (see `sample_degradations`).
        seeds: one integer per image; chooses its noise and the places of its holes.

    Returns:
        float32 [N, 3, H, W] in 0..1 on the device of the images, a new tensor. An image's result
        depends on its own pixels, damage and seed only, bit for bit. Not differentiable.

    Raises:
        ValueError: another shape or dtype, values outside 0..1, or lengths that do not agree.
    """
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise ValueError(
            f"degrade: images must be float [N, 3, H, W], got {images.dtype} {tuple(images.shape)}"
        )
    count = images.shape[0]
    listed = [degradations] * count if isinstance(degradations, Degradation) else degradations
    seed_list = [int(seed) for seed in seeds]
    if len(listed) != count or len(seed_list) != count:
        raise ValueError(
            f"degrade: {count} images with {len(listed)} degradations and {len(seed_list)} seeds"
        )
    source = images.detach().to("cpu", torch.float32)
    if count and not (float(source.min()) >= 0 and float(source.max()) <= 1):
        raise ValueError("degrade: image values must lie in 0..1")
    # One image at a time: batched products may round differently for different batch sizes.
    done = [
        _degrade_one(source[i].clone(), d, seed)
        for i, (d, seed) in enumerate(zip(listed, seed_list, strict=True))
    ]
    return torch.stack(done).to(images.device) if done else source.to(images.device)
