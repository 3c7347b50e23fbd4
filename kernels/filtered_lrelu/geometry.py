"""Sizes, rates, padding and filters of StyleGAN3's synthesis layers (sections 3.2 and appendix C).

Every layer is described by numbers alone, so that the network, the benchmark and the tests share
one list. Frequencies are in cycles an image.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LAYERS = 14
CRITICAL_LAYERS = 2
MARGIN = 10  # samples around the image at each side, so that no border pattern leaks in
TAPS = 6  # a phase of a filter
FIRST_CUTOFF = 2.0
FIRST_STOPBAND = 2.0**2.1
LAST_STOPBAND = 2.0**0.3  # over the last cutoff, which is half of the resolution


@dataclass(frozen=True)
class LayerGeometry:
    """One synthesis layer: a convolution, then filtered_lrelu with these arguments."""

    index: int
    is_torgb: bool
    kernel: int
    in_channels: int
    out_channels: int
    in_size: int
    out_size: int
    in_rate: int
    out_rate: int
    in_cutoff: float
    out_cutoff: float
    in_half_width: float
    out_half_width: float
    up: int
    down: int
    radial: bool

    @property
    def name(self) -> str:
        """As in the published checkpoints."""
        return f"L{self.index}_{self.out_size}_{self.out_channels}"

    @property
    def up_taps(self) -> int:
        """Taps of the filter after up-sampling; 1 is no filter."""
        return 1 if self.is_torgb else TAPS * self.up

    @property
    def down_taps(self) -> int:
        """Taps, of either axis, of the filter before down-sampling; 1 is no filter."""
        return 1 if self.is_torgb else TAPS * self.down

    @property
    def conv_size(self) -> int:
        """Height and width of what the convolution, padded by kernel - 1, hands on."""
        return self.in_size + self.kernel - 1

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """(left, right, top, bottom) of the up-sampled image; often negative."""
        total = (self.out_size - 1) * self.down + 1 - self.conv_size * self.up
        total += self.up_taps + self.down_taps - 2
        before = (total + self.up) // 2
        return before, total - before, before, total - before

    def up_filter(self) -> Tensor | None:
        """[taps] float32, of sum 1, as before the layer's rate; None for toRGB."""
        if self.is_torgb:
            return None
        return lowpass_filter(
            self.up_taps, self.in_cutoff, 2 * self.in_half_width, self.in_rate * self.up
        )

    def down_filter(self) -> Tensor | None:
        """[taps] float32, or [taps, taps] if radial, of sum 1; None for toRGB."""
        if self.is_torgb:
            return None
        return lowpass_filter(
            self.down_taps,
            self.out_cutoff,
            2 * self.out_half_width,
            self.out_rate * self.down,
            radial=self.radial,
        )


def layer_geometry(
    resolution: int,
    *,
    radial: bool = False,
    kernel: int | None = None,
    channel_base: int | None = None,
    channel_max: int | None = None,
    image_channels: int = 3,
) -> tuple[LayerGeometry, ...]:
    """All synthesis layers in order, toRGB last.

    Args:
        resolution: of the image, a power of two of at least 32.
        radial: filter down radially symmetrically, as StyleGAN3-R does in non-critical layers.
        kernel: extent of the convolutions; default 1 if radial, else 3.
        channel_base: channels times twice the cutoff frequency; default 65536 if radial, else
            32768.
        channel_max: bound on channels; default 1024 if radial, else 512.
        image_channels: channels of the image.

    Raises:
        ValueError: the resolution is not as above.
    """
    if resolution < 32 or resolution & (resolution - 1):
        raise ValueError(
            f"layer_geometry: expected a resolution of 32, 64, 128, ..., got {resolution}"
        )
    kernel = kernel or (1 if radial else 3)
    channel_base = channel_base or (65536 if radial else 32768)
    channel_max = channel_max or (1024 if radial else 512)
    last_cutoff = resolution / 2
    cutoffs, rates, half_widths, sizes, channels = [], [], [], [], []
    for index in range(LAYERS + 1):
        exponent = min(index / (LAYERS - CRITICAL_LAYERS), 1.0)
        cutoff = FIRST_CUTOFF * (last_cutoff / FIRST_CUTOFF) ** exponent
        stopband = FIRST_STOPBAND * (last_cutoff * LAST_STOPBAND / FIRST_STOPBAND) ** exponent
        rate = 2 ** math.ceil(math.log2(min(2 * stopband, resolution)))
        cutoffs.append(cutoff)
        rates.append(rate)
        half_widths.append(max(stopband, rate / 2) - cutoff)
        sizes.append(resolution if index >= LAYERS - 1 else rate + 2 * MARGIN)
        channels.append(round(min(channel_base / 2 / cutoff, channel_max)))
    channels[-1] = image_channels
    layers = []
    for index in range(LAYERS + 1):
        before = max(index - 1, 0)
        is_torgb = index == LAYERS
        between = 1 if is_torgb else 2 * max(rates[before], rates[index])
        layers.append(
            LayerGeometry(
                index=index,
                is_torgb=is_torgb,
                kernel=1 if is_torgb else kernel,
                in_channels=channels[before],
                out_channels=channels[index],
                in_size=sizes[before],
                out_size=sizes[index],
                in_rate=rates[before],
                out_rate=rates[index],
                in_cutoff=cutoffs[before],
                out_cutoff=cutoffs[index],
                in_half_width=half_widths[before],
                out_half_width=half_widths[index],
                up=1 if is_torgb else between // rates[before],
                down=1 if is_torgb else between // rates[index],
                radial=radial and index < LAYERS - CRITICAL_LAYERS,
            )
        )
    return tuple(layers)


def lowpass_filter(
    taps: int, cutoff: float, width: float, rate: float, *, radial: bool = False
) -> Tensor:
    """Low-pass filter of sum 1: a Kaiser-windowed sinc, or jinc if radial.

    Args:
        taps: of either axis.
        cutoff: frequency at which the response is a half.
        width: of the transition band, which decides the Kaiser window's shape.
        rate: samples for the unit of the frequencies.
        radial: two axes, radially symmetric but for the window (StyleGAN3, appendix C).

    Returns:
        [taps] or, if radial, [taps, taps], float32.
    """
    t = (torch.arange(taps, dtype=torch.float64, device="cpu") - (taps - 1) / 2) / rate
    window = torch.kaiser_window(
        taps, periodic=False, beta=_kaiser_beta(taps, 2 * width / rate), dtype=torch.float64,
        device="cpu",
    )  # fmt: skip
    if not radial:
        f = torch.sinc(2 * cutoff * t) * window
        return (f / f.sum()).float()
    r = torch.hypot(t[:, None], t[None, :])
    argument = 2 * math.pi * cutoff * r
    centre = torch.full_like(r, math.pi * cutoff)  # the limit of J1(a r) / r is a / 2
    f = torch.where(r == 0, centre, torch.special.bessel_j1(argument) / r.clamp_min(1e-300))
    f = f * torch.outer(window, window)
    return (f / f.sum()).float()


def _kaiser_beta(taps: int, width: float) -> float:
    """Kaiser's window parameter for a transition band of `width` times half the rate."""
    attenuation = 2.285 * (taps - 1) * math.pi * width + 7.95
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    if attenuation > 21:
        return 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    return 0.0
