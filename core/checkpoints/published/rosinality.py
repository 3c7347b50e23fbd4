"""StyleGAN2 as rosinality's stylegan2-pytorch saves it (`g_ema`, `g`, `d`, `latent_avg`).

The same network under other names. Its modulated convolution scales the weight by 1/sqrt(I k^2),
which ours does not, so the scale is folded into the weight; its filters carry the gain of the
up-sampling, which ours do not.
"""

import math
import re
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ...models.layers import fir_filter
from .family import (
    PublishedFamily,
    Shapes,
    Values,
    count_layers,
    drawn,
    scaled,
    shape_of,
    take,
)
from .stylegan2 import GIVEN, channel_rule, clamp, decay, group_size, mapping_rate

# What is made up where a file lacks it: as many latents for the mean as its own sampler takes, and
# noise that it would have drawn anew for every image.
_MEAN_LATENTS = 4096
_MEAN_CHUNK = 256
_MADE_UP_SEED = 0
_MAX_LEVELS = 11
_GAIN_UP = 4.0


def _detect_generator(shapes: Shapes) -> bool:
    needed = ("style.1.weight", "input.input", "conv1.conv.modulation.weight", "to_rgb1.bias")
    return all(name in shapes for name in needed)


def _detect_discriminator(shapes: Shapes) -> bool:
    needed = ("convs.0.0.weight", "final_conv.0.weight", "final_linear.0.weight")
    return all(name in shapes for name in needed)


def _infer_generator(shapes: Shapes, init: Values | None, given: Values) -> dict[str, object]:
    levels = _levels(count_layers(shapes, "to_rgbs.{}.bias"))
    channels = {4: shape_of(shapes, "conv1.conv.weight", 5)[1]}
    for level in range(levels):
        channels[8 * 2**level] = shape_of(shapes, f"convs.{2 * level}.conv.weight", 5)[1]
    base, maximum = channel_rule(channels, init, given)
    w_dim, z_dim = shape_of(shapes, "style.1.weight", 2)
    rgb = shape_of(shapes, "to_rgb1.bias", 4)
    return {
        "z_dim": z_dim,
        "c_dim": 0,
        "w_dim": w_dim,
        "img_resolution": 4 * 2**levels,
        "img_channels": rgb[1],
        "channel_base": base,
        "channel_max": maximum,
        "num_mapping_layers": sum(1 for i in range(1, 65) if f"style.{i}.weight" in shapes),
        "architecture": "skip",
        "conv_clamp": clamp(None, given),
        "mapping_lr_multiplier": mapping_rate(None, given),
        "w_avg_beta": decay(None, given),
    }


