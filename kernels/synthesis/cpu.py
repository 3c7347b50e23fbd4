"""The synthesis on a CPU: minimal filtering, fused epilogues, weights packed once.

Every image is the same bit for bit whatever its batch and the number of threads: each sum runs in
one fixed order, see csrc/matmul.h.
"""

import threading
from collections.abc import Sequence
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
from ..cpu_convolution.tuning import choose
from ..modulated_conv2d.backward import SLOPES
from ..modulated_conv2d.reference import EPSILON
from ..taps import Taps
from .description import Affine, Block, ConvLayer, RGBLayer, Synthesis
from .packed import PackedAffine, pack_affine, pack_matrix, run_affines
from .upsample import upsample_add, upsample_image

# Of one layer's features of all samples that are drawn at a time: half a gigabyte.
_MAX_FLOATS = 2**27
_SKIP = Method(Form.POINTWISE, shared=False, tiles=64)


@dataclass(frozen=True)
class _Conv:
    """A packed layer; its demodulation factors start at `start` of a row of all such."""

    weight: Tensor
    channels: tuple[int, int]
    method: Method
    affine: PackedAffine
    energy: Tensor
    start: int
    bias: Tensor
    strength: float
    fir: Taps | None
    gain: float
    clamp: float | None


@dataclass(frozen=True)
class _RGB:
    weight: Tensor
    affine: PackedAffine
    bias: Tensor
    clamp: float | None


@dataclass(frozen=True)
class _Block:
    conv0: _Conv | None
    conv1: _Conv
    skip: Tensor | None
    torgb: _RGB | None


