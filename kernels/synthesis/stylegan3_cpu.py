"""StyleGAN3's synthesis on a CPU: minimal filtering, one pass of filters, weights packed once.

Features are channels_last. A convolution of padding k - 1 leaves k // 2 pixels of zeros more at
each side than the compiled one adds by itself: the pass of filters before it writes its result into
an image with such a ring. Every image is the same bit for bit whatever its batch and the number of
threads, see csrc/matmul.h; the batch's share in the demodulation is far below float32's resolution.
"""

import math
import threading
from dataclasses import dataclass

import torch
from torch import Tensor

from ..cpu_convolution.affine import AffineJob, affine, panels
from ..cpu_convolution.compiled import (
    Form,
    Method,
    ToRGB,
    Workspace,
    convolve,
    pack_weight,
    pad_channels,
    padded,
    to_rgb,
)
from ..filtered_lrelu.cpu_backend import filtered_lrelu_into
from ..filtered_lrelu.reference import sizes
from ..modulated_conv2d.reference import EPSILON
from .description import Affine
from .eager import styles_of
from .packed import PackedAffine, pack_affine, pack_matrix, run_affines
from .stylegan3_description import FilteredLayer, FilteredSynthesis, FourierInput
from .stylegan3_eager import positions, waves

# Of one layer's features of all samples that are drawn at a time: half a gigabyte.
_MAX_FLOATS = 2**27
_MIX = Method(Form.POINTWISE, shared=False, tiles=64)
# A larger weight is read from memory once for all threads; intermediates then leave the cache.
_LARGE_WEIGHT = 512 * 256
_SHARED_TILES, _TILES = 256, 48
KERNELS = (1, 3)


@dataclass(frozen=True)
class _Layer:
    """A packed layer; its demodulation factors start at `start` of a row of all such."""

    source: FilteredLayer
    weight: Tensor
    channels: tuple[int, int]
    method: Method
    affine: PackedAffine
    energy: Tensor
    start: int
    input_gain: float
    conv_size: int
    out_size: int
    ring: int


