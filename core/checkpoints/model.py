"""Loading and saving ganvas model files: `.safetensors` with four metadata entries.

`ganvas.format` is "1", `ganvas.arch` an id of the registry, `ganvas.config` the JSON object its
builder takes, `ganvas.training` a JSON object about the run (preset, kimg, data hash, licence). No
code from a file is ever run.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..devices import open_device
from ..errors import InputError
from ..files import atomic_path
from .header import Header, check_model_file, encode_header, parse_object, read_header
from .identify import identify
from .registry import Architecture, architecture

FORMAT = "1"
_DTYPE_NAMES: dict[torch.dtype, str] = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.int16: "I16",
    torch.int32: "I32",
    torch.int64: "I64",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float32: "F32",
    torch.float64: "F64",
}
_DTYPES = {name: dtype for dtype, name in _DTYPE_NAMES.items()}
_CHUNK = 1 << 20


@dataclass
class Model:
    """A loaded model file.

    Exactly the fields that the file has are set among `generator` (StyleGAN calling convention),
    `discriminator` and `network` (anything else). Modules are float32, in evaluation mode, without
    gradients; call `.requires_grad_()` to train them. Images are [N, C, H, W] in `image_range`,
    channels in `channel_order`. `sha256` is the hash of the file.
    """

    arch: str
    config: dict[str, object]
    metadata: dict[str, str]
    sha256: str
    path: Path
    generator: nn.Module | None = None
    discriminator: nn.Module | None = None
    network: nn.Module | None = None
    image_range: tuple[float, float] = (-1.0, 1.0)
    channel_order: str = "RGB"

    @property
    def training(self) -> dict[str, object]:
        """What the file says about its training run; empty when it says nothing."""
        return parse_object(self.metadata.get("ganvas.training", "{}"), "ganvas.training")


@dataclass(frozen=True)
class Contents:
    """The checked, still unbuilt contents of a ganvas file."""

    header: Header
    architecture: Architecture
    config: dict[str, object]
    training: dict[str, object]


def load(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Model:
    """Load a ganvas `.safetensors` model onto `device`.

    Raises:
        InputError: the file is missing, damaged, of another kind, of an unknown architecture, holds
            weights that do not fit its config or are not finite; or `device` is not available.
    """
    file = Path(path)
    target = open_device(device)
    contents = read_contents(file)
    module = _build(contents, file)
    tensors = _read_finite(file, contents.header)
    module.load_state_dict(tensors)
    module.eval().requires_grad_(False).to(target)
    entry = contents.architecture
    return Model(
        arch=entry.id,
        config=contents.config,
        metadata=contents.header.metadata,
        sha256=file_hash(file),
        path=file,
        generator=module if entry.role == "generator" else None,
        network=module if entry.role == "network" else None,
        image_range=entry.image_range,
        channel_order=entry.channel_order,
    )


def save(
    path: str | os.PathLike[str],
    *,
    arch: str,
    config: Mapping[str, object],
    tensors: Mapping[str, Tensor],
    training: Mapping[str, object],
    extra: Mapping[str, str] | None = None,
) -> None:
    """Write a ganvas model file, whole or not at all; the same content always gives the same bytes.

    `tensors` is a state dict (any device; shared memory is written out twice). `extra` adds
    metadata entries, whose keys must not start with "ganvas.".

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
    layout: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name, tensor in tensors.items():
        if tensor.dtype not in _DTYPE_NAMES:
            raise ValueError(f"save: tensor {name!r} has dtype {tensor.dtype}, which is not stored")
        if not _is_finite(tensor):
            raise ValueError(f"save: {name} holds NaN or infinite weights")
        layout[name] = (_DTYPE_NAMES[tensor.dtype], tuple(tensor.shape))
    header, order = encode_header(layout, metadata)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(header)
        for name in order:
            flat = tensors[name].detach().to("cpu").contiguous().reshape(-1)
            file.write(flat.view(torch.uint8).numpy().tobytes())


def read_contents(file: Path) -> Contents:
    """Read and check everything about a ganvas file but its weights.

    Raises:
        InputError: as `load`.
    """
    header = open_header(file)
    metadata = header.metadata
    if "ganvas.format" not in metadata:
        raise InputError(
            f"{file}: this is a safetensors file without ganvas metadata; "
            "this version loads ganvas models only"
        )
    if metadata["ganvas.format"] != FORMAT:
        raise InputError(
            f"{file}: ganvas format {metadata['ganvas.format'][:20]!a}, expected {FORMAT}; "
            "a newer ganvas may be needed"
        )
    for key in ("ganvas.arch", "ganvas.config"):
        if key not in metadata:
            raise InputError(f"{file}: metadata {key} is missing")
    try:
        entry = architecture(metadata["ganvas.arch"])
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    config = parse_object(metadata["ganvas.config"], f"{file}: ganvas.config")
    training = parse_object(metadata.get("ganvas.training", "{}"), f"{file}: ganvas.training")
    return Contents(header, entry, config, training)


def open_header(file: Path) -> Header:
    """Read the header, naming what the file seems to be when it is no safetensors file.

    Raises:
        InputError: not a readable, consistent safetensors file.
    """
    check_model_file(file)
    try:
        kind = identify(file)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from error
    if kind is not None:
        raise InputError(f"{file}: this is {kind}; this version loads ganvas .safetensors models")
    return read_header(file)


def read_tensors(file: Path, header: Header) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a file whose header has been checked, one at a time.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with cast("AbstractContextManager[Any]", safe_open(file, framework="pt")) as reader:
            for name in header.tensors:
                yield name, reader.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file}: cannot be read ({error})") from error


def file_hash(file: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _build(contents: Contents, file: Path) -> nn.Module:
    """Build the network after comparing its shapes, without memory behind them, with the file's."""
    try:
        with torch.device("meta"):
            expected = contents.architecture(contents.config).state_dict()
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    _check_fit(expected, contents, file)
    state = torch.get_rng_state()
    try:
        return contents.architecture(contents.config)
    finally:
        torch.set_rng_state(state)  # initialisation must not disturb the caller's random numbers


def _check_fit(expected: Mapping[str, Tensor], contents: Contents, file: Path) -> None:
    found = contents.header.tensors
    arch = contents.architecture.id
    missing = [name for name in expected if name not in found]
    if missing:
        raise InputError(f"{file}: {arch} needs {_list(missing)}, which the file lacks")
    surplus = [name for name in found if name not in expected]
    if surplus:
        raise InputError(f"{file}: {arch} has no place for {_list(surplus)}")
    for name, tensor in expected.items():
        info = found[name]
        if info.shape != tuple(tensor.shape):
            raise InputError(
                f"{file}: {name} should have shape {list(tensor.shape)} by its config, "
                f"got {list(info.shape)}"
            )
        dtype = _DTYPES.get(info.dtype)
        if dtype is None or dtype.is_floating_point != tensor.dtype.is_floating_point:
            raise InputError(f"{file}: {name} should hold {tensor.dtype} numbers, got {info.dtype}")


def _read_finite(file: Path, header: Header) -> dict[str, Tensor]:
    tensors = dict(read_tensors(file, header))
    for name, tensor in tensors.items():
        if not _is_finite(tensor):
            raise InputError(f"{file}: {name} holds NaN or infinite weights")
    return tensors


def _is_finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor.detach()).all())


def _dump(value: Mapping[str, object], what: str) -> str:
    try:
        return json.dumps(dict(value), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"save: {what} must be plain JSON ({error})") from error


def _list(names: list[str]) -> str:
    shown = ", ".join(ascii(name[:60]) for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
