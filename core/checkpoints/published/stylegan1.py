"""StyleGAN1 in the two spellings of its PyTorch ports.

`LERNAPPARAT` is the one that holds the authors' own weights (`g_mapping.dense0.weight`,
`g_synthesis.blocks.4x4.const`); `ROSINALITY` was trained anew, and grown (`style.1.linear.
weight_orig`, `generator.progression.0.conv1.input`). Factors that our layers apply elsewhere are
folded into the tensors.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ...errors import InputError
from ...models.mapping import MappingNetwork
from .family import (
    PublishedFamily,
    Shapes,
    Values,
    argument,
    count_layers,
    drawn,
    number,
    scaled,
    shape_of,
    take,
)
from .stylegan2 import channel_rule, mapping_rate

_ROOT = math.sqrt(2)  # gain that our mapping has after the activation and the ports have before
_MAX_LAYERS = 64
_MAX_LEVELS = 11
# What is made up where a file lacks it: the mean of w over many latents, and the noise, which the
# ports draw anew for every image.
_MEAN_LATENTS = 4096
_MADE_UP_SEED = 0


def _detect_lernapparat(shapes: Shapes) -> bool:
    needed = ("g_mapping.dense0.weight", "g_synthesis.blocks.4x4.const", "g_synthesis.torgb.weight")
    return all(name in shapes for name in needed)


def _detect_rosinality(shapes: Shapes) -> bool:
    needed = ("style.1.linear.weight_orig", "generator.progression.0.conv1.input")
    return all(name in shapes for name in needed)


def _infer_lernapparat(shapes: Shapes, init: Values | None, given: Values) -> dict[str, object]:
    channels = {4: shape_of(shapes, "g_synthesis.blocks.4x4.const", 4)[1]}
    for level in range(_lernapparat_levels(shapes)):
        r = 8 << level
        channels[r] = shape_of(shapes, f"g_synthesis.blocks.{r}x{r}.conv1.weight", 4)[0]
    w_dim, z_dim = shape_of(shapes, "g_mapping.dense0.weight", 2)
    return {
        **_common(channels, z_dim, w_dim, init, given),
        "img_resolution": max(channels),
        "max_resolution": None,
        "img_channels": shape_of(shapes, "g_synthesis.torgb.weight", 4)[0],
        "num_mapping_layers": _layers(shapes, "g_mapping.dense{}.weight"),
        "progressive": False,
        "blur_bias": False,
        "mapping_lr_multiplier": mapping_rate(init, given),
    }


def _infer_rosinality(shapes: Shapes, init: Values | None, given: Values) -> dict[str, object]:
    channels: dict[int, int] = {}
    for level in range(_rosinality_blocks(shapes)):
        name = f"generator.progression.{level}.conv2.conv.weight_orig"
        channels[4 << level] = shape_of(shapes, name, 4)[0]
    last = max(channels)
    w_dim, z_dim = shape_of(shapes, "style.1.linear.weight_orig", 2)
    size = number("img_resolution", argument("img_resolution", init, given, last), whole=True)
    if size not in channels:
        raise InputError(f"img_resolution should be one of {sorted(channels)}, got {size}")
    return {
        **_common(channels, z_dim, w_dim, init, given),
        "img_resolution": size,
        "max_resolution": None if size == last else last,
        "img_channels": shape_of(shapes, "generator.to_rgb.0.conv.weight_orig", 4)[0],
        "num_mapping_layers": len(_rosinality_mapping(shapes)),
        "progressive": True,
        "blur_bias": True,
        "mapping_lr_multiplier": 1.0,
    }


def _common(
    channels: Mapping[int, int], z_dim: int, w_dim: int, init: Values | None, given: Values
) -> dict[str, object]:
    base, maximum = channel_rule(channels, init, given)
    decay = number("w_avg_beta", argument("w_avg_beta", init, given, 0.995))
    return {
        "z_dim": z_dim,
        "c_dim": 0,
        "w_dim": w_dim,
        "channel_base": base,
        "channel_max": maximum,
        "w_avg_beta": decay,
    }


def _translate_lernapparat(tensors: Mapping[str, Tensor], config: Values) -> dict[str, Tensor]:
    layers = _layers(tensors, "g_mapping.dense{}.weight")
    result: dict[str, Tensor] = {}
    for index in range(layers):
        name = f"g_mapping.dense{index}"
        result[f"mapping.fc{index}.weight"] = take(tensors, f"{name}.weight")
        result[f"mapping.fc{index}.bias"] = scaled(take(tensors, f"{name}.bias"), 1 / _ROOT)
    mean = tensors.get("truncation.avg_latent")
    result["mapping.w_avg"] = _mean_w(result, layers, config) if mean is None else mean.flatten()
    levels = _lernapparat_levels(tensors)
    for level in range(levels + 1):
        r = 4 << level
        source, target = f"g_synthesis.blocks.{r}x{r}", f"synthesis.b{r}"
        if level == 0:
            result[f"{target}.const"] = take(tensors, f"{source}.const")[0]
            result[f"{target}.layer0.bias"] = take(tensors, f"{source}.bias")
            convolutions = {"layer1": "conv"}
        else:
            convolutions = {"layer0": "conv0_up", "layer1": "conv1"}
        for layer, conv in convolutions.items():
            weight = take(tensors, f"{source}.{conv}.weight")
            # From 128 px on, the up-sampling layers are transposed convolutions, which meet the
            # image the other way round.
            if layer == "layer0" and r >= 128:
                weight = weight.flip(2, 3)
            result[f"{target}.{layer}.weight"] = weight
            result[f"{target}.{layer}.bias"] = take(tensors, f"{source}.{conv}.bias")
        for index in (0, 1):
            layer, epilogue = f"{target}.layer{index}", f"{source}.epi{index + 1}"
            strength = take(tensors, f"{epilogue}.top_epi.noise.weight")
            result[f"{layer}.noise_strength"] = strength
            result[f"{layer}.noise_const"] = drawn(2 * level + index, r, r)
            for part in ("weight", "bias"):
                affine = take(tensors, f"{epilogue}.style_mod.lin.{part}")
                result[f"{layer}.affine.{part}"] = affine
    for part in ("weight", "bias"):
        rgb = take(tensors, f"g_synthesis.torgb.{part}")
        result[f"synthesis.b{4 << levels}.torgb.{part}"] = rgb
    return result


def _translate_rosinality(tensors: Mapping[str, Tensor], config: Values) -> dict[str, Tensor]:
    result: dict[str, Tensor] = {}
    numbers = _rosinality_mapping(tensors)
    for index, layer in enumerate(numbers):
        name = f"style.{layer}.linear"
        result[f"mapping.fc{index}.weight"] = take(tensors, f"{name}.weight_orig")
        result[f"mapping.fc{index}.bias"] = scaled(take(tensors, f"{name}.bias"), 1 / _ROOT)
    result["mapping.w_avg"] = _mean_w(result, len(numbers), config)
    for level in range(_rosinality_blocks(tensors)):
        r = 4 << level
        source, target = f"generator.progression.{level}", f"synthesis.b{r}"
        if level == 0:
            result[f"{target}.const"] = take(tensors, f"{source}.conv1.input")[0]
            channels = result[f"{target}.const"].shape[0]
            result[f"{target}.layer0.bias"] = torch.zeros(channels)
        elif f"{source}.conv1.0.weight" in tensors:  # a transposed convolution, averaged over 2x2
            weight = take(tensors, f"{source}.conv1.0.weight").transpose(0, 1).flip(2, 3)
            result[f"{target}.layer0.weight"] = scaled(weight, 1 / 4)
            result[f"{target}.layer0.bias"] = take(tensors, f"{source}.conv1.0.bias")
        else:
            weight = take(tensors, f"{source}.conv1.1.conv.weight_orig")
            result[f"{target}.layer0.weight"] = weight
            result[f"{target}.layer0.bias"] = take(tensors, f"{source}.conv1.1.conv.bias")
        result[f"{target}.layer1.weight"] = take(tensors, f"{source}.conv2.conv.weight_orig")
        result[f"{target}.layer1.bias"] = take(tensors, f"{source}.conv2.conv.bias")
        for index in (0, 1):
            layer = f"{target}.layer{index}"
            noise = take(tensors, f"{source}.noise{index + 1}.weight_orig").flatten()
            result[f"{layer}.noise_strength"] = scaled(noise, _ROOT / math.sqrt(len(noise)))
            result[f"{layer}.noise_const"] = drawn(2 * level + index, r, r)
            style = f"{source}.adain{index + 1}.style.linear"
            affine = scaled(take(tensors, f"{style}.weight_orig"), _ROOT)
            bias = scaled(take(tensors, f"{style}.bias"), 1.0)
            bias[: len(noise)] -= 1  # ours adds the 1
            result[f"{layer}.affine.weight"], result[f"{layer}.affine.bias"] = affine, bias
        rgb = f"generator.to_rgb.{level}.conv"
        result[f"{target}.torgb.weight"] = scaled(take(tensors, f"{rgb}.weight_orig"), _ROOT)
        result[f"{target}.torgb.bias"] = take(tensors, f"{rgb}.bias")
    return result


def _notes(shapes: Shapes, init: Values | None) -> tuple[str, ...]:
    mean = f"the file has no mean of w: that of {_MEAN_LATENTS} seeded latents is used"
    noise = "the file has no noise images: seeded ones are used"
    return (noise,) if "truncation.avg_latent" in shapes else (mean, noise)


def _mean_w(result: Mapping[str, Tensor], layers: int, config: Values) -> Tensor:
    """The mean of w over seeded latents, for files without one."""
    w_dim, z_dim = result["mapping.fc0.weight"].shape
    rate = config["mapping_lr_multiplier"]
    assert isinstance(rate, (int, float))
    with torch.device("meta"):
        network = MappingNetwork(
            z_dim=z_dim, c_dim=0, w_dim=w_dim, num_ws=None, num_layers=layers, lr_multiplier=rate
        )
    own = {n.removeprefix("mapping."): t.float() for n, t in result.items() if "mapping.fc" in n}
    network.load_state_dict(own, assign=True)
    with torch.no_grad():
        return network.eval()(drawn(_MADE_UP_SEED, _MEAN_LATENTS, z_dim)).mean(dim=0)


def _layers(names: Mapping[str, object], pattern: str) -> int:
    count = count_layers(names, pattern)
    if count > _MAX_LAYERS:
        raise InputError(f"{count} mapping layers were found, at most {_MAX_LAYERS} expected")
    return count


def _lernapparat_levels(names: Mapping[str, object]) -> int:
    levels = 0
    while f"g_synthesis.blocks.{8 << levels}x{8 << levels}.conv1.weight" in names:
        levels += 1
    return _checked(levels)


def _rosinality_blocks(names: Mapping[str, object]) -> int:
    return _checked(count_layers(names, "generator.progression.{}.conv2.conv.weight_orig"))


def _rosinality_mapping(names: Mapping[str, object]) -> list[int]:
    """Numbers of the mapping's linear layers, between which the activations count too."""
    numbers = range(1, 2 * _MAX_LAYERS, 2)
    return [index for index in numbers if f"style.{index}.linear.weight_orig" in names]


def _checked(levels: int) -> int:
    if levels > _MAX_LEVELS:
        raise InputError(f"{levels} levels were found, at most {_MAX_LEVELS} expected")
    return levels


LERNAPPARAT = PublishedFamily(
    "stylegan1-generator",
    detect=_detect_lernapparat,
    infer=_infer_lernapparat,
    translate=_translate_lernapparat,
    given=("channel_base", "channel_max", "mapping_lr_multiplier", "w_avg_beta"),
    notes=_notes,
)
ROSINALITY = PublishedFamily(
    "stylegan1-generator",
    detect=_detect_rosinality,
    infer=_infer_rosinality,
    translate=_translate_rosinality,
    given=("img_resolution", "channel_base", "channel_max", "w_avg_beta"),
    notes=_notes,
)
