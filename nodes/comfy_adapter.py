"""ComfyUI's side of ganvas: V3 node classes built from the plain declarations.

The only module that imports ComfyUI. The root package's `comfy_entrypoint` imports it inside a
running ComfyUI, 0.3.64 or later.
"""

# ComfyUI is no package that could be installed beside this one for the type checker to read.
# pyright: reportMissingImports=false

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import comfy.cli_args
import comfy.model_management
import comfy.model_patcher
import comfy.utils
import folder_paths
import torch
from comfy_api.latest import ComfyExtension, io
from torch import Tensor, nn

from ..core.errors import InputError
from . import registry
from .context import Context, Host
from .convert import preview_picture
from .engine.values import WidgetValueError, check_value
from .interface import InputSpec, Needs, NodeSpec, OutputSpec, pack_outputs

MODEL_FOLDER = "ganvas"
MODEL_EXTENSIONS = frozenset({".safetensors", ".pkl", ".pt", ".pth", ".ckpt"})

_KINDS = {
    "INT": io.Int,
    "FLOAT": io.Float,
    "STRING": io.String,
    "BOOLEAN": io.Boolean,
    "COMBO": io.Combo,
    "IMAGE": io.Image,
    "MASK": io.Mask,
}


class GanvasExtension(ComfyExtension):
    """What ComfyUI asks for the nodes of this package."""

    async def get_node_list(self) -> list[type]:
        """Register the model folder and return a class for each of our nodes.

        Built-in nodes such as SaveImage are left to ComfyUI, whose own they are.
        """
        register_model_folder()
        placement = Placement()
        specs = registry().values()
        return [node_class(s, placement) for s in specs if s.id.startswith("Ganvas_")]


def register_model_folder() -> None:
    """Make `models/ganvas` known, so that ComfyUI lists its files and honours extra model paths."""
    folder = Path(folder_paths.models_dir) / MODEL_FOLDER
    folder_paths.add_model_folder_path(MODEL_FOLDER, str(folder))
    paths, extensions = folder_paths.folder_names_and_paths[MODEL_FOLDER]
    folder_paths.folder_names_and_paths[MODEL_FOLDER] = (paths, extensions | MODEL_EXTENSIONS)


def comfy_host() -> Host:
    """ComfyUI's folders. Models are read to its offload device; `Placement` moves them in."""
    return Host(
        input_dir=Path(folder_paths.get_input_directory()),
        output_dir=Path(folder_paths.get_output_directory()),
        temp_dir=Path(folder_paths.get_temp_directory()),
        model_folders=tuple(Path(p) for p in folder_paths.get_folder_paths(MODEL_FOLDER)),
        device=comfy.model_management.unet_offload_device(),
        metadata=not comfy.cli_args.args.disable_metadata,
    )


class ComfyContext(Context):
    """A node's context inside ComfyUI: its progress bar, previews and cancel button."""

    _bar: Any = None

    def progress(self, done: int, total: int, preview: Tensor | None = None) -> None:
        """Move the node's progress bar and show a preview; see `Context.progress`."""
        self.check()
        if self._bar is None:
            self._bar = comfy.utils.ProgressBar(total)
        picture = None
        if preview is not None:
            picture = ("JPEG", preview_picture(preview), comfy.cli_args.args.preview_size)
        self._bar.update_absolute(done, total, picture)

    def check(self) -> None:
        """Raise ComfyUI's own interruption, which its executor expects, when the user cancelled."""
        comfy.model_management.throw_exception_if_processing_interrupted()


