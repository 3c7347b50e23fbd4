"""What networks that grew resolution by resolution share (Karras et al. 2018, section 2)."""

import math

from torch import Tensor
from torch.nn import functional

from .blocks import block_resolutions

GAIN = math.sqrt(2)  # of weights before a leaky ReLU (He et al. 2015)
SLOPE = 0.2


def doubled(x: Tensor) -> Tensor:
    """Repeat every pixel twice along both axes, [N, C, H, W] -> [N, C, 2H, 2W]."""
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def halved(x: Tensor) -> Tensor:
    """Average 2x2 pixels, [N, C, 2H, 2W] -> [N, C, H, W]."""
    return functional.avg_pool2d(x, 2)


def check_stage(
    network: str, img_resolution: int, resolution: int | None, alpha: float
) -> list[int]:
    """The resolutions 4, 8, ... that take part while a network grows.

    Args:
        network: who asks, for messages.
        img_resolution: the highest that the network has.
        resolution: the highest that takes part; None for all.
        alpha: weight of the highest one's image, 0..1; the rest is the image of the one before.

    Raises:
        ValueError: an argument is not as above.
    """
    known = block_resolutions(img_resolution)
    if resolution is not None and resolution not in known:
        raise ValueError(f"{network}: expected resolution of {known}, got {resolution}")
    if not 0 <= alpha <= 1:
        raise ValueError(f"{network}: expected alpha in 0..1, got {alpha}")
    return known if resolution is None else known[: known.index(resolution) + 1]


def check_sizes(
    network: str,
    img_resolution: int,
    channel_base: int,
    channel_max: int,
    counts: dict[str, int],
    c_dim: int,
) -> None:
    """Refuse sizes that describe no network.

    Raises:
        ValueError: names the field, what it may be and what came.
    """
    if img_resolution < 4 or img_resolution & (img_resolution - 1):
        raise ValueError(f"{network}: expected img_resolution 4, 8, 16, ..., got {img_resolution}")
    if channel_max < 1 or channel_base < img_resolution:
        raise ValueError(
            f"{network}: expected channel_base >= img_resolution and channel_max >= 1, "
            f"got {channel_base}, {channel_max}"
        )
    for key, count in counts.items():
        if count < 1:
            raise ValueError(f"{network}: expected {key} >= 1, got {count}")
    if c_dim < 0:
        raise ValueError(f"{network}: expected c_dim >= 0, got {c_dim}")
