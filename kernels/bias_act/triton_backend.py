"""bias_act and its backward pass in Triton: one pass over memory each.

A tensor is rows of neighbouring elements. In channels_last a row is one pixel, and its columns are
the channels; else a row is all pixels of one channel. Bias gradients are summed in two stages: a
program writes the sums of its tiles, PyTorch adds those up, in the same order in every run.
"""

import math
from itertools import product
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..layout import memory_format, new_like
from ..triton_host import AotCase, divide_up, launcher, next_power_of_2, signature
from .reference import is_piecewise, rounded, sum_dtype

# Elements of a tile and warps of a program; pointwise work, so one choice does for every shape.
CONFIGS = ((2048, 4),)
_MAX_COLUMNS = 512  # of a tile; wider sums of columns spill registers
_MAX_PROGRAMS = 1024  # that share the rows, where each sums columns

_SELU_ALPHA = tl.constexpr(1.6732632423543772848)
_SELU_SCALE = tl.constexpr(1.0507009873554804934)


@triton.jit
def _activate(z, ACT: tl.constexpr, ALPHA: tl.constexpr):
    if ACT == "relu":
        z = tl.where(z < 0, 0.0, z)
    elif ACT == "lrelu":
        z = tl.where(z > 0, z, z * ALPHA)
    elif ACT == "tanh":
        e = tl.exp(-2 * tl.abs(z))
        z = tl.where(z < 0, -1.0, 1.0) * ((1 - e) / (1 + e))
    elif ACT == "sigmoid":
        z = 1 / (1 + tl.exp(-z))
    elif ACT == "elu":
        z = tl.where(z > 0, z, tl.exp(tl.minimum(z, 0.0)) - 1)
    elif ACT == "selu":
        low = _SELU_ALPHA * (tl.exp(tl.minimum(z, 0.0)) - 1)
        z = _SELU_SCALE * tl.where(z > 0, z, low)
    elif ACT == "softplus":
        z = tl.maximum(z, 0.0) + tl.log(1 + tl.exp(-tl.abs(z)))
    elif ACT == "swish":
        z = z / (1 + tl.exp(-z))
    return z


@triton.jit
def _slope(z, ACT: tl.constexpr, ALPHA: tl.constexpr):
    """Derivative of the activation; for piecewise linear ones z may as well be the result."""
    slope = z * 0 + 1
    if ACT == "relu":
        slope = tl.where(z > 0, 1.0, z * 0)
    elif ACT == "lrelu":
        slope = tl.where(z > 0, slope, ALPHA)
    elif ACT == "tanh":
        e = tl.exp(-2 * tl.abs(z))
        slope = 4 * e / ((1 + e) * (1 + e))
    elif ACT == "sigmoid":
        s = 1 / (1 + tl.exp(-z))
        slope = s * (1 - s)
    elif ACT == "elu":
        slope = tl.exp(tl.minimum(z, 0.0))
    elif ACT == "selu":
        slope = _SELU_SCALE * tl.where(z > 0, slope, _SELU_ALPHA * tl.exp(tl.minimum(z, 0.0)))
    elif ACT == "softplus":
        slope = 1 / (1 + tl.exp(-z))
    elif ACT == "swish":
        s = 1 / (1 + tl.exp(-z))
        slope = s * (1 + z * (1 - s))
    return slope


