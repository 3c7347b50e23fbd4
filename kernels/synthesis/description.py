"""A StyleGAN2 synthesis network as plain data, for executors that know no modules."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ..taps import Taps


@dataclass(frozen=True, eq=False)
class Affine:
    """Styles of one layer: `ws[:, index] @ weight.T + bias`, all gains included.

    Attributes:
        weight: [features, w_dim].
        bias: [features].
        index: which of the ws.
    """

    weight: Tensor
    bias: Tensor
    index: int


@dataclass(frozen=True, eq=False)
class ConvLayer:
    """A modulated, demodulated 3x3 convolution with noise, bias and leaky ReLU of slope 0.2.

    Attributes:
        weight: [O, I, 3, 3].
        bias: [O].
        affine: of the styles [N, I].
        noise_strength: a tensor of no dimension.
        up: 1, or 2 for a transposed convolution and the filter f, see `modulated_conv2d`.
        f: [4, 4] or another filter.
        taps: f's factors, see `separate`; None if it has none.
        gain: after the activation.
        clamp: after the gain, or None.
    """

    weight: Tensor
    bias: Tensor
    affine: Affine
    noise_strength: Tensor
    up: int
    f: Tensor
    taps: Taps | None
    gain: float
    clamp: float | None


@dataclass(frozen=True, eq=False)
class RGBLayer:
    """A modulated 1x1 convolution without demodulation, with a bias.

    Attributes:
        weight: [image_channels, C].
        bias: [image_channels].
        affine: of the styles [N, C].
        clamp: of the result, or None.
    """

    weight: Tensor
    bias: Tensor
    affine: Affine
    clamp: float | None


@dataclass(frozen=True, eq=False)
class Block:
    """All layers of one resolution.

    Attributes:
        conv0: up-sampling layer, None in the first block.
        conv1: layer that keeps the resolution.
        skip: [O, I] of a residual block, gains included: conv0's input, convolved with it and
            up-sampled with `Synthesis.f`, is added to conv1's result. None elsewhere.
        torgb: what is added to the image, itself up-sampled from the block before; None if nothing.
    """

    conv0: ConvLayer | None
    conv1: ConvLayer
    skip: Tensor | None
    torgb: RGBLayer | None


@dataclass(frozen=True, eq=False)
class Synthesis:
    """The network: a constant, blocks of doubling resolution, an image summed on the way.

    Attributes:
        const: [C, 4, 4].
        blocks: first to last; the last has a torgb.
        f: filter that up-samples the image and residual blocks' input, with gain 4.
        taps: f's factors, see `separate`; None if it has none.
        num_ws, w_dim: sizes of ws [N, num_ws, w_dim].
    """

    const: Tensor
    blocks: tuple[Block, ...]
    f: Tensor
    taps: Taps | None
    num_ws: int
    w_dim: int

    @property
    def layers(self) -> tuple[ConvLayer, ...]:
        """All convolutions in the order in which they run."""
        return tuple(
            layer for block in self.blocks for layer in (block.conv0, block.conv1) if layer
        )

    @property
    def image_channels(self) -> int:
        """Channels of the image."""
        torgb = self.blocks[-1].torgb
        assert torgb is not None
        return torgb.weight.shape[0]


class Executor(Protocol):
    """A synthesis with its weights prepared."""

    def __call__(self, ws: Tensor, noise: Sequence[Tensor | None]) -> Tensor:
        """Draw the images.

        Args:
            ws: [N, num_ws, w_dim], float32, on the network's device.
            noise: one for each of `Synthesis.layers`, [N or 1, 1, R, R] float32, not multiplied
                by its strength yet; None for none.

        Returns:
            [N, image_channels, R, R], float32, new memory.
        """
        ...
