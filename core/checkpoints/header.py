"""The safetensors container: its header read with distrust, and written the same every time.

Format (https://huggingface.co/docs/safetensors): 8 bytes little-endian header length, a JSON object
`{name: {dtype, shape, data_offsets: [begin, end]}, "__metadata__": {str: str}}`, then the tensor
bytes without gaps. Everything is checked here before the safetensors library or torch sees the
file.
"""

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from ..errors import InputError
from ..files import check_input_file, kind_of

# Real headers stay below 1 MiB; the library itself allows 100 MB.
MAX_HEADER_BYTES = 16 * 1024 * 1024
MAX_RANK = 8
ITEM_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "I16": 2,
    "U16": 2,
    "F16": 2,
    "BF16": 2,
    "I32": 4,
    "U32": 4,
    "F32": 4,
    "I64": 8,
    "U64": 8,
    "F64": 8,
}


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of a file: `begin` and `end` are byte offsets after the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Header:
    """What a safetensors file says about itself, checked against its length."""

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]
    data_start: int
    file_bytes: int


def read_header(path: Path) -> Header:
    """Read and check the header of the safetensors file `path`.

    Raises:
        InputError: the file cannot be read, is cut short, or its header contradicts itself or the
            file.
    """
    check_model_file(path)
    try:
        with open(path, "rb") as file:
            return _read(file, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def check_model_file(path: Path) -> None:
    """Refuse what is no regular file, before anything opens it.

    Raises:
        InputError: nothing there, a folder, a device or a pipe.
    """
    if kind_of(path) == "nothing there":
        raise InputError(f"{path}: no such file")
    check_input_file(path, "a model file")


def parse_object(text: str, what: str) -> dict[str, object]:
    """Parse JSON that must be one object, refusing duplicate keys, NaN and absurd nesting.

    Raises:
        InputError: starting with `what`.
    """
    try:
        value: object = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what}: not valid JSON ({error})") from None
    if not isinstance(value, dict):
        raise InputError(f"{what}: expected a JSON object, got {type(value).__name__}")
    return cast("dict[str, object]", value)


def encode_header(
    tensors: Mapping[str, tuple[str, tuple[int, ...]]], metadata: Mapping[str, str]
) -> tuple[bytes, list[str]]:
    """Build length prefix and header for `tensors` (name -> dtype, shape); also the data's order.

    Tensors are ordered by item size, largest first, then by name, which keeps each of them aligned.
    The same input gives the same bytes, so a model's hash does not depend on who saved it.
    """
    for name, (dtype, _) in tensors.items():
        if dtype not in ITEM_BYTES:
            raise ValueError(f"save: tensor {name!r} has dtype {dtype}, which safetensors lacks")
    order = sorted(tensors, key=lambda name: (-ITEM_BYTES[tensors[name][0]], name))
    entries: dict[str, object] = {"__metadata__": {key: metadata[key] for key in sorted(metadata)}}
    offset = 0
    for name in order:
        dtype, shape = tensors[name]
        end = offset + math.prod(shape) * ITEM_BYTES[dtype]
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    body = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    body += b" " * (-len(body) % 8)
    return len(body).to_bytes(8, "little") + body, order


def _read(file: BinaryIO, path: Path) -> Header:
    file_bytes = os.fstat(file.fileno()).st_size
    prefix = file.read(8)
    if len(prefix) < 8:
        raise InputError(f"{path}: too short for a safetensors file ({file_bytes} bytes)")
    length = int.from_bytes(prefix, "little")
    if length > MAX_HEADER_BYTES:
        raise InputError(
            f"{path}: header of {length} bytes announced, at most {MAX_HEADER_BYTES} accepted"
        )
    if length < 2 or length > file_bytes - 8:
        raise InputError(
            f"{path}: header of {length} bytes announced in a file of {file_bytes} bytes"
        )
    raw = file.read(length)
    if len(raw) < length:
        raise InputError(f"{path}: file ends inside its header")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path}: header is not UTF-8 text") from None
    entries = parse_object(text, f"{path}: header")
    _check_text(entries, path)
    metadata = _metadata(entries.pop("__metadata__", {}), path)
    tensors = {name: _tensor(name, entry, path) for name, entry in entries.items()}
    _check_layout(tensors, file_bytes - 8 - length, path)
    return Header(tensors, metadata, 8 + length, file_bytes)


