"""Writes small checkpoint files in the published formats, from our own modules' random weights.

The pickles are made by stand-in modules of our own under the names that published files hold
(`torch_utils.persistence`, `dnnlib.util`); nothing of the originals is used.
"""

import io
import math
import pickle
import sys
import types
from collections import OrderedDict
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

MODULE_SOURCE = "open('ganvas-executed-module-src', 'w').write('x')\n"


def _reconstruct_persistent_obj(meta):
    raise AssertionError("a test must never unpickle its own file with Python's pickle")


_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"


class EasyDict(dict):
    """A dictionary of another class, as the originals use."""


EasyDict.__module__ = "dnnlib.util"


class Persistent:
    """Pickles as a call of `_reconstruct_persistent_obj` with a dictionary."""

    def __init__(self, meta: dict[str, Any]) -> None:
        self.meta = meta

    def __reduce__(self):
        return (_reconstruct_persistent_obj, (EasyDict(self.meta),))


@contextmanager
def published_modules():
    """Put the stand-in modules where pickle looks names up, for writing only."""
    made = {name: types.ModuleType(name) for name in (
        "torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util"
    )}  # fmt: skip
    vars(made["torch_utils.persistence"])["_reconstruct_persistent_obj"] = (
        _reconstruct_persistent_obj
    )
    vars(made["dnnlib.util"])["EasyDict"] = EasyDict
    sys.modules.update(made)
    try:
        yield
    finally:
        for name in made:
            sys.modules.pop(name, None)


CLASS_NAMES = {"FullyConnectedLayer": "FullyConnectedLayer", "Generator": "Generator"}


def persistent(module: nn.Module, init: dict[str, Any] | None = None, **attributes) -> Persistent:
    """A module of ours as the published files hold it."""
    plain = {
        key: value
        for key, value in vars(module).items()
        if not key.startswith("_") and isinstance(value, (int, float, str, type(None)))
    }
    state: dict[str, Any] = {
        "training": False,
        "_parameters": OrderedDict(module._parameters),
        "_buffers": OrderedDict(module._buffers),
        "_non_persistent_buffers_set": set(),
        "_backward_hooks": OrderedDict(),
        "_modules": OrderedDict((k, persistent(v)) for k, v in module._modules.items() if v),
        "_init_args": (),
        "_init_kwargs": EasyDict(init or {}),
        **plain,
        **attributes,
    }
    return Persistent(
        {
            "type": "class",
            "version": 6,
            "module_src": MODULE_SOURCE,
            "class_name": type(module).__name__,
            "state": state,
        }
    )


