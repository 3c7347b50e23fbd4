"""StyleGAN2's toRGB layer together with the up-sampled image that it is added to."""

import torch
from torch import Tensor

from ..registry import register
from . import reference
from .op import to_rgb_op
from .triton_registration import register_triton_backend

__all__ = ["to_rgb"]

register("to_rgb", "eager", reference.to_rgb)
register("to_rgb_backward", "eager", reference.backward)
register_triton_backend()


def to_rgb(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    bias: Tensor | None = None,
    clamp: float | None = None,
    image: Tensor | None = None,
    f: Tensor | None = None,
) -> Tensor:
    """Compute `clamp(conv(x * styles, weight) + bias)`, plus `image` up-sampled by 2.

    Karras et al. 2020, figure 7b. Differentiable to any order in every tensor but f. Under
    autocast the convolution runs in the autocast dtype; the sum is always in at least float32.

    Args:
        x: [N, C, H, W], any floating-point dtype and memory format.
        weight: [O, C, 1, 1].
        styles: [N, C], not demodulated; any gain of the weight belongs in them.
        bias: [O].
        clamp: bounds what is added to the image to [-clamp, clamp]; None leaves it.
        image: [N, O, H / 2, W / 2], of the next coarser block.
        f: FIR filter of the up-sampling, see `setup_filter`.

    Returns:
        [N, O, H, W], contiguous, float32 or, for float64 x, float64.

    Raises:
        ValueError: an argument is not as above.
    """
    if x.ndim != 4 or not x.is_floating_point():
        raise ValueError(
            f"to_rgb: expected floating-point x [N, C, H, W], got {tuple(x.shape)} {x.dtype}"
        )
    batch, channels, height, width = x.shape
    if weight.ndim != 4 or weight.shape[1:] != (channels, 1, 1):
        raise ValueError(
            f"to_rgb: expected weight [O, {channels}, 1, 1], got {tuple(weight.shape)}"
        )
    if styles.shape != (batch, channels):
        raise ValueError(
            f"to_rgb: expected styles ({batch}, {channels}), got {tuple(styles.shape)}"
        )
    out = weight.shape[0]
    if bias is not None and bias.shape != (out,):
        raise ValueError(f"to_rgb: expected bias ({out},), got {tuple(bias.shape)}")
    if clamp is not None and not clamp >= 0:
        raise ValueError(f"to_rgb: expected clamp >= 0 or None, got {clamp}")
    if image is not None:
        if height % 2 or width % 2 or image.shape != (batch, out, height // 2, width // 2):
            raise ValueError(
                f"to_rgb: expected image of half of x's size ({batch}, {out}, {height} / 2, "
                f"{width} / 2), got {tuple(image.shape)}"
            )
        if f is None or f.ndim not in (1, 2) or f.requires_grad:
            raise ValueError(
                "to_rgb: expected a 1-D or 2-D f without gradient for an image, "
                f"got {None if f is None else tuple(f.shape)}"
            )
    kind = x.device.type
    if x.dtype is not torch.float64 and torch.is_autocast_enabled(kind):
        x = x.to(torch.get_autocast_dtype(kind))
    dtype = torch.promote_types(x.dtype, torch.float32)
    return to_rgb_op(
        x,
        weight[:, :, 0, 0].to(dtype),
        styles.to(dtype),
        None if bias is None else bias.to(dtype),
        None if image is None else image.to(dtype),
        None if image is None else f,
        clamp,
    )