class CpuExecutor:
    """An `Executor` that computes in float32, whatever is asked for.

    It keeps its workspace between calls, which therefore wait for one another.
    """

    def __init__(self, synthesis: Synthesis, dtype: torch.dtype) -> None:
        assert dtype != torch.float64 and synthesis.taps is not None
        self._styles_width = self._factors_width = 0
        # [1, 4, 4, C], shared by all samples.
        self._const = pad_channels(synthesis.const.detach().permute(1, 2, 0))[None]
        self._blocks: list[_Block] = []
        size, self._largest = self._const.shape[1], self._const.numel()
        for block in synthesis.blocks:
            self._blocks.append(self._prepare_block(block, size))
            size *= 1 if block.conv0 is None else 2
            self._largest = max(self._largest, size * size * padded(block.conv1.weight.shape[0]))
        self._taps = synthesis.taps
        self._shape = (synthesis.image_channels, size, size)
        self._workspace = Workspace()
        self._features = {name: Workspace() for name in ("middle", "even", "odd", "skip")}
        self._lock = threading.Lock()

    @torch.no_grad()
    def __call__(self, ws: Tensor, noise: Sequence[Tensor | None]) -> Tensor:
        if ws.shape[0] == 0:
            return ws.new_zeros((0, *self._shape), dtype=torch.float32)
        step = max(1, _MAX_FLOATS // self._largest)
        parts: list[Tensor] = []
        with self._lock:
            for start in range(0, ws.shape[0], step):
                own = [n if n is None or len(n) == 1 else n[start : start + step] for n in noise]
                parts.append(self._draw(ws[start : start + step].float().contiguous(), own))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _draw(self, ws: Tensor, noise: Sequence[Tensor | None]) -> Tensor:
        styles, factors = self._modulation(ws)
        x = self._const.expand(ws.shape[0], -1, -1, -1)
        image: Tensor | None = None
        noises = iter(noise)
        for index, block in enumerate(self._blocks):
            before = x
            if block.conv0 is not None:
                y = self._feature("middle", x, block.conv0)
                self._convolve(block.conv0, x, styles, factors, next(noises), y)
                x = y
            image, rgb = self._image(block, image, x, styles)
            # A residual block's image is made of the sum. Without one, the last block's features
            # are needed for nothing but the image.
            fused = block.skip is None
            y = None
            if not fused or index < len(self._blocks) - 1:
                y = self._feature("odd" if index % 2 else "even", x, block.conv1)
            own = rgb if fused else None
            self._convolve(block.conv1, x, styles, factors, next(noises), y, own)
            if y is None:
                continue
            if block.skip is not None:
                self._add_skip(block.skip, block.conv1.channels[1], before, y)
                if rgb is not None:
                    to_rgb(y, block.conv1.channels[1], rgb)
            x = y
        assert image is not None
        return image

    def _modulation(self, ws: Tensor) -> tuple[Tensor, Tensor]:
        """All styles and all demodulation factors, each layer's from its `start` on."""
        count = ws.shape[0]
        styles = ws.new_empty(count, self._styles_width)
        factors = ws.new_empty(count, self._factors_width)
        convs = [conv for block in self._blocks for conv in (block.conv0, block.conv1) if conv]
        layers = [conv.affine for conv in convs]
        layers += [block.torgb.affine for block in self._blocks if block.torgb is not None]
        run_affines(layers, ws, styles)
        affine(
            [
                AffineJob(
                    styles[:, conv.affine.start :],
                    conv.energy,
                    None,
                    factors[:, conv.start :],
                    conv.channels,
                    epsilon=EPSILON,
                )
                for conv in convs
            ],
            count,
        )
        return styles, factors

    def _feature(self, name: str, x: Tensor, layer: _Conv) -> Tensor:
        """Memory for a layer's result of x."""
        size = x.shape[1] * (1 if layer.fir is None else 2)
        return self._features[name].take((x.shape[0], size, size, padded(layer.channels[1])))

    def _convolve(
        self,
        layer: _Conv,
        x: Tensor,
        styles: Tensor,
        factors: Tensor,
        noise: Tensor | None,
        y: Tensor | None,
        rgb: ToRGB | None = None,
    ) -> None:
        convolve(
            x,
            layer.weight,
            layer.channels,
            layer.method,
            self._workspace,
            styles=styles[:, layer.affine.start :],
            demodulation=factors[:, layer.start :],
            noise=None if noise is None else noise.float().contiguous(),
            strength=layer.strength,
            bias=layer.bias,
            alpha=SLOPES["lrelu"],
            gain=layer.gain,
            clamp=layer.clamp,
            fir=layer.fir,
            rgb=rgb,
            y=y,
        )

    def _image(
        self, block: _Block, image: Tensor | None, x: Tensor, styles: Tensor
    ) -> tuple[Tensor | None, ToRGB | None]:
        """The image at x's resolution, and what is to be added to it."""
        if image is not None:
            image = upsample_image(image, self._taps)
        layer = block.torgb
        if layer is None:
            return image, None
        if image is None:
            image = x.new_zeros(x.shape[0], layer.weight.shape[0], *x.shape[1:3])
        own = styles[:, layer.affine.start :]
        return image, ToRGB(layer.weight, own, layer.bias, layer.clamp, image)

    def _add_skip(self, weight: Tensor, out: int, x: Tensor, y: Tensor) -> None:
        """Add the filtered 1x1 convolution of x to y."""
        count, height, width, _ = x.shape
        z = self._features["skip"].take((count, height, width, y.shape[3]))
        channels = (weight.numel() // panels(out), out)
        convolve(x, weight, channels, _SKIP, self._workspace, y=z)
        upsample_add(z, y, self._taps)

    def _prepare_block(self, block: Block, size: int) -> _Block:
        conv0 = None if block.conv0 is None else self._prepare_conv(block.conv0, size)
        conv1 = self._prepare_conv(block.conv1, size if conv0 is None else 2 * size)
        skip = None if block.skip is None else pack_matrix(block.skip)
        return _Block(conv0, conv1, skip, block.torgb and self._prepare_rgb(block.torgb))

    def _prepare_conv(self, layer: ConvLayer, size: int) -> _Conv:
        weight = layer.weight.detach()
        channels = (weight.shape[1], weight.shape[0])
        method = choose(channels, size, layer.up)
        start = self._factors_width
        self._factors_width += panels(channels[1])
        return _Conv(
            pack_weight(weight, method.form),
            channels,
            method,
            self._prepare_affine(layer.affine),
            pack_matrix(weight.double().square().sum(dim=(2, 3))),
            start,
            pad_channels(layer.bias.detach()),
            float(layer.noise_strength),
            layer.taps if layer.up == 2 else None,
            layer.gain,
            layer.clamp,
        )

    def _prepare_rgb(self, layer: RGBLayer) -> _RGB:
        own = self._prepare_affine(layer.affine)
        weight, bias = pad_channels(layer.weight.detach()), layer.bias.detach().float().contiguous()
        return _RGB(weight, own, bias, layer.clamp)

    def _prepare_affine(self, layer: Affine) -> PackedAffine:
        packed = pack_affine(layer, self._styles_width)
        self._styles_width += panels(packed.features)
        return packed
