"""A StyleGAN3 synthesis network as plain data, for executors that know no modules."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from .description import Affine, RGBLayer


@dataclass(frozen=True, eq=False)
class FourierInput:
    """Waves over a plane that a style turns and shifts, mixed to features (section 3.2).

    Attributes:
        weight: [C, C], gain included.
        freqs: [C, 2], waves an image, (x, y).
        phases: [C], in waves.
        transform: [3, 3], of image points before the style's.
        affine: of the style [N, 4]: cosine, sine, x, y, of any scale.
        size: height and width of the features.
        rate: samples an image.
        bandwidth: frequency above which amplitudes fade, to nothing at rate / 2.
    """

    weight: Tensor
    freqs: Tensor
    phases: Tensor
    transform: Tensor
    affine: Affine
    size: int
    rate: float
    bandwidth: float


@dataclass(frozen=True, eq=False)
class FilteredLayer:
    """A modulated, demodulated convolution of padding k - 1, then `filtered_lrelu`.

    Attributes:
        weight: [O, I, k, k], normalised: each output channel's mean square is 1.
        bias: [O].
        affine: of the styles [N, I].
        input_gain: factor of the layer's input, a tensor of no dimension.
        fu, fd, up, down, padding, gain, slope, clamp: arguments of `filtered_lrelu`.
    """

    weight: Tensor
    bias: Tensor
    affine: Affine
    input_gain: Tensor
    fu: Tensor
    fd: Tensor
    up: int
    down: int
    padding: tuple[int, int, int, int]
    gain: float
    slope: float
    clamp: float | None


@dataclass(frozen=True, eq=False)
class FilteredSynthesis:
    """The network.

    Attributes:
        input: of the first layer.
        layers: first to last.
        torgb: of the last layer's result; its affine layer has the input's gain too.
        output_scale: factor of what torgb gives.
        num_ws, w_dim: sizes of ws [N, num_ws, w_dim].
    """

    input: FourierInput
    layers: tuple[FilteredLayer, ...]
    torgb: RGBLayer
    output_scale: float
    num_ws: int
    w_dim: int


class FilteredExecutor(Protocol):
    """A synthesis with its weights prepared."""

    def __call__(self, ws: Tensor, transform: Tensor | None = None) -> Tensor:
        """Draw the images.

        Args:
            ws: [N, num_ws, w_dim], floating-point, on the network's device.
            transform: [3, 3] or [N, 3, 3] in place of the input's.

        Returns:
            [N, image_channels, R, R], at least float32, new memory.
        """
        ...
