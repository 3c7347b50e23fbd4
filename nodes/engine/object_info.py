"""Node specifications as ComfyUI's `/object_info` describes them to the editor's frontend."""

from __future__ import annotations

from typing import Any

from ..context import Host
from ..interface import InputSpec, NodeSpec


def object_info(
    spec: NodeSpec,
    host: Host,
    *,
    python_module: str = "custom_nodes.ganvas",
) -> dict[str, Any]:
    """Return the description of one node, a JSON-able dictionary."""
    inputs: dict[str, dict[str, Any]] = {"required": {}, "optional": {}}
    for item in spec.ordered_inputs:
        inputs["optional" if item.optional else "required"][item.name] = input_config(item, host)
    return {
        "input": inputs,
        "input_order": {group: list(items) for group, items in inputs.items()},
        "is_input_list": spec.is_input_list,
        "output": [item.type for item in spec.outputs],
        "output_is_list": [item.is_list for item in spec.outputs],
        "output_name": [item.name for item in spec.outputs],
        "output_tooltips": [item.tooltip for item in spec.outputs],
        "name": spec.id,
        "display_name": spec.title,
        "description": spec.description,
        "python_module": python_module if spec.id.startswith("Ganvas_") else "nodes",
        "category": spec.category,
        "output_node": spec.output_node,
        "deprecated": spec.deprecated,
        "experimental": spec.experimental,
        "search_aliases": list(spec.aliases),
    }


def input_config(item: InputSpec, host: Host) -> list[Any]:
    """Return `[type, options]` of one input, as the frontend reads it."""
    options: dict[str, Any] = {"tooltip": item.tooltip}
    if item.is_widget and item.default is not None:
        options["default"] = item.default
    for key in ("min", "max", "step"):
        if getattr(item, key) is not None:
            options[key] = getattr(item, key)
    if item.slider:
        options["display"] = "slider"
    if item.control_after_generate:
        options["control_after_generate"] = True
    if item.type == "STRING":
        options["multiline"] = item.multiline
    if item.image_upload:
        options["image_upload"] = True
    if item.lazy:
        options["lazy"] = True
    if item.type == "COMBO":
        return [list(item.list_options(host)), options]
    return [item.type, options]
