"""PGGAN as PyTorch's GAN zoo saves it (`netG`, `netD`): our names are the same."""

from ...errors import InputError
from .family import PublishedFamily, Shapes, Values, argument, count_layers, number, shape_of
from .stylegan2 import channel_rule

_GROUP_SIZE = 4
_PIXELS = 16  # of the first feature map


def _detect_generator(shapes: Shapes) -> bool:
    needed = ("formatLayer.module.weight", "toRGBLayers.0.module.weight")
    return all(name in shapes for name in needed)


def _detect_discriminator(shapes: Shapes) -> bool:
    needed = ("fromRGBLayers.0.module.weight", "decisionLayer.module.weight")
    return all(name in shapes for name in needed)


def _infer_generator(shapes: Shapes, init: Values | None, given: Values) -> dict[str, object]:
    first, inputs = shape_of(shapes, "formatLayer.module.weight", 2)
    channels = {4: first // _PIXELS}
    for level in range(count_layers(shapes, "scaleLayers.{}.0.module.weight")):
        channels[8 << level] = shape_of(shapes, f"scaleLayers.{level}.0.module.weight", 4)[0]
    base, maximum = channel_rule(channels, init, given)
    c_dim = number("c_dim", argument("c_dim", init, given, 0), whole=True)
    if not isinstance(c_dim, int) or not 0 <= c_dim < inputs:
        raise InputError(f"c_dim should be 0 to {inputs - 1}, got {c_dim}")
    return {
        "z_dim": inputs - c_dim,
        "c_dim": c_dim,
        "img_resolution": max(channels),
        "img_channels": shape_of(shapes, "toRGBLayers.0.module.weight", 4)[0],
        "channel_base": base,
        "channel_max": maximum,
    }


def _infer_discriminator(shapes: Shapes, init: Values | None, given: Values) -> dict[str, object]:
    first, inputs = shape_of(shapes, "groupScaleZero.0.module.weight", 4)[:2]
    channels = {4: first}
    for level in range(count_layers(shapes, "scaleLayers.{}.0.module.weight")):
        channels[8 << level] = shape_of(shapes, f"scaleLayers.{level}.0.module.weight", 4)[0]
    base, maximum = channel_rule(channels, init, given)
    decisions = shape_of(shapes, "decisionLayer.module.weight", 2)[0]
    group_size = argument("mbstd_group_size", init, given, _GROUP_SIZE)
    return {
        "c_dim": 0 if decisions == 1 else decisions,
        "img_resolution": max(channels),
        "img_channels": shape_of(shapes, "fromRGBLayers.0.module.weight", 4)[1],
        "channel_base": base,
        "channel_max": maximum,
        "mbstd_group_size": number("mbstd_group_size", group_size, whole=True, none=True),
        "mbstd_num_channels": inputs - first,
        "mbstd_rule": "zoo",
    }


GENERATOR = PublishedFamily(
    "pggan-generator",
    detect=_detect_generator,
    infer=_infer_generator,
    given=("c_dim", "channel_base", "channel_max"),
)
DISCRIMINATOR = PublishedFamily(
    "pggan-discriminator",
    detect=_detect_discriminator,
    infer=_infer_discriminator,
    given=("channel_base", "channel_max", "mbstd_group_size"),
)
