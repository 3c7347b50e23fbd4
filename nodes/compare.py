"""Two images beside each other: how close they are, where they differ, and a slider."""

from __future__ import annotations

import math
from typing import Annotated

from torch import Tensor

from ..core.errors import InputError
from ..core.metrics import SSIM_WINDOW, psnr, ssim
from .context import Context
from .convert import image_to_unit, unit_to_image
from .results import safe_name, write_images
from .spec import Float, Image, node

Score = Annotated[float, Float(-math.inf, math.inf)]


@node(
    "Ganvas_CompareImages",
    title="Compare Images",
    category="ganvas/measure",
    aliases=("psnr", "ssim", "difference", "before after", "a/b slider", "side by side"),
    output_node=True,
)
def compare_images(
    ctx: Context,
    image_a: Image,
    image_b: Image,
    gain: Annotated[float, Float(1.0, 100.0, step=0.5)] = 4.0,
) -> tuple[Image, Score, Score]:
    """Compare two batches of images: under a slider, in numbers, and where they differ.

    Args:
        image_a: Images on the left of the slider.
        image_b: Images on the right, of the same size; as many as image_a, or one for all.
        gain: How much the difference is brightened; 1 shows it as it is.

    Returns:
        difference: Absolute difference times gain, one image per pair.
        psnr: Mean peak signal-to-noise ratio in dB; infinite when all pairs are equal.
        ssim: Mean structural similarity, 1 for equal images.
    """
    a, b = _pairs(image_to_unit(image_a, name="image_a"), image_to_unit(image_b, name="image_b"))
    ratio, similarity = psnr(a, b), ssim(a, b)
    difference = (a - b).abs().mul_(gain).clamp_(0, 1)
    for key, images in (("a_images", a), ("b_images", b)):
        prefix = f"compare_{key[0]}_{safe_name(ctx.node_id)}"
        write_images(ctx, unit_to_image(images), ctx.temp_dir, prefix, "temp", show=key)
    ctx.show(
        "ganvas_scores",
        [
            {"psnr": one if math.isfinite(one) else None, "ssim": other}
            for one, other in zip(ratio.tolist(), similarity.tolist(), strict=True)
        ],
    )
    return unit_to_image(difference), float(ratio.mean()), float(similarity.mean())


def _pairs(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Check that two batches can be compared, and repeat a single image for all of the other's.

    Raises:
        InputError: They differ in size or number, or are too small.
    """
    if a.shape[2:] != b.shape[2:]:
        raise InputError(
            f"image_b: expected images of {a.shape[3]} x {a.shape[2]} pixels as image_a, "
            f"got {b.shape[3]} x {b.shape[2]}"
        )
    if len(a) != len(b) and 1 not in (len(a), len(b)):
        raise InputError(f"image_b: expected {len(a)} images as image_a, or one, got {len(b)}")
    if min(a.shape[2:]) < SSIM_WINDOW:
        raise InputError(
            f"image_a: expected sides of at least {SSIM_WINDOW} pixels, "
            f"got {a.shape[3]} x {a.shape[2]}"
        )
    count = max(len(a), len(b))
    return a.expand(count, -1, -1, -1), b.expand(count, -1, -1, -1)
