"""Safetensors files as containers: the header is checked by `..header`, tensors are read here."""

from __future__ import annotations

from ...errors import InputError
from ..header import Header
from .container import RawNetwork
from .source import Blob, Source
from .tensors import DTYPES, LazyTensor, whole_tensor

FORMAT = "safetensors"
NETWORKS = "ganvas.networks"
"""Metadata of a ganvas file with several networks: their names, separated by commas. The tensors of
each begin with its name and a dot."""
_MAX_NETWORKS = 16


def lazy_tensors(source: Source, header: Header) -> dict[str, LazyTensor]:
    """The tensors of a file whose header has been checked.

    Raises:
        InputError: a dtype that PyTorch cannot compute with.
    """
    result: dict[str, LazyTensor] = {}
    for name, info in header.tensors.items():
        if info.dtype not in DTYPES:
            raise InputError(f"{name[:60]!a} holds {info.dtype} numbers, which are not read")
        data = Blob(source, header.data_start + info.begin, info.end - info.begin)
        result[name] = whole_tensor(info.dtype, info.shape, data)
    return result


def split_networks(tensors: dict[str, LazyTensor], names: str | None) -> dict[str, RawNetwork]:
    """The networks of a file: "network" alone, or those that its metadata name.

    Raises:
        InputError: the names are none, or a tensor belongs to none of them.
    """
    if names is None:
        return {"network": RawNetwork(tensors)}
    parts = names.split(",")
    if (
        len(set(parts)) != len(parts)
        or len(parts) > _MAX_NETWORKS
        or not all(part.isidentifier() for part in parts)
    ):
        raise InputError(f"metadata {NETWORKS} must hold names, got {names[:60]!a}")
    networks = {part: RawNetwork({}) for part in parts}
    for name, tensor in tensors.items():
        owner, _, own = name.partition(".")
        if owner not in networks or not own:
            raise InputError(f"{name[:60]!a} belongs to none of the networks {names[:60]}")
        networks[owner].tensors[own] = tensor
    return networks
