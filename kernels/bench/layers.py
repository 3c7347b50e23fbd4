"""Sizes of the layers that the op rows run at: those of real networks, no round numbers."""

from dataclasses import dataclass

import torch

from .work import Work

CHANNEL_BASE, CHANNEL_MAX = 32768, 512  # config F, the published face networks
KERNEL = 3
FIR = 4  # taps of an axis


@dataclass(frozen=True)
class Layer:
    """A modulated convolution of StyleGAN2: `resolution` is that of its result."""

    name: str
    resolution: int
    in_channels: int
    out_channels: int
    up: int

    @property
    def in_resolution(self) -> int:
        """Height and width of its input."""
        return self.resolution // self.up

    def work(self, batch: int, dtype: torch.dtype, *, passes: int = 1) -> Work:
        """Least work of a fused layer; `passes` 3 with both gradients of the convolution."""
        size = dtype.itemsize
        weight = self.in_channels * self.out_channels * KERNEL**2
        inputs = batch * self.in_channels * self.in_resolution**2
        outputs = batch * self.out_channels * self.resolution**2
        noise = 4 * self.resolution**2
        flop = 2 * batch * self.in_resolution**2 * weight
        moved = size * (inputs + outputs + weight) + noise
        if passes == 3:  # reads x, y, dy and the weight once more; writes dx and dweight
            moved += size * (2 * inputs + 2 * outputs + 2 * weight)
        return Work(moved, flop * passes)


def channels(resolution: int, base: int = CHANNEL_BASE, most: int = CHANNEL_MAX) -> int:
    """Channels of a block of StyleGAN2."""
    return min(base // resolution, most)


def synthesis_layers(
    resolution: int, base: int = CHANNEL_BASE, most: int = CHANNEL_MAX
) -> list[Layer]:
    """All modulated 3x3 convolutions of a StyleGAN2 of this resolution: 17 at 1024."""
    first = channels(4, base, most)
    layers = [Layer("4/conv1", 4, first, first, 1)]
    size = 8
    while size <= resolution:
        before, here = channels(size // 2, base, most), channels(size, base, most)
        layers.append(Layer(f"{size}/conv0", size, before, here, 2))
        layers.append(Layer(f"{size}/conv1", size, here, here, 1))
        size *= 2
    return layers


def synthesis_work(
    resolution: int,
    batch: int,
    dtype: torch.dtype,
    base: int = CHANNEL_BASE,
    most: int = CHANNEL_MAX,
) -> list[Work]:
    """Least work of a whole skip synthesis, one fused pass a layer.

    toRGB reads the features while its layer still has them, so only the RGB image moves; the last
    layer's features are never written.
    """
    parts = []
    for layer in synthesis_layers(resolution, base, most):
        part = layer.work(batch, dtype)
        moved, flop = part.bytes, part.flop
        if layer.up == 1:
            pixels = batch * layer.resolution**2
            flop += 2 * pixels * layer.out_channels * 3
            moved += 4 * 3 * pixels
            if layer.resolution > 4:
                moved += 4 * 3 * pixels / 4
            if layer.resolution == resolution:
                moved -= dtype.itemsize * layer.out_channels * pixels
        parts.append(Work(moved, flop))
    return parts


def fir_flop(outputs: int, taps: int) -> int:
    """Multiply-adds of a separable filter, times 2."""
    return 2 * 2 * outputs * taps


def up_down_flop(conv_size: int, mid: int, out: int, taps: tuple[int, int], down_2d: bool) -> int:
    """Multiply-adds, times 2, of filtered_lrelu on one channel, every zero left out.

    Args:
        conv_size: height and width that come in.
        mid: between the filters.
        out: height and width that go out.
        taps: of the up filter that meet a sample (taps // up), and of the down filter.
        down_2d: the down filter is not separable.
    """
    rising = conv_size * mid * taps[0] + mid * mid * taps[0]
    falling = out * out * taps[1] ** 2 if down_2d else (mid * out + out * out) * taps[1]
    return 2 * (rising + falling)
