"""toRGB in Triton: features are read once, forward and backward, and the image is up-sampled."""

from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..layout import channels_last
from ..modulated_conv2d.triton_epilogue import INTERPRETED, pack_filter
from ..triton_host import (
    POINTERS,
    AotCase,
    divide_up,
    launcher,
    next_power_of_2,
    signature,
)
from .reference import upsample_padding

_BLOCK_C = 64


@triton.jit
def to_rgb_kernel(
    x_ptr, own_ptr, bias_ptr, image_ptr, f_ptr, y_ptr, height, width, count, clamp,
    OUT: tl.constexpr, OUT_POWER: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
    BIAS: tl.constexpr, CLAMP: tl.constexpr, IMAGE: tl.constexpr,
    LEFT: tl.constexpr, TOP: tl.constexpr,
):  # fmt: skip
    """x [N, H, W, C] and each sample's weight [N, OUT, C] to y [N, OUT, H, W] float32.

    Each y is added to two by two samples of the image, those of the zero-inserted one's that the
    four taps meet; f is [4, 4] in the order in which they are read.
    """
    n = tl.program_id(1)
    size = height * width
    pixels = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    pixel_mask = pixels < size
    outs = tl.arange(0, OUT_POWER)
    out_mask = outs < OUT
    base = x_ptr + n.to(tl.int64) * size * count
    products = tl.zeros((BLOCK_P, OUT_POWER, BLOCK_C), tl.float32)
    for first in range(0, count, BLOCK_C):
        channels = first + tl.arange(0, BLOCK_C)
        channel_mask = channels < count
        x = tl.load(
            base + pixels[:, None] * count + channels[None, :],
            mask=pixel_mask[:, None] & channel_mask[None, :], other=0.0,
        )  # fmt: skip
        own = tl.load(
            own_ptr + (n * OUT + outs)[:, None] * count + channels[None, :],
            mask=out_mask[:, None] & channel_mask[None, :], other=0.0,
        )  # fmt: skip
        products += x.to(tl.float32)[:, None, :] * own[None, :, :]
    y = tl.sum(products, axis=2)  # [BLOCK_P, OUT_POWER]
    if BIAS:
        y += tl.load(bias_ptr + outs, mask=out_mask, other=0.0)[None, :]
    if CLAMP:
        y = tl.maximum(y, -clamp, propagate_nan=tl.PropagateNan.ALL)
        y = tl.minimum(y, clamp, propagate_nan=tl.PropagateNan.ALL)
    mask = pixel_mask[:, None] & out_mask[None, :]
    if IMAGE:
        row = pixels // width
        column = pixels % width
        coarse = (n * OUT + outs)[None, :].to(tl.int64) * (size // 4)
        for i in tl.static_range(2):
            tap_y = 2 * i + (row + TOP) % 2
            source_y = (row + tap_y - TOP + 8) // 2 - 4  # // rounds to zero below it
            for j in tl.static_range(2):
                tap_x = 2 * j + (column + LEFT) % 2
                source_x = (column + tap_x - LEFT + 8) // 2 - 4
                good = pixel_mask & (source_y >= 0) & (source_y < height // 2)
                good = good & (source_x >= 0) & (source_x < width // 2)
                tap = tl.load(f_ptr + tap_y * 4 + tap_x, mask=good, other=0.0)
                places = coarse + (source_y * (width // 2) + source_x)[:, None]
                sample = tl.load(image_ptr + places, mask=mask & good[:, None], other=0.0)
                y += sample * tap[:, None]
    target = y_ptr + (n * OUT + outs)[None, :].to(tl.int64) * size + pixels[:, None]
    tl.store(target, y, mask=mask)


@triton.jit
def to_rgb_backward_kernel(
    dz_ptr, x_ptr, own_ptr, dx_ptr, parts_ptr, size, count,
    OUT: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """dx [N, H W, C], and sums of dz * x over a block of pixels: [pixel blocks, N, OUT, C]."""
    n = tl.program_id(2)
    pixels = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    channels = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    pixel_mask = pixels < size
    channel_mask = channels < count
    mask = pixel_mask[:, None] & channel_mask[None, :]
    offsets = n.to(tl.int64) * size * count + pixels[:, None] * count + channels[None, :]
    x = tl.load(x_ptr + offsets, mask=mask, other=0.0).to(tl.float32)
    dx = tl.zeros((BLOCK_P, BLOCK_C), tl.float32)
    for out in tl.static_range(OUT):
        row = (n * OUT + out).to(tl.int64)
        dz = tl.load(dz_ptr + row * size + pixels, mask=pixel_mask, other=0.0).to(tl.float32)
        own = tl.load(own_ptr + row * count + channels, mask=channel_mask, other=0.0)
        dx += dz[:, None] * own[None, :]
        part = (tl.program_id(0).to(tl.int64) * tl.num_programs(2) * OUT + row) * count
        tl.store(parts_ptr + part + channels, tl.sum(dz[:, None] * x, axis=0), mask=channel_mask)
    tl.store(dx_ptr + offsets, dx.to(dx_ptr.dtype.element_ty), mask=mask)


def to_rgb(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    bias: Tensor | None,
    image: Tensor | None,
    f: Tensor | None,
    clamp: float | None,
) -> Tensor:
    """See `reference.to_rgb`."""
    x = channels_last(x)
    batch, count, height, width = x.shape
    out = weight.shape[0]
    y = torch.empty((batch, out, height, width), dtype=torch.float32, device=x.device)
    if y.numel() == 0:
        return y
    own = (weight * styles[:, None]).contiguous()
    left = top = 0
    taps = own
    if image is not None and f is not None:
        left, _, top, _ = upsample_padding(f)
        taps = pack_filter(torch.outer(f, f) if f.ndim == 1 else f)
    block = _pixels(height * width)
    launcher(to_rgb_kernel, divide_up(height * width, block), batch)(
        x, own, own if bias is None else bias.contiguous(),
        own if image is None else image.contiguous(), taps, y,
        height, width, count, 0.0 if clamp is None else clamp,
        OUT=out, OUT_POWER=next_power_of_2(out), BLOCK_P=block, BLOCK_C=_BLOCK_C,
        BIAS=bias is not None, CLAMP=clamp is not None, IMAGE=image is not None,
        LEFT=left, TOP=top, num_warps=4,
    )  # fmt: skip
    return y


def backward(dz: Tensor, x: Tensor, weight: Tensor, styles: Tensor) -> tuple[Tensor, Tensor]:
    """See `reference.backward`."""
    x = channels_last(x)
    batch, count, height, width = x.shape
    size, out = height * width, weight.shape[0]
    own = (weight * styles[:, None]).contiguous()
    block = _pixels(size)
    blocks = divide_up(size, block)
    dx = torch.empty_like(x)
    parts = torch.empty((blocks, batch, out, count), dtype=torch.float32, device=x.device)
    if x.numel():
        launcher(to_rgb_backward_kernel, blocks, divide_up(count, _BLOCK_C), batch)(
            dz.contiguous(), x, own, dx, parts, size, count,
            OUT=out, BLOCK_P=block, BLOCK_C=_BLOCK_C, num_warps=8,
        )  # fmt: skip
    return dx, parts.sum(0)


def _pixels(size: int) -> int:
    """Pixels of one program."""
    return min(next_power_of_2(size), 256) if INTERPRETED else 32


def aot_cases() -> Iterator[AotCase]:
    """Every configuration of both kernels, for compilation without a GPU."""
    for dtype, pointer in POINTERS.items():
        name = str(dtype).removeprefix("torch.")
        types = {"x_ptr": pointer, "dx_ptr": pointer, "clamp": "fp32"}
        chosen: dict[str, Any] = {
            "OUT": 3, "OUT_POWER": 4, "BLOCK_P": 32, "BLOCK_C": _BLOCK_C,
            "BIAS": True, "CLAMP": True, "IMAGE": True, "LEFT": 2, "TOP": 2,
        }  # fmt: skip
        yield (
            to_rgb_kernel,
            signature(to_rgb_kernel, chosen, types),
            chosen,
            4,
            1,
            f"to_rgb {name}",
        )
        chosen = {"OUT": 3, "BLOCK_P": 32, "BLOCK_C": _BLOCK_C}
        kernel = to_rgb_backward_kernel
        yield kernel, signature(kernel, chosen, types), chosen, 8, 1, f"to_rgb_backward {name}"
