"""StyleGAN2 as published by its authors (StyleGAN2-ADA and later): our names are the same."""

import re
from collections.abc import Mapping

from torch import Tensor

from ...errors import InputError
from ...models.layers import fir_filter
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

GIVEN = ("conv_clamp", "mapping_lr_multiplier", "channel_base", "channel_max")
_SYNTHESIS_BLOCK = re.compile(r"synthesis\.b([1-9][0-9]{0,4})\.conv1\.weight")
_NOISE = ("strength", "const")
_DISCRIMINATOR_BLOCK = re.compile(r"b([1-9][0-9]{0,4})\.conv0\.weight")


def _detect_generator(shapes: Shapes) -> bool:
    needed = ("synthesis.b4.const", "synthesis.b4.conv1.affine.weight", "mapping.fc0.weight")
    return all(name in shapes for name in needed)


def _detect_discriminator(shapes: Shapes) -> bool:
    needed = ("b4.conv.weight", "b4.fc.weight", "b4.out.weight")
    return all(name in shapes for name in needed)


def _infer_generator(shapes: Shapes, init: Values | None, given: Values) -> dict[str, object]:
    check_activations(init)
    resolutions = _resolutions(shapes, _SYNTHESIS_BLOCK)
    last = resolutions[-1]
    w_dim = shape_of(shapes, "synthesis.b4.conv1.affine.weight", 2)[1]
    c_dim = _label_size(shapes)
    z_dim = shape_of(shapes, "mapping.fc0.weight", 2)[1] - (w_dim if c_dim else 0)
    channels = {r: shape_of(shapes, f"synthesis.b{r}.conv1.weight", 4)[0] for r in resolutions}
    if any(f"synthesis.b{r}.skip.weight" in shapes for r in resolutions):
        architecture = "resnet"
    else:
        has_torgb = all(f"synthesis.b{r}.torgb.weight" in shapes for r in resolutions)
        architecture = "skip" if has_torgb else "orig"
    base, maximum = channel_rule(channels, init, given, "synthesis_kwargs")
    return {
        "z_dim": z_dim,
        "c_dim": c_dim,
        "w_dim": w_dim,
        "img_resolution": last,
        "img_channels": shape_of(shapes, f"synthesis.b{last}.torgb.weight", 4)[0],
        "channel_base": base,
        "channel_max": maximum,
        "num_mapping_layers": count_layers(shapes, "mapping.fc{}.weight"),
        "architecture": architecture,
        "conv_clamp": clamp(init, given, "synthesis.b4.conv1.conv_clamp", "synthesis_kwargs"),
        "mapping_lr_multiplier": mapping_rate(init, given),
        "w_avg_beta": decay(init, given),
    }


def _infer_discriminator(shapes: Shapes, init: Values | None, given: Values) -> dict[str, object]:
    check_activations(init)
    resolutions = _resolutions(shapes, _DISCRIMINATOR_BLOCK, first=4)
    last = resolutions[-1]
    lowest, inputs = shape_of(shapes, "b4.conv.weight", 4)[:2]
    channels = {4: lowest}
    for r in resolutions[1:]:
        channels[r] = shape_of(shapes, f"b{r}.conv0.weight", 4)[0]
    if any(f"b{r}.skip.weight" in shapes for r in resolutions):
        architecture = "resnet"
    else:
        architecture = "skip" if "b4.fromrgb.weight" in shapes and last > 4 else "orig"
    base, maximum = channel_rule(channels, init, given)
    c_dim = _label_size(shapes)
    mapped = shape_of(shapes, "b4.out.weight", 2)[0]
    fromrgb = shape_of(shapes, f"b{last}.fromrgb.weight", 4)
    return {
        "c_dim": c_dim,
        "img_resolution": last,
        "img_channels": fromrgb[1],
        "channel_base": base,
        "channel_max": maximum,
        "architecture": architecture,
        "conv_clamp": clamp(init, given, "b4.conv.conv_clamp", "block_kwargs", "epilogue_kwargs"),
        "cmap_dim": None if c_dim == 0 or mapped == lowest else mapped,
        "num_mapping_layers": count_layers(shapes, "mapping.fc{}.weight") or 8,
        "mapping_lr_multiplier": mapping_rate(init, given),
        "mbstd_group_size": group_size(init, given),
        "mbstd_num_channels": inputs - lowest,
    }


