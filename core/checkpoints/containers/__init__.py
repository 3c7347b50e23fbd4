"""Reads model files of every supported container into raw networks; no code of a file is run."""

from __future__ import annotations

from pathlib import Path

from ...errors import InputError
from ..header import check_model_file, read_header
from ..identify import PICKLE_START, identify
from .container import Container, RawNetwork
from .safetensors_file import FORMAT as SAFETENSORS
from .safetensors_file import NETWORKS, lazy_tensors, split_networks
from .source import Source
from .stylegan_pickle import FORMAT as PICKLE
from .stylegan_pickle import read_pickle
from .tensors import LazyTensor, check_total
from .torch_file import (
    LEGACY_FORMAT,
    ZIP_FORMAT,
    is_legacy_stream,
    read_legacy_stream,
    read_zip_archive,
)
from .wrapped import find_networks

__all__ = ["SAFETENSORS", "Container", "LazyTensor", "RawNetwork", "read_container"]


def read_container(path: Path) -> Container:
    """Open a model file: safetensors, a file of torch.save, or a StyleGAN pickle.

    Use it as a `with` block; tensors can be read until its end.

    Raises:
        InputError: not a readable model file; the message begins with `path` and says what it is.
    """
    check_model_file(path)
    try:
        kind = identify(path)
        if kind is not None:
            raise InputError(f"{path}: this is {kind}, not a model file")
        source = Source(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        return _read(source, path)
    except InputError as error:
        source.close()
        text = str(error)
        raise InputError(text if text.startswith(str(path)) else f"{path}: {text}") from error
    except BaseException:
        source.close()
        raise


def _read(source: Source, path: Path) -> Container:
    start = source.read(0, min(16, source.size))
    if start.startswith(b"PK\x03\x04"):
        container = _objects(ZIP_FORMAT, source, read_zip_archive(source))
    elif is_legacy_stream(start):
        container = _objects(LEGACY_FORMAT, source, read_legacy_stream(source))
    elif start[:2] in PICKLE_START and start[8:9] != b"{":
        container = _objects(PICKLE, source, read_pickle(source))
    else:
        header = read_header(path)
        networks = split_networks(lazy_tensors(source, header), header.metadata.get(NETWORKS))
        facts: dict[str, object] = dict(header.metadata)
        container = Container(SAFETENSORS, source, networks, facts)
    for network in container.networks.values():
        check_total(network.tensors, container.file_bytes)
    return container


def _objects(kind: str, source: Source, value: object) -> Container:
    networks, facts = find_networks(value)
    if not networks:
        if facts.get("optimizer"):
            raise InputError("this is the state of an optimizer, which holds no network")
        raise InputError(f"this {kind} holds no network")
    return Container(kind, source, networks, facts)
