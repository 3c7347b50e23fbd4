"""Triton kernels behind a convolution: FIR filter, demodulation, noise, bias, activation, toRGB.

Everything is NHWC. The launchers are what other executors call; they check nothing.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..bias_act.reference import ACTIVATIONS
from ..triton_host import divide_up, interpreted, launcher, next_power_of_2
from .triton_registration import MAX_TAPS

INTERPRETED = interpreted()

ACT_LINEAR = tl.constexpr(0)
ACT_RELU = tl.constexpr(1)
ACT_LRELU = tl.constexpr(2)
ACTS = {"linear": 0, "relu": 1, "lrelu": 2}
LRELU_SLOPE = tl.constexpr(ACTIVATIONS["lrelu"].alpha)


@dataclass(frozen=True)
class Epilogue:
    """What happens to a convolution's result; see `reference.modulated_conv2d` for the fields.

    d and next_styles are [N, O], noise is [N or 1, 1, H, W], bias is [O], all float32 and
    contiguous; gain is above 0.
    """

    d: Tensor | None = None
    noise: Tensor | None = None
    strength: Tensor | None = None
    bias: Tensor | None = None
    next_styles: Tensor | None = None
    act: str = "linear"
    gain: float = 1.0
    clamp: float | None = None

    def flags(self) -> dict[str, object]:
        """Compile-time arguments of the kernels."""
        return {
            "DEMODULATE": self.d is not None,
            "NOISE": self.noise is not None,
            "STRENGTH": self.strength is not None,
            "BIAS": self.bias is not None,
            "NEXT": self.next_styles is not None,
            "ACT": ACTS[self.act],
            "CLAMP": self.clamp is not None,
        }

    def tensors(self, like: Tensor) -> tuple[Tensor, ...]:
        """Pointers in the kernels' order; an unread `like` stands in for what is absent."""
        given = (self.d, self.noise, self.strength, self.bias, self.next_styles)
        return tuple(like if t is None else t for t in given)

    def numbers(self) -> tuple[int, float, float]:
        """Noise stride between samples, gain and bound."""
        shared = self.noise is None or self.noise.shape[0] == 1
        stride = 0 if shared or self.noise is None else self.noise.stride(0)
        return stride, self.gain, 0.0 if self.clamp is None else self.clamp


@triton.jit
def activate(v, clamp, ACT: tl.constexpr, CLAMP: tl.constexpr):
    """Homogeneous activation and bound; NaN stays NaN."""
    if ACT == ACT_RELU:
        v = tl.maximum(v, 0.0, propagate_nan=tl.PropagateNan.ALL)
    if ACT == ACT_LRELU:
        v = tl.where(v > 0, v, v * LRELU_SLOPE)
    if CLAMP:
        v = tl.maximum(v, -clamp, propagate_nan=tl.PropagateNan.ALL)
        v = tl.minimum(v, clamp, propagate_nan=tl.PropagateNan.ALL)
    return v


@triton.jit
def noise_of_pixels(
    noise_ptr, strength_ptr, offsets, mask, NOISE: tl.constexpr, STRENGTH: tl.constexpr
):
    """Noise times its strength at `offsets`, float32."""
    if NOISE:
        noise = tl.load(noise_ptr + offsets, mask=mask, other=0.0).to(tl.float32)
        if STRENGTH:
            noise *= tl.load(strength_ptr).to(tl.float32)
    else:
        noise = tl.zeros(offsets.shape, tl.float32)
    return noise


@triton.jit
def vector(ptr, offsets, mask, factor, GIVEN: tl.constexpr, DEFAULT: tl.constexpr):
    """`factor` times the values at `offsets`, or times DEFAULT where there are none; float32."""
    if GIVEN:
        values = tl.load(ptr + offsets, mask=mask, other=0.0).to(tl.float32) * factor
    else:
        values = tl.zeros(offsets.shape, tl.float32) + DEFAULT * factor
    return values