def _infer_discriminator(shapes: Shapes, init: Values | None, given: Values) -> dict[str, object]:
    levels = _levels(count_layers(shapes, "convs.{}.conv1.0.weight", start=1))
    size = 4 * 2**levels
    first = shape_of(shapes, "convs.0.0.weight", 4)
    channels = {size: first[0]}
    for level in range(levels):
        name = f"convs.{level + 1}.conv2.1.weight"
        channels[size // 2 ** (level + 1)] = shape_of(shapes, name, 4)[0]
    lowest, inputs = shape_of(shapes, "final_conv.0.weight", 4)[:2]
    channels[4] = lowest
    base, maximum = channel_rule(channels, init, given)
    return {
        "c_dim": 0,
        "img_resolution": size,
        "img_channels": first[1],
        "channel_base": base,
        "channel_max": maximum,
        "architecture": "resnet",
        "conv_clamp": clamp(None, given),
        "cmap_dim": None,
        "num_mapping_layers": 8,
        "mapping_lr_multiplier": 0.01,
        "mbstd_group_size": group_size(None, given),
        "mbstd_num_channels": inputs - lowest,
    }


def _notes(shapes: Shapes, init: Values | None) -> tuple[str, ...]:
    notes: list[str] = []
    if "latent_avg" not in shapes:
        notes.append(f"the file has no mean of w: that of {_MEAN_LATENTS} seeded latents is used")
    if "noises.noise_0" not in shapes:
        notes.append("the file has no noise images: seeded ones are used")
    return tuple(notes)


def _translate_generator(tensors: Mapping[str, Tensor], config: Values) -> dict[str, Tensor]:
    result: dict[str, Tensor] = {}
    mapping = sorted(int(m[1]) for n in tensors if (m := re.fullmatch(r"style\.(\d+)\.weight", n)))
    for index, number in enumerate(mapping):
        for part in ("weight", "bias"):
            result[f"mapping.fc{index}.{part}"] = take(tensors, f"style.{number}.{part}")
    mean = tensors.get("latent_avg")
    if mean is None:
        rate = config["mapping_lr_multiplier"]
        assert isinstance(rate, (int, float))
        mean = _mean_w(result, len(mapping), rate)
    means = mean.reshape(-1, result["mapping.fc0.weight"].shape[0])
    if not torch.equal(means, means[:1].expand_as(means)):
        raise InputError(
            "latent_avg holds another mean of w for each layer, which is not supported"
        )
    result["mapping.w_avg"] = means[0]
    result["synthesis.b4.const"] = take(tensors, "input.input")[0]
    result["synthesis.b4.resample_filter"] = fir_filter()
    _styled(tensors, result, "conv1", "synthesis.b4.conv1", 0)
    _to_rgb(tensors, result, "to_rgb1", "synthesis.b4.torgb")
    for level in range(count_layers(tensors, "to_rgbs.{}.bias")):
        block = f"synthesis.b{8 * 2**level}"
        _styled(tensors, result, f"convs.{2 * level}", f"{block}.conv0", 2 * level + 1)
        _styled(tensors, result, f"convs.{2 * level + 1}", f"{block}.conv1", 2 * level + 2)
        _to_rgb(tensors, result, f"to_rgbs.{level}", f"{block}.torgb")
        kernel = tensors.get(f"to_rgbs.{level}.upsample.kernel")
        result[f"{block}.resample_filter"] = _filter(kernel)
    return result


def _translate_discriminator(tensors: Mapping[str, Tensor], config: Values) -> dict[str, Tensor]:
    levels = _levels(count_layers(tensors, "convs.{}.conv1.0.weight", start=1))
    size = 4 * 2**levels
    result: dict[str, Tensor] = {}

    def layer(target: str, weight: str, bias: str | None) -> None:
        result[f"{target}.weight"] = take(tensors, weight)
        result[f"{target}.resample_filter"] = fir_filter()
        if bias is not None:
            result[f"{target}.bias"] = take(tensors, bias).flatten()

    layer(f"b{size}.fromrgb", "convs.0.0.weight", "convs.0.1.bias")
    for level in range(levels):
        block, source = f"b{size // 2**level}", f"convs.{level + 1}"
        result[f"{block}.resample_filter"] = fir_filter()
        layer(f"{block}.conv0", f"{source}.conv1.0.weight", f"{source}.conv1.1.bias")
        layer(f"{block}.conv1", f"{source}.conv2.1.weight", f"{source}.conv2.2.bias")
        layer(f"{block}.skip", f"{source}.skip.1.weight", None)
        for part, kernel in (("conv1", "conv2.0.kernel"), ("skip", "skip.0.kernel")):
            if f"{source}.{kernel}" in tensors:
                result[f"{block}.{part}.resample_filter"] = tensors[f"{source}.{kernel}"]
    layer("b4.conv", "final_conv.0.weight", "final_conv.1.bias")
    for target, index in (("fc", 0), ("out", 1)):
        for part in ("weight", "bias"):
            result[f"b4.{target}.{part}"] = take(tensors, f"final_linear.{index}.{part}")
    return result


def _styled(
    tensors: Mapping[str, Tensor], result: dict[str, Tensor], source: str, target: str, noise: int
) -> None:
    weight = take(tensors, f"{source}.conv.weight")[0]
    result[f"{target}.weight"] = scaled(weight, 1 / math.sqrt(weight[0].numel()))
    for part in ("weight", "bias"):
        result[f"{target}.affine.{part}"] = take(tensors, f"{source}.conv.modulation.{part}")
    result[f"{target}.bias"] = take(tensors, f"{source}.activate.bias").flatten()
    result[f"{target}.noise_strength"] = take(tensors, f"{source}.noise.weight").reshape(())
    stored = tensors.get(f"noises.noise_{noise}")
    size = 4 * 2 ** ((noise + 1) // 2)
    if stored is None:
        stored = drawn(_MADE_UP_SEED + noise, size, size)
    result[f"{target}.noise_const"] = stored.reshape(stored.shape[-2:])
    result[f"{target}.resample_filter"] = _filter(tensors.get(f"{source}.conv.blur.kernel"))


def _to_rgb(
    tensors: Mapping[str, Tensor], result: dict[str, Tensor], source: str, target: str
) -> None:
    result[f"{target}.weight"] = take(tensors, f"{source}.conv.weight")[0]
    for part in ("weight", "bias"):
        result[f"{target}.affine.{part}"] = take(tensors, f"{source}.conv.modulation.{part}")
    result[f"{target}.bias"] = take(tensors, f"{source}.bias").flatten()


def _filter(kernel: Tensor | None) -> Tensor:
    return fir_filter() if kernel is None else scaled(kernel, 1 / _GAIN_UP)


def _mean_w(result: Mapping[str, Tensor], layers: int, rate: float) -> Tensor:
    """The mean of w over seeded latents, for files without `latent_avg`."""
    z_dim = result["mapping.fc0.weight"].shape[1]
    rng = np.random.RandomState(_MADE_UP_SEED)
    total = torch.zeros(())
    for _ in range(_MEAN_LATENTS // _MEAN_CHUNK):  # a few at a time, to take little memory
        w = torch.as_tensor(rng.randn(_MEAN_CHUNK, z_dim), dtype=torch.float32)
        w = w * (w.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
        for index in range(layers):
            weight = result[f"mapping.fc{index}.weight"].float()
            bias = result[f"mapping.fc{index}.bias"].float() * rate
            y = w @ weight.t() * (rate / math.sqrt(weight.shape[1])) + bias
            w = torch.nn.functional.leaky_relu(y, 0.2) * math.sqrt(2)
        total = total + w.sum(dim=0)
    return total / _MEAN_LATENTS


def _levels(count: int) -> int:
    if count > _MAX_LEVELS:
        raise InputError(f"{count} up-sampled blocks were found, at most {_MAX_LEVELS} expected")
    return count


GENERATOR = PublishedFamily(
    "stylegan2-generator",
    detect=_detect_generator,
    infer=_infer_generator,
    translate=_translate_generator,
    given=(*GIVEN, "w_avg_beta"),
    notes=_notes,
)
DISCRIMINATOR = PublishedFamily(
    "stylegan2-discriminator",
    detect=_detect_discriminator,
    infer=_infer_discriminator,
    translate=_translate_discriminator,
    given=("conv_clamp", "channel_base", "channel_max", "mbstd_group_size"),
)
