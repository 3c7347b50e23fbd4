"""Find every error in a workflow, and order the nodes that run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..context import Host
from ..interface import NodeSpec
from .checker import NodeChecker, PlannedNode
from .errors import GraphError, NodeError, nearest
from .prompt import Link, PromptNode, parse_prompt


@dataclass
class Plan:
    """What runs: the output nodes and all they need, in an order in which they can run."""

    nodes: dict[str, PlannedNode] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


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
                type="prompt_no_outputs",
                message="Prompt has no outputs",
                details="no node saves or shows anything, add one such as SaveImage",
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
        path = " -> ".join([*cycle, cycle[0]])
        errors.append(nodes[cycle[0]].error("dependency_cycle", "The nodes form a cycle", path))
    for id in plan.order:
        node = nodes[id]
        if node.class_type not in registry:
            continue
        checker = NodeChecker(node, registry[node.class_type], nodes, registry, host)
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


def _unknown_class(node: PromptNode, registry: Mapping[str, NodeSpec]) -> NodeError:
    """Say that there is no such class, with the nearest class or title."""
    titles = {spec.title: spec.id for spec in registry.values()}
    hint = nearest(node.class_type, registry) or nearest(node.class_type, titles)
    return node.error(
        "missing_node_type",
        "Unknown node class",
        f"{node.class_type[:100]!r} is not one of the {len(registry)} nodes{hint}",
    )


def _declared_links(node: PromptNode, registry: Mapping[str, NodeSpec]) -> list[Link]:
    """Return the links of inputs that the node's class has; others are ignored, as in ComfyUI."""
    spec = registry.get(node.class_type)
    names = {item.name for item in spec.inputs} if spec else set()
    return [
        value for name, value in node.inputs.items() if name in names and isinstance(value, Link)
    ]
