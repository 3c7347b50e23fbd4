"""What ComfyUI does with a pack: load it; check, fingerprint and run one of its V3 nodes.

Behaviour as of current releases; `old` leaves lists of options unchecked, as 0.3.64 does.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from .fake_comfyui import ComfyExtension, ComfyNode, HiddenHolder, NodeOutput

LINK = object()
"""Stands for a link where the workflow has one; its value is not there before the run."""

CONVERT: dict[str, Callable[[Any], Any]] = {"INT": int, "FLOAT": float, "STRING": str}
CONVERT["BOOLEAN"] = bool


def load(entrypoint: Callable[[], Any], *, old: bool = False) -> dict[str, type[ComfyNode]]:
    """Return the nodes by id that a pack's `comfy_entrypoint` brings.

    Raises:
        TypeError: What it returns is nothing that ComfyUI would take.
    """

    async def listed() -> Any:
        extension = await entrypoint()
        if not isinstance(extension, ComfyExtension):
            raise TypeError(f"comfy_entrypoint did not return a ComfyExtension: {extension!r}")
        if not old:
            await extension.on_load()
        return await extension.get_node_list()

    found = asyncio.run(listed())
    if not isinstance(found, list):
        raise TypeError(f"get_node_list did not return a list: {found!r}")
    nodes = {}
    for node in found:
        nodes[node.GET_SCHEMA().node_id] = node
        node.RELATIVE_PYTHON_MODULE = "custom_nodes.ganvas"
    return nodes


class Locked(type):
    """Metaclass of the class that a method sees while it runs: nothing can be written to it."""

    def __setattr__(cls, name: str, value: Any) -> None:
        raise AttributeError(f"cannot modify attribute {name!r} of the running {cls.__name__}")


def call(node: type[ComfyNode], name: str, values: Mapping[str, Any], hidden: Any = None) -> Any:
    """Call a class method on a locked clone that carries the hidden values."""
    node.validate_class()
    clone = Locked(node.__name__, (node,), {"hidden": hidden or HiddenHolder()})
    return getattr(node, name).__func__(clone, **values)


def validate(
    node: type[ComfyNode], inputs: dict[str, Any], *, old: bool = False
) -> list[tuple[str, str, str]]:
    """Check a workflow's inputs, convert the typed ones in place, and return the errors.

    Returns:
        The input, ComfyUI's kind of error and its details, for each error.
    """
    own: list[str] = []
    takes_all = False
    if node.overrides("validate_inputs"):
        signature = inspect.getfullargspec(node.validate_inputs)
        own, takes_all = signature.args, signature.varkw is not None
    errors = []
    for port in node.finalize_schema().inputs:
        if port.id not in inputs:
            if not port.optional:
                errors.append((port.id, "required_input_missing", port.id))
            continue
        if inputs[port.id] is LINK:
            continue
        try:
            inputs[port.id] = CONVERT.get(port.io_type, lambda value: value)(inputs[port.id])
        except (ValueError, TypeError, OverflowError) as problem:
            errors.append((port.id, "invalid_input_type", str(problem)))
            continue
        if not takes_all and port.id not in own:
            errors += _limits(port, inputs[port.id], old)
    if own or takes_all:
        given = {
            name: None if value is LINK else value
            for name, value in inputs.items()
            if takes_all or name in own
        }
        verdict = call(node, "validate_inputs", given)
        if verdict is not True:
            kind = "custom_validation_failed"
            errors += [(name, kind, f"{name} - {verdict}") for name in given]
    return errors


def fingerprint(node: type[ComfyNode], inputs: Mapping[str, Any]) -> Any:
    """Return what makes a node run again: False for one without a fingerprint of its own."""
    if not node.overrides("fingerprint_inputs"):
        return False
    given = {name: None if value is LINK else value for name, value in inputs.items()}
    return call(node, "fingerprint_inputs", given)


def run(node: type[ComfyNode], hidden: HiddenHolder | None = None, **values: Any) -> NodeOutput:
    """Validate and execute a node; widgets that are left out have their defaults, as in the editor.

    Raises:
        ValueError: The inputs were refused.
    """
    schema = node.get_schema()
    inputs = {
        port.id: port.default
        for port in schema.inputs
        if getattr(port, "default", None) is not None
    } | values
    workflow = {name: value if _can_be_typed(value) else LINK for name, value in inputs.items()}
    errors = validate(node, workflow)
    if errors:
        raise ValueError(errors)
    arguments = {name: inputs[name] if value is LINK else value for name, value in workflow.items()}
    with torch.inference_mode():
        output = call(node, "execute", arguments, hidden)
    if not isinstance(output, NodeOutput):
        raise TypeError(f"invalid return type {type(output)}")
    if len(output.args) != len(schema.outputs):
        raise TypeError(f"{len(schema.outputs)} outputs declared, {len(output.args)} returned")
    if output.ui is not None and not all(isinstance(each, list) for each in output.ui.values()):
        raise TypeError("ui must map names to lists, which ComfyUI concatenates")
    return output


def _limits(port: Any, value: Any, old: bool) -> list[tuple[str, str, str]]:
    """ComfyUI's own checks of a widget that the node's `validate_inputs` does not name."""
    low, high = getattr(port, "min", None), getattr(port, "max", None)
    if low is not None and value < low:
        return [(port.id, "value_smaller_than_min", port.id)]
    if high is not None and value > high:
        return [(port.id, "value_bigger_than_max", port.id)]
    if port.io_type == "COMBO" and not old and value not in port.options:
        return [(port.id, "value_not_in_list", port.id)]
    return []


def _can_be_typed(value: Any) -> bool:
    """Whether a value may stand in a workflow file; all others come through links."""
    return isinstance(value, (bool, int, float, str))
