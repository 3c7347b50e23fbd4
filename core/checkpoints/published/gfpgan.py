"""GFPGAN 1.2 to 1.4 ("clean"): our names are the same."""

from ...errors import InputError
from .family import PublishedFamily, Shapes, Values, argument, count_layers, shape_of

_CHANNELS = 512  # of the decoder up to 32 px, where `narrow` is 1
_UNET_BASE = 8192  # channels of the U-Net times size, where `narrow` and the multiplier are 1
_PLAIN_SIZE = 32  # up to here, channels do not depend on the multiplier
_MULTIPLIER = 2


def _detect(shapes: Shapes) -> bool:
    if "condition_scale.0.0.weight" not in shapes:
        return False
    return any(name.startswith("stylegan_decoder.") for name in shapes)


def _infer(shapes: Shapes, init: Values | None, given: Values) -> dict[str, object]:
    if any(name.endswith(".activate.bias") for name in shapes):
        raise InputError(
            "this is the GFPGAN of the paper (version 1), which is not supported; "
            "versions 1.2, 1.3 and 1.4 are"
        )
    rises = count_layers(shapes, "conv_body_up.{}.conv1.weight")
    size = 2 ** (rises + 2)
    modulation = "stylegan_decoder.style_conv1.modulated_conv.modulation.weight"
    features = shape_of(shapes, modulation, 2)[1]
    narrow = shape_of(shapes, "stylegan_decoder.constant_input.weight", 4)[1] / _CHANNELS
    rows = shape_of(shapes, "final_linear.weight", 2)[0]
    multiplier = argument("channel_multiplier", init, given, _MULTIPLIER)
    if size > _PLAIN_SIZE:
        first = shape_of(shapes, "conv_body_first.weight", 4)[0]
        multiplier = round(first * size / (_UNET_BASE * narrow))
    lowest = shape_of(shapes, "conv_body_up.0.conv2.weight", 4)[0]
    return {
        "out_size": size,
        "num_style_feat": features,
        "channel_multiplier": multiplier,
        "num_mlp": sum(f"stylegan_decoder.style_mlp.{i}.weight" in shapes for i in range(1, 129)),
        "input_is_latent": argument("input_is_latent", init, given, True),
        "different_w": rows != features,
        "narrow": narrow,
        "sft_half": shape_of(shapes, "condition_scale.0.2.weight", 4)[0] == lowest,
    }


GFPGAN = PublishedFamily(
    "gfpgan", detect=_detect, infer=_infer, given=("input_is_latent", "channel_multiplier")
)
