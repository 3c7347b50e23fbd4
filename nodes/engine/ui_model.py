"""Read UI-format workflows (what the editor saves) into checked, plain objects.

A file has nodes, links as lists or objects, and subgraph definitions; any of it may be malformed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import brief, workflow_error
from .prompt import MAX_NODES

MUTED, BYPASSED = 2, 4
SUBGRAPH_INPUT, SUBGRAPH_OUTPUT = "-10", "-20"
VIRTUAL_TYPES = ("Note", "MarkdownNote")


@dataclass(frozen=True)
class UiInput:
    """An input slot: its name, type, incoming link and whether it belongs to a widget."""

    name: str
    type: str
    link: str | None
    is_widget: bool


@dataclass(frozen=True)
class UiNode:
    """A node of the editor; `type` is its class, or the id of a subgraph definition."""

    id: str
    type: str
    title: str
    mode: int
    inputs: tuple[UiInput, ...]
    output_types: tuple[str, ...]
    widgets: list[Any] | dict[str, Any]
    proxy_widgets: tuple[str, ...] = ()


@dataclass(frozen=True)
class UiLink:
    """A connection; the ids of a subgraph's own sockets are -10 (inputs) and -20 (outputs)."""

    id: str
    origin: str
    origin_slot: int
    target: str
    target_slot: int


@dataclass(frozen=True)
class UiGraph:
    """The nodes and links of a workflow, or of one subgraph definition.

    Attributes:
        nodes: By id, in the order of the file.
        links: By id.
        input_names: Names of a definition's inputs, in slot order.
    """

    nodes: dict[str, UiNode]
    links: dict[str, UiLink]
    input_names: tuple[str, ...] = ()
    definitions: dict[str, UiGraph] = field(default_factory=dict)


def read_ui_workflow(data: Any) -> UiGraph:
    """Read a UI-format workflow with its subgraph definitions.

    Raises:
        GraphError: A part that is needed has another shape than the editor writes.
    """
    definitions = {}
    holder = _mapping(data.get("definitions"), "definitions")
    for item in _sequence(holder.get("subgraphs"), "definitions.subgraphs"):
        item = _mapping(item, "a subgraph")
        definitions[_key(item.get("id"), "a subgraph's id")] = _graph(item, {})
    return _graph(data, definitions)


def _graph(data: Mapping[str, Any], definitions: dict[str, UiGraph]) -> UiGraph:
    """Read the nodes and links of one level."""
    nodes: dict[str, UiNode] = {}
    items = _sequence(data.get("nodes"), "nodes")
    if len(items) > MAX_NODES:
        raise workflow_error(
            "invalid_workflow", f"more than {MAX_NODES} nodes", f"got {len(items)}"
        )
    for item in items:
        node = _node(_mapping(item, "a node"))
        if node.id in nodes:
            raise workflow_error("invalid_workflow", "Two nodes have the same id", node.id)
        nodes[node.id] = node
    links = [_link(item) for item in _sequence(data.get("links"), "links")]
    names = [
        str(_mapping(item, "a subgraph input").get("name", ""))
        for item in _sequence(data.get("inputs"), "inputs")
    ]
    return UiGraph(nodes, {link.id: link for link in links}, tuple(names), definitions)


def _node(item: Mapping[str, Any]) -> UiNode:
    """Read one node."""
    id = _key(item.get("id"), "a node's id")
    kind = item.get("type")
    if not isinstance(kind, str) or not kind:
        raise workflow_error("invalid_workflow", f"Node {id} has no type", f"got {brief(kind)}")
    mode = item.get("mode", 0)
    title = item.get("title")
    inputs = []
    for entry in _sequence(item.get("inputs"), f"inputs of node {id}"):
        entry = _mapping(entry, f"an input of node {id}")
        link = entry.get("link")
        inputs.append(
            UiInput(
                str(entry.get("name", "")),
                str(entry.get("type", "*")),
                None if link is None else _key(link, f"a link of node {id}"),
                "widget" in entry,
            )
        )
    outputs = [
        str(_mapping(entry, f"an output of node {id}").get("type", "*"))
        for entry in _sequence(item.get("outputs"), f"outputs of node {id}")
    ]
    widgets = item.get("widgets_values")
    if widgets is None:
        widgets = []
    if not isinstance(widgets, (list, dict)):
        raise workflow_error(
            "invalid_workflow",
            f"widgets_values of node {id} must be a list",
            f"got {brief(widgets)}",
        )
    properties = item.get("properties")
    proxies = properties.get("proxyWidgets") if isinstance(properties, Mapping) else None
    names = [
        str(pair[1])
        for pair in (proxies if isinstance(proxies, list) else [])
        if isinstance(pair, list) and len(pair) == 2
    ]
    return UiNode(
        id,
        kind,
        title if isinstance(title, str) else "",
        mode if isinstance(mode, int) else 0,
        tuple(inputs),
        tuple(outputs),
        widgets,
        tuple(names),
    )


def _link(item: Any) -> UiLink:
    """Read a link in either of its two forms."""
    if isinstance(item, Mapping):
        parts = [
            item.get(key) for key in ("id", "origin_id", "origin_slot", "target_id", "target_slot")
        ]
    else:
        parts = _sequence(item, "a link")[:5]
    if len(parts) < 5 or not all(isinstance(part, (int, str)) for part in parts):
        raise workflow_error(
            "invalid_workflow", "A link must have an id, origin and target", f"got {brief(item)}"
        )
    id, origin, origin_slot, target, target_slot = parts
    return UiLink(
        _key(id, "a link's id"),
        _key(origin, "a link's origin"),
        _slot(origin_slot),
        _key(target, "a link's target"),
        _slot(target_slot),
    )


def _slot(value: Any) -> int:
    """Read a slot number."""
    if isinstance(value, int) and -1 <= value < 10_000:
        return int(value)
    raise workflow_error(
        "invalid_workflow", "A link's slot must be a small number", f"got {brief(value)}"
    )


def _key(value: Any, what: str) -> str:
    """Read an id, which the editor writes as a number or as text."""
    if isinstance(value, bool) or not isinstance(value, (int, str)) or len(brief(value)) > 78:
        raise workflow_error(
            "invalid_workflow", f"{what} must be a number or text", f"got {brief(value)}"
        )
    return str(value)


def _sequence(value: Any, what: str) -> list[Any]:
    """Return a list; None counts as an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise workflow_error("invalid_workflow", f"{what} must be a list", f"got {brief(value)}")
    return value


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    """Return an object; None counts as an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise workflow_error("invalid_workflow", f"{what} must be an object", f"got {brief(value)}")
    return value
