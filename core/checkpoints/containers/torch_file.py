"""Files of torch.save: the zip archive of PyTorch 1.6 and later, and the stream before it.

Both are read by our own pickle machine, so no code of a file can run, and tensors are read one at a
time, so memory stays near the size of what is loaded.
"""

from __future__ import annotations

from typing import cast

from ...errors import InputError
from .machine import Budget, Function, Lookup, Machine, as_dict, as_tuple, no_persistent_ids
from .names import allow_list, refusal, storages_only
from .source import Blob, Source, Stream
from .tensors import STORAGES, Storage
from .zip_directory import read_zip

ZIP_FORMAT = "PyTorch file (zip)"
LEGACY_FORMAT = "PyTorch file (before 1.6)"

# First value of the older stream, and the only version of it that was ever written.
_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001


class _Storages:
    """The storages that a pickle refers to by key."""

    def __init__(self, budget: Budget) -> None:
        self.by_key: dict[str, Storage] = {}
        self.views: list[tuple[Storage, Storage, int]] = []
        self._budget = budget

    def __call__(self, key: object) -> object:
        """Resolve ("storage", class, key, place, count[, view]), the only persistent id."""
        parts = as_tuple(key)
        if parts is None or len(parts) not in (5, 6) or parts[0] != "storage":
            raise InputError("the pickle refers to data in an unknown way")
        kind, name, count = parts[1], parts[2], parts[4]
        if not isinstance(kind, Function) or not isinstance(name, str) or len(name) > 64:
            raise InputError("the pickle refers to data in an unknown way")
        dtype = STORAGES.get(kind.name.rpartition(".")[2])
        if dtype is None or not isinstance(count, int) or not 0 <= count < 2**60:
            raise InputError(f"the pickle describes a storage of {kind.name[:60]!a} wrongly")
        root = self.by_key.setdefault(name, Storage(dtype, count))
        if root.dtype != dtype or root.count != count:
            raise InputError("the pickle describes one storage in two ways")
        view = parts[5] if len(parts) == 6 else None
        return root if view is None else self._view(root, view)

    def _view(self, root: Storage, view: object) -> Storage:
        parts = as_tuple(view)
        if parts is None or len(parts) != 3:
            raise InputError("the pickle describes a part of a storage wrongly")
        offset, count = parts[1:]
        if not isinstance(offset, int) or not isinstance(count, int):
            raise InputError("the pickle describes a part of a storage wrongly")
        if offset < 0 or count < 0 or offset + count > root.count:
            raise InputError("the pickle describes a part of a storage that lies outside it")
        part = Storage(root.dtype, count)
        self.views.append((part, root, offset))
        return part

    def place_views(self) -> None:
        """Place the parts after their storages."""
        for part, root, offset in self.views:
            if root.data is not None:
                start = root.data.offset + offset * root.item_bytes
                part.place(Blob(root.data.source, start, part.count * part.item_bytes))


def read_zip_archive(source: Source) -> object:
    """The object of a zip archive by torch.save, its tensors unread.

    Raises:
        InputError: damaged, no such archive, or it names what no model may use.
    """
    members = read_zip(source)
    roots = [name.removesuffix("data.pkl") for name in members if name.endswith("/data.pkl")]
    if len(roots) != 1:
        if "dataset.json" in members:
            raise InputError("this is a data set, not a model")
        raise InputError("the zip archive was not written by torch.save")
    root = roots[0]
    if f"{root}constants.pkl" in members:
        raise InputError(
            "this is a TorchScript program, which would have to be run to be read; "
            "a file of its weights (state_dict) is needed"
        )
    order = members.get(f"{root}byteorder")
    if order is not None and order.read(16) != b"little":
        raise InputError("its numbers are stored big-endian, which is not read")
    budget = Budget()
    storages = _Storages(budget)
    pickled = members[f"{root}data.pkl"]
    stream = Stream(source, pickled.offset, pickled.offset + pickled.length)
    value = Machine(stream, model_names(budget), budget, storages).run()
    for key, storage in storages.by_key.items():
        member = members.get(f"{root}data/{key}")
        if member is None:
            raise InputError(f"the archive lacks the storage {key!a}")
        storage.place(member)
    storages.place_views()
    return value


def read_legacy_stream(source: Source) -> object:
    """The object of a file by torch.save of PyTorch before 1.6, its tensors unread.

    Raises:
        InputError: as `read_zip_archive`.
    """
    budget = Budget()
    stream = Stream(source, 0, source.size)
    return _legacy(stream, model_names(budget), budget)


def model_names(budget: Budget) -> Lookup:
    """The table of names for a model file, whose pickled storages may name storage classes only."""

    def load_bytes(data: Blob) -> object:
        stream = Stream(data.source, data.offset, data.offset + data.length)
        value = _legacy(stream, storages_only, budget)
        if not isinstance(value, Storage):
            raise InputError("a pickled storage holds something else")
        return value

    return allow_list(budget, load_bytes)


def is_legacy_stream(start: bytes) -> bool:
    """Whether a file that begins with these bytes is the older stream, by its first number."""
    magic = b"\x8a\x0a" + _MAGIC.to_bytes(10, "little")
    return start[:1] == b"\x80" and start[2:14] == magic


def _legacy(stream: Stream, lookup: Lookup, budget: Budget) -> object:
    def plain() -> object:
        return Machine(stream, _no_names, budget, no_persistent_ids).run()

    if plain() != _MAGIC:
        raise InputError("its first number is not that of torch.save")
    if plain() != _VERSION:
        raise InputError("it is of an unknown version of torch.save")
    system = as_dict(plain())
    if system is None or system.get("little_endian") is not True:
        raise InputError("its numbers are stored big-endian, which is not read")
    storages = _Storages(budget)
    value = Machine(stream, lookup, budget, storages).run()
    keys = plain()
    if not isinstance(keys, list):
        raise InputError("its list of storages is damaged")
    for key in cast("list[object]", keys):
        storage = storages.by_key.get(key) if isinstance(key, str) else None
        count = int.from_bytes(stream.read(8), "little")
        if storage is None or count != storage.count or storage.data is not None:
            raise InputError("its list of storages is damaged")
        storage.place(stream.blob(count * storage.item_bytes))
    storages.place_views()
    return value


def _no_names(module: str, name: str) -> Function:
    raise refusal(f"{module}.{name}")