def channel_rule(
    channels: Mapping[int, int], init: Values | None, given: Values, within: str = ""
) -> tuple[int, int]:
    """The (channel_base, channel_max) for which `channels` are min(channel_base // r, channel_max).

    Of the bases that give the same channels, the file's or the user's own is taken, else the
    roundest one in binary.

    Raises:
        InputError: no such pair exists, or not with what the user gave.
    """
    maximum = max(channels.values())
    low, high = 0, 0
    for r, count in channels.items():
        low = max(low, count * r)
        if count < maximum:
            high = min(high or count * r + r - 1, count * r + r - 1)
    places = (within,) if within else ()
    wanted_base = argument("channel_base", init, given, None, within=places)
    wanted_max = argument("channel_max", init, given, maximum, within=places)
    if isinstance(wanted_base, int) and isinstance(wanted_max, int) and wanted_base > 0:
        pair = (wanted_base, wanted_max)
        if all(count == min(pair[0] // r, pair[1]) for r, count in channels.items()):
            return pair
    base = roundest(low, high) if high else low
    if (high and low > high) or maximum < 1:
        listed = ", ".join(f"{count} at {r}" for r, count in channels.items())
        raise InputError(
            "the channels do not follow min(channel_base // resolution, channel_max) "
            f"for any channel_base: {listed}"
        )
    check_channels(given, base, maximum)
    return base, maximum


def check_channels(given: Values, base: int, maximum: int) -> None:
    """Refuse a channel_base or channel_max of the user's that is not what the shapes tell.

    Raises:
        InputError: says what they do tell.
    """
    for key, found in (("channel_base", base), ("channel_max", maximum)):
        if key in given and given[key] != found:
            raise InputError(
                f"{key}={ascii(given[key])[:40]} does not give the file's channels; "
                f"{key}={found} does"
            )


def clamp(
    init: Values | None,
    given: Values,
    attribute: str = "",
    *within: str,
    default: float | None = None,
) -> object:
    """The bound of activations, which only the user or a pickle tells; None is none."""
    value = argument("conv_clamp", init, given, default, within=within, attribute=attribute)
    bound = number("conv_clamp", value, none=True)
    if isinstance(bound, (int, float)) and bound <= 0:
        raise InputError(f"conv_clamp should be above 0, or none, got {bound}")
    return bound


def mapping_rate(init: Values | None, given: Values) -> object:
    """The learning-rate multiplier of the mapping network, .01 in every published one."""
    key, attribute = "mapping_lr_multiplier", "mapping.fc0.bias_gain"  # of a linear layer, the same
    if key in given:
        return number(key, given[key])
    value = argument(
        "lr_multiplier", init, {}, 0.01, within=("mapping_kwargs",), attribute=attribute
    )
    return number(key, value)


def decay(init: Values | None, given: Values) -> object:
    """The decay of the mean of w, .995 in every published network."""
    key, places = "w_avg_beta", ("mapping_kwargs",)
    value = argument(key, init, given, 0.995, within=places, attribute=f"mapping.{key}")
    return 0.995 if value is None else number(key, value)


def group_size(init: Values | None, given: Values) -> object:
    """The group of the minibatch statistic, 4 by default; None is the whole batch."""
    key, places = "mbstd_group_size", ("epilogue_kwargs",)
    value = argument(key, init, given, 4, within=places, attribute="b4.mbstd.group_size")
    return number(key, value, whole=True, none=True)


def with_filters(tensors: Mapping[str, Tensor], config: Values) -> dict[str, Tensor]:
    """Add the FIR filters that some re-saved files leave out, as they never change.

    Layers of networks without noise get noise of strength 0.
    """
    result = dict(tensors)
    for name, tensor in tensors.items():
        layer = re.fullmatch(r"(synthesis\.b(\d+)\.conv[01])\.weight", name)
        if layer is not None and not any(f"{layer[1]}.noise_{p}" in tensors for p in _NOISE):
            result[f"{layer[1]}.noise_strength"] = tensor.new_zeros(())
            result[f"{layer[1]}.noise_const"] = tensor.new_zeros(2 * (int(layer[2]),))
    for name in tensors:
        owner, _, last = name.rpartition(".")
        if last != "weight" or owner.endswith(("affine", "torgb", "embed", "fc", "out")):
            continue
        if re.search(r"(^|\.)(conv|conv[01]|skip|fromrgb)$", owner):
            block = owner.rpartition(".")[0]
            result.setdefault(f"{owner}.resample_filter", fir_filter())
            if block != "b4":  # the discriminator's last block filters nothing itself
                result.setdefault(f"{block}.resample_filter", fir_filter())
    return result


def _resolutions(shapes: Shapes, pattern: re.Pattern[str], first: int | None = None) -> list[int]:
    found = {int(match[1]) for name in shapes if (match := pattern.fullmatch(name))}
    if first is not None:
        found.add(first)
    ordered = sorted(found)
    if ordered != [4 * 2**i for i in range(len(ordered))]:
        raise InputError(f"blocks of resolutions 4, 8, 16, ... were expected, got {ordered[:12]}")
    return ordered


def _label_size(shapes: Shapes) -> int:
    return shape_of(shapes, "mapping.embed.weight", 2)[1] if "mapping.embed.weight" in shapes else 0


def roundest(low: int, high: int) -> int:
    """The number of low..high with the most factors of 2."""
    step = 1
    while (high // (2 * step)) * 2 * step >= low:
        step *= 2
    return (high // step) * step


GENERATOR = PublishedFamily(
    "stylegan2-generator",
    detect=_detect_generator,
    infer=_infer_generator,
    translate=with_filters,
    given=(*GIVEN, "w_avg_beta"),
    notes=lambda shapes, init: half_precision(init),
)
DISCRIMINATOR = PublishedFamily(
    "stylegan2-discriminator",
    detect=_detect_discriminator,
    infer=_infer_discriminator,
    translate=with_filters,
    given=(*GIVEN, "mbstd_group_size"),
    notes=lambda shapes, init: half_precision(init),
)
