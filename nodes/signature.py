"""Read a function's annotations, defaults and docstring into the interface of a node."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from .interface import InputSpec, NodeSpec, OutputSpec
from .sockets import (
    Boolean,
    Choice,
    Float,
    Int,
    Marker,
    ModelFile,
    Socket,
    String,
    WidgetMarker,
)


def build_spec(
    function: Callable[..., Any], *, id: str, is_input_list: bool = False, **fields: Any
) -> NodeSpec:
    """Read a function's annotations and docstring into a `NodeSpec`, registering nothing.

    Args:
        function: The node's function; its first argument must be called `ctx`.
        id: Permanent id of the node.
        is_input_list: The function takes every input as a list (`list[Image]` annotations).
        **fields: The remaining fields of `NodeSpec`: title, category, aliases, and so on.

    Raises:
        TypeError: The declaration lacks a marker, a tooltip or a default.
    """
    description, arguments, returns = parse_docstring(function.__doc__ or "")
    if not description:
        raise TypeError(f"node {id}: the docstring must say what the node does")
    hints = typing.get_type_hints(function, include_extras=True)
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].name != "ctx":
        raise TypeError(f"node {id}: the first argument must be called ctx")
    inputs = tuple(
        _input_spec(id, parameter, hints.get(parameter.name), arguments, is_input_list)
        for parameter in parameters[1:]
    )
    unknown = set(arguments) - {item.name for item in inputs} - {"ctx"}
    if unknown:
        raise TypeError(f"node {id}: Args: documents {sorted(unknown)}, which are no inputs")
    if any(item.lazy for item in inputs) != (fields.get("needs") is not None):
        raise TypeError(f"node {id}: lazy inputs and the hook `needs` go together")
    outputs = _output_specs(id, hints.get("return"), returns)
    return NodeSpec(
        id=id,
        function=function,
        inputs=inputs,
        outputs=outputs,
        description=description,
        is_input_list=is_input_list,
        **fields,
    )


def parse_docstring(text: str) -> tuple[str, dict[str, str], dict[str, str]]:
    """Split a Google docstring into its description, its `Args:` and its `Returns:` entries.

    Returns:
        The text before the first section, and two maps from a name to its sentence.
    """
    sections: dict[str, list[str]] = {"": []}
    current = ""
    for line in inspect.cleandoc(text).splitlines():
        heading = re.fullmatch(r"([A-Z][A-Za-z]+):", line)
        if heading:
            current = heading.group(1)
            sections.setdefault(current, [])
        else:
            sections[current].append(line)
    paragraphs = "\n".join(sections[""]).strip().split("\n\n")
    description = "\n\n".join(" ".join(part.split()) for part in paragraphs)
    return description, _entries(sections.get("Args", [])), _entries(sections.get("Returns", []))


def _entries(lines: list[str]) -> dict[str, str]:
    """Read `name: sentence` entries, whose continuation lines are indented further."""
    entries: dict[str, str] = {}
    name = ""
    for line in lines:
        match = re.match(r" {4}(\w+): ?(.*)$", line)
        if match:
            name = match.group(1)
            entries[name] = match.group(2).strip()
        elif name and line.strip():
            entries[name] = f"{entries[name]} {line.strip()}".strip()
    return entries


def _input_spec(
    id: str,
    parameter: inspect.Parameter,
    hint: Any,
    tooltips: Mapping[str, str],
    is_input_list: bool,
) -> InputSpec:
    """Build the specification of one input from its annotation, default and tooltip."""
    name = parameter.name
    tooltip = tooltips.get(name, "")
    if not tooltip:
        raise TypeError(f"node {id}: input {name} has no tooltip (a line under Args:)")
    hint, nullable = _strip_none(hint)
    if typing.get_origin(hint) is list:
        if not is_input_list:
            raise TypeError(f"node {id}: input {name} is a list, but is_input_list is not set")
        hint = typing.get_args(hint)[0]
    marker = _marker(hint)
    if marker is None:
        raise TypeError(f"node {id}: input {name} needs a marker such as Annotated[int, Int(1, 9)]")
    missing = parameter.default is inspect.Parameter.empty
    if isinstance(marker, Socket):
        if nullable != (not missing) or (not missing and parameter.default is not None):
            raise TypeError(f"node {id}: socket {name} is either required, or `... | None = None`")
        return InputSpec(name, marker.type, tooltip, optional=nullable, lazy=marker.lazy)
    if missing and not isinstance(marker, (Choice, ModelFile)):
        raise TypeError(f"node {id}: widget {name} needs a default")
    default = None if missing else parameter.default
    return _widget_spec(id, name, tooltip, marker, default)


def _widget_spec(id: str, name: str, tooltip: str, marker: WidgetMarker, default: Any) -> InputSpec:
    """Build the specification of a widget, checking its default against its limits."""
    common: dict[str, Any] = {"default": default, "optional": marker.optional}
    match marker:
        case Int() | Float():
            if not marker.minimum <= default <= marker.maximum:
                raise TypeError(
                    f"node {id}: default of {name} lies outside {marker.minimum}..{marker.maximum}"
                )
            seed = isinstance(marker, Int) and marker.seed
            kind = "INT" if isinstance(marker, Int) else "FLOAT"
            return InputSpec(
                name,
                kind,
                tooltip,
                min=marker.minimum,
                max=marker.maximum,
                step=marker.step,
                slider=marker.slider,
                control_after_generate=seed,
                **common,
            )
        case String():
            return InputSpec(name, "STRING", tooltip, multiline=marker.multiline, **common)
        case Boolean():
            return InputSpec(name, "BOOLEAN", tooltip, **common)
        case Choice():
            if isinstance(marker.options, tuple) and default is None:
                common["default"] = marker.options[0]
            elif isinstance(marker.options, tuple) and default not in marker.options:
                raise TypeError(f"node {id}: default of {name} is not among its options")
            return InputSpec(
                name,
                "COMBO",
                tooltip,
                options=marker.options,
                image_upload=marker.image_upload,
                **common,
            )
        case ModelFile():
            return InputSpec(name, "COMBO", tooltip, options=marker.options, **common)


def _output_specs(id: str, hint: Any, tooltips: Mapping[str, str]) -> tuple[OutputSpec, ...]:
    """Build the outputs from the return annotation and the `Returns:` section, in order."""
    if hint is None or hint is type(None):
        hints: tuple[Any, ...] = ()
    elif typing.get_origin(hint) is tuple:
        hints = typing.get_args(hint)
    else:
        hints = (hint,)
    if len(hints) != len(tooltips):
        raise TypeError(
            f"node {id}: {len(hints)} outputs are annotated, but Returns: documents "
            f"{sorted(tooltips)} (write `name: sentence` for each)"
        )
    outputs = []
    for (name, tooltip), each in zip(tooltips.items(), hints, strict=True):
        is_list = typing.get_origin(each) is list
        marker = _marker(typing.get_args(each)[0] if is_list else each)
        if marker is None or not tooltip:
            raise TypeError(f"node {id}: output {name} needs a socket annotation and a tooltip")
        outputs.append(OutputSpec(name, _marker_type(marker), tooltip, is_list))
    return tuple(outputs)


def _marker(hint: Any) -> Marker | None:
    """Return the marker inside an `Annotated[...]`, if there is one."""
    metadata = getattr(hint, "__metadata__", ())
    kinds = (Socket, Int, Float, String, Boolean, Choice, ModelFile)
    return next((item for item in metadata if isinstance(item, kinds)), None)


def _marker_type(marker: Marker) -> str:
    """Return the socket type that a marker stands for."""
    match marker:
        case Socket():
            return marker.type
        case Int():
            return "INT"
        case Float():
            return "FLOAT"
        case String():
            return "STRING"
        case Boolean():
            return "BOOLEAN"
        case Choice() | ModelFile():
            return "COMBO"


def _strip_none(hint: Any) -> tuple[Any, bool]:
    """Split `X | None` into X and True; any other hint comes back with False."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [item for item in typing.get_args(hint) if item is not type(None)]
        if len(rest) == 1:
            return rest[0], True
    return hint, False
