"""Turn a UI-format workflow into the API format, as the editor's own "queue prompt" does.

Muted nodes and links to them vanish; bypassed nodes hand an input of the same type through;
Reroute and PrimitiveNode dissolve; subgraphs are expanded, with ids "instance:inner".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..interface import NodeSpec
from .errors import workflow_error
from .prompt import MAX_NODES, wrap_value
from .ui_model import (
    BYPASSED,
    MUTED,
    SUBGRAPH_INPUT,
    SUBGRAPH_OUTPUT,
    VIRTUAL_TYPES,
    UiGraph,
    UiNode,
    read_ui_workflow,
)

MAX_DEPTH = 32
CONTROL_VALUES = ("fixed", "increment", "decrement", "randomize")
_DROPPED = object()  # the link leads nowhere
_OWN_VALUE = object()  # nothing arrives, the widget's own value counts


@dataclass(frozen=True)
class _Scope:
    """A graph at one place: the workflow itself, or a subgraph inside the instance `instance`."""

    graph: UiGraph
    prefix: str = ""
    depth: int = 0
    parent: _Scope | None = None
    instance: UiNode | None = None


def ui_to_api(data: Mapping[str, Any], registry: Mapping[str, NodeSpec]) -> dict[str, Any]:
    """Convert a UI-format workflow.

    Args:
        data: The workflow as the editor saved it.
        registry: Node specifications by class, which name the widgets in `widgets_values`. A class
            that is missing keeps its links only; validation reports it.

    Returns:
        The API-format workflow, with titles under `_meta`.

    Raises:
        GraphError: The file's shape is wrong, or reroutes or subgraphs run in circles.
    """
    return _Converter(read_ui_workflow(data), registry).run()


class _Converter:
    """Expands and resolves one workflow."""

    def __init__(self, root: UiGraph, registry: Mapping[str, NodeSpec]) -> None:
        self.root = root
        self.registry = registry
        self.count = 0

    def run(self) -> dict[str, Any]:
        """Convert every node that takes part."""
        prompt: dict[str, Any] = {}
        for scope, node in self._active(_Scope(self.root)):
            entry: dict[str, Any] = {"class_type": node.type, "inputs": self._inputs(scope, node)}
            title = node.title or self._title(node)
            if title:
                entry["_meta"] = {"title": title}
            prompt[scope.prefix + node.id] = entry
        return prompt

    def _active(self, scope: _Scope) -> Iterator[tuple[_Scope, UiNode]]:
        """Yield the nodes that run, those of subgraphs included."""
        for node in scope.graph.nodes.values():
            self.count += 1
            if self.count > MAX_NODES:
                raise workflow_error(
                    "invalid_workflow",
                    f"more than {MAX_NODES} nodes",
                    "counting the nodes of subgraphs",
                )
            if node.mode in (MUTED, BYPASSED) or node.type in VIRTUAL_TYPES:
                continue
            if node.type in self.root.definitions:
                yield from self._active(self._enter(scope, node))
            elif node.type not in ("Reroute", "PrimitiveNode"):
                yield scope, node

    def _enter(self, scope: _Scope, node: UiNode) -> _Scope:
        """Return the inside of a subgraph instance."""
        if scope.depth >= MAX_DEPTH:
            raise workflow_error(
                "invalid_workflow",
                "Subgraphs are nested too deeply",
                f"more than {MAX_DEPTH} levels, at node {scope.prefix}{node.id}",
            )
        return _Scope(
            self.root.definitions[node.type],
            f"{scope.prefix}{node.id}:",
            scope.depth + 1,
            scope,
            node,
        )

    def _title(self, node: UiNode) -> str:
        spec = self.registry.get(node.type)
        return spec.title if spec else ""

    def _inputs(self, scope: _Scope, node: UiNode) -> dict[str, Any]:
        """Return a node's inputs: the values of its widgets, and what its links bring."""
        inputs: dict[str, Any] = {
            name: wrap_value(value) for name, value in self._widget_values(node).items()
        }
        for item in node.inputs:
            if item.link is None:
                continue
            found = self._resolve(scope, item.link)
            if found is _DROPPED:
                if not item.is_widget:
                    inputs.pop(item.name, None)
            elif found is not _OWN_VALUE:
                inputs[item.name] = found
        return inputs

    def _widget_values(self, node: UiNode) -> dict[str, Any]:
        """Return widget values by name.

        A seed is followed by its control-after-generate choice and an upload widget by the upload
        button's value; a widget newer than the file takes its default, as in the editor.
        """
        spec = self.registry.get(node.type)
        if isinstance(node.widgets, dict):
            return {str(name): value for name, value in node.widgets.items()}
        if spec is None:
            return {}
        values: dict[str, Any] = {}
        position = 0
        for item in spec.widgets:
            if position >= len(node.widgets):
                if item.default is not None:
                    values[item.name] = item.default
                continue
            values[item.name] = node.widgets[position]
            position += 1
            follower = node.widgets[position] if position < len(node.widgets) else None
            control = isinstance(follower, str) and follower in CONTROL_VALUES
            upload = item.image_upload and follower == "image"
            if (item.control_after_generate and control) or upload:
                position += 1
        return values

    def _resolve(self, scope: _Scope, link_id: str) -> Any:
        """Follow a link through everything virtual to a value, to `[id, slot]`, or to nowhere."""
        visited: set[tuple[str, str]] = set()
        found: Any = _Follow(scope, link_id)
        while isinstance(found, _Follow):
            place = (found.scope.prefix, found.link)
            if place in visited:
                raise workflow_error(
                    "dependency_cycle",
                    "Reroutes or bypassed nodes form a cycle",
                    f"link {''.join(place)}",
                )
            visited.add(place)
            found = self._origin(found.scope, found.link)
        return found

    def _origin(self, scope: _Scope, link_id: str) -> Any:
        """Return what feeds a link: `[id, slot]`, a value, another link to follow, or nothing."""
        link = scope.graph.links.get(link_id)
        if link is None:
            return _DROPPED
        if link.origin == SUBGRAPH_INPUT and scope.parent and scope.instance:
            return self._outer(scope.parent, scope.instance, scope.graph, link.origin_slot)
        node = scope.graph.nodes.get(link.origin)
        if node is None or node.mode == MUTED or node.type in VIRTUAL_TYPES:
            return _DROPPED
        if node.type == "PrimitiveNode" and isinstance(node.widgets, list) and node.widgets:
            return wrap_value(node.widgets[0])
        if node.mode == BYPASSED:
            return _follow(scope, _bypass(node, link.origin_slot))
        if node.type == "Reroute":
            return _follow(scope, node.inputs[0].link if node.inputs else None)
        if node.type in self.root.definitions:
            inside = self._enter(scope, node)
            leaving = (
                each for each in inside.graph.links.values() if each.target == SUBGRAPH_OUTPUT
            )
            ids = (each.id for each in leaving if each.target_slot == link.origin_slot)
            return _follow(inside, next(ids, None))
        return [scope.prefix + node.id, link.origin_slot]

    @staticmethod
    def _outer(scope: _Scope, instance: UiNode, definition: UiGraph, slot: int) -> Any:
        """Return what arrives at a subgraph's input: a link to follow, a value, or nothing."""
        names = definition.input_names
        if not 0 <= slot < len(names):
            return _DROPPED
        in_place = instance.inputs[slot] if slot < len(instance.inputs) else None
        item = (
            in_place
            if in_place is not None and in_place.name == names[slot]  # names may repeat
            else next((each for each in instance.inputs if each.name == names[slot]), in_place)
        )
        if item is not None and item.link is not None:
            return _Follow(scope, item.link)
        if isinstance(instance.widgets, dict):
            return wrap_value(instance.widgets.get(names[slot], _OWN_VALUE))
        promoted = instance.proxy_widgets or tuple(
            each.name for each in instance.inputs if each.is_widget
        )
        if names[slot] in promoted and promoted.index(names[slot]) < len(instance.widgets):
            value = instance.widgets[promoted.index(names[slot])]
            return _OWN_VALUE if value is None else wrap_value(value)
        return _OWN_VALUE


@dataclass(frozen=True)
class _Follow:
    """A link that is to be followed in `scope`."""

    scope: _Scope
    link: str


def _follow(scope: _Scope, link: str | None) -> Any:
    return _DROPPED if link is None else _Follow(scope, link)


def _bypass(node: UiNode, slot: int) -> str | None:
    """Return the link that a bypassed node hands to its output `slot`, by type."""
    wanted = node.output_types[slot] if 0 <= slot < len(node.output_types) else "*"
    same_slot = [node.inputs[slot]] if 0 <= slot < len(node.inputs) else []
    for item in [*same_slot, *node.inputs]:
        if item.type == wanted:
            return item.link
    for item in node.inputs:
        if "*" in (item.type, wanted):
            return item.link
    return None
