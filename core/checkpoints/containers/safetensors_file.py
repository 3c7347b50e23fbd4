"""Safetensors files as containers: the header is checked by `..header`, tensors are read here."""

from __future__ import annotations

from ...errors import InputError
from ..header import Header
from .source import Blob, Source
from .tensors import DTYPES, LazyTensor, whole_tensor

FORMAT = "safetensors"


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