class Placement:
    """Brings linked models to the compute device through ComfyUI's memory management.

    Each model descriptor on a socket gets one `ModelPatcher`, which lives as long as it does.
    ComfyUI can then count the model, unload it for another one, and bring it back.
    """

    def __init__(self) -> None:
        self._patchers: dict[int, list[Any]] = {}

    def bring_in(self, values: Iterable[Any]) -> None:
        """Load the models among a node's input values onto the compute device."""
        patchers = [p for value in values for p in self._patchers_of(value)]
        if not patchers:
            return
        comfy.model_management.load_models_gpu(patchers, force_full_load=True)
        for patcher in patchers:
            # Under --novram ComfyUI loads a part, and its own layers fetch the rest as they run;
            # ours cannot.
            patcher.model.to(patcher.load_device)

    def _patchers_of(self, value: Any) -> list[Any]:
        """Patchers of a model descriptor; none for any other value.

        Descriptors are told by their fields, not by class: an installed ganvas beside the one in
        custom_nodes makes a second class of the same name.
        """
        modules = [getattr(value, name, None) for name in ("generator", "network")]
        modules = [module for module in modules if isinstance(module, nn.Module)]
        if not modules or isinstance(value, nn.Module):
            return []
        if id(value) not in self._patchers:
            management = comfy.model_management
            device, offload = management.get_torch_device(), management.unet_offload_device()
            make = comfy.model_patcher.ModelPatcher
            self._patchers[id(value)] = [make(m, device, offload) for m in modules]
            weakref.finalize(value, self._patchers.pop, id(value), None)
        return self._patchers[id(value)]


def node_class(spec: NodeSpec, placement: Placement) -> type:
    """Build the V3 class of one node."""

    def define_schema(cls: type) -> Any:
        return build_schema(spec, comfy_host())

    def fingerprint_inputs(cls: type, **values: Any) -> str:
        given = {name: value for name, value in values.items() if value is not None}
        return spec.fingerprint(comfy_host(), given) if spec.fingerprint else ""

    def execute(cls: Any, **values: Any) -> Any:
        return run_node(spec, placement, values, getattr(cls, "hidden", None))

    methods: dict[str, Callable[..., Any]] = {"define_schema": define_schema, "execute": execute}
    validate_inputs = validation(spec)
    if validate_inputs:
        methods["validate_inputs"] = validate_inputs
    if spec.fingerprint:
        methods["fingerprint_inputs"] = fingerprint_inputs
    if spec.needs:
        methods["check_lazy_status"] = lazy_status(spec.needs)
    body = {name: classmethod(function) for name, function in methods.items()}
    return type(spec.id, (io.ComfyNode,), {"__module__": __name__, **body})


def validation(spec: NodeSpec) -> Callable[..., bool | str] | None:
    """Build a node's `validate_inputs`, or return None where ComfyUI's own checks suffice.

    ComfyUI reads its argument names: it leaves those inputs unchecked, and shows what is returned
    on every one of them. So it names no more inputs than it must: lists of options, which 0.3.64
    does not check, and all widgets of a node that brings a hook of its own.
    """
    names = [item.name for item in spec.widgets if item.type == "COMBO" or spec.validate]
    if not names:
        return None

    def validate_inputs(cls: type, **values: Any) -> bool | str:
        _, problems = check_values(spec, comfy_host(), values)
        if len(names) == 1:
            return "; ".join(problems.values()) or True  # ComfyUI puts the name before it
        return sentence(problems) or True

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    arguments = [inspect.Parameter(name, kind) for name in ("cls", *names)]
    validate_inputs.__dict__["__signature__"] = inspect.Signature(arguments)
    return validate_inputs


def lazy_status(needs: Needs) -> Callable[..., list[str]]:
    """Build a node's `check_lazy_status`, which gets None for what has not been computed."""

    def check_lazy_status(cls: type, **values: Any) -> list[str]:
        return list(needs({name: value for name, value in values.items() if value is not None}))

    return check_lazy_status


