"""API-format workflows: parse them, find every error in them, and order their nodes.

The API format is `{id: {"class_type": ..., "inputs": {name: value or [id, slot]}}}`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...core.errors import InputError
from ..context import Host
from ..spec import InputSpec, NodeSpec
from .errors import GraphError, NodeError, brief, close_names, nearest, workflow_error
from .object_info import input_config
from .values import WidgetValueError, check_value

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


@dataclass(frozen=True)
class PlannedNode:
    """A checked node: `values` have their Python types, `links` lead to other planned nodes."""

    id: str
    spec: NodeSpec
    title: str
    values: dict[str, Any]
    links: dict[str, Link]


@dataclass
class Plan:
    """What runs: the output nodes and all they need, in an order in which they can run."""

    nodes: dict[str, PlannedNode] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


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
            errors.append(
                NodeError(
                    id, "?", "", "invalid_prompt", "Node has no class_type", f"got {brief(item)}"
                )
            )
            continue
        if not isinstance(inputs, Mapping):
            errors.append(
                NodeError(
                    id,
                    class_type,
                    "",
                    "invalid_prompt",
                    "inputs must be an object",
                    f"got {brief(inputs)}",
                )
            )
            continue
        meta = item.get("_meta")
        title = meta.get("title") if isinstance(meta, Mapping) else None
        values = {str(name): _read_value(value) for name, value in inputs.items()}
        nodes[id] = PromptNode(id, class_type, values, title if isinstance(title, str) else "")
    if errors:
        raise GraphError(errors)
    return nodes


def prepare(
    data: Any, registry: Mapping[str, NodeSpec], host: Host, targets: Collection[str] | None = None
) -> Plan:
    """Check an API-format workflow and plan its execution.

    Args:
        data: The workflow.
        registry: Node specifications by class.
        host: Folders that lists of files come from.
        targets: Run only these output nodes and what they need; all when None.

    Raises:
        GraphError: Anything is wrong with it; all errors at once.
    """
    plan, errors = check(parse_prompt(data), registry, host, targets)
    if errors:
        raise GraphError(errors)
    return plan


def validate(
    data: Any, registry: Mapping[str, NodeSpec], host: Host, targets: Collection[str] | None = None
) -> list[NodeError]:
    """Return everything that is wrong with an API-format workflow, nothing when it can run."""
    try:
        return check(parse_prompt(data), registry, host, targets)[1]
    except GraphError as error:
        return list(error.errors)


def check(
    nodes: Mapping[str, PromptNode],
    registry: Mapping[str, NodeSpec],
    host: Host,
    targets: Collection[str] | None = None,
) -> tuple[Plan, list[NodeError]]:
    """Check parsed nodes; the plan is complete only when there are no errors.

    Unknown classes are errors wherever they are; all else concerns only nodes that an output needs.
    """
    errors = [
        _unknown_class(node, registry) for node in nodes.values() if node.class_type not in registry
    ]
    plan = Plan()
    plan.outputs = [
        node.id
        for node in nodes.values()
        if node.class_type in registry
        and registry[node.class_type].output_node
        and (targets is None or node.id in targets)
    ]
    if not plan.outputs and not errors:
        errors.append(
            NodeError(
                "",
                "",
                "",
                "prompt_no_outputs",
                "Prompt has no outputs",
                "no node saves or shows anything, add one such as SaveImage",
            )
        )
    plan.order, cycle = order_nodes(
        plan.outputs,
        {
            node.id: [link.node for link in _declared_links(node, registry)]
            for node in nodes.values()
        },
    )
    if cycle:
        first = nodes[cycle[0]]
        path = " -> ".join([*cycle, cycle[0]])
        errors.append(
            NodeError(
                first.id,
                first.class_type,
                "",
                "dependency_cycle",
                "The nodes form a cycle",
                path,
                first.title,
            )
        )
    for id in plan.order:
        node = nodes[id]
        if node.class_type not in registry:
            continue
        checker = _NodeChecker(node, registry[node.class_type], nodes, registry, host)
        plan.nodes[id] = checker.run()
        errors += checker.errors
    return plan, errors


def order_nodes(
    outputs: Iterable[str],
    upstream: Mapping[str, list[str]],
) -> tuple[list[str], list[str]]:
    """Order `outputs` and all they depend on so that each node follows what it needs.

    Depth first, so that few intermediate results are alive at a time, and without recursion.

    Returns:
        The order, and the nodes of one cycle in the direction of the data (empty without cycles).
    """
    order: list[str] = []
    state: dict[str, int] = {}  # 1: on the current path, 2: ordered
    cycle: list[str] = []
    for output in outputs:
        path: list[str] = []
        stack = [(output, iter(upstream[output]))] if output not in state else []
        if stack:
            state[output] = 1
            path.append(output)
        while stack:
            id, rest = stack[-1]
            child = next((each for each in rest if each in upstream and state.get(each) != 2), None)
            if child is None:
                stack.pop()
                path.pop()
                state[id] = 2
                order.append(id)
            elif state.get(child) == 1:
                cycle = cycle or path[path.index(child) :][::-1]
            else:
                state[child] = 1
                path.append(child)
                stack.append((child, iter(upstream[child])))
    return order, cycle


def dependent_outputs(data: Any, registry: Mapping[str, NodeSpec]) -> dict[str, list[str]]:
    """Return, for each node, the output nodes that need it (for ComfyUI's `node_errors`)."""
    try:
        nodes = parse_prompt(data)
    except GraphError:
        return {}
    upstream = {
        node.id: [link.node for link in _declared_links(node, registry)] for node in nodes.values()
    }
    result: dict[str, list[str]] = {}
    for node in nodes.values():
        if node.class_type in registry and registry[node.class_type].output_node:
            for id in order_nodes([node.id], upstream)[0]:
                result.setdefault(id, []).append(node.id)
    return result


class _NodeChecker:
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
        hook = self.spec.validate
        try:
            problems = hook(self.host, values) if hook else {}
        except (InputError, OSError) as error:
            problems = {"": str(error)}
        for name, message in problems.items():
            item = self.spec.input(name)
            if item is not None:
                self._error(
                    item, "custom_validation_failed", "Custom validation failed for node", message
                )
            else:
                self.errors.append(
                    NodeError(
                        self.node.id,
                        self.spec.id,
                        "",
                        "custom_validation_failed",
                        "Custom validation failed for node",
                        message,
                        self.node.title,
                    )
                )

    def _error(self, item: InputSpec, type: str, message: str, details: str, **extra: Any) -> None:
        try:
            config = input_config(item, self.host)
        except (InputError, OSError):
            config = [item.type, {}]
        self.errors.append(
            NodeError(
                self.node.id,
                self.spec.id,
                item.name,
                type,
                message,
                details,
                self.node.title,
                {"input_config": config, **extra},
            )
        )


def types_match(received: str, wanted: str) -> bool:
    """Whether an output type fits an input type; both may be unions "A,B" or the wildcard "*"."""
    if "*" in (received, wanted):
        return True
    return bool(
        {part.strip() for part in received.split(",")}
        & {part.strip() for part in wanted.split(",")}
    )


def _unknown_class(node: PromptNode, registry: Mapping[str, NodeSpec]) -> NodeError:
    titles = {spec.title: spec.id for spec in registry.values()}
    hint = nearest(node.class_type, registry) or nearest(node.class_type, titles)
    return NodeError(
        node.id,
        node.class_type,
        "",
        "missing_node_type",
        "Unknown node class",
        f"{node.class_type[:100]!r} is not one of the {len(registry)} nodes{hint}",
        node.title,
    )


def _declared_links(node: PromptNode, registry: Mapping[str, NodeSpec]) -> list[Link]:
    """Return the links of inputs that the node's class has; others are ignored, as in ComfyUI."""
    spec = registry.get(node.class_type)
    names = {item.name for item in spec.inputs} if spec else set()
    return [
        value for name, value in node.inputs.items() if name in names and isinstance(value, Link)
    ]


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