@triton.jit
def _bias_act_fwd_kernel(
    x_ptr,
    b_ptr,
    y_ptr,
    rows,
    columns,
    channels,
    HAS_BIAS: tl.constexpr,
    BY_COLUMN: tl.constexpr,
    ACT: tl.constexpr,
    ALPHA: tl.constexpr,
    GAIN: tl.constexpr,
    CLAMP: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    tiles = tl.cdiv(columns, BLOCK_K)
    program = tl.program_id(0).to(tl.int64)
    row = (program // tiles) * BLOCK_R + tl.arange(0, BLOCK_R)
    column = (program % tiles) * BLOCK_K + tl.arange(0, BLOCK_K)
    mask = (row < rows)[:, None] & (column < columns)[None, :]  # [BLOCK_R, BLOCK_K]
    offset = row[:, None] * columns + column[None, :]
    z = tl.load(x_ptr + offset, mask=mask, other=0.0).to(ACC)
    if HAS_BIAS:
        if BY_COLUMN:
            b = tl.load(b_ptr + column, mask=column < columns, other=0.0).to(ACC)[None, :]
        else:
            b = tl.load(b_ptr + row % channels, mask=row < rows, other=0.0).to(ACC)[:, None]
        z += b
    y = _activate(z, ACT, ALPHA) * GAIN
    if CLAMP >= 0:
        y = tl.where(y > CLAMP, CLAMP, y)
        y = tl.where(y < -CLAMP, -CLAMP, y)
    tl.store(y_ptr + offset, y.to(y_ptr.dtype.element_ty), mask=mask)


@triton.jit
def _bias_act_bwd_kernel(
    dy_ptr,
    saved_ptr,
    b_ptr,
    dx_ptr,
    sums_ptr,
    rows,
    columns,
    channels,
    steps,
    SAVED: tl.constexpr,
    PIECEWISE: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    SUMS: tl.constexpr,
    BY_COLUMN: tl.constexpr,
    ACT: tl.constexpr,
    ALPHA: tl.constexpr,
    GAIN: tl.constexpr,
    CLAMP: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Each program takes `steps` tiles below one another.

    sums is [programs, columns] where BY_COLUMN, else [rows, tiles across].
    """
    tiles = tl.cdiv(columns, BLOCK_K)
    program = tl.program_id(0).to(tl.int64)
    part, across = program // tiles, program % tiles
    column = across * BLOCK_K + tl.arange(0, BLOCK_K)
    total = tl.zeros([BLOCK_K], dtype=ACC)
    for step in range(steps):
        row = (part * steps + step) * BLOCK_R + tl.arange(0, BLOCK_R)
        mask = (row < rows)[:, None] & (column < columns)[None, :]  # [BLOCK_R, BLOCK_K]
        offset = row[:, None] * columns + column[None, :]
        dz = tl.load(dy_ptr + offset, mask=mask, other=0.0).to(ACC) * GAIN
        if SAVED:
            saved = tl.load(saved_ptr + offset, mask=mask, other=0.0).to(ACC)
            if HAS_BIAS:
                if BY_COLUMN:
                    b = tl.load(b_ptr + column, mask=column < columns, other=0.0)[None, :]
                else:
                    b = tl.load(b_ptr + row % channels, mask=row < rows, other=0.0)[:, None]
                saved += b.to(ACC)
            dz *= _slope(saved, ACT, ALPHA)
            if CLAMP >= 0:
                y = saved
                if not PIECEWISE:
                    y = _activate(saved, ACT, ALPHA) * GAIN
                dz = tl.where(tl.abs(y) < CLAMP, dz, 0.0)
        dz = tl.where(mask, dz, 0.0)
        tl.store(dx_ptr + offset, dz.to(dx_ptr.dtype.element_ty), mask=mask)
        if SUMS:
            if BY_COLUMN:
                total += tl.sum(dz, axis=0)
            else:
                tl.store(sums_ptr + row * tiles + across, tl.sum(dz, axis=1), mask=row < rows)
    if SUMS and BY_COLUMN:
        tl.store(sums_ptr + part * columns + column, total, mask=column < columns)


def bias_act(
    x: Tensor, b: Tensor | None, dim: int, act: str, alpha: float, gain: float, clamp: float | None
) -> Tensor:
    """See `reference.bias_act`."""
    x = x.contiguous(memory_format=memory_format(x))
    y = new_like(x)
    if x.numel() == 0:
        return y
    rows, columns, channels, by_column = _shape(x, None if b is None else dim)
    block_r, block_k, warps = _tile(rows, columns)
    tiles = divide_up(rows, block_r) * divide_up(columns, block_k)
    launcher(_bias_act_fwd_kernel, tiles)(
        x,
        x if b is None else b.contiguous(),
        y,
        *(rows, columns, channels),
        HAS_BIAS=b is not None,
        BY_COLUMN=by_column,
        **_settings(x.dtype, act, alpha, gain, clamp),
        BLOCK_R=block_r,
        BLOCK_K=block_k,
        num_warps=warps,
    )
    return y


def bias_act_backward(
    dy: Tensor,
    saved: Tensor | None,
    b: Tensor | None,
    dim: int,
    act: str,
    alpha: float,
    gain: float,
    clamp: float | None,
    sums: bool,
) -> tuple[Tensor, Tensor]:
    """See `reference.bias_act_backward`; dy and the saved tensor are laid out alike."""
    dx, dtype = new_like(dy), sum_dtype(dy.dtype)
    if dy.numel() == 0:
        return dx, dx.new_zeros(dy.shape[dim] if sums else 0, dtype=dtype)
    rows, columns, channels, by_column = _shape(dy, dim if sums or b is not None else None)
    block_r, block_k, warps = _tile(rows, columns)
    down, across = divide_up(rows, block_r), divide_up(columns, block_k)
    steps = divide_up(down, _MAX_PROGRAMS) if sums and by_column else 1
    parts = divide_up(down, steps)
    partial = dx
    if sums:
        shape = (parts, columns) if by_column else (rows, across)
        partial = torch.empty(shape, dtype=dtype, device=dy.device)
    if clamp is not None:
        clamp = rounded(clamp, dy.dtype)
    launcher(_bias_act_bwd_kernel, parts * across)(
        dy,
        dy if saved is None else saved,
        dy if b is None else b.contiguous(),
        dx,
        partial,
        *(rows, columns, channels, steps),
        SAVED=saved is not None,
        PIECEWISE=is_piecewise(act, alpha, gain),
        HAS_BIAS=b is not None,
        SUMS=sums,
        BY_COLUMN=by_column,
        **_settings(dy.dtype, act, alpha, gain, clamp),
        BLOCK_R=block_r,
        BLOCK_K=block_k,
        num_warps=warps,
    )
    if not sums:
        return dx, dx.new_empty(0, dtype=dtype)
    if by_column:
        return dx, partial.sum(0)
    return dx, partial.view(-1, channels, across).sum((0, 2))


def _shape(x: Tensor, dim: int | None) -> tuple[int, int, int, bool]:
    """Rows, columns and channels of x in memory, and whether channels are the columns."""
    if dim is None:
        return 1, x.numel(), 1, False
    sizes, axis = list(x.shape), dim
    if memory_format(x) is torch.channels_last:
        order = (0, 2, 3, 1)
        sizes, axis = [sizes[n] for n in order], order.index(dim)
    outer, inner = math.prod(sizes[:axis]), math.prod(sizes[axis + 1 :])
    channels = sizes[axis]
    if inner == 1:
        return outer, channels, channels, True
    return outer * channels, inner, channels, False


def _tile(rows: int, columns: int) -> tuple[int, int, int]:
    (elements, warps) = CONFIGS[0]
    block_k = min(next_power_of_2(columns), _MAX_COLUMNS if rows > 1 else elements)
    return max(1, min(elements // block_k, next_power_of_2(rows))), block_k, warps


def _settings(
    dtype: torch.dtype, act: str, alpha: float, gain: float, clamp: float | None
) -> dict[str, Any]:
    return {
        "ACT": act,
        "ALPHA": alpha,
        "GAIN": gain,
        "CLAMP": -1.0 if clamp is None else clamp,
        "ACC": tl.float64 if dtype is torch.float64 else tl.float32,
    }


def aot_cases() -> list[AotCase]:
    """What the launchers may compile."""
    cases: list[AotCase] = []
    for elements, warps in CONFIGS:
        tiles = [
            (1, elements),
            (elements // _MAX_COLUMNS, _MAX_COLUMNS),
            (elements // 64, 64),
            (elements // 4, 4),
        ]
        for kind, act, by_column in product(("fp32", "bf16"), ("lrelu", "softplus"), (False, True)):
            for block_r, block_k in tiles:
                piecewise = act == "lrelu"
                settings = _settings(torch.float32, act, 0.2, math.sqrt(2), 256.0)
                settings |= {"BY_COLUMN": by_column, "BLOCK_R": block_r, "BLOCK_K": block_k}
                label = f"{kind} {act} {block_r}x{block_k} by_column={by_column}"
                sizes = {"rows": "i64", "columns": "i32:16", "channels": "i32:16"}
                images = ("x_ptr", "y_ptr", "dy_ptr", "saved_ptr", "dx_ptr")
                types = dict.fromkeys(images, f"*{kind}") | sizes
                forward = settings | {"HAS_BIAS": True}
                backward = settings | {"SAVED": True, "SUMS": True}
                backward |= {"PIECEWISE": piecewise, "HAS_BIAS": not piecewise}
                for kernel, constants in (
                    (_bias_act_fwd_kernel, forward),
                    (_bias_act_bwd_kernel, backward),
                ):
                    found = signature(kernel, constants, types)
                    name = f"{kernel.fn.__name__} {label}"
                    cases.append((kernel, found, constants, warps, 3, name))
    return cases
