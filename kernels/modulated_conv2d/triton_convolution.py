"""Triton convolution as an implicit matrix product, NHWC, with styles read in and the epilogue on.

Rows of the product are pixels, columns are output channels, and the sum runs over taps and input
channels. Tensor cores take fp16 and bf16 as they are; float32 runs in tf32 where torch allows it.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..triton_host import divide_up, launcher
from .triton_epilogue import (
    INTERPRETED,
    Epilogue,
    activate,
    epilogue,
    noise_of_pixels,
    vector,
)

# Programs below which the sum over taps and channels is split: about one for each multiprocessor.
BUSY_PROGRAMS = 128


@dataclass(frozen=True)
class ConvTile:
    """Tile of one program: rows, columns and depth of its matrix product."""

    rows: int
    columns: int
    depth: int
    num_warps: int
    num_stages: int


# Eight at most; all fit the shared memory of sm_86 (99 KiB) in 16 bits.
CONV_TILES = (
    ConvTile(128, 128, 64, 8, 3),
    ConvTile(128, 128, 32, 4, 4),
    ConvTile(128, 64, 64, 4, 3),
    ConvTile(256, 64, 32, 8, 4),
    ConvTile(256, 32, 32, 8, 4),
    ConvTile(64, 64, 64, 4, 3),
    ConvTile(16, 64, 64, 4, 4),
    ConvTile(16, 32, 32, 2, 3),
)


@triton.jit
def convolution_kernel(
    x_ptr, w_ptr, styles_ptr, d_ptr, noise_ptr, strength_ptr, bias_ptr, next_ptr, y_ptr,
    batch, height, width, inputs, outputs, noise_stride, gain, clamp,
    K: tl.constexpr, SPLITS: tl.constexpr, FLAT: tl.constexpr, EVEN: tl.constexpr,
    MODULATE: tl.constexpr, F32DOT: tl.constexpr, PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
    DEMODULATE: tl.constexpr, NOISE: tl.constexpr, STRENGTH: tl.constexpr, BIAS: tl.constexpr,
    NEXT: tl.constexpr, ACT: tl.constexpr, CLAMP: tl.constexpr,
):  # fmt: skip
    """x [N, H, W, I], w [K K, I, O] to y [N, H, W, O], or to float32 parts [SPLITS, N, H, W, O].

    FLAT lets a tile run over several small images, which come modulated; otherwise the last grid
    axis is the sample.
    EVEN says that the input channels are a multiple of BLOCK_K.
    """
    columns = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    column_mask = columns < outputs
    size = height * width
    rows = (tl.program_id(1) // SPLITS) * BLOCK_M + tl.arange(0, BLOCK_M)
    split = tl.program_id(1) % SPLITS
    if FLAT:
        sample = rows // size  # [BLOCK_M]
        pixels = rows % size
        row_mask = rows < batch * size
        n = 0
    else:
        n = tl.program_id(2)
        sample = rows * 0 + n
        pixels = rows
        row_mask = rows < size
    start = sample.to(tl.int64) * size  # [BLOCK_M], first pixel of the row's image
    py = pixels // width
    px = pixels % width

    depth = tl.cdiv(inputs, BLOCK_K)
    share = tl.cdiv(K * K * depth, SPLITS)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for step in range(split * share, tl.minimum(split * share + share, K * K * depth)):
        tap = step // depth
        k = (step % depth) * BLOCK_K + tl.arange(0, BLOCK_K)
        y = py + (tap // K - K // 2)
        x = px + (tap % K - K // 2)
        good = row_mask & (y >= 0) & (y < height) & (x >= 0) & (x < width)
        places = (start + y * width + x)[:, None] * inputs + k[None, :]
        mask = good[:, None]
        weights = (tap * inputs + k)[:, None] * outputs + columns[None, :]
        weight_mask = column_mask[None, :]
        if not EVEN:
            mask = mask & (k < inputs)[None, :]
            weight_mask = weight_mask & (k < inputs)[:, None]
        a = tl.load(x_ptr + places, mask=mask, other=0.0)  # [BLOCK_M, BLOCK_K]
        b = tl.load(w_ptr + weights, mask=weight_mask, other=0.0)  # [BLOCK_K, BLOCK_N]
        if MODULATE:
            s = tl.load(styles_ptr + n * inputs + k, mask=k < inputs, other=0.0)
            a = (a.to(tl.float32) * s[None, :]).to(x_ptr.dtype.element_ty)
        if F32DOT:
            total = tl.dot(a.to(tl.float32), b.to(tl.float32), total, input_precision="ieee")
        else:
            total = tl.dot(a, b, total, input_precision=PRECISION)

    offsets = (start + pixels)[:, None] * outputs + columns[None, :]
    mask = row_mask[:, None] & column_mask[None, :]
    if SPLITS > 1:
        part = split.to(tl.int64) * batch * size * outputs
        tl.store(y_ptr + part + offsets, total, mask=mask)
    else:
        noise = noise_of_pixels(
            noise_ptr + sample.to(tl.int64) * noise_stride, strength_ptr, pixels, row_mask,
            NOISE, STRENGTH,
        )  # fmt: skip
        offset = vector(bias_ptr, columns, column_mask, gain, BIAS, 0.0)
        per_sample = sample[:, None] * outputs + columns[None, :]
        if DEMODULATE:
            if FLAT:
                scale = vector(d_ptr, per_sample, mask, gain, DEMODULATE, 1.0)
            else:
                scale = vector(d_ptr, n * outputs + columns, column_mask, gain, DEMODULATE, 1.0)
                scale = scale[None, :]
            total *= scale
        else:
            total *= gain
        v = activate(total + (noise[:, None] * gain + offset[None, :]), clamp, ACT, CLAMP)
        if NEXT:
            if FLAT:
                v *= vector(next_ptr, per_sample, mask, 1.0, NEXT, 1.0)
            else:
                following = vector(next_ptr, n * outputs + columns, column_mask, 1.0, NEXT, 1.0)
                v *= following[None, :]
        tl.store(y_ptr + offsets, v.to(y_ptr.dtype.element_ty), mask=mask)


def pack_weight(weight: Tensor) -> Tensor:
    """[O, I, k, k] to [k k, I, O], contiguous, as the kernel reads it."""
    outputs, inputs, size, _ = weight.shape
    return weight.permute(2, 3, 1, 0).reshape(size * size, inputs, outputs).contiguous()


def conv_tile(rows: int, inputs: int, outputs: int, itemsize: int) -> ConvTile:
    """Tile for a product of that many pixels and channels."""
    if INTERPRETED:
        return ConvTile(64, 32, 32, 4, 2)
    if rows <= 256:
        return CONV_TILES[6] if outputs > 32 and inputs > 32 else CONV_TILES[7]
    if itemsize == 4:  # twice the shared memory an element
        return CONV_TILES[5]
    if outputs <= 32 or inputs <= 32:
        return CONV_TILES[4] if outputs <= 32 else CONV_TILES[3]
    if outputs <= 64:
        return CONV_TILES[3]
    return CONV_TILES[0] if rows >= 64 * 64 else CONV_TILES[5]


def splits_of(programs: int, steps: int) -> int:
    """Parts that the sum is split into, so that few programs still fill a GPU."""
    if programs >= BUSY_PROGRAMS:
        return 1
    wanted = min(divide_up(BUSY_PROGRAMS, programs), max(1, steps // 4), 16)
    return max(1, wanted)


def convolution(
    x: Tensor,
    packed: Tensor,
    styles: Tensor | None,
    end: Epilogue,
    *,
    tile: ConvTile | None = None,
    splits: int | None = None,
) -> Tensor:
    """Convolve x * styles and finish the result.

    Args:
        x: [N, I, H, W], channels_last, float32, float16 or bfloat16.
        packed: from `pack_weight`, of x's dtype.
        styles: [N, I] float32 contiguous, or None for an x that is modulated.
        end: what to do afterwards.
        tile, splits: how, None to choose by the shape.

    Returns:
        [N, O, H, W] in x's dtype, channels_last.
    """
    batch, inputs, height, width = x.shape
    taps, _, outputs = packed.shape
    y = torch.empty(
        (batch, outputs, height, width), dtype=x.dtype, device=x.device,
        memory_format=torch.channels_last,
    )  # fmt: skip
    if y.numel() == 0:
        return y
    size = height * width
    tile = tile or conv_tile(batch * size, inputs, outputs, x.element_size())
    flat = size < tile.rows
    if flat and styles is not None:  # a tile of several samples would have to gather them
        x, styles = x * styles.to(x.dtype)[:, :, None, None], None
    blocks = divide_up(batch * size if flat else size, tile.rows)
    samples = 1 if flat else batch
    across = divide_up(outputs, tile.columns)
    steps = taps * divide_up(inputs, tile.depth)
    if splits is None:
        splits = splits_of(blocks * samples * across, steps)
    target = y
    if splits > 1:
        parts = torch.empty(
            (splits, batch, height, width, outputs), dtype=torch.float32, device=x.device
        )
        target = parts.permute(0, 1, 4, 2, 3)
    stride, gain, clamp = end.numbers()
    precision = "tf32" if torch.backends.cudnn.allow_tf32 else "ieee"
    launcher(convolution_kernel, across, blocks * splits, samples)(
        x, packed, x if styles is None else styles, *end.tensors(x), target,
        batch, height, width, inputs, outputs, stride, gain, clamp,
        K=round(taps**0.5), SPLITS=splits, FLAT=flat, EVEN=inputs % tile.depth == 0,
        MODULATE=styles is not None, F32DOT=INTERPRETED and x.dtype == torch.bfloat16,
        PRECISION=precision if x.dtype == torch.float32 else "ieee",
        BLOCK_M=tile.rows, BLOCK_N=tile.columns, BLOCK_K=tile.depth, **end.flags(),
        num_warps=tile.num_warps, num_stages=tile.num_stages,
    )  # fmt: skip
    if splits == 1:
        return y
    done = epilogue(target, end, x.dtype)
    assert done is not None
    return done