def generator_init(config: dict[str, Any], *, flat: bool = False) -> dict[str, Any]:
    """The published constructor's arguments of one of our StyleGAN2 generators."""
    outer = {k: config[k] for k in ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")}
    inner = {k: config[k] for k in ("channel_base", "channel_max", "conv_clamp", "architecture")}
    mapping = EasyDict(num_layers=config["num_mapping_layers"])
    if flat:
        return {**outer, **inner, "mapping_kwargs": mapping, "fused_modconv_default": "x"}
    return {**outer, "mapping_kwargs": mapping, "synthesis_kwargs": EasyDict(inner)}


def discriminator_init(config: dict[str, Any]) -> dict[str, Any]:
    """The published constructor's arguments of one of our StyleGAN2 discriminators."""
    outer = ("c_dim", "img_resolution", "img_channels", "channel_base", "channel_max")
    return {
        **{key: config[key] for key in (*outer, "architecture", "conv_clamp")},
        "block_kwargs": EasyDict(freeze_layers=0),
        "mapping_kwargs": EasyDict(),
        "epilogue_kwargs": EasyDict(mbstd_group_size=config["mbstd_group_size"]),
    }


def write_pickle(path: Path, value: Any, protocol: int = 4) -> Path:
    """Pickle `value` under the published names."""
    with published_modules():
        path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


def stylegan_pickle(path: Path, g, d=None, g_ema=None, *, protocol: int = 4, flat=False) -> Path:
    """A StyleGAN2-ADA `.pkl` of our networks."""
    from dataclasses import asdict

    value: dict[str, Any] = {"training_set_kwargs": EasyDict(path="faces.zip", max_size=10)}
    for key, network in (("G", g), ("D", d), ("G_ema", g_ema)):
        if network is None:
            value[key] = None
        elif key == "D":
            value[key] = persistent(network, discriminator_init(asdict(network.config)))
        else:
            value[key] = persistent(network, generator_init(asdict(network.config), flat=flat))
    value["augment_pipe"] = None
    return write_pickle(path, value, protocol)


def rosinality_generator(generator) -> dict[str, Tensor]:
    """The state dict that rosinality's generator of the same function would have."""
    own = generator.state_dict()
    levels = len(generator.synthesis.block_resolutions) - 1
    kernel = own["synthesis.b4.resample_filter"]
    result = {}
    for i in range(generator.config.num_mapping_layers):
        for part in ("weight", "bias"):
            result[f"style.{i + 1}.{part}"] = own[f"mapping.fc{i}.{part}"]
    result["input.input"] = own["synthesis.b4.const"][None]

    def styled(target: str, source: str, noise: int, up: bool = False) -> None:
        weight = own[f"{source}.weight"]
        result[f"{target}.conv.weight"] = (weight * math.sqrt(weight[0].numel()))[None]
        if up:
            result[f"{target}.conv.blur.kernel"] = kernel * 4
        for part in ("weight", "bias"):
            result[f"{target}.conv.modulation.{part}"] = own[f"{source}.affine.{part}"]
        result[f"{target}.noise.weight"] = own[f"{source}.noise_strength"].reshape(1)
        result[f"{target}.activate.bias"] = own[f"{source}.bias"]
        result[f"noises.noise_{noise}"] = own[f"{source}.noise_const"][None, None]

    def rgb(target: str, source: str) -> None:
        result[f"{target}.bias"] = own[f"{source}.bias"].reshape(1, -1, 1, 1)
        result[f"{target}.conv.weight"] = own[f"{source}.weight"][None]
        for part in ("weight", "bias"):
            result[f"{target}.conv.modulation.{part}"] = own[f"{source}.affine.{part}"]

    styled("conv1", "synthesis.b4.conv1", 0)
    rgb("to_rgb1", "synthesis.b4.torgb")
    for level in range(levels):
        block = f"synthesis.b{8 * 2**level}"
        styled(f"convs.{2 * level}", f"{block}.conv0", 2 * level + 1, up=True)
        styled(f"convs.{2 * level + 1}", f"{block}.conv1", 2 * level + 2)
        result[f"to_rgbs.{level}.upsample.kernel"] = kernel * 4
        rgb(f"to_rgbs.{level}", f"{block}.torgb")
    return {key: value.clone() for key, value in result.items()}


def rosinality_discriminator(discriminator) -> dict[str, Tensor]:
    """The state dict that rosinality's discriminator of the same function would have."""
    own = discriminator.state_dict()
    size = discriminator.config.img_resolution
    kernel = own[f"b{size}.resample_filter"]
    result = {
        "convs.0.0.weight": own[f"b{size}.fromrgb.weight"],
        "convs.0.1.bias": own[f"b{size}.fromrgb.bias"],
    }
    for level, resolution in enumerate(discriminator.block_resolutions):
        block, target = f"b{resolution}", f"convs.{level + 1}"
        result[f"{target}.conv1.0.weight"] = own[f"{block}.conv0.weight"]
        result[f"{target}.conv1.1.bias"] = own[f"{block}.conv0.bias"]
        result[f"{target}.conv2.0.kernel"] = kernel
        result[f"{target}.conv2.1.weight"] = own[f"{block}.conv1.weight"]
        result[f"{target}.conv2.2.bias"] = own[f"{block}.conv1.bias"]
        result[f"{target}.skip.0.kernel"] = kernel
        result[f"{target}.skip.1.weight"] = own[f"{block}.skip.weight"]
    result["final_conv.0.weight"] = own["b4.conv.weight"]
    result["final_conv.1.bias"] = own["b4.conv.bias"]
    for index, name in enumerate(("fc", "out")):
        for part in ("weight", "bias"):
            result[f"final_linear.{index}.{part}"] = own[f"b4.{name}.{part}"]
    return {key: value.clone() for key, value in result.items()}


def legacy_bytes(value: Any) -> bytes:
    """What torch.save wrote before PyTorch 1.6."""
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()
