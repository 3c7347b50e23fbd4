"""The names that a pickled model may hold, and what stands in for each; nothing else is accepted.

No entry gives access to Python: an entry is a function of this file on plain values, or an inert
class, which keeps its arguments and never acts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import numpy as np

from ...errors import InputError
from ..identify import identify_class
from .machine import RAW_STATE, Budget, Function, Inert, Lookup, as_dict, is_key
from .source import Blob, Source
from .tensors import STORAGES, LazyTensor, Storage, make_tensor

PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"
"""What the networks of a StyleGAN pickle are made by."""

R3GAN = "R3GAN"
"""First word of the class name of R3GAN's networks, whose pickles carry no source."""

_SCALARS = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})
_MAX_ARRAY = 64
_MAX_CLASS_NAME = 200

# Classes whose objects are kept by name: networks' modules, settings, optimizers, callbacks.
_INERT = frozenset(
    {
        "argparse.Namespace",
        "numpy.ndarray",
        "pathlib.PosixPath",
        "pathlib.PurePosixPath",
        "pathlib.WindowsPath",
        "torch.Tensor",
        "torch._C.Generator",
        "torch._C._nn.gelu",
        "torch._C._nn.silu",
        "torch.device",
        "torch.nn.functional.relu",
        "torch.nn.functional.silu",
        "torch.nn.functional.gelu",
        "torch.nn.functional.leaky_relu",
        "torch.nn.parameter.Buffer",
        "torch.nn.parameter.Parameter",
        "torch.serialization._get_layout",
        "types.SimpleNamespace",
        *(f"torch.{name}" for name in ("float16", "float32", "float64", "bfloat16", "half")),
        *(f"torch.{name}" for name in ("int8", "int16", "int32", "int64", "uint8", "bool")),
        *(f"torch.{name}" for name in ("float", "double", "long", "strided", "channels_last")),
        *(f"torch.{name}" for name in ("contiguous_format", "preserve_format")),
        *(
            f"{module}.{name}"
            for module in ("builtins", "__builtin__")
            for name in ("bool", "bytes", "complex", "float", "int", "object", "slice", "str")
        ),
    }
)
_INERT_MODULES = (
    "R3GAN.",
    "legacy.R3GAN.",
    "lightning.",
    "networks.",
    "numpy.dtypes.",
    "omegaconf.",
    "pytorch_lightning.",
    "torch.nn.modules.",
    "torch.optim.",
    "training.",
)


def allow_list(budget: Budget, load_bytes: Callable[[Blob], object]) -> Lookup:
    """The table for one file.

    Args:
        budget: pays for what the functions copy.
        load_bytes: PyTorch's own format inside a bytes object, to the Storage it holds.
    """

    def dictionary(*args: object) -> dict[object, object]:
        result: dict[object, object] = {}
        entries: object = args[-1] if args else ()
        if isinstance(entries, dict):
            entries = list(cast("dict[object, object]", entries).items())
        if not isinstance(entries, (list, tuple)):
            return result  # a defaultdict's factory
        budget.copy(len(cast("list[object]", entries)))
        for entry in cast("list[object]", entries):
            pair = cast("list[object]", entry) if isinstance(entry, (list, tuple)) else []
            if len(pair) != 2 or not is_key(pair[0]):
                raise ValueError
            result[pair[0]] = pair[1]
        return result

    def sequence(*args: object) -> list[object]:
        if not args:
            return []
        if not isinstance(args[0], (list, tuple, set)):
            raise ValueError
        items = list(cast("list[object]", args[0]))
        budget.copy(len(items))
        return items

    def plain_set(*args: object) -> set[object]:
        items = sequence(*args)
        if not all(is_key(item) for item in items):
            raise ValueError
        budget.copy(64 + 7 * len(items))  # hashing takes longer than copying
        return set(items)

    def encode(text: object, encoding: object = "latin1") -> Blob:
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise ValueError
        budget.copy(len(text))
        return Blob(Source(data=text.encode("latin-1")), 0, len(text))

    def from_bytes(data: object) -> object:
        if not isinstance(data, Blob):
            raise ValueError
        return load_bytes(data)

    def subclass(function: object, kind: object, args: object, state: object) -> object:
        if not isinstance(function, Function) or not isinstance(args, tuple):
            raise ValueError
        if function.apply not in (_tensor, _parameter):
            raise ValueError
        return function.apply(*cast("tuple[object, ...]", args))

    def persistent_object(meta: object, *rest: object) -> Inert:
        # Class name and state are kept; the source text in `module_src` is dropped here.
        entries = as_dict(meta) or {}
        name, state = entries.get("class_name"), as_dict(entries.get("state")) or {}
        if not isinstance(name, str) or len(name) > _MAX_CLASS_NAME:
            raise ValueError
        budget.copy(len(state))
        kept = {key: value for key, value in state.items() if isinstance(key, str)}
        return Inert(PERSISTENT, (name,), kept)

    table: dict[str, Callable[..., object]] = {
        "collections.OrderedDict": dictionary,
        "collections.defaultdict": dictionary,
        "collections.Counter": dictionary,
        "collections.deque": sequence,
        "dnnlib.util.EasyDict": dictionary,
        "dnnlib.EasyDict": dictionary,
        "_codecs.encode": encode,
        "copyreg._reconstructor": _reconstructor,
        "copy_reg._reconstructor": _reconstructor,
        "torch.storage._load_from_bytes": from_bytes,
        "torch._utils._rebuild_tensor": _tensor,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_parameter": _parameter,
        "torch._utils._rebuild_parameter_with_state": _parameter,
        "torch._tensor._rebuild_from_type_v2": subclass,
        "torch.Size": sequence,
        "numpy.dtype": lambda *args: Inert("numpy.dtype", args),
        PERSISTENT: persistent_object,
    }
    for module in ("builtins", "__builtin__"):
        table |= {f"{module}.dict": dictionary, f"{module}.list": sequence}
        table |= {f"{module}.tuple": sequence, f"{module}.set": plain_set}
        table |= {f"{module}.frozenset": plain_set}
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        table |= {f"{module}.scalar": _scalar, f"{module}._reconstruct": _array}
    for module in ("numpy.core.numeric", "numpy._core.numeric"):
        table |= {f"{module}._frombuffer": lambda *args: Inert("numpy.ndarray", args)}

    def lookup(module: str, name: str) -> Function:
        full = f"{module}.{name}"
        if full in table:
            return Function(full, table[full])
        if full.endswith("." + PERSISTENT):
            return Function(PERSISTENT, persistent_object)
        storage = storage_class(module, name)
        if storage is not None:
            return storage
        if full in _INERT or full.startswith(_INERT_MODULES):
            return inert_class(full)
        raise refusal(full)

    return lookup