@triton.jit
def image_row(
    v, rgb_weight_ptr, rgb_bias_ptr, rgb_ptr, n, pixels, channels, pixel_mask, channel_mask,
    size, count, clamp,
    IMAGE: tl.constexpr, IMAGE_BIAS: tl.constexpr, IMAGE_CLAMP: tl.constexpr,
    IMAGE_ADD: tl.constexpr,
):  # fmt: skip
    """toRGB of `v` [pixels, all channels of sample n]: IMAGE channels of float32 [N, IMAGE, H W].

    The weights [N, IMAGE, C] hold the styles already. With IMAGE_ADD the result is added to what
    is there, the up-sampled image of the coarser block.
    """
    for c in range(IMAGE):
        row = (n * IMAGE + c).to(tl.int64)
        weight = tl.load(rgb_weight_ptr + row * count + channels, mask=channel_mask, other=0.0)
        value = tl.sum(v * weight[None, :].to(tl.float32), axis=1)  # [BLOCK_P]
        if IMAGE_BIAS:
            value += tl.load(rgb_bias_ptr + c).to(tl.float32)
        if IMAGE_CLAMP:
            value = tl.maximum(value, -clamp, propagate_nan=tl.PropagateNan.ALL)
            value = tl.minimum(value, clamp, propagate_nan=tl.PropagateNan.ALL)
        target = rgb_ptr + row * size + pixels
        if IMAGE_ADD:
            value += tl.load(target, mask=pixel_mask, other=0.0)
        tl.store(target, value, mask=pixel_mask)


@triton.jit
def epilogue_kernel(
    u_ptr, d_ptr, noise_ptr, strength_ptr, bias_ptr, next_ptr, y_ptr,
    rgb_weight_ptr, rgb_bias_ptr, rgb_ptr,
    size, count, split_stride, noise_stride, gain, clamp, rgb_clamp,
    SPLITS: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
    DEMODULATE: tl.constexpr, NOISE: tl.constexpr, STRENGTH: tl.constexpr, BIAS: tl.constexpr,
    NEXT: tl.constexpr, ACT: tl.constexpr, CLAMP: tl.constexpr, STORE: tl.constexpr,
    IMAGE: tl.constexpr, IMAGE_BIAS: tl.constexpr, IMAGE_CLAMP: tl.constexpr,
    IMAGE_ADD: tl.constexpr,
):  # fmt: skip
    """u [SPLITS, N, H W, C] to y [N, H W, C]: sum of the splits, then everything else."""
    n = tl.program_id(2)
    pixels = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    channels = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    pixel_mask = pixels < size
    channel_mask = channels < count
    mask = pixel_mask[:, None] & channel_mask[None, :]
    base = n.to(tl.int64) * size * count
    offsets = pixels[:, None] * count + channels[None, :]  # [BLOCK_P, BLOCK_C]

    u = tl.load(u_ptr + base + offsets, mask=mask, other=0.0).to(tl.float32)
    for split in range(1, SPLITS):
        part = u_ptr + base + split * split_stride + offsets
        u += tl.load(part, mask=mask, other=0.0).to(tl.float32)

    scale = vector(d_ptr, n * count + channels, channel_mask, gain, DEMODULATE, 1.0)
    offset = vector(bias_ptr, channels, channel_mask, gain, BIAS, 0.0)
    noise = noise_of_pixels(
        noise_ptr + n.to(tl.int64) * noise_stride, strength_ptr, pixels, pixel_mask, NOISE, STRENGTH
    )
    v = u * scale[None, :] + (noise[:, None] * gain + offset[None, :])
    v = activate(v, clamp, ACT, CLAMP)
    if IMAGE > 0:
        image_row(
            v.to(y_ptr.dtype.element_ty).to(tl.float32),
            rgb_weight_ptr, rgb_bias_ptr, rgb_ptr, n, pixels, channels, pixel_mask, channel_mask,
            size, count, rgb_clamp, IMAGE, IMAGE_BIAS, IMAGE_CLAMP, IMAGE_ADD,
        )  # fmt: skip
    if STORE:
        if NEXT:
            v *= vector(next_ptr, n * count + channels, channel_mask, 1.0, NEXT, 1.0)[None, :]
        tl.store(y_ptr + base + offsets, v.to(y_ptr.dtype.element_ty), mask=mask)


