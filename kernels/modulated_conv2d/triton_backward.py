"""Triton kernels of the backward pass: one reads what the epilogue wrote, one the styles' share.

Sums over pixels go through a workspace of one row a program, so they are the same on every run.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..bias_act.reference import rounded
from ..layout import channels_last, contiguous
from ..triton_host import divide_up, launcher, next_power_of_2
from .reference import statistics_dtype
from .triton_epilogue import (
    ACT_LINEAR,
    ACT_LRELU,
    INTERPRETED,
    LRELU_SLOPE,
    Epilogue,
    noise_of_pixels,
    vector,
)

BLOCK_C = 64


@triton.jit
def epilogue_backward_kernel(
    dy_ptr, y_ptr, d_ptr, noise_ptr, strength_ptr, bias_ptr, du_ptr,
    sums_ptr, pixels_ptr,
    size, count, noise_stride, gain, clamp,
    BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
    DEMODULATE: tl.constexpr, NOISE: tl.constexpr, STRENGTH: tl.constexpr, BIAS: tl.constexpr,
    ACT: tl.constexpr, CLAMP: tl.constexpr, PER_PIXEL: tl.constexpr,
):  # fmt: skip
    """See `backward.epilogue_backward`.

    sums are [3, pixel blocks, N, C] of dz, dz * u and dz * noise; pixels [blocks of C, N, H W].
    """
    n = tl.program_id(2)
    pixels = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    channels = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    pixel_mask = pixels < size
    channel_mask = channels < count
    mask = pixel_mask[:, None] & channel_mask[None, :]
    base = n.to(tl.int64) * size * count
    offsets = pixels[:, None] * count + channels[None, :]
    dy = tl.load(dy_ptr + base + offsets, mask=mask, other=0.0).to(tl.float32)
    y = tl.load(y_ptr + base + offsets, mask=mask, other=0.0).to(tl.float32)

    dz = dy * gain
    if ACT == ACT_LRELU:
        dz = tl.where(y > 0, dz, dz * LRELU_SLOPE)
    elif ACT != ACT_LINEAR:
        dz = tl.where(y > 0, dz, 0.0)
    product = dy * y
    if CLAMP:
        within = tl.abs(y) < clamp
        dz = tl.where(within, dz, 0.0)
        product = tl.where(within, product, 0.0)

    row = (tl.program_id(0).to(tl.int64) * tl.num_programs(2) + n) * count + channels
    part = tl.num_programs(0).to(tl.int64) * tl.num_programs(2) * count
    tl.store(sums_ptr + row, tl.sum(dz, axis=0), mask=channel_mask)
    noise = noise_of_pixels(
        noise_ptr + n.to(tl.int64) * noise_stride, strength_ptr, pixels, pixel_mask, NOISE, False
    )
    if NOISE:
        weighted = tl.sum(dz * noise[:, None], axis=0)
        tl.store(sums_ptr + 2 * part + row, weighted, mask=channel_mask)
    if PER_PIXEL:
        column = (tl.program_id(1).to(tl.int64) * tl.num_programs(2) + n) * size + pixels
        tl.store(pixels_ptr + column, tl.sum(dz, axis=1), mask=pixel_mask)
    if DEMODULATE:
        if STRENGTH:
            noise *= tl.load(strength_ptr).to(tl.float32)
        offset = vector(bias_ptr, channels, channel_mask, 1.0, BIAS, 0.0)
        product -= dz * (noise[:, None] + offset[None, :])
        tl.store(sums_ptr + part + row, tl.sum(product, axis=0), mask=channel_mask)
        dz *= tl.load(d_ptr + n * count + channels, mask=channel_mask, other=0.0)[None, :]
    tl.store(du_ptr + base + offsets, dz.to(du_ptr.dtype.element_ty), mask=mask)


@triton.jit
def styles_backward_kernel(
    dxs_ptr, x_ptr, styles_ptr, dx_ptr, sums_ptr, size, count,
    BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """dx = dxs * styles, and the sums of dxs * x over a block of pixels: [pixel blocks, N, C]."""
    n = tl.program_id(2)
    pixels = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    channels = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    channel_mask = channels < count
    mask = (pixels < size)[:, None] & channel_mask[None, :]
    base = n.to(tl.int64) * size * count
    offsets = pixels[:, None] * count + channels[None, :]
    dxs = tl.load(dxs_ptr + base + offsets, mask=mask, other=0.0).to(tl.float32)
    x = tl.load(x_ptr + base + offsets, mask=mask, other=0.0).to(tl.float32)
    row = (tl.program_id(0).to(tl.int64) * tl.num_programs(2) + n) * count + channels
    tl.store(sums_ptr + row, tl.sum(dxs * x, axis=0), mask=channel_mask)
    s = tl.load(styles_ptr + n * count + channels, mask=channel_mask, other=0.0)
    tl.store(dx_ptr + base + offsets, (dxs * s[None, :]).to(dx_ptr.dtype.element_ty), mask=mask)


def epilogue_backward(
    dy: Tensor,
    y: Tensor,
    d: Tensor | None,
    noise: Tensor | None,
    strength: Tensor | None,
    bias: Tensor | None,
    act: str,
    gain: float,
    clamp: float | None,
    per_pixel: bool,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Arguments and results as in `backward.epilogue_backward`."""
    dy = channels_last(dy)
    y = channels_last(y)
    batch, count, height, width = y.shape
    dtype, device = statistics_dtype(y.dtype), y.device
    du = torch.empty_like(dy)
    size = height * width
    block = pixels_of_block(size)
    blocks, across = divide_up(size, block), divide_up(count, BLOCK_C)
    parts = torch.empty((3, blocks, batch, count), dtype=dtype, device=device)
    columns = (across, batch, 1, height, width)
    pixels = torch.empty(columns, dtype=dtype, device=device) if per_pixel else None
    if y.numel():
        end = Epilogue(
            contiguous(d), contiguous(noise), strength, contiguous(bias), None, act, gain,
            None if clamp is None else rounded(clamp, y.dtype),
        )  # fmt: skip
        flags = {name: value for name, value in end.flags().items() if name != "NEXT"}
        launcher(epilogue_backward_kernel, blocks, across, batch)(
            dy, y, *end.tensors(dy)[:4], du,
            parts, parts if pixels is None else pixels,
            size, count, *end.numbers(),
            BLOCK_P=block, BLOCK_C=BLOCK_C, PER_PIXEL=per_pixel, **flags, num_warps=8,
        )  # fmt: skip
    dd = None if d is None else parts[1].sum(0) / d
    weighted = None if noise is None else parts[2].sum(0)
    return du, parts[0].sum(0), dd, weighted, None if pixels is None else pixels.sum(0)


def styles_backward(dxs: Tensor, x: Tensor, styles: Tensor) -> tuple[Tensor, Tensor]:
    """Arguments and results as in `backward.styles_backward`."""
    dxs = channels_last(dxs)
    x = channels_last(x)
    batch, count, height, width = x.shape
    size = height * width
    block = pixels_of_block(size)
    dx = torch.empty_like(dxs)
    sums = torch.empty((divide_up(size, block), batch, count), dtype=styles.dtype, device=x.device)
    if x.numel():
        blocks, across = divide_up(size, block), divide_up(count, BLOCK_C)
        launcher(styles_backward_kernel, blocks, across, batch)(
            dxs, x, styles.contiguous(), dx, sums, size, count,
            BLOCK_P=block, BLOCK_C=BLOCK_C, num_warps=4,
        )  # fmt: skip
    return dx, sums.sum(0)


def pixels_of_block(size: int) -> int:
    """Pixels that one program takes."""
    return min(next_power_of_2(size), 1024) if INTERPRETED else 64
