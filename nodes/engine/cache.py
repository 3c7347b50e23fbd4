"""Results of nodes by content: what a node computed is reused while nothing behind it changes."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from ..context import Host
from .errors import node_failure
from .graph import Plan

DEFAULT_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Entry:
    """What one execution of a node left behind.

    Attributes:
        outputs: For each output, the list of its values (one element unless lists are mapped).
        ui: What the editor shows on the node.
        saved: Files that the node wrote.
    """

    outputs: tuple[list[Any], ...]
    ui: dict[str, list[Any]]
    saved: tuple[Path, ...] = ()


class Cache:
    """Keeps the most recently used entries up to a number of bytes.

    An entry larger than the whole capacity is not kept.

    Args:
        capacity: Bytes of tensors (and the like) kept alive; 0 keeps nothing.
    """

    def __init__(self, capacity: int = DEFAULT_BYTES) -> None:
        self.capacity = capacity
        self.size = 0
        self._entries: OrderedDict[str, tuple[Entry, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Entry | None:
        """Return the entry of a key and mark it as used, or None."""
        found = self._entries.get(key)
        if found is None:
            return None
        self._entries.move_to_end(key)
        return found[0]

    def put(self, key: str, entry: Entry) -> None:
        """Keep an entry, dropping the ones that were not used for the longest time."""
        self.discard(key)
        size = size_of(entry.outputs)
        if size > self.capacity:
            return
        self._entries[key] = (entry, size)
        self.size += size
        while self.size > self.capacity:
            self.discard(next(iter(self._entries)))

    def discard(self, key: str) -> None:
        """Forget one key, if it is there."""
        found = self._entries.pop(key, None)
        if found is not None:
            self.size -= found[1]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.size = 0


def content_keys(plan: Plan, host: Host) -> dict[str, str]:
    """Return a key for each planned node from its class, values, files and everything upstream.

    Ids do not matter, so a renumbered workflow finds its results again; output nodes are the
    exception, since two of them with equal inputs must both write.

    Raises:
        NodeFailedError: A node's fingerprint hook failed, for example on an unreadable file.
    """
    keys: dict[str, str] = {}
    for id in plan.order:
        planned = plan.nodes[id]
        spec = planned.spec
        try:
            fingerprint = spec.fingerprint(host, planned.values) if spec.fingerprint else ""
        except Exception as error:
            raise node_failure(id, spec.id, error, planned.title) from error
        inputs = [[name, "value", value] for name, value in planned.values.items()]
        inputs += [
            [name, "link", keys[link.node], link.slot] for name, link in planned.links.items()
        ]
        signature = [
            spec.id,
            str(host.device),
            fingerprint,
            sorted(inputs, key=lambda item: item[0]),
            id if spec.output_node else "",
        ]
        keys[id] = hashlib.sha256(json.dumps(signature).encode()).hexdigest()
    return keys


def size_of(value: Any) -> int:
    """Estimate the bytes that a value keeps alive: tensors and modules exactly, the rest roughly.

    Shared tensors are counted once.
    """
    total = 0
    seen: set[int] = set()
    stack = [value]
    while stack:
        item = stack.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        nbytes = getattr(item, "nbytes", None)
        if isinstance(nbytes, int):
            total += nbytes
            continue
        total += sys.getsizeof(item, 64)
        if isinstance(item, Mapping):
            stack += list(item.values())
        elif isinstance(item, (list, tuple, set, frozenset)):
            stack += list(item)
        elif is_dataclass(item):
            stack += [getattr(item, field.name, None) for field in fields(item)]
        elif callable(getattr(item, "state_dict", None)):
            stack += list(item.state_dict().values())
    return total
