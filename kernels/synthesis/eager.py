"""The synthesis in the public ops: the readable form, for any device and dtype."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ..bias_act import bias_act
from ..modulated_conv2d import modulated_conv2d
from ..upfirdn2d import upfirdn2d
from .description import Affine, ConvLayer, RGBLayer, Synthesis


class EagerExecutor:
    """An `Executor` that prepares nothing; images and styles keep the weights' dtype."""

    def __init__(self, synthesis: Synthesis, dtype: torch.dtype) -> None:
        self._synthesis = synthesis
        self._dtype = dtype

    @torch.no_grad()
    def __call__(self, ws: Tensor, noise: Sequence[Tensor | None]) -> Tensor:
        x = self._synthesis.const.to(self._dtype).expand(ws.shape[0], -1, -1, -1)
        image = None
        noises = iter(noise)
        for block in self._synthesis.blocks:
            before = x
            if block.conv0 is not None:
                x = self._convolve(block.conv0, x, ws, next(noises))
            x = self._convolve(block.conv1, x, ws, next(noises))
            if block.skip is not None:
                y = functional.conv2d(before, block.skip.to(before.dtype)[:, :, None, None])
                x = x + self._upsample(y)
            if image is not None:
                image = self._upsample(image)
            if block.torgb is not None:
                rgb = _to_rgb(block.torgb, x, ws)
                image = rgb if image is None else image + rgb
        assert image is not None
        return image

    def _convolve(self, layer: ConvLayer, x: Tensor, ws: Tensor, noise: Tensor | None) -> Tensor:
        return modulated_conv2d(
            x,
            layer.weight.to(x.dtype),
            styles_of(layer.affine, ws),
            up=layer.up,
            f=layer.f,
            noise=noise,
            noise_strength=None if noise is None else layer.noise_strength,
            bias=layer.bias,
            act="lrelu",
            gain=layer.gain,
            clamp=layer.clamp,
        )

    def _upsample(self, x: Tensor) -> Tensor:
        return upfirdn2d(x, self._synthesis.f, up=2, padding=(2, 1, 2, 1), gain=4.0)


def _to_rgb(layer: RGBLayer, x: Tensor, ws: Tensor) -> Tensor:
    weight = layer.weight.to(x.dtype)[:, :, None, None]
    y = modulated_conv2d(x, weight, styles_of(layer.affine, ws), demodulate=False)
    y = y.to(torch.promote_types(y.dtype, torch.float32))
    return bias_act(y, layer.bias, clamp=layer.clamp)


def styles_of(affine: Affine, ws: Tensor) -> Tensor:
    """Result of an affine layer [N, features], in float64 on a CPU and then rounded.

    So a sample's sums do not depend on its batch.
    """
    w = ws[:, affine.index]
    dtype = torch.float64 if w.device.type == "cpu" else affine.weight.dtype
    y = torch.addmm(affine.bias.to(dtype), w.to(dtype), affine.weight.t().to(dtype))
    return y.to(affine.weight.dtype)
