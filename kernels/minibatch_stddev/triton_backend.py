"""minibatch_stddev in Triton: one pass that reduces, one that differentiates.

Tensors are [group_size, M, num_channels, share, pixels] through strides, M being N / group_size.
Deviations are summed in two stages: a program adds up its tile, PyTorch the tiles, in the same
order in every run.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..layout import memory_format
from ..triton_host import AotCase, divide_up, launcher, signature

# Elements of a tile and warps of a program; the tensors are small, so one choice does.
CONFIGS = ((512, 4),)


@triton.jit
def _moments(x_ptr, sample, offset, mask, group_size, groups, stride_n, eps, ACC: tl.constexpr):
    """Mean and deviation [BLOCK] over the samples of a group, in two passes, the second cached."""
    mean = tl.zeros(offset.shape, dtype=ACC)
    for member in range(group_size):
        at = (sample + member * groups) * stride_n + offset
        mean += tl.load(x_ptr + at, mask=mask, other=0.0).to(ACC)
    mean = mean / group_size
    variance = tl.zeros(offset.shape, dtype=ACC)
    for member in range(group_size):
        at = (sample + member * groups) * stride_n + offset
        centred = tl.load(x_ptr + at, mask=mask, other=0.0).to(ACC) - mean
        variance += centred * centred
    return mean, tl.sqrt(variance / group_size + eps)


@triton.jit
def _minibatch_stddev_fwd_kernel(
    x_ptr,
    sums_ptr,
    group_size,
    groups,
    shares,
    share,
    width,
    pixels,
    eps,
    stride_n,
    stride_c,
    stride_h,
    stride_w,
    ACC: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Program (group m, share f, tile): sum of its deviations into sums [M, shares, tiles]."""
    tiles = tl.cdiv(share * pixels, BLOCK)
    program = tl.program_id(0).to(tl.int64)
    tile = program % tiles
    f = program // tiles % shares
    m = program // tiles // shares
    element = tile * BLOCK + tl.arange(0, BLOCK)
    mask = element < share * pixels
    channel, pixel = f * share + element // pixels, element % pixels
    offset = channel * stride_c + pixel // width * stride_h + pixel % width * stride_w
    _, deviation = _moments(x_ptr, m, offset, mask, group_size, groups, stride_n, eps, ACC)
    tl.store(sums_ptr + program, tl.sum(tl.where(mask, deviation, 0.0), axis=0))


@triton.jit
def _minibatch_stddev_bwd_kernel(
    dy_ptr,
    x_ptr,
    scale_ptr,
    dx_ptr,
    group_size,
    groups,
    shares,
    share,
    width,
    pixels,
    eps,
    stride_dyn,
    stride_dyc,
    stride_dyh,
    stride_dyw,
    stride_n,
    stride_c,
    stride_h,
    stride_w,
    ACC: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The same programs; scale is [M, shares], x and dx are laid out alike."""
    tiles = tl.cdiv(share * pixels, BLOCK)
    program = tl.program_id(0).to(tl.int64)
    tile = program % tiles
    f = program // tiles % shares
    m = program // tiles // shares
    element = tile * BLOCK + tl.arange(0, BLOCK)
    mask = element < share * pixels
    channel, pixel = f * share + element // pixels, element % pixels
    row, column = pixel // width, pixel % width
    offset = channel * stride_c + row * stride_h + column * stride_w
    dy_offset = channel * stride_dyc + row * stride_dyh + column * stride_dyw
    mean, deviation = _moments(x_ptr, m, offset, mask, group_size, groups, stride_n, eps, ACC)
    factor = tl.load(scale_ptr + m * shares + f) / deviation
    for member in range(group_size):
        sample = m + member * groups
        centred = tl.load(x_ptr + sample * stride_n + offset, mask=mask, other=0.0).to(ACC) - mean
        dy = tl.load(dy_ptr + sample * stride_dyn + dy_offset, mask=mask, other=0.0).to(ACC)
        dx = (dy + centred * factor).to(dx_ptr.dtype.element_ty)
        tl.store(dx_ptr + sample * stride_n + offset, dx, mask=mask)


def minibatch_stddev(x: Tensor, group_size: int, num_channels: int, eps: float) -> Tensor:
    """See `reference.minibatch_stddev`."""
    N, _, H, W = x.shape
    sizes = _sizes(x, group_size, num_channels)
    tiles = divide_up(sizes[3] * H * W, CONFIGS[0][0])
    dtype = torch.promote_types(x.dtype, torch.float32)
    sums = torch.empty((sizes[1], num_channels, tiles), dtype=dtype, device=x.device)
    launcher(_minibatch_stddev_fwd_kernel, sums.numel())(
        x, sums, *sizes, eps, *x.stride(), **_settings(x)
    )
    statistic = sums.sum(2) / (sizes[3] * H * W)
    maps = statistic.to(x.dtype).repeat(group_size, 1)[:, :, None, None]
    return torch.cat([x, maps.expand(N, num_channels, H, W)], dim=1)


def minibatch_stddev_backward(
    dy: Tensor, x: Tensor, group_size: int, num_channels: int, eps: float
) -> Tensor:
    """See `reference.minibatch_stddev_backward`."""
    _, C, H, W = x.shape
    x = x.contiguous(memory_format=memory_format(x))
    dx = torch.empty_like(x)
    sizes = _sizes(x, group_size, num_channels)
    dtype = torch.promote_types(x.dtype, torch.float32)
    sums = dy[:, C:].to(dtype).sum((2, 3))  # [N, num_channels]
    scale = sums.reshape(group_size, sizes[1], num_channels).sum(0) / (C // num_channels * H * W)
    tiles = divide_up(sizes[3] * H * W, CONFIGS[0][0])
    launcher(_minibatch_stddev_bwd_kernel, sizes[1] * num_channels * tiles)(
        dy, x, scale / group_size, dx, *sizes, eps, *dy.stride(), *x.stride(), **_settings(x)
    )
    return dx


def _sizes(x: Tensor, group_size: int, num_channels: int) -> tuple[int, ...]:
    """group_size, groups, shares, share, width, pixels of the kernels."""
    N, C, H, W = x.shape
    return group_size, N // group_size, num_channels, C // num_channels, W, H * W


def _settings(x: Tensor) -> dict[str, Any]:
    acc = tl.float64 if x.dtype is torch.float64 else tl.float32
    return {"ACC": acc, "BLOCK": CONFIGS[0][0], "num_warps": CONFIGS[0][1]}


def aot_cases() -> list[AotCase]:
    """What the launchers may compile."""
    cases: list[AotCase] = []
    for block, warps in CONFIGS:
        for kind in ("fp32", "fp16", "bf16"):
            for kernel in (_minibatch_stddev_fwd_kernel, _minibatch_stddev_bwd_kernel):
                constants = {"ACC": tl.float32, "BLOCK": block}
                types = {**dict.fromkeys(("x_ptr", "dy_ptr", "dx_ptr"), f"*{kind}"), "eps": "fp32"}
                chosen = signature(kernel, constants, types)
                cases.append((kernel, chosen, constants, warps, 3, f"{kernel.__name__} {kind}"))
    return cases