class CpuFilteredExecutor:
    """A `FilteredExecutor` that computes in float32, whatever is asked for.

    It keeps its workspace between calls, which therefore wait for one another.
    """

    def __init__(self, synthesis: FilteredSynthesis, dtype: torch.dtype) -> None:
        assert dtype != torch.float64
        self._input = synthesis.input
        self._mix = pack_matrix(synthesis.input.weight)
        self._styles_width = self._factors_width = 0
        self._layers: list[_Layer] = []
        size = synthesis.input.size
        for layer in synthesis.layers:
            self._layers.append(self._prepare(layer, size))
            size = self._layers[-1].out_size
        self._rings = [*(layer.ring for layer in self._layers), 0]
        torgb = synthesis.torgb
        self._rgb_weight = pad_channels(torgb.weight.detach())
        self._rgb_bias = torgb.bias.detach().float().clone()
        self._rgb_affine = self._prepare_affine(torgb.affine)
        self._rgb_clamp = torgb.clamp
        self._scale = synthesis.output_scale
        self._shape = (torgb.weight.shape[0], size, size)
        self._largest = max(
            layer.conv_size**2 * padded(layer.channels[1]) for layer in self._layers
        )
        self._workspace, self._convolved, self._filtered = Workspace(), Workspace(), Workspace()
        self._lock = threading.Lock()

    @torch.no_grad()
    def __call__(self, ws: Tensor, transform: Tensor | None = None) -> Tensor:
        ws = ws.float().contiguous()
        image = ws.new_zeros(ws.shape[0], *self._shape)
        if ws.shape[0] == 0:
            return image
        step = max(1, _MAX_FLOATS // self._largest)
        with self._lock:
            styles, factors = self._modulation(ws)
            for start in range(0, ws.shape[0], step):
                part = slice(start, start + step)
                own = transform
                if transform is not None and transform.ndim == 3:
                    own = transform[part]
                self._draw(ws[part], own, styles[part], factors[part], image[part])
        return image.mul_(self._scale)

    def _draw(
        self,
        ws: Tensor,
        transform: Tensor | None,
        styles: Tensor,
        factors: Tensor,
        image: Tensor,
    ) -> None:
        x = self._features(ws, transform)
        for layer, ring in zip(self._layers, self._rings[1:], strict=True):
            x = self._run(layer, x, styles, factors, ring)
        own = styles[:, self._rgb_affine.start :]
        rgb = ToRGB(self._rgb_weight, own, self._rgb_bias, self._rgb_clamp, image)
        to_rgb(x, self._rgb_weight.shape[1], rgb)

    def _features(self, ws: Tensor, transform: Tensor | None) -> Tensor:
        """What the first layer gets, [N, size + 2 ring, size + 2 ring, padded(C)].

        sin(a + b) is made of the sines and cosines of rows and columns.
        """
        source, ring = self._input, self._rings[0]
        count, channels = ws.shape[0], source.freqs.shape[0]
        size = source.size + 2 * ring
        points = self._convolved.take((count, size, size, padded(channels)))
        _clear(points, ring, channels)
        inside = points[:, ring : size - ring, ring : size - ring, :channels]
        at = positions(source).double()[:, None]
        precise = _precise(source)
        for n in range(count):
            own = transform[n] if transform is not None and transform.ndim == 3 else transform
            style = styles_of(precise.affine, ws[n : n + 1])
            freqs, phases, amplitudes = waves(precise, style, own)
            a = (at * freqs[0, :, 0] + phases[0]) * (2 * math.pi)  # [W, C]
            b = at * freqs[0, :, 1] * (2 * math.pi)  # [H, C]
            sin_b, cos_b = (
                f(b).mul_(amplitudes[0]).float()[:, None] for f in (torch.sin, torch.cos)
            )
            torch.mul(a.sin().float(), cos_b, out=inside[n])
            inside[n] += a.cos().float() * sin_b
        x = self._filtered.take(points.shape)
        convolve(points, self._mix, (channels, channels), _MIX, self._workspace, y=x)
        return x

    def _run(self, layer: _Layer, x: Tensor, styles: Tensor, factors: Tensor, ring: int) -> Tensor:
        """The layer's result inside a ring of zeros that wide."""
        count, out, source = x.shape[0], layer.channels[1], layer.source
        y = self._convolved.take((count, layer.conv_size, layer.conv_size, padded(out)))
        convolve(
            x,
            layer.weight,
            layer.channels,
            layer.method,
            self._workspace,
            styles=styles[:, layer.affine.start :],
            demodulation=factors[:, layer.start :],
            y=y,
        )
        size = layer.out_size + 2 * ring
        x = self._filtered.take((count, size, size, padded(out)))
        _clear(x, ring, out)
        inside = x[:, ring : size - ring, ring : size - ring, :out]
        filtered_lrelu_into(
            inside.permute(0, 3, 1, 2),
            y[..., :out].permute(0, 3, 1, 2),
            source.fu,
            source.fd,
            source.bias,
            source.up,
            source.down,
            source.padding,
            source.gain,
            source.slope,
            source.clamp,
            False,
        )
        return x

    def _modulation(self, ws: Tensor) -> tuple[Tensor, Tensor]:
        """All styles and all demodulation factors, each layer's from its `start` on."""
        count = ws.shape[0]
        styles = ws.new_zeros(count, self._styles_width)
        layers = [layer.affine for layer in self._layers] + [self._rgb_affine]
        run_affines(layers, ws, styles)
        power = styles.square()
        factors = ws.new_zeros(count, self._factors_width)
        affine(
            [
                AffineJob(
                    power[:, layer.affine.start :],
                    layer.energy,
                    None,
                    factors[:, layer.start :],
                    layer.channels,
                )
                for layer in self._layers
            ],
            count,
        )
        for layer in self._layers:
            own = power[:, layer.affine.start : layer.affine.start + layer.channels[0]]
            part = factors[:, layer.start : layer.start + layer.channels[1]]
            part += EPSILON * own.mean()
            part.rsqrt_().mul_(layer.input_gain)
        return styles, factors

    def _prepare(self, layer: FilteredLayer, size: int) -> _Layer:
        weight = layer.weight.detach()
        out, channels, kernel = weight.shape[:3]
        method = choose((channels, out), kernel)
        conv_size = size + kernel - 1
        like = torch.empty(0, out, conv_size, conv_size, device="meta")
        _, (out_size, _) = sizes(like, layer.fu, layer.fd, layer.up, layer.down, layer.padding)
        start = self._factors_width
        self._factors_width += panels(out)
        return _Layer(
            layer,
            pack_weight(weight, method.form),
            (channels, out),
            method,
            self._prepare_affine(layer.affine),
            pack_matrix(weight.double().square().sum(dim=(2, 3))),
            start,
            float(layer.input_gain),
            conv_size,
            out_size,
            kernel // 2,
        )

    def _prepare_affine(self, layer: Affine) -> PackedAffine:
        packed = pack_affine(layer, self._styles_width)
        self._styles_width += panels(packed.features)
        return packed


def choose(channels: tuple[int, int], kernel: int) -> Method:
    """The method of a layer's convolution, by measurements on two Zen 4 cores.

    F(4, 3) for 3x3, which all sizes here are large enough for; the rule knows no batch, so that a
    sample's method does not depend on it.
    """
    form = Form.POINTWISE if kernel == 1 else Form.WINOGRAD4
    shared = kernel == 3 and channels[0] * channels[1] >= _LARGE_WEIGHT
    return Method(form, shared, _SHARED_TILES if shared else _TILES)


def _precise(layer: FourierInput) -> FourierInput:
    source = layer.affine
    own = Affine(source.weight.double(), source.bias.double(), source.index)
    return FourierInput(
        layer.weight,
        layer.freqs.double(),
        layer.phases.double(),
        layer.transform.double(),
        own,
        layer.size,
        layer.rate,
        layer.bandwidth,
    )


def _clear(x: Tensor, ring: int, channels: int) -> None:
    """Zeros where an image [N, H, W, C] gets no values: around it and in channels after its own."""
    if ring:
        x[:, :ring] = 0
        x[:, -ring:] = 0
        x[:, :, :ring] = 0
        x[:, :, -ring:] = 0
    if channels < x.shape[3]:
        x[..., channels:] = 0
