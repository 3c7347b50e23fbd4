"""Writing ganvas model files: `.safetensors` with four metadata entries.

`ganvas.format` is "1", `ganvas.arch` an id of the registry, `ganvas.config` the JSON object its
builder takes, `ganvas.training` a JSON object about the run (preset, kimg, data hash, licence). A
file of several networks also names them, see `containers.safetensors_file.NETWORKS`.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor

from ..files import atomic_path
from .containers.safetensors_file import NETWORKS
from .containers.tensors import DTYPE_NAMES
from .header import encode_header
from .registry import architecture

FORMAT = "1"


def save(
    path: str | os.PathLike[str],
    *,
    arch: str,
    config: Mapping[str, object],
    tensors: Mapping[str, Tensor],
    training: Mapping[str, object],
    extra: Mapping[str, str] | None = None,
    networks: Sequence[str] = (),
) -> None:
    """Write a ganvas model file, whole or not at all; the same content always gives the same bytes.

    `tensors` is a state dict (any device; shared memory is written out twice). `extra` adds
    metadata entries, whose keys must not start with "ganvas.". For several networks of one config,
    `networks` are their names, first the one to load by default, and the tensors of each begin
    with its name and a dot.

    Raises:
        InputError: unknown `arch`.
        ValueError: a tensor is not finite or of a dtype that cannot be stored, config or training
            are not plain JSON, or `extra` uses a reserved key.
    """
    architecture(arch)
    metadata = {
        "ganvas.format": FORMAT,
        "ganvas.arch": arch,
        "ganvas.config": _dump(config, "config"),
        "ganvas.training": _dump(training, "training"),
    }
    for key, text in (extra or {}).items():
        if key.startswith("ganvas."):
            raise ValueError(f"save: extra metadata key {key!r} is reserved")
        metadata[key] = text
    if networks:
        metadata[NETWORKS] = ",".join(networks)
    write_tensors(path, tensors, metadata)


def write_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file, whole or not at all; the same content always gives the same bytes.

    Raises:
        ValueError: a tensor is not finite or of a dtype that cannot be stored.
    """
    layout: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPE_NAMES:
            raise ValueError(f"save: tensor {name!r} has dtype {tensor.dtype}, which is not stored")
        if not is_finite(tensor):
            raise ValueError(f"save: {name} holds NaN or infinite weights")
        layout[name] = (DTYPE_NAMES[tensor.dtype], tuple(tensor.shape))
    header, order = encode_header(layout, metadata)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(header)
        for name in order:
            flat = tensors[name].detach().to("cpu").contiguous().reshape(-1)
            file.write(cast("bytearray", flat.view(torch.uint8).numpy()))


def is_finite(tensor: Tensor) -> bool:
    """Whether a tensor holds neither NaN nor infinity."""
    if not tensor.is_floating_point():
        return True
    values = tensor.detach()
    if values.dtype.itemsize == 1:  # float8 has no isfinite
        values = values.to(torch.float16)
    return bool(torch.isfinite(values).all())


def _dump(value: Mapping[str, object], what: str) -> str:
    try:
        return json.dumps(dict(value), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"save: {what} must be plain JSON ({error})") from error
