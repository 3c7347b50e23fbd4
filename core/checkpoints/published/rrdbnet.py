"""ESRGAN and Real-ESRGAN in the three spellings of their files."""

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from ...errors import InputError
from .family import PublishedFamily, Shapes, Values, argument, count_layers, shape_of

_FIRST_BLOCKS = (
    "body.0.rdb1.conv1.weight",
    "RRDB_trunk.0.RDB1.conv1.weight",
    "model.1.sub.0.RDB1.conv1.0.weight",
)
_UNSHUFFLES = (4, 2)
_TRUNK = {"trunk_conv": "conv_body", "HRconv": "conv_hr"}
_TRUNK_BLOCK = re.compile(r"RRDB_trunk\.(\d+)\.RDB(\d)\.(conv\d)\.(\w+)")
_MODEL_BLOCK = re.compile(r"model\.1\.sub\.(\d+)\.RDB(\d)\.(conv\d)\.0\.(\w+)")
_MODEL_BODY_END = re.compile(r"model\.1\.sub\.\d+\.(weight|bias)")
_MODEL_LAYER = re.compile(r"model\.(\d+)\.(weight|bias)")


def our_names(names: Iterable[str]) -> dict[str, str]:
    """Published names to ours; what belongs to no spelling keeps its name."""
    names = list(names)
    after = sorted(
        {int(m[1]) for name in names if (m := _MODEL_LAYER.fullmatch(name)) and int(m[1]) > 1}
    )
    # Layers that enlarge, then two more; layers without weights have numbers too.
    layers = {0: "conv_first"}
    for index, number in enumerate(after):
        last = len(after) - 1 - index
        layers[number] = {0: "conv_last", 1: "conv_hr"}.get(last, f"conv_up{index + 1}")
    return {name: _our_name(name, layers) for name in names}


def _our_name(name: str, layers: Mapping[int, str]) -> str:
    block = _TRUNK_BLOCK.fullmatch(name) or _MODEL_BLOCK.fullmatch(name)
    if block is not None:
        return f"body.{block[1]}.rdb{block[2]}.{block[3]}.{block[4]}"
    if end := _MODEL_BODY_END.fullmatch(name):
        return f"conv_body.{end[1]}"
    if layer := _MODEL_LAYER.fullmatch(name):
        return f"{layers.get(int(layer[1]), layer[1])}.{layer[2]}"
    owner, _, kind = name.rpartition(".")
    return f"{_TRUNK.get(owner, owner.replace('upconv', 'conv_up'))}.{kind}"


def _detect(shapes: Shapes) -> bool:
    return any(name in shapes for name in _FIRST_BLOCKS)


def _infer(shapes: Shapes, init: Values | None, given: Values) -> dict[str, object]:
    if any(name.endswith("conv1x1.weight") for name in shapes):
        raise InputError("ESRGAN+ networks (with conv1x1 layers) are not supported")
    ours = our_names(shapes)
    known = {ours[name]: shape for name, shape in shapes.items()}
    num_feat, inputs = shape_of(known, "conv_first.weight", 4)[:2]
    out_channels = shape_of(known, "conv_last.weight", 4)[0]
    likely = next((u for u in _UNSHUFFLES if inputs == out_channels * u**2), 1)
    unshuffle = argument("unshuffle", init, given, likely)
    if not isinstance(unshuffle, int) or unshuffle not in (1, *_UNSHUFFLES):
        raise InputError(f"unshuffle must be 1, 2 or 4, got {unshuffle}")
    enlarged = 2 ** count_layers(known, "conv_up{}.weight", start=1)
    if inputs % unshuffle**2 or enlarged % unshuffle:
        raise InputError(
            f"unshuffle={unshuffle} does not fit {inputs} input channels and "
            f"an enlargement by {enlarged}"
        )
    return {
        "in_channels": inputs // unshuffle**2,
        "out_channels": out_channels,
        "scale": enlarged // unshuffle,
        "unshuffle": unshuffle,
        "num_feat": num_feat,
        "num_block": count_layers(known, "body.{}.rdb1.conv1.weight"),
        "num_grow_ch": shape_of(known, "body.0.rdb1.conv1.weight", 4)[0],
    }


def _translate(tensors: Mapping[str, Tensor], config: Values) -> dict[str, Tensor]:
    ours = our_names(tensors)
    return {ours[name]: tensor for name, tensor in tensors.items()}


RRDBNET = PublishedFamily(
    "rrdbnet", detect=_detect, infer=_infer, translate=_translate, given=("unshuffle",)
)
