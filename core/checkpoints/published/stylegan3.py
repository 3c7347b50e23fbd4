"""StyleGAN3, T and R, as published by its authors: our names are the same."""

import math
import re

from ....kernels.filtered_lrelu.geometry import (
    CRITICAL_LAYERS,
    FIRST_CUTOFF,
    FIRST_STOPBAND,
    LAST_STOPBAND,
    LAYERS,
    MARGIN,
    TAPS,
    layer_geometry,
)
from ...errors import InputError
from .family import (
    PublishedFamily,
    Shapes,
    Values,
    argument,
    check_activations,
    count_layers,
    half_precision,
    number,
    shape_of,
)
from .stylegan2 import check_channels, clamp, mapping_rate, roundest

_LAYER = re.compile(r"synthesis\.(L([0-9]{1,2})_([0-9]{1,5})_([0-9]{1,5}))\.weight")
_PLACES = ("synthesis_kwargs",)
_SMALLEST = 32
# What every published network has, as its constructor names it.
_FIXED = {
    "num_layers": LAYERS,
    "num_critical": CRITICAL_LAYERS,
    "first_cutoff": FIRST_CUTOFF,
    "first_stopband": FIRST_STOPBAND,
    "last_stopband_rel": LAST_STOPBAND,
    "margin_size": MARGIN,
    "filter_size": TAPS,
    "lrelu_upsampling": 2,
}


def _detect(shapes: Shapes) -> bool:
    needed = ("synthesis.input.freqs", "synthesis.input.affine.weight", "mapping.fc0.weight")
    return all(name in shapes for name in needed)


def _infer(shapes: Shapes, init: Values | None, given: Values) -> dict[str, object]:
    check_activations(init)
    for key, expected in _FIXED.items():
        value = argument(key, init, {}, expected, within=_PLACES)
        if value != expected:
            raise InputError(f"only {key}={expected} of StyleGAN3 is supported, not {value}")
    layers = _layers(shapes)
    first, last = layers[0][0], layers[-1]
    kernel = shape_of(shapes, f"synthesis.{first}.weight", 4)[2]
    resolution = last[1]
    if resolution < _SMALLEST or resolution & (resolution - 1):
        raise InputError(f"images of {resolution} px were found; 32, 64, 128, ... are supported")
    base, maximum = _channel_rule(resolution, [layer[2] for layer in layers[:-1]], init, given)
    w_dim = shape_of(shapes, "synthesis.input.affine.weight", 2)[1]
    c_dim = 0
    if "mapping.embed.weight" in shapes:
        c_dim = shape_of(shapes, "mapping.embed.weight", 2)[1]
    inputs = shape_of(shapes, "mapping.fc0.weight", 2)[1]

    def told(key: str, default: object, attribute: str) -> object:
        places = (*_PLACES, "mapping_kwargs")
        value = argument(key, init, given, default, within=places, attribute=attribute)
        return number(key, value)

    return {
        "z_dim": inputs - (w_dim if c_dim else 0),
        "c_dim": c_dim,
        "w_dim": w_dim,
        "img_resolution": resolution,
        "img_channels": last[2],
        "channel_base": base,
        "channel_max": maximum,
        "num_mapping_layers": count_layers(shapes, "mapping.fc{}.weight"),
        "conv_kernel": kernel,
        "use_radial_filters": len(shapes.get(f"synthesis.{first}.down_filter", ())) == 2,
        "conv_clamp": clamp(init, given, f"synthesis.{first}.conv_clamp", *_PLACES, default=256.0),
        "output_scale": told("output_scale", 0.25, "synthesis.output_scale"),
        "magnitude_ema_beta": told(
            "magnitude_ema_beta", 0.999, f"synthesis.{first}.magnitude_ema_beta"
        ),
        "mapping_lr_multiplier": mapping_rate(init, given),
        "w_avg_beta": told("w_avg_beta", 0.998, "mapping.w_avg_beta"),
    }


def _layers(shapes: Shapes) -> list[tuple[str, int, int]]:
    """(name, size, channels) of every layer in order, toRGB last."""
    found = {
        int(match[2]): (match[1], int(match[3]), int(match[4]))
        for name in shapes
        if (match := _LAYER.fullmatch(name))
    }
    if sorted(found) != list(range(LAYERS + 1)):
        raise InputError(f"layers L0 to L{LAYERS} were expected, got {sorted(found)[:20]}")
    return [found[index] for index in range(LAYERS + 1)]


def _channel_rule(
    resolution: int, channels: list[int], init: Values | None, given: Values
) -> tuple[int, int]:
    """The (channel_base, channel_max) that give `channels`.

    Of the bases that do, the file's or the user's own is taken, else the roundest one in binary.
    """
    maximum = max(channels)
    wanted_base = argument("channel_base", init, given, None, within=_PLACES)
    wanted_max = argument("channel_max", init, given, maximum, within=_PLACES)
    low, high = 1.0, math.inf
    for layer, count in zip(layer_geometry(resolution), channels, strict=False):
        low = max(low, (count - 0.5) * 2 * layer.out_cutoff)
        if count < maximum:
            high = min(high, (count + 0.5) * 2 * layer.out_cutoff)
    candidates = [(wanted_base, wanted_max)]
    if high == math.inf:
        high = 2 * low
    if math.ceil(low) <= math.floor(high):
        candidates.append((roundest(math.ceil(low), math.floor(high)), maximum))
    for base, most in candidates:
        if isinstance(base, int) and isinstance(most, int) and base > 0 and most > 0:
            layers = layer_geometry(resolution, channel_base=base, channel_max=most)
            if [layer.out_channels for layer in layers[:-1]] == channels:
                check_channels(given, base, most)
                return base, most
    raise InputError(
        "the channels do not follow min(channel_base / 2 / cutoff, channel_max) "
        f"for any channel_base: {channels}"
    )


GENERATOR = PublishedFamily(
    "stylegan3-generator",
    detect=_detect,
    infer=_infer,
    given=(
        "channel_base",
        "channel_max",
        "conv_clamp",
        "output_scale",
        "magnitude_ema_beta",
        "mapping_lr_multiplier",
        "w_avg_beta",
    ),
    notes=lambda shapes, init: half_precision(init),
)
