"""StyleGAN3's synthesis at the published op boundaries, for the benchmark's "composed" column.

Each layer normalises its weight and styles, makes a weight for every sample, runs one grouped
convolution and then `composed.filtered_lrelu`, one op after another (Karras et al. 2021,
"Alias-Free Generative Adversarial Networks", section 3.2). Written from the paper.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ..filtered_lrelu.geometry import LayerGeometry
from ..synthesis.stylegan3 import Affine, FilteredLayer, FilteredSynthesis, FourierInput
from . import composed, layers
from .work import Work

_EPS = 1e-8
_RANK_EPS = 1e-15


Filters = Callable[[FilteredLayer, Tensor], Tensor]


def composed_filters(layer: FilteredLayer, x: Tensor) -> Tensor:
    """The layer's filtered leaky ReLU of x at the published boundaries."""
    return composed.filtered_lrelu(
        x,
        layer.fu,
        layer.fd,
        layer.bias,
        up=layer.up,
        down=layer.down,
        padding=layer.padding,
        gain=layer.gain,
        slope=layer.slope,
        clamp=layer.clamp,
    )


def filters_by_matrices(layer: FilteredLayer, x: Tensor) -> Tensor:
    """The same as matrix products, the way to get float64 in seconds on a CPU.

    Depthwise convolutions in float64 there unfold the image of one channel after another.
    """
    left, right, top, bottom = layer.padding
    assert (left, right) == (top, bottom)
    x = x + layer.bias.to(x.dtype)[:, None, None]
    rise = _rise(layer.fu.to(x.dtype) * layer.up, x.shape[3], layer.up, left, right)
    x = rise @ x @ rise.t()
    x = composed.bias_act(x, None, gain=layer.gain, clamp=layer.clamp, slope=layer.slope)
    if layer.fd.ndim == 1:
        fall = _fall(layer.fd.to(x.dtype), x.shape[3], layer.down)
        return fall @ x @ fall.t()
    # A sum of separable filters: as many as its rank, which symmetry keeps at half of its taps.
    u, sizes, v = torch.linalg.svd(layer.fd.to(x.dtype))
    y = None
    for column, size, row in zip(u.t(), sizes, v, strict=True):
        if size < _RANK_EPS * sizes[0]:
            break
        rows = _fall(column * size, x.shape[2], layer.down)
        part = rows @ x @ _fall(row, x.shape[3], layer.down).t()
        y = part if y is None else y.add_(part)
    assert y is not None
    return y


def synthesis(
    network: FilteredSynthesis, ws: Tensor, filters: Filters = composed_filters
) -> Tensor:
    """W latents [N, num_ws, w_dim] to images, in the dtype of the weights."""
    x = _input(network.input, ws)
    for layer in network.layers:
        x = filters(layer, _modulated(layer, x, ws))
    torgb = network.torgb
    weight = torgb.weight[:, :, None, None]
    x = _convolve(x, weight, _styles(torgb.affine, ws), demodulate=False)
    return composed.bias_act(x, torgb.bias, act="linear", clamp=torgb.clamp) * network.output_scale


def synthesis_work(
    geometry: tuple[LayerGeometry, ...], batch: int, dtype: torch.dtype
) -> list[Work]:
    """Least work of the layers, each in one pass; toRGB reads features while they are there."""
    parts = []
    for layer in geometry:
        pixels, weight = (
            layer.conv_size**2,
            layer.in_channels * layer.out_channels * layer.kernel**2,
        )
        flop = 2 * pixels * weight
        moved = layer.in_channels * layer.in_size**2 + layer.out_channels * layer.out_size**2
        if not layer.is_torgb:
            flop += layer.out_channels * filter_flop(layer)
        parts.append(Work(dtype.itemsize * (batch * moved + weight), batch * flop))
    return parts


