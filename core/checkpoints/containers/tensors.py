"""Tensors that are described but not yet read, whatever container they lie in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import InputError
from .source import Blob

MAX_RANK = 16

DTYPES: dict[str, torch.dtype] = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}
"""The dtypes that can be read, by their safetensors names."""

DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}

STORAGES: dict[str, str] = {
    "BoolStorage": "BOOL",
    "ByteStorage": "U8",
    "CharStorage": "I8",
    "ShortStorage": "I16",
    "IntStorage": "I32",
    "LongStorage": "I64",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "FloatStorage": "F32",
    "DoubleStorage": "F64",
    "UntypedStorage": "U8",
}
"""PyTorch's storage classes, by the dtype of their numbers."""


@dataclass(eq=False)
class Storage:
    """A run of numbers in a file, which tensors are cut from; `data` follows when it is known."""

    dtype: str
    count: int
    data: Blob | None = None

    @property
    def item_bytes(self) -> int:
        """Bytes of one number."""
        return DTYPES[self.dtype].itemsize

    def place(self, data: Blob) -> None:
        """Say where the numbers lie.

        Raises:
            InputError: they do not fill that stretch exactly.
        """
        if data.length != self.count * self.item_bytes:
            raise InputError(
                f"a storage of {self.count} {self.dtype} numbers lies in {data.length} bytes"
            )
        self.data = data


@dataclass(frozen=True, eq=False)
class LazyTensor:
    """A tensor in a file: `read` makes it, as often as it is called."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def dtype(self) -> str:
        """Safetensors name of the dtype."""
        return self.storage.dtype

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor that `read` makes."""
        return self.count * self.storage.item_bytes

    def read(self) -> Tensor:
        """Read the numbers into memory of their own, contiguous.

        Raises:
            InputError: they are not in the file.
        """
        data, size = self.storage.data, self.storage.item_bytes
        if data is None:
            raise InputError("a tensor's numbers are missing from the file")
        dtype = DTYPES[self.dtype]
        if not self.count:
            return torch.empty(self.shape, dtype=dtype)
        span = _span(self.shape, self.stride)
        start = data.offset + self.offset * size
        flat = data.source.read_tensor(start, span * size).view(dtype)
        if _is_contiguous(self.shape, self.stride):
            return flat.reshape(self.shape)
        return flat.as_strided(self.shape, self.stride).contiguous()


def make_tensor(storage: object, offset: object, shape: object, stride: object) -> LazyTensor:
    """A tensor of a pickled description, none of whose numbers is believed.

    Raises:
        InputError: it does not lie inside its storage, or has more elements than it.
    """
    sizes, steps = _naturals(shape), _naturals(stride)
    if not isinstance(storage, Storage) or not _is_natural(offset) or sizes is None:
        raise InputError("the file describes a tensor in an unknown way")
    if steps is None or len(steps) != len(sizes) or len(sizes) > MAX_RANK:
        raise InputError(f"the file describes a tensor of shape {list(sizes)[:MAX_RANK]} wrongly")
    assert isinstance(offset, int)
    count = math.prod(sizes)
    if count and (offset + _span(sizes, steps) > storage.count or count > storage.count):
        raise InputError(f"a tensor of shape {list(sizes)} does not fit into its storage")
    return LazyTensor(storage, offset, sizes, steps)


def whole_tensor(dtype: str, shape: tuple[int, ...], data: Blob) -> LazyTensor:
    """A contiguous tensor that fills `data`."""
    storage = Storage(dtype, math.prod(shape))
    storage.place(data)
    stride = tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
    return LazyTensor(storage, 0, shape, stride)


def check_total(tensors: Mapping[str, LazyTensor], file_bytes: int) -> None:
    """Refuse tensors that overlap so much that reading them would take far more than the file.

    Raises:
        InputError: they do.
    """
    total = sum(tensor.nbytes for tensor in tensors.values())
    if total > 2 * file_bytes:
        raise InputError(f"a file of {file_bytes} bytes announces {total} bytes of tensors")


def _span(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """Numbers from the first element of a tensor to its last."""
    return 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))


def _is_contiguous(shape: tuple[int, ...], stride: tuple[int, ...]) -> bool:
    expected = 1
    for size, step in zip(reversed(shape), reversed(stride), strict=True):
        if size != 1 and step != expected:
            return False
        expected *= size
    return True


def _is_natural(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def _naturals(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, (tuple, list)):
        return None
    numbers: list[int] = []
    for item in value:  # pyright: ignore[reportUnknownVariableType]
        if not isinstance(item, int) or not _is_natural(item):
            return None
        numbers.append(item)
    return tuple(numbers)
