"""upfirdn2d in Triton: one kernel for every filter, factor, padding and memory format.

A program computes a tile of pixels by channels. Of the zero-inserted image it visits samples only:
ceil(taps / up) of them an axis, from the first under the filter on.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..layout import memory_format
from ..triton_host import AotCase, divide_up, interpreted, next_power_of_2, signature
from .reference import Padding, Pair, result_size

_MAX_CHANNELS = 64  # of a tile in channels_last
_UNROLLED = 8  # visited columns up to which their loop is unrolled; rows too would spill registers

# Elements of a tile and warps of a program.
CONFIGS = [
    triton.Config({"TILE": 512}, num_warps=4),
    triton.Config({"TILE": 256}, num_warps=4),
    triton.Config({"TILE": 1024}, num_warps=8),
    triton.Config({"TILE": 2048}, num_warps=8),
]


@triton.jit
def _first(out, up: tl.constexpr, down: tl.constexpr, before, shift):
    """First sample under the filter, which may lie outside the image, and its tap.

    `shift` samples keep the division's operand from being negative.
    """
    position = out * down - before
    sample = (position + shift * up + up - 1) // up - shift
    return sample, sample * up - position


@triton.jit
def _visit(
    total,
    x_ptr,
    f_ptr,
    pixels,
    i,
    tap_y,
    j,
    tap_x,
    height,
    width,
    stride_h,
    stride_w,
    channel_offset,
    channel_mask,
    TAPS_Y: tl.constexpr,
    TAPS_X: tl.constexpr,
    SQUARE: tl.constexpr,
    FLIP: tl.constexpr,
    ACC: tl.constexpr,
):
    """Add sample (i, j) of each pixel [BLOCK_P], times its tap, to total [BLOCK_P, BLOCK_C]."""
    inside = pixels & (i >= 0) & (i < height) & (j >= 0) & (j < width)
    inside = inside & (tap_y < TAPS_Y) & (tap_x < TAPS_X)
    if not FLIP:  # a convolution meets the taps in reverse
        tap_y = TAPS_Y - 1 - tap_y
        tap_x = TAPS_X - 1 - tap_x
    if SQUARE:
        tap = tl.load(f_ptr + tap_y * TAPS_X + tap_x, mask=inside, other=0.0).to(ACC)
    else:
        tap = tl.load(f_ptr + tap_y, mask=inside, other=0.0).to(ACC)
        tap *= tl.load(f_ptr + tap_x, mask=inside, other=0.0).to(ACC)
    offset = i.to(tl.int64) * stride_h + j.to(tl.int64) * stride_w  # [BLOCK_P]
    offset = offset[:, None] + channel_offset[None, :]
    mask = inside[:, None] & channel_mask[None, :]
    return total + tl.load(x_ptr + offset, mask=mask, other=0.0).to(ACC) * tap[:, None]


@triton.autotune(
    configs=CONFIGS[:1] if interpreted() else CONFIGS,
    key=["UP_Y", "UP_X", "DOWN_Y", "DOWN_X", "TAPS_Y", "TAPS_X", "BLOCK_C", "out_width"],
)
@triton.jit
def _upfirdn2d_kernel(
    x_ptr,
    f_ptr,
    y_ptr,
    gain,
    channels,
    height,
    width,
    out_height,
    out_width,
    before_y,
    before_x,
    shift_y,
    shift_x,
    stride_xn,
    stride_xc,
    stride_xh,
    stride_xw,
    stride_yn,
    stride_yc,
    stride_yh,
    stride_yw,
    UP_Y: tl.constexpr,
    UP_X: tl.constexpr,
    DOWN_Y: tl.constexpr,
    DOWN_X: tl.constexpr,
    TAPS_Y: tl.constexpr,
    TAPS_X: tl.constexpr,
    SQUARE: tl.constexpr,
    FLIP: tl.constexpr,
    UNROLL: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK_C: tl.constexpr,
    TILE: tl.constexpr,
):
    BLOCK_P: tl.constexpr = TILE // BLOCK_C
    STEPS_Y: tl.constexpr = (TAPS_Y + UP_Y - 1) // UP_Y
    STEPS_X: tl.constexpr = (TAPS_X + UP_X - 1) // UP_X
    pixel_tiles = tl.cdiv(out_height * out_width, BLOCK_P)
    channel_tiles = tl.cdiv(channels, BLOCK_C)
    program = tl.program_id(0).to(tl.int64)
    n = program // (pixel_tiles * channel_tiles)
    channel = program % channel_tiles * BLOCK_C + tl.arange(0, BLOCK_C)
    # An image has fewer than 2^31 pixels, and 64-bit division is slow; only offsets need 64 bits.
    pixel_tile = (program // channel_tiles % pixel_tiles).to(tl.int32)
    pixel = pixel_tile * BLOCK_P + tl.arange(0, BLOCK_P)
    pixels = pixel < out_height * out_width  # [BLOCK_P]
    channel_mask = channel < channels  # [BLOCK_C]
    out_y, out_x = pixel // out_width, pixel % out_width
    i, tap_y = _first(out_y, UP_Y, DOWN_Y, before_y, shift_y)
    j, tap_x = _first(out_x, UP_X, DOWN_X, before_x, shift_x)

    total = tl.zeros([BLOCK_P, BLOCK_C], dtype=ACC)
    x_ptr += n * stride_xn
    channel_offset = channel * stride_xc
    if UNROLL:
        for a in range(STEPS_Y):
            for b in tl.static_range(STEPS_X):
                total = _visit(
                    total, x_ptr, f_ptr, pixels, i + a, tap_y + a * UP_Y, j + b, tap_x + b * UP_X,
                    height, width, stride_xh, stride_xw, channel_offset, channel_mask,
                    TAPS_Y, TAPS_X, SQUARE, FLIP, ACC,
                )  # fmt: skip
    else:
        for a in range(STEPS_Y):
            for b in range(STEPS_X):
                total = _visit(
                    total, x_ptr, f_ptr, pixels, i + a, tap_y + a * UP_Y, j + b, tap_x + b * UP_X,
                    height, width, stride_xh, stride_xw, channel_offset, channel_mask,
                    TAPS_Y, TAPS_X, SQUARE, FLIP, ACC,
                )  # fmt: skip
    offset = n * stride_yn + out_y.to(tl.int64) * stride_yh + out_x.to(tl.int64) * stride_yw
    offset = offset[:, None] + (channel * stride_yc)[None, :]
    mask = pixels[:, None] & channel_mask[None, :]
    tl.store(y_ptr + offset, (total * gain).to(y_ptr.dtype.element_ty), mask=mask)


def upfirdn2d(
    x: Tensor, f: Tensor, up: Pair, down: Pair, padding: Padding, flip_filter: bool, gain: float
) -> Tensor:
    """See `reference.upfirdn2d`."""
    f = f.to(x.device).contiguous()
    batch, channels, height, width = x.shape
    out_height, out_width = result_size(x, f, up, down, padding)
    layout = memory_format(x)
    y = torch.empty(
        (batch, channels, out_height, out_width),
        dtype=x.dtype,
        device=x.device,
        memory_format=layout,
    )
    last = layout is torch.channels_last
    block_c = min(next_power_of_2(channels), _MAX_CHANNELS) if last else 1
    visited = divide_up(f.shape[-1], up[0])

    def grid(meta: dict[str, Any]) -> tuple[int]:
        tiles = divide_up(out_height * out_width, meta["TILE"] // block_c)
        return (batch * tiles * divide_up(channels, block_c),)

    _upfirdn2d_kernel[grid](
        *(x, f, y, gain, channels, height, width, out_height, out_width),
        *(padding[2], padding[0]),
        *(max(padding[2], 0) // up[1] + 1, max(padding[0], 0) // up[0] + 1),
        *x.stride(),
        *y.stride(),
        UP_Y=up[1],
        UP_X=up[0],
        DOWN_Y=down[1],
        DOWN_X=down[0],
        TAPS_Y=f.shape[0],
        TAPS_X=f.shape[-1],
        SQUARE=f.ndim == 2,
        FLIP=flip_filter,
        UNROLL=visited <= _UNROLLED,
        ACC=tl.float64 if x.dtype is torch.float64 else tl.float32,
        BLOCK_C=block_c,
    )
    return y


def aot_cases() -> list[AotCase]:
    """What the launcher may compile."""
    cases: list[AotCase] = []
    for config in CONFIGS:
        for kind in ("fp32", "bf16"):
            for up, down, taps, square in (
                (1, 1, 4, True),
                (2, 1, 4, True),
                (1, 2, 4, False),
                (1, 1, 12, False),
            ):
                for block_c in (1, 64):
                    unit = "c" if block_c > 1 else "w"
                    constants: dict[str, Any] = {
                        **{"UP_Y": up, "UP_X": up, "DOWN_Y": down, "DOWN_X": down},
                        **{"TAPS_Y": taps, "TAPS_X": taps, "SQUARE": square, "FLIP": False},
                        **{"UNROLL": taps // up <= _UNROLLED, "ACC": tl.float32},
                        # The launcher specialises strides of 1.
                        **{f"stride_x{unit}": 1, f"stride_y{unit}": 1},
                        **{"BLOCK_C": block_c, **config.kwargs},
                    }
                    kernel = _upfirdn2d_kernel.fn  # below the autotuner
                    types = {"x_ptr": f"*{kind}", "y_ptr": f"*{kind}", "gain": "fp32"}
                    found = signature(kernel, constants, types)
                    label = f"{kind} up {up} down {down} taps {taps} channels {block_c} {config}"
                    options = (config.num_warps, config.num_stages)
                    cases.append((kernel, found, constants, *options, label))
    return cases