def _metadata(value: object, path: Path) -> dict[str, str]:
    if not isinstance(value, dict):
        raise InputError(f"{path}: metadata must be an object, got {type(value).__name__}")
    result: dict[str, str] = {}
    for key, text in cast("dict[str, object]", value).items():
        if not isinstance(text, str):
            raise InputError(
                f"{path}: metadata {_shown(key)} must be text, got {type(text).__name__}"
            )
        result[key] = text
    _check_text([*result, *result.values()], path)
    return result


def _check_text(texts: Iterable[str], path: Path) -> None:
    """JSON escapes can spell half of a surrogate pair, which no terminal or file can take."""
    for text in texts:
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise InputError(f"{path}: header holds text that is not Unicode: {_shown(text)}")


def _tensor(name: str, value: object, path: Path) -> TensorInfo:
    where = f"{path}: tensor {_shown(name)}"
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object, got {type(value).__name__}")
    entry = cast("dict[str, object]", value)
    if set(entry) != {"dtype", "shape", "data_offsets"}:
        raise InputError(
            f"{where}: expected dtype, shape and data_offsets, got {_shown(sorted(entry))}"
        )
    dtype = entry["dtype"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise InputError(f"{where}: unknown dtype {_shown(dtype)}")
    shape = _naturals(entry["shape"], f"{where}: shape")
    if len(shape) > MAX_RANK:
        raise InputError(f"{where}: {len(shape)} dimensions, at most {MAX_RANK} accepted")
    offsets = _naturals(entry["data_offsets"], f"{where}: data_offsets")
    if len(offsets) != 2 or offsets[1] < offsets[0]:
        raise InputError(f"{where}: data_offsets must be [begin, end], got {_shown(list(offsets))}")
    expected = math.prod(shape) * ITEM_BYTES[dtype]
    if offsets[1] - offsets[0] != expected:
        raise InputError(
            f"{where}: {dtype} {_shown(list(shape))} takes {_shown(expected)} bytes, "
            f"its offsets span {_shown(offsets[1] - offsets[0])}"
        )
    return TensorInfo(name, dtype, shape, offsets[0], offsets[1])


def _naturals(value: object, where: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise InputError(f"{where} must be a list, got {type(value).__name__}")
    numbers: list[int] = []
    for item in cast("list[object]", value):
        if not isinstance(item, int) or isinstance(item, bool) or not 0 <= item < 2**63:
            raise InputError(f"{where} must hold whole numbers from 0, got {_shown(item)}")
        numbers.append(item)
    return tuple(numbers)


def _check_layout(tensors: dict[str, TensorInfo], data_bytes: int, path: Path) -> None:
    """The tensors must follow one another without gap or overlap and end where the file ends."""
    position = 0
    for info in sorted(tensors.values(), key=lambda tensor: (tensor.begin, tensor.end)):
        if info.begin != position:
            kind = "overlaps its neighbour" if info.begin < position else "leaves a gap before it"
            raise InputError(f"{path}: tensor {_shown(info.name)} {kind} (offset {info.begin})")
        position = info.end
    if position != data_bytes:
        state = "cut short" if data_bytes < position else "longer than its header says"
        raise InputError(
            f"{path}: file is {state}: {position} bytes of weights announced, {data_bytes} present"
        )


def _shown(value: object) -> str:
    """A short, single-line form of untrusted content for a message."""
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key appears twice")
    return result


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
