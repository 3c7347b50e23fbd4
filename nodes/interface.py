"""What the engine, the editor and ComfyUI's adapter know of a node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .context import Host
from .sockets import Options

WIDGET_TYPES = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")

Fingerprint = Callable[[Host, Mapping[str, Any]], str]
Validate = Callable[[Host, Mapping[str, Any]], Mapping[str, str]]
Needs = Callable[[Mapping[str, Any]], Sequence[str]]


@dataclass(frozen=True)
class InputSpec:
    """One input of a node: a socket, or a widget with its default and limits."""

    name: str
    type: str
    tooltip: str
    default: Any = None
    optional: bool = False
    min: float | None = None
    max: float | None = None
    step: float | None = None
    slider: bool = False
    control_after_generate: bool = False
    multiline: bool = False
    options: Options | None = None
    image_upload: bool = False
    lazy: bool = False

    @property
    def is_widget(self) -> bool:
        """Whether a value can be typed in, so that the input needs no link."""
        return self.type in WIDGET_TYPES

    def list_options(self, host: Host) -> tuple[str, ...]:
        """Return the names to choose from on this machine (empty for other widgets)."""
        if self.options is None:
            return ()
        return tuple(self.options(host) if callable(self.options) else self.options)


@dataclass(frozen=True)
class OutputSpec:
    """One output of a node; `is_list` outputs make downstream nodes run once per element."""

    name: str
    type: str
    tooltip: str
    is_list: bool = False


@dataclass(frozen=True)
class NodeSpec:
    """Everything the engine, the editor and ComfyUI's adapter need to know of a node.

    Attributes:
        function: Called as `function(ctx, **inputs)`; see `pack_outputs` for what it returns.
        fingerprint: Optional hook `(host, values) -> str`, a text that changes when a file behind
            an input does; `values` holds the inputs that are not linked.
        validate: Optional hook `(host, values) -> {input name: what is wrong}`, run before
            the graph starts, with the inputs that are not linked.
        needs: Hook of a node with lazy inputs, `values -> names`: the lazy inputs still wanted
            when `values` are known. It is asked again whenever one of them has arrived.
        is_input_list: Every input arrives as a list, in one call.
    """

    id: str
    title: str
    category: str
    function: Callable[..., Any]
    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]
    description: str
    aliases: tuple[str, ...] = ()
    output_node: bool = False
    is_input_list: bool = False
    fingerprint: Fingerprint | None = None
    validate: Validate | None = None
    needs: Needs | None = None
    deprecated: bool = False
    experimental: bool = False

    def input(self, name: str) -> InputSpec | None:
        """Return the input called `name`, or None."""
        return next((item for item in self.inputs if item.name == name), None)

    @property
    def ordered_inputs(self) -> tuple[InputSpec, ...]:
        """Inputs in the order of workflow files: required ones, then optional ones."""
        return tuple(sorted(self.inputs, key=lambda item: item.optional))

    @property
    def widgets(self) -> tuple[InputSpec, ...]:
        """Widget inputs in the order of `widgets_values`."""
        return tuple(item for item in self.ordered_inputs if item.is_widget)


def pack_outputs(spec: NodeSpec, result: Any) -> tuple[Any, ...]:
    """Turn what a node's function returned into one value per output.

    Raises:
        TypeError: The function returned another number of outputs than it declares.
    """
    if not spec.outputs:
        values: tuple[Any, ...] = () if result is None else (result,)
    elif len(spec.outputs) == 1:
        values = (result,)
    else:
        values = result if isinstance(result, tuple) else (result,)
    if len(values) != len(spec.outputs):
        raise TypeError(f"{spec.id}: {len(spec.outputs)} outputs declared, {len(values)} returned")
    for output, value in zip(spec.outputs, values, strict=True):
        if output.is_list and not isinstance(value, (list, tuple)):
            raise TypeError(
                f"{spec.id}: output {output.name} must be a list, got {type(value).__name__}"
            )
    return values
