"""StyleGAN2-ADA, StyleGAN3 and R3GAN pickles: networks out of pickled modules, no source ever run.

A pickled network is a call of one known name with a dictionary: class name, state, and the Python
source it was made from. The source is never kept, written, imported or run; the state holds the
tensors, the sub-modules and the constructor's arguments, which is all a network needs.
"""

from __future__ import annotations

from typing import cast

from ...errors import InputError
from ..published import ATTRIBUTES
from .container import RawNetwork
from .machine import Budget, Inert, Machine, as_dict
from .names import PERSISTENT, R3GAN, plain
from .source import Source, Stream
from .tensors import LazyTensor
from .torch_file import model_names

FORMAT = "StyleGAN pickle"
_MAX_DEPTH = 32
_MAX_MODULES = 20_000
_MAX_NAME = 128
_PRIVATE = ("_", "training")


def read_pickle(source: Source) -> object:
    """The object of a plain pickle, its tensors unread.

    Raises:
        InputError: damaged, or it names what no model may use.
    """
    budget = Budget()
    return Machine(Stream(source, 0, source.size), model_names(budget), budget).run()


def is_module(value: object) -> bool:
    """Whether a pickled object is a network's module."""
    return isinstance(value, Inert) and isinstance(value.state.get("_modules"), dict)


def read_module(module: Inert) -> RawNetwork:
    """Names, tensors and constructor arguments of a pickled module.

    Raises:
        InputError: its parts contradict each other or nest without end.
    """
    tensors: dict[str, LazyTensor] = {}
    attributes: dict[str, object] = {}
    pending: list[tuple[str, Inert, int]] = [("", module, 0)]
    modules = 0
    plain_classes: set[str] = set()
    while pending:
        prefix, current, depth = pending.pop()
        modules += 1
        plain_classes.add(current.name)
        if depth > _MAX_DEPTH or modules > _MAX_MODULES:
            raise InputError("the pickled network nests deeper or is larger than any network")
        unsaved = current.state.get("_non_persistent_buffers_set")
        for group in ("_parameters", "_buffers"):
            for name, value in _entries(current, group):
                if isinstance(value, LazyTensor) and not (
                    isinstance(unsaved, set) and name in unsaved
                ):
                    tensors[prefix + name] = value
        for name, value in current.state.items():
            kept = plain(value)
            if isinstance(kept, (bool, int, float, str, list)) and not name.startswith(_PRIVATE):
                attributes[prefix + name] = kept
        children = [
            (f"{prefix}{name}.", value, depth + 1)
            for name, value in _entries(current, "_modules")
            if isinstance(value, Inert)
        ]
        pending.extend(reversed(children))
    init = _init(module)
    init[ATTRIBUTES] = attributes
    return RawNetwork(tensors, init, _class_name(module, plain_classes))


def _class_name(module: Inert, plain_classes: set[str]) -> str:
    """The class's name without its module, behind "R3GAN" where its parts are of that program."""
    if module.name == PERSISTENT:
        return str(module.args[0])
    name = module.name.rpartition(".")[2]
    places = (R3GAN, "training.networks")
    return f"{R3GAN} {name}" if any(p in c for c in plain_classes for p in places) else name


def _init(module: Inert) -> dict[str, object]:
    """The constructor's keyword arguments, with nested dictionaries kept one level deep."""
    init = plain_dict(module.state.get("_init_kwargs"))
    init.pop(ATTRIBUTES, None)
    return init


def plain_dict(value: object, depth: int = 3) -> dict[str, object]:
    """The entries of a dictionary that are plain values, or dictionaries and lists of such."""
    result: dict[str, object] = {}
    for key, item in (as_dict(value) or {}).items():
        kept = plain(item)
        if not isinstance(key, str):
            continue
        inner = as_dict(kept)
        if inner is not None:
            result[key] = plain_dict(inner, depth - 1) if depth > 1 else {}
        elif kept is None or isinstance(kept, (bool, int, float, str)):
            result[key] = kept
        elif isinstance(kept, (list, tuple)):
            items = [plain(entry) for entry in cast("list[object]", kept)[:64]]
            if all(entry is None or isinstance(entry, (bool, int, float, str)) for entry in items):
                result[key] = items
    return result


def _entries(module: Inert, group: str) -> list[tuple[str, object]]:
    entries = as_dict(module.state.get(group)) or {}
    named = [(key, item) for key, item in entries.items() if isinstance(key, str)]
    return [(key, item) for key, item in named if len(key) <= _MAX_NAME]