def storages_only(module: str, name: str) -> Function:
    """The table of a pickled storage: the storage classes and nothing else."""
    storage = storage_class(module, name)
    if storage is None:
        raise refusal(f"{module}.{name}")
    return storage


def storage_class(module: str, name: str) -> Function | None:
    """The stand-in of one of PyTorch's storage classes, if it is one."""
    if module not in ("torch", "torch.cuda", "torch.storage") or name not in STORAGES:
        return None
    return Function(f"torch.{name}", _not_called)


def refusal(name: str) -> InputError:
    """The sentence about a name that is not in the table."""
    if name.startswith("dnnlib.tflib"):
        return InputError(
            "this is a StyleGAN pickle of the TensorFlow era, which only TensorFlow's own code "
            "reads; convert it to a PyTorch pickle with its publisher's tools first"
        )
    shown = ascii(name[:120])[1:-1]
    kind = identify_class(name)
    if kind is not None:
        return InputError(
            f"this seems to be {kind}, which ganvas does not use (it names {shown}); "
            "nothing was run"
        )
    return InputError(f"the pickle names {shown}, which no model file may use; nothing was run")


def inert_class(name: str) -> Function:
    """A class whose objects keep their arguments and their state and do nothing."""
    return Function(name, lambda *args: Inert(name, args))


def plain(value: object) -> object:
    """Numbers out of numpy's scalars and small arrays; anything else as it is."""
    if not isinstance(value, Inert) or value.name != "numpy.ndarray":
        return value
    state = value.state.get(RAW_STATE)
    if not isinstance(state, tuple) or len(cast("tuple[object, ...]", state)) != 5:
        return value
    _, shape, kind, _, data = cast("tuple[object, ...]", state)
    if not isinstance(data, Blob) or not isinstance(shape, tuple):
        return value
    dtype = _dtype(kind)
    sizes = cast("tuple[object, ...]", shape)
    if dtype is None or not all(isinstance(size, int) and 0 <= size <= 64 for size in sizes):
        return value
    count = math.prod(cast("tuple[int, ...]", sizes))
    if count > _MAX_ARRAY or data.length != count * dtype.itemsize:
        return value
    return np.frombuffer(data.read(8 * _MAX_ARRAY), dtype).tolist()


def _tensor(storage: object, offset: object, shape: object, stride: object, *_: object) -> object:
    return make_tensor(storage, offset, shape, stride)


def _parameter(data: object, *_: object) -> object:
    if not isinstance(data, LazyTensor):
        raise ValueError
    return data


def _reconstructor(kind: object, *_: object) -> object:
    if not isinstance(kind, Function):
        raise ValueError
    return Inert(kind.name)


def _not_called(*_: object) -> Storage:
    raise ValueError


def _array(*args: object) -> Inert:
    return Inert("numpy.ndarray", args)


def _scalar(kind: object, data: object = None) -> object:
    dtype = _dtype(kind)
    if dtype is None or not isinstance(data, Blob) or data.length != dtype.itemsize:
        return Inert("numpy.generic")
    return np.frombuffer(data.read(8), dtype)[0].item()


def _dtype(value: object) -> np.dtype[np.generic] | None:
    """numpy's dtype of a pickled one, for plain numbers only."""
    if not isinstance(value, Inert) or value.name != "numpy.dtype" or not value.args:
        return None
    code, state = value.args[0], value.state.get(RAW_STATE)
    order = "<"
    if isinstance(state, tuple) and len(cast("tuple[object, ...]", state)) > 1:
        order = cast("tuple[object, ...]", state)[1]
    if not isinstance(code, str) or code not in _SCALARS or order not in ("<", ">", "|", "="):
        return None
    return np.dtype(f"{'<' if order in ('|', '=') else order}{code}")
