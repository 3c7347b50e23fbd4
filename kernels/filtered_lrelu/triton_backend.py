"""Triton kernel: a tile of one channel at a time, its filters as banded matrices on tensor cores.

Up-sampling and filtering a tile X is U_y X U_x^T with small matrices that hold each tap where it
meets a sample, and down-sampling likewise; neither depends on where the tile is, as long as tiles
are a whole number of input samples apart. A filter of two axes is the sum of as many such products
as it has singular values: 3 for StyleGAN3's radial ones.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..triton_host import (
    POINTERS,
    AotCase,
    divide_up,
    launcher,
    next_power_of_2,
    signature,
)
from .layout import empty_like, result_like
from .reference import before, sizes, taps

__all__ = ["aot_cases", "filtered_lrelu", "filtered_lrelu_jvp", "filtered_lrelu_vjp", "tile_size"]

# Extents of a tile of the wide image, the larger ones for long filters. float32, which has no
# tensor cores, spills registers with more than the smallest.
WIDE_BLOCKS = (32, 64, 128)
# Singular values below this part of the largest are rounding.
RANK_TOLERANCE = 1e-7
NUM_STAGES = 1


@triton.jit
def _upsampled(
    x_ptr, bias, vertical_ptr, horizontal_ptr, rank, first_y, first_x, height, width,
    stride_h, stride_w, IN: tl.constexpr, WIDE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Wide image of the samples from (first_y, first_x) on."""
    rows, columns = first_y + tl.arange(0, IN), first_x + tl.arange(0, IN)
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    offsets = rows.to(tl.int64)[:, None] * stride_h + columns.to(tl.int64) * stride_w
    x = tl.load(x_ptr + offsets, mask=inside, other=0.0).to(tl.float32)
    x = tl.where(inside, x + bias, 0.0)  # [IN, IN]
    wide_range, in_range = tl.arange(0, WIDE), tl.arange(0, IN)
    wide = tl.zeros((WIDE, WIDE), tl.float32)
    for r in range(rank):
        start = r * WIDE * IN
        vertical = tl.load(vertical_ptr + start + wide_range[:, None] * IN + in_range)
        horizontal = tl.load(horizontal_ptr + start + wide_range * IN + in_range[:, None])
        columns_done = tl.dot(vertical, x, input_precision=PRECISION)  # [WIDE, IN]
        wide += tl.dot(columns_done, horizontal, input_precision=PRECISION)
    return wide


