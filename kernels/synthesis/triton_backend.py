"""Triton kernels of a whole synthesis: all styles at once, and a layer with its toRGB in one.

The launchers check nothing. Activations are NHWC, styles and images float32.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..modulated_conv2d.reference import EPSILON
from ..modulated_conv2d.triton_convolution import ConvTile
from ..modulated_conv2d.triton_epilogue import (
    ACTS,
    INTERPRETED,
    Epilogue,
    activate,
    noise_of_pixels,
    vector,
)
from ..triton_host import AotCase, divide_up, launcher, next_power_of_2, signature

_ALIGNED = 16  # numbers, at most, that loads of weights begin at multiples of
_BLOCK_R = 128 if INTERPRETED else 32
_BLOCK_N, _BLOCK_K = 16, 64  # 16 samples: the fewest that tensor cores take
# Of `layer`: all output channels are columns of one tile. They fit the shared memory of sm_86.
LAYER_TILES = (
    ConvTile(128, 128, 32, 8, 4),
    ConvTile(64, 128, 64, 8, 3),
    ConvTile(128, 64, 64, 8, 3),
    ConvTile(256, 64, 32, 8, 4),
    ConvTile(128, 32, 32, 4, 4),
    ConvTile(256, 32, 32, 4, 4),
)
_SMALLEST = tl.constexpr(1e-8)
_EPSILON = tl.constexpr(EPSILON)


@triton.jit
def matrix_kernel(
    table_ptr, matrix_ptr, bias_ptr, rgb_ptr, in_ptr, out_ptr, batch, in_stride,
    DEMODULATE: tl.constexpr, IMAGE: tl.constexpr, ALIGNED: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Affine layers: matrix @ in + bias. With DEMODULATE instead rsqrt(matrix @ in^2 + epsilon).

    A program has a row of the table: rows of one layer's matrix [rows, K], 16 samples. A layer's
    result [N, rows] begins at N times its start, and so does its input with DEMODULATE. An rgb
    layer writes [N, IMAGE, rows]: its result times each row of its toRGB weight [IMAGE, rows].
    The table's first three columns are divided by ALIGNED, which tells how wide loads may be.
    """
    row = table_ptr + tl.program_id(0) * 8
    matrix = matrix_ptr + tl.load(row) * ALIGNED
    depth = tl.load(row + 1) * ALIGNED
    in_start = tl.load(row + 2).to(tl.int64) * ALIGNED
    out_start = tl.load(row + 3).to(tl.int64) * batch
    count = tl.load(row + 4)
    rows = tl.load(row + 5) + tl.arange(0, BLOCK_R)
    bias = tl.load(row + 6)
    rgb = tl.load(row + 7)
    samples = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    row_mask = rows < count
    sample_mask = samples < batch
    if DEMODULATE:
        source = in_ptr + in_start * batch + samples[None, :] * depth
    else:
        source = in_ptr + in_start + samples[None, :] * in_stride

    total = tl.zeros((BLOCK_R, BLOCK_N), tl.float32)
    for start in range(0, depth, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a = tl.load(
            matrix + rows[:, None] * depth + k[None, :],
            mask=row_mask[:, None] & (k < depth)[None, :], other=0.0,
        )  # fmt: skip
        b = tl.load(
            source + k[:, None], mask=(k < depth)[:, None] & sample_mask[None, :], other=0.0
        )
        if DEMODULATE:
            b = b * b
        total = tl.dot(a, b, total, input_precision="tf32x3")

    mask = row_mask[:, None] & sample_mask[None, :]
    if DEMODULATE:
        total = tl.rsqrt(total + _EPSILON)
    else:
        total += tl.load(bias_ptr + bias + rows, mask=row_mask, other=0.0)[:, None]
    if rgb < 0:
        tl.store(out_ptr + out_start + samples[None, :] * count + rows[:, None], total, mask=mask)
    else:
        for c in tl.static_range(IMAGE):
            weight = tl.load(rgb_ptr + rgb + c * count + rows, mask=row_mask, other=0.0)
            places = (samples * IMAGE + c)[None, :] * count + rows[:, None]
            tl.store(out_ptr + out_start + places, total * weight[:, None], mask=mask)


@triton.jit
def normalise_kernel(table_ptr, out_ptr, batch, BLOCK: tl.constexpr):
    """Divide one sample's styles of one layer by the largest of them, for fp16."""
    row = table_ptr + tl.program_id(0) * 2
    count = tl.load(row + 1)
    place = out_ptr + tl.load(row).to(tl.int64) * batch + tl.program_id(1) * count
    channels = tl.arange(0, BLOCK)
    mask = channels < count
    styles = tl.load(place + channels, mask=mask, other=0.0)
    largest = tl.max(tl.abs(styles), axis=0)
    tl.store(place + channels, styles / tl.maximum(largest, _SMALLEST), mask=mask)


@triton.jit
def upsampled(
    image_ptr, f_ptr, plane, y, x, height, width, mask, LEFT: tl.constexpr, TOP: tl.constexpr
):
    """Samples at (y, x) of plane `plane` of an up-sampled image; height and width are the result's.

    Each is a sum over two by two samples, those of the zero-inserted image that the taps meet; f
    is [4, 4] in the order in which they are read.
    """
    base = image_ptr + plane * ((height // 2) * (width // 2))
    value = tl.zeros(y.shape, tl.float32)
    for i in tl.static_range(2):
        tap_y = 2 * i + (y + TOP) % 2
        source_y = (y + tap_y - TOP + 8) // 2 - 4  # // rounds to zero below it
        for j in tl.static_range(2):
            tap_x = 2 * j + (x + LEFT) % 2
            source_x = (x + tap_x - LEFT + 8) // 2 - 4
            good = mask & (source_y >= 0) & (source_y < height // 2)
            good = good & (source_x >= 0) & (source_x < width // 2)
            tap = tl.load(f_ptr + tap_y * 4 + tap_x, mask=good, other=0.0)
            place = base + source_y * (width // 2) + source_x
            value += tap * tl.load(place, mask=good, other=0.0)
    return value


@triton.jit
def upsample_kernel(
    image_ptr, f_ptr, y_ptr, height, width, LEFT: tl.constexpr, TOP: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """image [planes, height / 2, width / 2] to y [planes, height, width]."""
    pixels = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    plane = tl.program_id(1).to(tl.int64)
    mask = pixels < height * width
    value = upsampled(
        image_ptr, f_ptr, plane, pixels // width, pixels % width, height, width, mask, LEFT, TOP
    )
    tl.store(y_ptr + plane * (height * width) + pixels, value, mask=mask)


@triton.jit
def layer_kernel(
    x_ptr, w_ptr, d_ptr, noise_ptr, strength_ptr, bias_ptr, next_ptr, y_ptr,
    rgb_weight_ptr, rgb_bias_ptr, image_ptr, f_ptr, rgb_ptr,
    height, width, noise_stride, gain, clamp, rgb_clamp,
    INPUTS: tl.constexpr, OUTPUTS: tl.constexpr, F32DOT: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
    DEMODULATE: tl.constexpr, NOISE: tl.constexpr, STRENGTH: tl.constexpr, BIAS: tl.constexpr,
    NEXT: tl.constexpr, ACT: tl.constexpr, CLAMP: tl.constexpr, STORE: tl.constexpr,
    RGB: tl.constexpr, RGB_CLAMP: tl.constexpr, IMAGE: tl.constexpr,
    LEFT: tl.constexpr, TOP: tl.constexpr,
):  # fmt: skip
    """A 3x3 layer of few channels with all that follows: epilogue, toRGB, image.

    x [N, H, W, I], w [9, I, O] to y [N, H, W, O]; a program has all O channels of BLOCK_M pixels,
    so that toRGB reads them from registers. Channels are compile-time: loads are as wide as they
    allow, and a network has few such layers. rgb [N, RGB, H, W] gets toRGB plus, with IMAGE, the
    up-sampled image [N, RGB, H / 2, W / 2].
    """
    n = tl.program_id(1)
    size = height * width
    pixels = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.arange(0, BLOCK_N)
    row_mask = pixels < size
    column_mask = columns < OUTPUTS
    start = n.to(tl.int64) * size
    py = pixels // width
    px = pixels % width
    base = x_ptr + start * INPUTS

    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    depth = tl.cdiv(INPUTS, BLOCK_K)
    for step in range(9 * depth):
        tap = step // depth
        k = (step % depth) * BLOCK_K + tl.arange(0, BLOCK_K)
        y = py + (tap // 3 - 1)
        x = px + (tap % 3 - 1)
        good = row_mask & (y >= 0) & (y < height) & (x >= 0) & (x < width)
        mask = good[:, None]
        weight_mask = column_mask[None, :]
        if INPUTS % BLOCK_K != 0:
            mask = mask & (k < INPUTS)[None, :]
            weight_mask = weight_mask & (k < INPUTS)[:, None]
        a = tl.load(base + (y * width + x)[:, None] * INPUTS + k[None, :], mask=mask, other=0.0)
        weights = (tap * INPUTS + k)[:, None] * OUTPUTS + columns[None, :]
        b = tl.load(w_ptr + weights, mask=weight_mask, other=0.0)
        if F32DOT:
            total = tl.dot(a.to(tl.float32), b.to(tl.float32), total, input_precision="ieee")
        else:
            total = tl.dot(a, b, total)

    scale = vector(d_ptr, n * OUTPUTS + columns, column_mask, gain, DEMODULATE, 1.0)
    offset = vector(bias_ptr, columns, column_mask, gain, BIAS, 0.0)
    noise = noise_of_pixels(
        noise_ptr + n.to(tl.int64) * noise_stride, strength_ptr, pixels, row_mask, NOISE, STRENGTH
    )
    v = total * scale[None, :] + (noise[:, None] * gain + offset[None, :])
    v = activate(v, clamp, ACT, CLAMP)
    if RGB > 0:
        rounded = v.to(y_ptr.dtype.element_ty).to(tl.float32)
        for c in tl.static_range(RGB):
            plane = n.to(tl.int64) * RGB + c
            weight = tl.load(
                rgb_weight_ptr + plane * OUTPUTS + columns, mask=column_mask, other=0.0
            )
            value = tl.sum(rounded * weight[None, :], axis=1)  # [BLOCK_M]
            value += tl.load(rgb_bias_ptr + c)
            if RGB_CLAMP:
                value = tl.maximum(value, -rgb_clamp, propagate_nan=tl.PropagateNan.ALL)
                value = tl.minimum(value, rgb_clamp, propagate_nan=tl.PropagateNan.ALL)
            if IMAGE:
                value += upsampled(
                    image_ptr, f_ptr, plane, py, px, height, width, row_mask, LEFT, TOP
                )
            tl.store(rgb_ptr + plane * size + pixels, value, mask=row_mask)
    if STORE:
        if NEXT:
            v *= vector(next_ptr, n * OUTPUTS + columns, column_mask, 1.0, NEXT, 1.0)[None, :]
        places = (start + pixels)[:, None] * OUTPUTS + columns[None, :]
        mask = row_mask[:, None] & column_mask[None, :]
        tl.store(y_ptr + places, v.to(y_ptr.dtype.element_ty), mask=mask)


@dataclass(frozen=True)
class Product:
    """One layer of `Products`.

    Attributes:
        matrix: [rows, K].
        bias: [rows], or None for none.
        start: of its input: in one sample's ws, or in the results of other `Products`.
        rgb: [image channels, rows]: the result is multiplied by each of its rows.
    """

    matrix: Tensor
    bias: Tensor | None
    start: int
    rgb: Tensor | None = None


class Products:
    """Many small matrix products of one batch in one launch, packed once.

    Args:
        products: the layers.
        demodulate: see `matrix_kernel`.
    """

    def __init__(self, products: Sequence[Product], *, demodulate: bool) -> None:
        device = products[0].matrix.device
        self._demodulate = demodulate
        self._image = max((0 if p.rgb is None else p.rgb.shape[0] for p in products), default=0)
        self.starts: list[int] = []
        self._shapes: list[tuple[int, ...]] = []
        table: list[list[int]] = []
        matrix = bias = rgb = self._total = 0
        for p in products:
            table += _rows_of(p, matrix, self._total, bias, -1 if p.rgb is None else rgb)
            matrix += p.matrix.numel()
            bias += p.matrix.shape[0]
            rgb += 0 if p.rgb is None else p.rgb.numel()
            self.starts.append(self._total)
            rows = p.matrix.shape[0]
            self._shapes.append((rows,) if p.rgb is None else (p.rgb.shape[0], rows))
            self._total += rows if p.rgb is None else p.rgb.numel()
        self._aligned = math.gcd(_ALIGNED, *(number for row in table for number in row[:3]))
        for row in table:
            row[:3] = [number // self._aligned for number in row[:3]]
        self._table = torch.tensor(table, dtype=torch.int32, device=device)
        self._matrix = torch.cat([p.matrix.float().flatten() for p in products])
        # Without any the kernel reads none, but wants a pointer.
        self._bias = torch.cat([_bias(p) for p in products]) if not demodulate else self._matrix
        given = [p.rgb.float().flatten() for p in products if p.rgb is not None]
        self._rgb = torch.cat(given) if given else self._matrix
        plain = [i for i, p in enumerate(products) if p.rgb is None]
        self._plain = torch.tensor(
            [[self.starts[i], self._shapes[i][0]] for i in plain], dtype=torch.int32, device=device
        ).reshape(-1, 2)
        self._widest = max((self._shapes[i][0] for i in plain), default=1)

    def __call__(self, x: Tensor, batch: int) -> Tensor:
        """All results of a batch, flat; `x` is ws [N, num_ws, w_dim], or such results."""
        y = torch.empty(self._total * batch, dtype=torch.float32, device=x.device)
        stride = 0 if self._demodulate else x.stride(0)
        launcher(matrix_kernel, self._table.shape[0], divide_up(batch, _BLOCK_N))(
            self._table, self._matrix, self._bias, self._rgb, x, y, batch, stride,
            DEMODULATE=self._demodulate, IMAGE=self._image, ALIGNED=self._aligned,
            BLOCK_R=_BLOCK_R, BLOCK_N=_BLOCK_N, BLOCK_K=_BLOCK_K, num_warps=4, num_stages=3,
        )  # fmt: skip
        return y

    def normalise(self, y: Tensor, batch: int) -> None:
        """Divide each sample's results of each layer without rgb by the largest of them."""
        launcher(normalise_kernel, self._plain.shape[0], batch)(
            self._plain, y, batch, BLOCK=next_power_of_2(self._widest), num_warps=4
        )

    def part(self, y: Tensor, index: int, batch: int) -> Tensor:
        """Result of the layer of that index, [N, rows] or [N, image channels, rows]."""
        shape = self._shapes[index]
        count = torch.Size(shape).numel() * batch
        return y.narrow(0, self.starts[index] * batch, count).view(batch, *shape)


@dataclass(frozen=True)
class Picture:
    """The image that a layer contributes to.

    Attributes:
        weight: [N, image channels, C], styles and gain included.
        bias: [image channels].
        clamp: of what is added, or None.
        coarse: image of the block before, [N, image channels, H / 2, W / 2], or None.
        taps: [4, 4], from `modulated_conv2d.triton_epilogue.pack_filter`.
        padding: samples that the filter reaches over the left and the top border.
    """

    weight: Tensor
    bias: Tensor
    clamp: float | None
    coarse: Tensor | None
    taps: Tensor
    padding: tuple[int, int]


def upsample(image: Tensor, taps: Tensor, padding: tuple[int, int]) -> Tensor:
    """Double a contiguous float32 image [N, C, H, W]; arguments as in `Picture`."""
    batch, channels, height, width = image.shape
    y = torch.empty(
        (batch, channels, 2 * height, 2 * width), dtype=torch.float32, device=image.device
    )
    block = 4096 if INTERPRETED else 512
    launcher(upsample_kernel, divide_up(4 * height * width, block), batch * channels)(
        image, taps, y, 2 * height, 2 * width,
        LEFT=padding[0], TOP=padding[1], BLOCK=block, num_warps=4,
    )  # fmt: skip
    return y


def layer_tile(outputs: int) -> ConvTile:
    """Tile of `layer` for that many channels, all of which it holds."""
    if INTERPRETED:
        return ConvTile(128, max(16, next_power_of_2(outputs)), 32, 4, 2)
    return LAYER_TILES[5 if outputs <= 32 else 3 if outputs <= 64 else 0]


def layer(
    x: Tensor,
    packed: Tensor,
    end: Epilogue,
    picture: Picture | None,
    *,
    store: bool = True,
    tile: ConvTile | None = None,
) -> tuple[Tensor | None, Tensor | None]:
    """A 3x3 convolution, its epilogue and its toRGB in one kernel.

    Args:
        x: [N, I, H, W], channels_last, modulated.
        packed: [9, I, O] of x's dtype, O at most 128.
        end: what follows the convolution.
        picture: the toRGB layer, or None.
        store: False gives no features.
        tile: None to choose by the channels.

    Returns:
        Features [N, O, H, W], channels_last, and image [N, image channels, H, W].
    """
    batch, inputs, height, width = x.shape
    outputs = packed.shape[2]
    y = rgb = None
    if store:
        y = torch.empty(
            (batch, outputs, height, width), dtype=x.dtype, device=x.device,
            memory_format=torch.channels_last,
        )  # fmt: skip
    if picture is not None:
        shape = (batch, picture.weight.shape[1], height, width)
        rgb = torch.empty(shape, dtype=torch.float32, device=x.device)
    tile = tile or layer_tile(outputs)
    stride, gain, clamp = end.numbers()
    coarse = None if picture is None else picture.coarse
    launcher(layer_kernel, divide_up(height * width, tile.rows), batch)(
        x, packed, *end.tensors(x), x if y is None else y,
        x if picture is None else picture.weight, x if picture is None else picture.bias,
        x if coarse is None else coarse, x if picture is None else picture.taps,
        x if rgb is None else rgb,
        height, width, stride, gain, clamp,
        0.0 if picture is None or picture.clamp is None else picture.clamp,
        INPUTS=inputs, OUTPUTS=outputs, F32DOT=INTERPRETED and x.dtype == torch.bfloat16,
        BLOCK_M=tile.rows, BLOCK_N=tile.columns, BLOCK_K=tile.depth, **end.flags(), STORE=store,
        RGB=0 if picture is None else picture.weight.shape[1],
        RGB_CLAMP=picture is not None and picture.clamp is not None, IMAGE=coarse is not None,
        LEFT=0 if picture is None else picture.padding[0],
        TOP=0 if picture is None else picture.padding[1],
        num_warps=tile.num_warps, num_stages=tile.num_stages,
    )  # fmt: skip
    return y, rgb


def _rows_of(p: Product, matrix: int, out: int, bias: int, rgb: int) -> list[list[int]]:
    """The programs of a layer, as rows of the table that `matrix_kernel` reads."""
    rows, depth = p.matrix.shape
    return [
        [matrix, depth, p.start, out, rows, first, bias, rgb] for first in range(0, rows, _BLOCK_R)
    ]


def _bias(p: Product) -> Tensor:
    bias = p.matrix.new_zeros(p.matrix.shape[0]) if p.bias is None else p.bias
    return bias.float()


def aot_cases() -> Iterator[AotCase]:
    """Every configuration of every kernel, for compilation without a GPU."""
    blocks = {"BLOCK_R": 32, "BLOCK_N": _BLOCK_N, "BLOCK_K": _BLOCK_K}
    for demodulate, image in ((False, 3), (True, 0)):
        chosen: dict[str, Any] = {
            "DEMODULATE": demodulate, "IMAGE": image, "ALIGNED": _ALIGNED, **blocks
        }  # fmt: skip
        types = signature(matrix_kernel, chosen, {"table_ptr": "*i32"})
        yield matrix_kernel, types, chosen, 4, 3, f"matrix demodulate {demodulate}"
    chosen = {"BLOCK": 512}
    types = signature(normalise_kernel, chosen, {"table_ptr": "*i32"})
    yield normalise_kernel, types, chosen, 4, 3, "normalise"
    chosen = {"LEFT": 2, "TOP": 2, "BLOCK": 512}
    yield upsample_kernel, signature(upsample_kernel, chosen), chosen, 4, 3, "upsample"
    for name in ("bf16", "fp16"):
        own: dict[str, str] = dict.fromkeys(("x_ptr", "w_ptr", "y_ptr"), f"*{name}")
        own |= dict.fromkeys(("gain", "clamp", "rgb_clamp"), "fp32")
        for index, tile in enumerate(LAYER_TILES):
            for store in (True, False):
                chosen = {
                    "INPUTS": tile.columns, "OUTPUTS": tile.columns, "F32DOT": False,
                    "STORE": store, "ACT": ACTS["lrelu"],
                    "BLOCK_M": tile.rows, "BLOCK_N": tile.columns, "BLOCK_K": tile.depth,
                    **dict.fromkeys(("DEMODULATE", "NOISE", "STRENGTH", "BIAS", "NEXT"), True),
                    "CLAMP": True, "RGB": 3, "RGB_CLAMP": True, "IMAGE": True, "LEFT": 2, "TOP": 2,
                }  # fmt: skip
                types = signature(layer_kernel, chosen, own)
                label = f"layer {name} tile {index} store {store}"
                yield layer_kernel, types, chosen, tile.num_warps, tile.num_stages, label
