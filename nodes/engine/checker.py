"""The inputs of one node: are they there, do links fit, are values what the widgets take?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...core.errors import InputError
from ..context import Host
from ..interface import InputSpec, NodeSpec
from .errors import NodeError, brief, close_names, nearest
from .object_info import input_config
from .prompt import Link, PromptNode
from .values import WidgetValueError, check_value


@dataclass(frozen=True)
class PlannedNode:
    """A checked node: `values` have their Python types, `links` lead to other planned nodes."""

    id: str
    spec: NodeSpec
    title: str
    values: dict[str, Any]
    links: dict[str, Link]


class NodeChecker:
    """Checks the inputs of one node and collects what is wrong with them."""

    def __init__(
        self,
        node: PromptNode,
        spec: NodeSpec,
        nodes: Mapping[str, PromptNode],
        registry: Mapping[str, NodeSpec],
        host: Host,
    ) -> None:
        self.node = node
        self.spec = spec
        self.nodes = nodes
        self.registry = registry
        self.host = host
        self.errors: list[NodeError] = []

    def run(self) -> PlannedNode:
        """Check every declared input, then ask the node's own `validate` hook."""
        values: dict[str, Any] = {}
        links: dict[str, Link] = {}
        for item in self.spec.inputs:
            if item.name not in self.node.inputs:
                self._missing(item)
                continue
            value = self.node.inputs[item.name]
            if isinstance(value, Link):
                self._link(item, value)
                links[item.name] = value
            elif item.is_widget:
                self._value(item, value, values)
            else:
                self._error(
                    item,
                    "bad_linked_input",
                    "Bad linked input, must be a length-2 list of [node_id, slot_index]",
                    f"expected a link to a {item.type} output, got {brief(value)}",
                )
        if self.spec.validate and not self.errors:
            self._hook(values)
        return PlannedNode(
            self.node.id, self.spec, self.node.title or self.spec.title, values, links
        )

    def _missing(self, item: InputSpec) -> None:
        """Report an input that the workflow leaves out, unless it may be."""
        if item.optional:
            return
        unknown = set(self.node.inputs) - {each.name for each in self.spec.inputs}
        close = close_names(item.name, unknown)
        hint = f" ({close[0]!r} is not an input of this node)" if close else ""
        self._error(
            item,
            "required_input_missing",
            "Required input is missing",
            f"connect a {item.type} output{hint}"
            if not item.is_widget
            else f"give it a value{hint}",
        )

    def _link(self, item: InputSpec, link: Link) -> None:
        """Check that a link leads to an output of a fitting type."""
        source = self.nodes.get(link.node)
        if source is None:
            self._error(
                item,
                "bad_linked_input",
                "Linked node does not exist",
                f"no node {link.node[:60]!r}{nearest(link.node, self.nodes)}",
            )
            return
        spec = self.registry.get(source.class_type)
        if spec is None:
            return  # reported on that node
        if not 0 <= link.slot < len(spec.outputs):
            self._error(
                item,
                "bad_linked_input",
                "Linked output does not exist",
                f"node {source.id} ({spec.title}) has {len(spec.outputs)} outputs, "
                f"got slot {brief(link.slot)}",
            )
            return
        received = spec.outputs[link.slot].type
        if not types_match(received, item.type):
            self._error(
                item,
                "return_type_mismatch",
                "Return type mismatch between linked nodes",
                f"{item.name}, received_type({received}) mismatch input_type({item.type})",
                received_type=received,
                linked_node=[link.node, link.slot],
            )

    def _value(self, item: InputSpec, value: Any, values: dict[str, Any]) -> None:
        """Add a widget's value to `values`, converted, or report what is wrong with it."""
        try:
            values[item.name] = check_value(item, value, self.host)
        except WidgetValueError as problem:
            self._error(
                item,
                problem.type,
                problem.message,
                problem.details,
                received_value=value if isinstance(value, (str, int, float)) else None,
            )
        except (InputError, OSError) as error:
            self._error(item, "exception_during_validation", "Options cannot be listed", str(error))

    def _hook(self, values: dict[str, Any]) -> None:
        """Ask the node's own `validate`; a problem under an unknown name concerns the node."""
        hook = self.spec.validate
        try:
            problems = hook(self.host, values) if hook else {}
        except (InputError, OSError) as error:
            problems = {"": str(error)}
        kind, summary = "custom_validation_failed", "Custom validation failed for node"
        for name, message in problems.items():
            item = self.spec.input(name)
            if item is not None:
                self._error(item, kind, summary, message)
            else:
                self.errors.append(self.node.error(kind, summary, message))

    def _error(self, item: InputSpec, type: str, message: str, details: str, **extra: Any) -> None:
        """Note what is wrong with one input, with `extra` as ComfyUI's further fields."""
        try:
            config = input_config(item, self.host)
        except (InputError, OSError):
            config = [item.type, {}]
        self.errors.append(
            self.node.error(type, message, details, socket=item.name, input_config=config, **extra)
        )


def types_match(received: str, wanted: str) -> bool:
    """Whether an output type fits an input type; both may be unions "A,B" or the wildcard "*"."""
    if "*" in (received, wanted):
        return True
    return bool(
        {part.strip() for part in received.split(",")}
        & {part.strip() for part in wanted.split(",")}
    )