@triton.jit
def filtered_lrelu_kernel(
    main_ptr, guide_ptr, bias_ptr, y_ptr,
    main_v_ptr, main_h_ptr, guide_v_ptr, guide_h_ptr, down_v_ptr, down_h_ptr,
    main_rank, guide_rank, down_rank,
    channels, tiles_x,
    main_height, main_width, guide_height, guide_width, y_height, y_width,
    wide_height, wide_width,
    main_first_y, main_first_x, main_step, guide_first_y, guide_first_x, guide_step,
    offset_y, offset_x, wide_step, tile,
    stride_mn, stride_mc, stride_mh, stride_mw,
    stride_gn, stride_gc, stride_gh, stride_gw,
    stride_yn, stride_yc, stride_yh, stride_yw,
    slope, clamp,
    BIAS: tl.constexpr, GUIDE: tl.constexpr, CLAMP: tl.constexpr, MAIN: tl.constexpr,
    GUIDE_IN: tl.constexpr, WIDE: tl.constexpr, OUT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One tile of [tile, tile] results; MAIN, GUIDE_IN, WIDE and OUT are the extents of blocks."""
    tile_y, tile_x = tl.program_id(0) // tiles_x, tl.program_id(0) % tiles_x
    sample = (tl.program_id(1) // channels).to(tl.int64)
    channel = (tl.program_id(1) % channels).to(tl.int64)
    bias = 0.0
    if BIAS:
        bias = tl.load(bias_ptr + channel).to(tl.float32)
    wide = _upsampled(
        main_ptr + sample * stride_mn + channel * stride_mc, 0.0 if GUIDE else bias,
        main_v_ptr, main_h_ptr, main_rank,
        main_first_y + tile_y * main_step, main_first_x + tile_x * main_step,
        main_height, main_width, stride_mh, stride_mw, MAIN, WIDE, PRECISION,
    )  # fmt: skip
    if GUIDE:
        v = _upsampled(
            guide_ptr + sample * stride_gn + channel * stride_gc, bias,
            guide_v_ptr, guide_h_ptr, guide_rank,
            guide_first_y + tile_y * guide_step, guide_first_x + tile_x * guide_step,
            guide_height, guide_width, stride_gh, stride_gw, GUIDE_IN, WIDE, PRECISION,
        )  # fmt: skip
        factor = tl.where(v > 0, 1.0, slope)
        if CLAMP:
            factor = tl.where(tl.abs(v * factor) <= clamp, factor, 0.0)
        wide = wide * factor
    else:
        wide = tl.where(wide > 0, wide, wide * slope)
        if CLAMP:
            wide = tl.where(wide < -clamp, -clamp, wide)
            wide = tl.where(wide > clamp, clamp, wide)
    wide_range, out_range = tl.arange(0, WIDE), tl.arange(0, OUT)
    rows = offset_y + tile_y * wide_step + wide_range
    columns = offset_x + tile_x * wide_step + wide_range
    inside = ((rows >= 0) & (rows < wide_height))[:, None]
    inside &= (columns >= 0) & (columns < wide_width)
    wide = tl.where(inside, wide, 0.0)  # [WIDE, WIDE]
    y = tl.zeros((OUT, OUT), tl.float32)
    for r in range(down_rank):
        start = r * OUT * WIDE
        vertical = tl.load(down_v_ptr + start + out_range[:, None] * WIDE + wide_range)
        horizontal = tl.load(down_h_ptr + start + out_range * WIDE + wide_range[:, None])
        rows_done = tl.dot(vertical, wide, input_precision=PRECISION)  # [OUT, WIDE]
        y += tl.dot(rows_done, horizontal, input_precision=PRECISION)
    rows, columns = tile_y * tile + out_range, tile_x * tile + out_range
    kept = ((out_range < tile) & (rows < y_height))[:, None]
    kept &= (out_range < tile) & (columns < y_width)
    offsets = rows.to(tl.int64)[:, None] * stride_yh + columns.to(tl.int64) * stride_yw
    at = y_ptr + sample * stride_yn + channel * stride_yc + offsets
    tl.store(at, y.to(y_ptr.dtype.element_ty), mask=kept)


def tile_size(step: int, down: int, taps_down: int, dtype: torch.dtype) -> tuple[int, int] | None:
    """Results of a tile, a multiple of `step`, and its extent in the wide image.

    None if not even one step fits.
    """
    for wide in WIDE_BLOCKS[0 if dtype == torch.float32 else 1 :]:
        largest = (wide - taps_down) // down + 1
        tile = largest // step * step
        if tile > 0:
            return tile, wide
    return None


def filtered_lrelu(x: Tensor, *rest: Any) -> Tensor:
    """See `reference.filtered_lrelu`."""
    fu, fd, b, up, down, padding, gain, _, _, flip = rest
    y = result_like(x, fu, fd, up, down, padding)
    main = _Source(x, _Filter(fu, flip, up * up * gain), up, before(padding))
    return _launch(y, main, None, b, _Filter(fd, flip, 1.0), down, (0, 0), x, rest)


def filtered_lrelu_jvp(tangent: Tensor, x: Tensor, *rest: Any) -> Tensor:
    """See `reference.filtered_lrelu_jvp`."""
    fu, fd, b, up, down, padding, gain, _, _, flip = rest
    y = result_like(x, fu, fd, up, down, padding)
    f = _Filter(fu, flip, up * up * gain)
    main = _Source(tangent, f, up, before(padding))
    guide = _Source(x, f, up, before(padding))
    return _launch(y, main, guide, b, _Filter(fd, flip, 1.0), down, (0, 0), x, rest)


def filtered_lrelu_vjp(dy: Tensor, x: Tensor, *rest: Any) -> Tensor:
    """See `reference.filtered_lrelu_vjp`."""
    fu, fd, b, up, down, padding, gain, _, _, flip = rest
    (taps_x, taps_y), (after_x, after_y) = taps(fu), taps(fd)
    pad_x, pad_y = before(padding)
    main = _Source(dy, _Filter(fd, not flip, gain), down, (after_x - 1, after_y - 1))
    guide = _Source(x, _Filter(fu, flip, up * up * gain), up, (pad_x, pad_y))
    offset = (pad_x - taps_x + 1, pad_y - taps_y + 1)
    f = _Filter(fu, not flip, float(up * up))
    return _launch(empty_like(x, x.shape), main, guide, b, f, up, offset, x, rest)


class _Filter:
    """A correlation as a sum of products of one filter an axis: [rank, taps_y], [rank, taps_x]."""

    def __init__(self, f: Tensor | None, flip: bool, scale: float) -> None:
        f = torch.ones(1, device="cpu") if f is None else f.double()
        f = f if flip else f.flip(tuple(range(f.ndim)))
        if f.ndim == 1:
            self.vertical, self.horizontal = f[None] * scale, f[None]
            return
        left, values, right = torch.linalg.svd(f)
        rank = max(1, int((values > RANK_TOLERANCE * values[0]).sum()))
        self.vertical = (left[:, :rank] * values[:rank] * scale).T
        self.horizontal = right[:rank]


@dataclass(frozen=True)
class _Source:
    """An image, the filter after its up-sampling, and the padding (x, y) before it."""

    image: Tensor
    filter: _Filter
    up: int
    pad: tuple[int, int]

    def block(self, wide: int) -> int:
        """Extent, a power of two, of the samples that a wide tile is made from."""
        longest = max(self.filter.vertical.shape[1], self.filter.horizontal.shape[1])
        return _block_extent((wide + longest - 2) // self.up + 2)

    def matrices(self, offset: tuple[int, int], wide: int) -> tuple[Tensor, Tensor, int, int]:
        """Vertical and horizontal [rank, wide, block]; first samples (y, x) of the first tile."""
        device, size = self.image.device, self.block(wide)
        parts = []
        for f, start, pad in (
            (self.filter.vertical, offset[1], self.pad[1]),
            (self.filter.horizontal, offset[0], self.pad[0]),
        ):
            first = -((pad - start) // self.up)  # ceil((start - pad) / up)
            samples = _range(size)[None, :] + first
            positions = _range(wide)[:, None] + start
            parts.append((_gather(f, samples * self.up + pad - positions).to(device), first))
        return parts[0][0], parts[1][0], parts[0][1], parts[1][1]


def _range(size: int) -> Tensor:
    return torch.arange(size, device="cpu")


def _gather(f: Tensor, index: Tensor) -> Tensor:
    """f[:, index] of [rank, taps], float32, 0 where the index lies outside."""
    f = f.cpu()
    inside = (index >= 0) & (index < f.shape[1])
    return (f[:, index.clamp(0, f.shape[1] - 1)] * inside).float().contiguous()


def _launch(
    y: Tensor,
    main: _Source,
    guide: _Source | None,
    b: Tensor | None,
    down_filter: _Filter,
    down: int,
    offset: tuple[int, int],
    x: Tensor,
    rest: tuple[Any, ...],
) -> Tensor:
    fu, fd, _, up, forward_down, padding, _, slope, clamp, _ = rest
    (wide_height, wide_width), _ = sizes(x, fu, fd, up, forward_down, padding)
    longest = max(down_filter.vertical.shape[1], down_filter.horizontal.shape[1])
    both = math.lcm(up, forward_down)
    chosen = tile_size(both // math.gcd(both, down), down, longest, y.dtype)
    assert chosen is not None  # refused before
    tile, wide = chosen
    main_v, main_h, main_y, main_x = main.matrices(offset, wide)
    other = guide or main
    guide_v, guide_h, guide_y, guide_x = other.matrices(offset, wide)
    out = _block_extent(tile)
    steps = _range(wide)[None, :] - down * _range(out)[:, None]
    down_v, down_h = (
        _gather(f, steps).to(y.device) for f in (down_filter.vertical, down_filter.horizontal)
    )
    tiles_y, tiles_x = divide_up(y.shape[2], tile), divide_up(y.shape[3], tile)
    launcher(filtered_lrelu_kernel, tiles_y * tiles_x, y.shape[0] * y.shape[1])(
        main.image, other.image, y if b is None else b, y,
        main_v, main_h, guide_v, guide_h, down_v, down_h,
        main_v.shape[0], guide_v.shape[0], down_v.shape[0],
        y.shape[1], tiles_x,
        *main.image.shape[2:], *other.image.shape[2:], *y.shape[2:],
        wide_height, wide_width,
        main_y, main_x, tile * down // main.up, guide_y, guide_x, tile * down // other.up,
        offset[1], offset[0], tile * down, tile,
        *main.image.stride(), *other.image.stride(), *y.stride(),
        slope, 0.0 if clamp is None else clamp,
        BIAS=b is not None, GUIDE=guide is not None, CLAMP=clamp is not None,
        MAIN=main.block(wide), GUIDE_IN=other.block(wide), WIDE=wide, OUT=out,
        PRECISION=_precision(y.dtype), num_warps=_num_warps(wide, guide is not None),
        num_stages=NUM_STAGES,
    )  # fmt: skip
    return y


def _precision(dtype: torch.dtype) -> str:
    """tf32 has the mantissa of float16, so half images lose nothing; float32 multiplies exactly."""
    return "ieee" if dtype == torch.float32 else "tf32"


def _num_warps(wide: int, guided: bool) -> int:
    """Four where their registers hold a tile; float32 and a guide at once need more."""
    return 8 if wide > WIDE_BLOCKS[1] or (wide == WIDE_BLOCKS[0] and guided) else 4


def _block_extent(size: int) -> int:
    """Extent of a block that holds `size`; products need at least 16."""
    return max(16, next_power_of_2(size))


def aot_cases() -> Iterator[AotCase]:
    """StyleGAN3's layers, forward and backward, for compilation without a GPU.

    Yields:
        kernel, signature, compile-time arguments, warps, stages, label.
    """
    for dtype, pointer in POINTERS.items():
        wide = 32 if dtype == torch.float32 else 64
        for up in (2, 4):
            for derivative in (False, True):
                constants = {
                    "BIAS": True, "GUIDE": derivative, "CLAMP": True,
                    "MAIN": wide if derivative or up == 2 else wide // 2,
                    "GUIDE_IN": wide if up == 2 else wide // 2,
                    "WIDE": wide,
                    "OUT": 32 if wide == 64 and not (derivative and up == 4) else 16,
                    "PRECISION": _precision(dtype),
                }  # fmt: skip
                types = dict.fromkeys(("main_ptr", "guide_ptr", "y_ptr"), pointer)
                types |= {"slope": "fp32", "clamp": "fp32"}
                kind = "derivative" if derivative else "forward"
                label = f"filtered_lrelu {dtype} up {up} {kind}"
                yield (
                    filtered_lrelu_kernel,
                    signature(filtered_lrelu_kernel, constants, types),
                    constants,
                    _num_warps(wide, derivative),
                    NUM_STAGES,
                    label,
                )
