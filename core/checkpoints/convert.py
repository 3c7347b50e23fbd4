"""Turns any checkpoint that loads into a ganvas `.safetensors`, and proves that it is the same."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError, OperationError
from ..files import check_output_file
from .finding import resolve_model
from .model import Model, load_model
from .registry import architecture
from .saving import save

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_SUFFIX = ".safetensors"
_SIZES = (64, 256, 512)  # sides tried for networks whose config names none
_CHANNEL_KEYS = ("img_channels", "in_channels", "num_in_ch", "input_nc", "num_in_channels", "in_ch")


@dataclass(frozen=True)
class Conversion:
    """What was written and how near it is to the original.

    Attributes:
        arch: architecture of the network that was written.
        weights_equal: every weight of the written file is bit-equal to the original's.
        output_difference: largest absolute difference of the two networks' outputs for the same
            seeded input, or None where no input for the network is known.
        output_range: largest absolute output of the original, the scale of that difference.
    """

    path: Path
    arch: str
    dtype: str
    parameters: int
    weights_equal: bool
    output_difference: float | None
    output_range: float | None

    def as_text(self) -> str:
        """One line for a terminal."""
        weights = "weights bit-equal" if self.weights_equal else f"weights rounded to {self.dtype}"
        if self.output_difference is None:
            outputs = "outputs not compared (no sample input is known for this network)"
        else:
            outputs = (
                f"outputs differ by at most {self.output_difference:.3g} "
                f"(of up to {self.output_range:.3g})"
            )
        return f"{self.path}: {self.arch}, {self.parameters:,} parameters; {weights}; {outputs}"


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    dtype: str = "fp32",
    network: str | None = None,
    given: Mapping[str, object] | None = None,
) -> Conversion:
    """Write one network of `source` as a ganvas file, read it back, and compare the two.

    Args:
        source: a checkpoint or the name of a model, as `load` takes it.
        target: the `.safetensors` to write, whole or not at all.
        dtype: "fp32" keeps every weight, "bf16" and "fp16" round them.
        network: as in `load`.
        given: as in `load`.

    Raises:
        InputError: `source` does not load, `target` cannot be written, or `dtype` cannot hold the
            weights.
        OperationError: what was read back is not what was written.
    """
    path, original = Path(target), resolve_model(source)
    if dtype not in DTYPES:
        raise InputError(f"convert: expected a dtype of {', '.join(DTYPES)}, got {dtype!r}")
    if path.suffix != _SUFFIX:
        raise InputError(f"convert: expected an output named *{_SUFFIX}, got {path.name}")
    if path.exists() and original.exists() and path.samefile(original):
        raise InputError(f"convert: {path} is the input itself")
    check_output_file(path)
    model = load_model(original, "cpu", network, given or {})
    module = module_of(model)
    number = DTYPES[dtype]
    tensors = {
        name: tensor.to(number) if tensor.is_floating_point() else tensor
        for name, tensor in module.state_dict().items()
    }
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"convert: {name} holds numbers too large for {dtype}")
    extra = {"source.sha256": model.sha256, "source.format": model.format}
    if model.licence:
        extra["licence"] = model.licence
    notes = [note for note in model.notes if not note.startswith("discriminator: ")]
    if notes:  # of the network that is written, which is the first one
        extra["notes"] = "; ".join(notes)
    save(
        path,
        arch=model.arch,
        config=model.config,
        tensors=tensors,
        training=model.training,
        extra=extra,
    )
    again = load_model(path, "cpu", None, {})
    copy = module_of(again)
    for name, tensor in copy.state_dict().items():
        if not torch.equal(tensor, tensors[name].to(tensor.dtype)):
            path.unlink()
            raise OperationError(f"{path}: {name} was not read back as it was written; removed")
    weights_equal = all(
        torch.equal(a, b)
        for a, b in zip(module.state_dict().values(), copy.state_dict().values(), strict=True)
    )
    difference = _difference(model, module, copy)
    return Conversion(
        path=path,
        arch=model.arch,
        dtype=dtype,
        parameters=sum(tensor.numel() for tensor in tensors.values()),
        weights_equal=weights_equal,
        output_difference=None if difference is None else difference[0],
        output_range=None if difference is None else difference[1],
    )


def module_of(model: Model) -> nn.Module:
    """The first network of a model, the one that `arch` names."""
    modules = {
        "generator": model.generator,
        "network": model.network,
        "discriminator": model.discriminator,
    }
    module = modules[architecture(model.arch).role]
    assert module is not None
    return module


@torch.no_grad()
def _difference(model: Model, first: nn.Module, second: nn.Module) -> tuple[float, float] | None:
    """Largest difference of the outputs for one seeded input, and the largest output."""
    if first is model.generator and isinstance(model.config.get("z_dim"), int):
        inputs = [_generator_inputs(model.config)]
    else:
        inputs = _image_inputs(model.config)
    for arguments in inputs:
        try:
            expected, found = _tensor(first(*arguments)), _tensor(second(*arguments))
        except (LookupError, RuntimeError, TypeError, ValueError):
            continue  # an input of another size may be what the network takes
        if expected is not None and found is not None:
            return float((expected - found).abs().max()), float(expected.abs().max())
    return None


def _generator_inputs(config: Mapping[str, object]) -> tuple[Tensor, ...]:
    z_dim, c_dim = config["z_dim"], config.get("c_dim", 0)
    assert isinstance(z_dim, int)
    z = _drawn(1, z_dim)
    return (z, torch.eye(c_dim)[:1]) if isinstance(c_dim, int) and c_dim else (z,)


def _image_inputs(config: Mapping[str, object]) -> list[tuple[Tensor, ...]]:
    channels = next((v for k in _CHANNEL_KEYS if isinstance(v := config.get(k), int)), 3)
    sizes = [config.get(key) for key in ("img_resolution", "out_size", "img_size")]
    known = [size for size in sizes if isinstance(size, int)]
    c_dim = config.get("c_dim", 0)
    label = (torch.eye(c_dim)[:1],) if isinstance(c_dim, int) and c_dim else ()
    return [
        (_drawn(1, channels, size, size).clamp(-1, 1), *label) for size in (*known[:1], *_SIZES)
    ]


def _drawn(*shape: int) -> Tensor:
    return torch.as_tensor(np.random.RandomState(0).randn(*shape), dtype=torch.float32)


def _tensor(output: object) -> Tensor | None:
    if isinstance(output, (tuple, list)):
        items = cast("list[object]", output)
        output = items[0] if items else None
    return output if isinstance(output, Tensor) else None