def build_schema(spec: NodeSpec, host: Host) -> Any:
    """Build ComfyUI's schema of a node."""
    fields: dict[str, Any] = {
        "node_id": spec.id,
        "display_name": spec.title,
        "category": spec.category,
        "description": spec.description,
        "inputs": [build_input(item, host) for item in spec.ordered_inputs],
        "outputs": [build_output(item) for item in spec.outputs],
        "hidden": [io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
        "is_output_node": spec.output_node,
        "is_input_list": spec.is_input_list,
        "is_deprecated": spec.deprecated,
        "is_experimental": spec.experimental,
    }
    if "search_aliases" in inspect.signature(io.Schema).parameters:  # not in 0.3.64
        fields["search_aliases"] = list(spec.aliases)
    return io.Schema(**fields)


def build_input(item: InputSpec, host: Host) -> Any:
    """Build one input of a schema."""
    kind = _KINDS.get(item.type) or io.Custom(item.type)
    fields: dict[str, Any] = {"optional": item.optional, "tooltip": item.tooltip}
    if item.is_widget:
        fields["default"] = item.default
    if item.lazy:
        fields["lazy"] = True
    if item.type in ("INT", "FLOAT"):
        fields |= {"min": item.min, "max": item.max, "step": item.step}
        if item.slider:
            fields["display_mode"] = io.NumberDisplay.slider
    if item.type == "INT" and item.control_after_generate:
        fields["control_after_generate"] = True
    if item.type == "STRING":
        fields["multiline"] = item.multiline
    if item.type == "COMBO":
        fields["options"] = list(item.list_options(host))
    return kind.Input(item.name, **fields)


def build_output(item: OutputSpec) -> Any:
    """Build one output of a schema.

    Its id is left to ComfyUI: some versions refuse an output that is named like an input.
    """
    kind = _KINDS.get(item.type) or io.Custom(item.type)
    return kind.Output(display_name=item.name, tooltip=item.tooltip, is_output_list=item.is_list)


def check_values(
    spec: NodeSpec, host: Host, values: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Check widget values: types, ranges, options and the node's own hook.

    Before a run for what `validation` names, and in it for all, since links bring anything.

    Args:
        spec: The node.
        host: Where lists of files come from.
        values: Values by input name; None (a linked input before execution) is left out.

    Returns:
        The values as the widgets' Python types, and what is wrong, by input name.
    """
    given = {name: value for name, value in values.items() if value is not None}
    problems: dict[str, str] = {}
    for item in spec.widgets:
        if item.name not in given:
            continue
        value = given[item.name]
        as_list = spec.is_input_list and isinstance(value, list)
        try:
            checked = [check_value(item, each, host) for each in (value if as_list else [value])]
        except WidgetValueError as problem:
            problems[item.name] = problem.details
        else:
            given[item.name] = checked if as_list else checked[0]
    if spec.validate and not problems:
        problems.update(spec.validate(host, given))
    return given, problems


def sentence(problems: Mapping[str, str]) -> str:
    """What is wrong in one line, naming each input; empty when nothing is."""
    return "; ".join(f"{name}: {text}" for name, text in problems.items())


def run_node(spec: NodeSpec, placement: Placement, values: Mapping[str, Any], hidden: Any) -> Any:
    """Run a node's function inside ComfyUI and wrap what it returns.

    Raises:
        InputError: A linked widget's value is out of range; the message names the input.
    """
    host = comfy_host()
    given, problems = check_values(spec, host, values)
    if problems:
        raise InputError(sentence(problems))
    extra = getattr(hidden, "extra_pnginfo", None)
    ctx = ComfyContext(
        host,
        node_id=str(getattr(hidden, "unique_id", "") or ""),
        prompt=getattr(hidden, "prompt", None),
        workflow=extra.get("workflow") if isinstance(extra, dict) else None,
    )
    placement.bring_in(given.values())
    not_wanted = {item.name: None for item in spec.inputs if item.lazy and item.name not in given}
    with torch.inference_mode():
        outputs = pack_outputs(spec, spec.function(ctx, **given, **not_wanted))
    device = comfy.model_management.intermediate_device()
    return io.NodeOutput(*(_move(value, device) for value in outputs), ui=ctx.ui or None)


def _move(value: Any, device: Any) -> Any:
    """Bring images and masks, also those in a list, to the device where ComfyUI keeps them."""
    if isinstance(value, Tensor):
        return value.to(device)
    return [_move(each, device) for each in value] if isinstance(value, list) else value
