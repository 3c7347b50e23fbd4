"""StyleGAN1's discriminator in rosinality's spelling, the only published files that hold one.

Its layers lie from the largest size to the smallest. Halving is written in one of two ways, a
convolution of stride 2 or an average after the convolution, which compute the same.
"""

import math
from collections.abc import Container, Mapping

from torch import Tensor

from ...errors import InputError
from .family import (
    PublishedFamily,
    Shapes,
    Values,
    argument,
    count_layers,
    number,
    scaled,
    shape_of,
    take,
)
from .stylegan2 import channel_rule

_ROOT = math.sqrt(2)  # gain of the last layer, which ours does not have
_MAX_LEVELS = 11


def _detect(shapes: Shapes) -> bool:
    needed = ("progression.0.conv1.0.conv.weight_orig", "linear.linear.weight_orig")
    return all(name in shapes for name in needed) and _from_rgb(shapes, 0) in shapes


def _infer(shapes: Shapes, init: Values | None, given: Values) -> dict[str, object]:
    count = _blocks(shapes)
    rgb = [shape_of(shapes, _from_rgb(shapes, index), 4) for index in range(count)]
    sizes = [4 << (count - 1 - index) for index in range(count)]
    channels = {size: shape[0] for size, shape in zip(sizes, rgb, strict=True)}
    base, maximum = channel_rule(channels, init, given)
    widen_first = True
    for index in range(count - 1):
        if rgb[index][0] != rgb[index + 1][0]:
            first = shape_of(shapes, f"progression.{index}.conv1.0.conv.weight_orig", 4)
            widen_first = first[0] != first[1]
    last = sizes[0]
    drawn = number("img_resolution", argument("img_resolution", init, given, last), whole=True)
    if drawn not in channels:
        raise InputError(f"img_resolution should be one of {sizes}, got {drawn}")
    inputs = shape_of(shapes, f"progression.{count - 1}.conv1.0.conv.weight_orig", 4)[1]
    return {
        "c_dim": 0,
        "img_resolution": drawn,
        "max_resolution": None if drawn == last else last,
        "img_channels": rgb[0][1],
        "channel_base": base,
        "channel_max": maximum,
        "progressive": True,
        "widen_first": widen_first,
        "fromrgb_activation": "lrelu" if "from_rgb.0.0.conv.bias" in shapes else "linear",
        "mbstd_group_size": None,
        "mbstd_num_channels": inputs - rgb[-1][0],
    }


def _translate(tensors: Mapping[str, Tensor], config: Values) -> dict[str, Tensor]:
    result: dict[str, Tensor] = {}

    def layer(target: str, weight: str) -> Tensor:
        result[f"{target}.weight"] = take(tensors, weight)
        result[f"{target}.bias"] = take(tensors, f"{weight.rpartition('.')[0]}.bias")
        return tensors[weight]

    count = _blocks(tensors)
    for index in range(count):
        source, r = f"progression.{index}", 4 << (count - 1 - index)
        layer(f"fromrgb{r}", _from_rgb(tensors, index))
        first = f"{source}.conv1.0.conv.weight_orig"
        if r > 4:
            layer(f"b{r}.conv0", first)
            fused = f"{source}.conv2.1.weight"
            plain = f"{source}.conv2.1.conv.weight_orig"
            layer(f"b{r}.conv1", fused if fused in tensors else plain)
        else:
            layer("b4.conv", first)
            weight = layer("b4.fc", f"{source}.conv2.0.conv.weight_orig")
            result["b4.fc.weight"] = weight.flatten(1)
    result["b4.out.weight"] = scaled(layer("b4.out", "linear.linear.weight_orig"), _ROOT)
    return result


def _from_rgb(names: Container[str], index: int) -> str:
    """The layer that takes images, behind which an activation may lie."""
    with_activation = f"from_rgb.{index}.0.conv.weight_orig"
    return with_activation if with_activation in names else f"from_rgb.{index}.conv.weight_orig"


def _blocks(names: Container[str]) -> int:
    count = count_layers(names, "progression.{}.conv1.0.conv.weight_orig")
    if count > _MAX_LEVELS:
        raise InputError(f"{count} levels were found, at most {_MAX_LEVELS} expected")
    return count


ROSINALITY = PublishedFamily(
    "stylegan1-discriminator",
    detect=_detect,
    infer=_infer,
    translate=_translate,
    given=("img_resolution", "channel_base", "channel_max"),
)