@triton.jit
def fir_epilogue_kernel(
    u_ptr, f_ptr, d_ptr, noise_ptr, strength_ptr, bias_ptr, next_ptr, y_ptr,
    height, width, count, noise_stride, gain, clamp,
    LEFT: tl.constexpr, TOP: tl.constexpr, SEPARABLE: tl.constexpr,
    ROWS: tl.constexpr, BLOCK_X: tl.constexpr, BLOCK_C: tl.constexpr,
    DEMODULATE: tl.constexpr, NOISE: tl.constexpr, STRENGTH: tl.constexpr, BIAS: tl.constexpr,
    NEXT: tl.constexpr, ACT: tl.constexpr, CLAMP: tl.constexpr,
):  # fmt: skip
    """u [N, height + 1, width + 1, C], filtered by 4 taps an axis, to y [N, height, width, C].

    Walks down ROWS rows; three partial sums of rows to come stay in registers, so each sample of u
    is read once an horizontal tap. f is [4] twice (vertical, horizontal) or [4, 4], in the order
    in which u is read, with the gain of the up-sampling in it.
    """
    blocks = tl.cdiv(count, BLOCK_C)
    x = (tl.program_id(0) // blocks) * BLOCK_X + tl.arange(0, BLOCK_X)
    channels = (tl.program_id(0) % blocks) * BLOCK_C + tl.arange(0, BLOCK_C)
    first = tl.program_id(1) * ROWS
    n = tl.program_id(2)
    channel_mask = channels < count
    mask = (x < width)[:, None] & channel_mask[None, :]
    u_base = u_ptr + n.to(tl.int64) * (height + 1) * (width + 1) * count
    y_base = y_ptr + n.to(tl.int64) * height * width * count
    noise_base = noise_ptr + n.to(tl.int64) * noise_stride

    scale = vector(d_ptr, n * count + channels, channel_mask, gain, DEMODULATE, 1.0)
    offset = vector(bias_ptr, channels, channel_mask, gain, BIAS, 0.0)
    following = vector(next_ptr, n * count + channels, channel_mask, 1.0, NEXT, 1.0)
    sum0 = tl.zeros((BLOCK_X, BLOCK_C), tl.float32)
    sum1 = sum0
    sum2 = sum0

    for step in tl.static_range(ROWS + 3):
        row = first + (step - TOP)
        inside = (row >= 0) & (row <= height)
        add0 = tl.zeros((BLOCK_X, BLOCK_C), tl.float32)
        add1 = add0
        add2 = add0
        add3 = add0
        for tap in tl.static_range(4):
            column = x + (tap - LEFT)
            good = inside & (column >= 0) & (column <= width)
            offsets = (row * (width + 1) + column)[:, None] * count + channels[None, :]
            u = tl.load(u_base + offsets, mask=good[:, None] & channel_mask[None, :], other=0.0)
            u = u.to(tl.float32)
            if SEPARABLE:
                add0 += u * tl.load(f_ptr + 4 + tap)
            else:
                add0 += u * tl.load(f_ptr + tap)
                add1 += u * tl.load(f_ptr + 4 + tap)
                add2 += u * tl.load(f_ptr + 8 + tap)
                add3 += u * tl.load(f_ptr + 12 + tap)
        if SEPARABLE:
            add3 = add0 * tl.load(f_ptr + 3)
            add2 = add0 * tl.load(f_ptr + 2)
            add1 = add0 * tl.load(f_ptr + 1)
            add0 = add0 * tl.load(f_ptr)
        if step >= 3:
            y = first + step - 3
            pixels = y * width + x
            good = mask & (y < height)
            noise = noise_of_pixels(
                noise_base, strength_ptr, pixels, (x < width) & (y < height), NOISE, STRENGTH
            )
            v = (sum0 + add3) * scale[None, :] + (noise[:, None] * gain + offset[None, :])
            v = activate(v, clamp, ACT, CLAMP)
            if NEXT:
                v *= following[None, :]
            offsets = pixels[:, None] * count + channels[None, :]
            tl.store(y_base + offsets, v.to(y_ptr.dtype.element_ty), mask=good)
        sum0 = sum1 + add2
        sum1 = sum2 + add1
        sum2 = add0


@dataclass(frozen=True)
class Tile:
    """How much of an image one program computes, and with how many warps."""

    pixels: int
    channels: int
    rows: int
    num_warps: int


def epilogue_tile(channels: int, whole: bool) -> Tile:
    """Tile of `epilogue_kernel`; `whole` asks for all channels in one program, for toRGB."""
    width = next_power_of_2(channels)
    block = max(16, width if whole else min(width, 64))
    if INTERPRETED:
        return Tile(max(16, 8192 // block), block, 1, 4)
    return Tile(max(4, 4096 // block), block, 1, 4)


def fir_tile(channels: int, width: int, separable: bool) -> Tile:
    """Tile of `fir_epilogue_kernel`; fewer rows where 16 taps would need too many registers."""
    block = max(16, min(next_power_of_2(channels), 64))
    if INTERPRETED:
        return Tile(min(64, next_power_of_2(width)), block, 16, 4)
    return Tile(min(1024 // block, max(4, next_power_of_2(width))), block, 8 if separable else 4, 4)


@dataclass(frozen=True)
class Image:
    """The toRGB layer that reads this layer's result.

    `weight` is [N, 3, C] float32 with styles and gain in it; `target` is [N, 3, H, W] float32;
    `add` adds to what the target holds already.
    """

    weight: Tensor
    bias: Tensor | None
    target: Tensor
    clamp: float | None = None
    add: bool = False


def epilogue(
    u: Tensor, end: Epilogue, dtype: torch.dtype, image: Image | None = None, store: bool = True
) -> Tensor | None:
    """Finish a convolution without a filter.

    Args:
        u: [N, C, H, W] channels_last of any dtype, or float32 parts [SPLITS, N, C, H, W], each of
            them channels_last, which are added.
        end: what to do.
        dtype: of the result.
        image: a toRGB layer to compute with it.
        store: False writes no features, and gives None.
    """
    splits = u.shape[0] if u.ndim == 5 else 1
    batch, channels, height, width = u.shape[-4:]
    y = torch.empty(
        (batch, channels, height, width), dtype=dtype, device=u.device,
        memory_format=torch.channels_last,
    )  # fmt: skip
    if y.numel() == 0:
        return y if store else None
    tile = epilogue_tile(channels, image is not None)
    size = height * width
    stride, gain, clamp = end.numbers()
    blocks = (divide_up(size, tile.pixels), divide_up(channels, tile.channels))
    launcher(epilogue_kernel, *blocks, batch)(
        u, *end.tensors(u), y,
        u if image is None else image.weight,
        u if image is None or image.bias is None else image.bias,
        u if image is None else image.target,
        size, channels, y.numel(), stride, gain, clamp,
        0.0 if image is None or image.clamp is None else image.clamp,
        SPLITS=splits, BLOCK_P=tile.pixels, BLOCK_C=tile.channels, STORE=store, **end.flags(),
        IMAGE=0 if image is None else image.target.shape[1],
        IMAGE_BIAS=image is not None and image.bias is not None,
        IMAGE_CLAMP=image is not None and image.clamp is not None,
        IMAGE_ADD=image is not None and image.add,
        num_warps=tile.num_warps,
    )  # fmt: skip
    return y if store else None


def pack_filter(f: Tensor) -> Tensor:
    """Taps as `fir_epilogue` reads them: [2, 4] of a 1-D f, [4, 4] of a 2-D one; gain 4 in them."""
    f = f.to(torch.float32)
    short = MAX_TAPS - f.shape[-1]
    if f.ndim == 1:
        taps = torch.nn.functional.pad(f.flip(0) * 2.0, (0, short))
        return torch.stack([taps, taps])
    flipped = f.flip((0, 1)) * 4.0
    return torch.nn.functional.pad(flipped, (0, short, 0, MAX_TAPS - f.shape[0])).contiguous()


def fir_epilogue(
    u: Tensor, taps: Tensor, padding: tuple[int, int], end: Epilogue, dtype: torch.dtype
) -> Tensor:
    """Finish a transposed convolution: filter, then the rest.

    Args:
        u: [N, C, 2H + 1, 2W + 1], channels_last.
        taps: from `pack_filter`.
        padding: samples that the filter reaches over the left and the top border.
        end: what to do after the filter.
        dtype: of the result.

    Returns:
        [N, C, 2H, 2W], channels_last.
    """
    batch, channels, height, width = u.shape[0], u.shape[1], u.shape[2] - 1, u.shape[3] - 1
    y = torch.empty(
        (batch, channels, height, width), dtype=dtype, device=u.device,
        memory_format=torch.channels_last,
    )  # fmt: skip
    if y.numel() == 0:
        return y
    tile = fir_tile(channels, width, taps.shape[0] == 2)
    stride, gain, clamp = end.numbers()
    across = divide_up(width, tile.pixels) * divide_up(channels, tile.channels)
    launcher(fir_epilogue_kernel, across, divide_up(height, tile.rows), batch)(
        u, taps, *end.tensors(u), y,
        height, width, channels, stride, gain, clamp,
        LEFT=padding[0], TOP=padding[1], SEPARABLE=taps.shape[0] == 2,
        ROWS=tile.rows, BLOCK_X=tile.pixels, BLOCK_C=tile.channels, **end.flags(),
        num_warps=tile.num_warps,
    )  # fmt: skip
    return y
