"""Declare nodes as plain functions: annotations give sockets and widgets, docstrings give tooltips.

A node is a function whose first argument is `ctx` and whose other arguments carry one marker each:

    @node("Ganvas_SampleLatents", title="Sample Latents", category="ganvas/sample")
    def sample_latents(ctx: Context, generator: Generator, seed: Seed = 0,
                       count: Annotated[int, Int(1, 4096)] = 1) -> Latents:
        '''Draw W+ latents from seeds.

        Args:
            generator: The model that maps seeds to latents.
            seed: First seed.
            count: How many latents are drawn, from consecutive seeds.

        Returns:
            latents: W+ latents, one per seed.
        '''

A socket that may stay unconnected is written `mask: Mask | None = None`. Several outputs are a
`tuple[Image, Mask]`, a list output is a `list[Image]`, and a node without outputs returns None.
What feeds a `Socket(..., lazy=True)` runs only when the node's `needs` hook asks for it.
This module imports neither torch nor ComfyUI.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from .context import Host

if TYPE_CHECKING:
    from torch import Tensor
else:
    Tensor = Any

WIDGET_TYPES = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
MAX_SEED = 2**32 - 1
"""Largest seed of numpy's RandomState; core.latents has it too, but not without torch."""

Options = tuple[str, ...] | Callable[[Host], Sequence[str]]
Fingerprint = Callable[[Host, Mapping[str, Any]], str]
Validate = Callable[[Host, Mapping[str, Any]], Mapping[str, str]]
Needs = Callable[[Mapping[str, Any]], Sequence[str]]
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Socket:
    """A value that only a link can bring; `type` is the socket's name in workflow files.

    What feeds a `lazy` socket runs only when the node's `needs` hook names it; None arrives else.
    """

    type: str
    lazy: bool = False


@dataclass(frozen=True)
class Int:
    """An integer widget in `minimum..maximum`; `seed` adds the control-after-generate selector."""

    minimum: int
    maximum: int
    step: int = 1
    slider: bool = False
    seed: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Float:
    """A number widget in `minimum..maximum`."""

    minimum: float
    maximum: float
    step: float = 0.01
    slider: bool = False
    optional: bool = False


@dataclass(frozen=True)
class String:
    """A text widget."""

    multiline: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Boolean:
    """An on/off widget."""

    optional: bool = False


@dataclass(frozen=True)
class Choice:
    """A list to choose from: fixed names, or a function of the host (files found on this machine).

    With `image_upload` the widget names a file of the input folder; existence is then the node's
    `validate` hook to check, and the list of options is only what the editor offers.
    """

    options: Options
    image_upload: bool = False
    optional: bool = False


@dataclass(frozen=True)
class ModelFile:
    """A list of the model files that this machine holds, those of one kind first.

    `kind` is one of `context.MODEL_KINDS`. The other files are listed too: whoever chooses one is
    told what it is and why it does not fit.
    """

    kind: str
    optional: bool = False

    def options(self, host: Host) -> Sequence[str]:
        """Return the names to choose from."""
        return host.list_models(self.kind)


WidgetMarker = Int | Float | String | Boolean | Choice | ModelFile
Marker = Socket | WidgetMarker

Image = Annotated[Tensor, Socket("IMAGE")]
Mask = Annotated[Tensor, Socket("MASK")]
Generator = Annotated[Any, Socket("GANVAS_GENERATOR")]
Latents = Annotated[Any, Socket("GANVAS_LATENTS")]
Direction = Annotated[Any, Socket("GANVAS_DIRECTION")]
Restorer = Annotated[Any, Socket("GANVAS_RESTORER")]
Translator = Annotated[Any, Socket("GANVAS_TRANSLATOR")]
Autoencoder = Annotated[Any, Socket("GANVAS_AUTOENCODER")]
Seed = Annotated[int, Int(0, MAX_SEED, seed=True)]
Text = Annotated[str, String()]
Bool = Annotated[bool, Boolean()]


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


NODES: dict[str, NodeSpec] = {}


def node(
    id: str,
    *,
    title: str,
    category: str,
    aliases: Sequence[str] = (),
    output_node: bool = False,
    is_input_list: bool = False,
    fingerprint: Fingerprint | None = None,
    validate: Validate | None = None,
    needs: Needs | None = None,
    deprecated: bool = False,
    experimental: bool = False,
) -> Callable[[Function], Function]:
    """Register the decorated function as the node `id` and return it unchanged.

    Raises:
        TypeError: The declaration lacks a marker, a tooltip, a default, or repeats an id.
    """

    def register(function: Function) -> Function:
        if id in NODES:
            raise TypeError(f"node {id}: declared twice ({NODES[id].function.__module__})")
        NODES[id] = build_spec(
            function,
            id=id,
            title=title,
            category=category,
            aliases=tuple(aliases),
            output_node=output_node,
            is_input_list=is_input_list,
            fingerprint=fingerprint,
            validate=validate,
            needs=needs,
            deprecated=deprecated,
            experimental=experimental,
        )
        return function

    return register


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