def filter_flop(layer: LayerGeometry) -> int:
    """Operations of `filtered_lrelu` on one channel."""
    padding = layer.padding
    mid = layer.conv_size * layer.up + padding[0] + padding[1] - layer.up_taps + 1
    taps = (layer.up_taps // layer.up, layer.down_taps)
    return layers.up_down_flop(layer.conv_size, mid, layer.out_size, taps, layer.radial)


def _input(layer: FourierInput, ws: Tensor) -> Tensor:
    t = _styles(layer.affine, ws)
    t = t / t[:, :2].norm(dim=1, keepdim=True)
    zero, one = torch.zeros_like(t[:, 0]), torch.ones_like(t[:, 0])
    rows = [t[:, 0], -t[:, 1], zero, t[:, 1], t[:, 0], zero, zero, zero, one]
    rotation = torch.stack(rows, dim=1).unflatten(1, (3, 3))
    rows = [one, zero, -t[:, 2], zero, one, -t[:, 3], zero, zero, one]
    translation = torch.stack(rows, dim=1).unflatten(1, (3, 3))
    plane = rotation @ translation @ layer.transform
    phases = layer.phases + (layer.freqs @ plane[:, :2, 2:]).squeeze(2)
    freqs = layer.freqs @ plane[:, :2, :2]
    fade = (freqs.norm(dim=2) - layer.bandwidth) / (layer.rate / 2 - layer.bandwidth)
    half = 0.5 * layer.size / layer.rate
    corners = torch.diag(freqs.new_tensor([half, half, 1.0]))[None, :2]
    grid = functional.affine_grid(corners, [1, 1, layer.size, layer.size], align_corners=False)
    x = (grid.unsqueeze(3) @ freqs.transpose(1, 2)[:, None, None]).squeeze(3)  # [N, H, W, C]
    x = torch.sin(2 * math.pi * (x + phases[:, None, None])) * (1 - fade).clamp(0, 1)[:, None, None]
    return (x @ layer.weight.t()).permute(0, 3, 1, 2)


def _modulated(layer: FilteredLayer, x: Tensor, ws: Tensor) -> Tensor:
    styles = _styles(layer.affine, ws)
    weight = layer.weight * layer.weight.square().mean((1, 2, 3), keepdim=True).rsqrt()
    styles = styles * styles.square().mean().rsqrt()
    return _convolve(x, weight, styles, demodulate=True, gain=layer.input_gain)


def _convolve(
    x: Tensor, weight: Tensor, styles: Tensor, *, demodulate: bool, gain: Tensor | None = None
) -> Tensor:
    """One grouped convolution with a weight for each sample."""
    count, channels, height, width = x.shape
    out, k = weight.shape[0], weight.shape[2]
    w = weight[None] * styles[:, None, :, None, None]
    if demodulate:
        w = w * (w.square().sum((2, 3, 4)) + _EPS).rsqrt()[:, :, None, None, None]
    if gain is not None:
        w = w * gain
    x = x.reshape(1, count * channels, height, width)
    w = w.reshape(count * out, channels, k, k)
    y = functional.conv2d(x, w, padding=k - 1, groups=count)
    return y.unflatten(1, (count, out)).squeeze(0)


def _styles(affine: Affine, ws: Tensor) -> Tensor:
    return torch.addmm(affine.bias, ws[:, affine.index], affine.weight.t())


def _rise(f: Tensor, size: int, up: int, before: int, after: int) -> Tensor:
    """[M, size]: zeros inserted, padded or cropped, convolved with f, along one axis."""
    kernel = f.flip(0)
    matrix = f.new_zeros(size * up + before + after - len(f) + 1, size)
    for i in range(size):
        for k in range(len(f)):
            row = i * up + before - k
            if 0 <= row < len(matrix):
                matrix[row, i] = kernel[k]
    return matrix


def _fall(f: Tensor, size: int, down: int) -> Tensor:
    """[(size - taps) // down + 1, size]: convolved with f, every `down`-th sample kept."""
    kernel = f.flip(0)
    matrix = f.new_zeros((size - len(f)) // down + 1, size)
    for row in range(len(matrix)):
        matrix[row, row * down : row * down + len(f)] = kernel
    return matrix
