"""API-format workflows as their files have them, checked for nothing but their shape.

The format is `{id: {"class_type": ..., "inputs": {name: value or [id, slot]}}}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import GraphError, NodeError, brief, workflow_error

MAX_NODES = 10_000


@dataclass(frozen=True)
class Link:
    """A reference to output `slot` of node `node`."""

    node: str
    slot: int


@dataclass(frozen=True)
class PromptNode:
    """A node as the workflow has it: any input may be missing, unknown or wrong."""

    id: str
    class_type: str
    inputs: dict[str, Any]
    title: str = ""

    def error(
        self, type: str, message: str, details: str, *, socket: str = "", **extra: Any
    ) -> NodeError:
        """Return what is wrong with this node, or with its input `socket`."""
        return NodeError(
            type=type,
            message=message,
            details=details,
            node_id=self.id,
            class_type=self.class_type,
            title=self.title,
            socket=socket,
            extra=extra,
        )


def parse_prompt(data: Any) -> dict[str, PromptNode]:
    """Read an API-format workflow, checking its shape only.

    Raises:
        GraphError: It is not a dictionary of nodes with a class and inputs each.
    """
    if not isinstance(data, Mapping) or not data:
        raise workflow_error(
            "invalid_prompt",
            "expected an API-format workflow, a JSON object with one entry for each node",
            f"got {brief(data)}",
        )
    if len(data) > MAX_NODES:
        raise workflow_error("invalid_prompt", f"more than {MAX_NODES} nodes", f"got {len(data)}")
    nodes, errors = {}, []
    for key, item in data.items():
        id = str(key)
        class_type = item.get("class_type") if isinstance(item, Mapping) else None
        inputs = item.get("inputs", {}) if isinstance(item, Mapping) else None
        if not isinstance(class_type, str) or not class_type:
            broken = PromptNode(id, "?", {})
            errors.append(
                broken.error("invalid_prompt", "Node has no class_type", f"got {brief(item)}")
            )
            continue
        if not isinstance(inputs, Mapping):
            broken = PromptNode(id, class_type, {})
            errors.append(
                broken.error("invalid_prompt", "inputs must be an object", f"got {brief(inputs)}")
            )
            continue
        meta = item.get("_meta")
        title = meta.get("title") if isinstance(meta, Mapping) else None
        values = {str(name): _read_value(value) for name, value in inputs.items()}
        nodes[id] = PromptNode(id, class_type, values, title if isinstance(title, str) else "")
    if errors:
        raise GraphError(errors)
    return nodes


def wrap_value(value: Any) -> Any:
    """Return a value so that an API-format workflow cannot take it for a link."""
    return {"__value__": value} if isinstance(value, (list, dict)) else value


def _read_value(value: Any) -> Any:
    """Tell links `[id, slot]` from values; `{"__value__": x}` wraps a value that looks like one."""
    if isinstance(value, Mapping) and set(value) == {"__value__"}:
        return value["__value__"]
    if (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int)
        and not isinstance(value[1], bool)
    ):
        return Link(value[0], value[1])
    return value
