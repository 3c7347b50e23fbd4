"""A small stand-in for the parts of ComfyUI that the adapter touches. It is not ComfyUI.

What it imitates, from the published signatures of ComfyUI 0.3.64 and of current releases:
- `comfy_api.latest.io`: Schema, the Input and Output classes with their keyword arguments (an
  unknown one is a TypeError, as in ComfyUI), Custom, Hidden, NumberDisplay, NodeOutput, ComfyNode
  with its order define_schema -> validate -> execute and the `hidden` holder;
- `comfy.utils.ProgressBar`, `comfy.model_management` (devices, loading, interruption),
  `comfy.model_patcher.ModelPatcher` (attributes it puts on a model, load and offload by `.to`);
- `folder_paths` with an unknown folder's empty extension set.
What it leaves out: servers, caching, list mapping, partial loading, real memory accounting.
"""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass, field, make_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import torch


class InterruptProcessingError(Exception):
    """Stands for comfy.model_management.InterruptProcessingException."""


@dataclass
class Record:
    """What the fake saw: progress, models asked for, and whether the user cancelled."""

    progress: list[tuple[int, int, Any]] = field(default_factory=list)
    loads: list[tuple[list[Any], dict[str, Any]]] = field(default_factory=list)
    cancelled: bool = False
    cancel_after: int | None = None


class NumberDisplay(str, Enum):
    number = "number"
    slider = "slider"


class Hidden(str, Enum):
    unique_id = "UNIQUE_ID"
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"


class Input:
    def __init__(self, id, display_name=None, optional=False, tooltip=None, lazy=None,
                 extra_dict=None):
        self.id, self.optional, self.tooltip = id, optional, tooltip


class WidgetInput(Input):
    def __init__(self, id, display_name=None, optional=False, tooltip=None, lazy=None,
                 default=None, socketless=None, widget_type=None, force_input=None,
                 extra_dict=None):
        super().__init__(id, display_name, optional, tooltip, lazy, extra_dict)
        self.default = default


class NumberInput(WidgetInput):
    def __init__(self, id, display_name=None, optional=False, tooltip=None, lazy=None,
                 default=None, min=None, max=None, step=None, display_mode=None,
                 socketless=None, force_input=None):
        super().__init__(id, display_name, optional, tooltip, lazy, default)
        self.min, self.max, self.step, self.display_mode = min, max, step, display_mode


class IntInput(NumberInput):
    def __init__(self, id, display_name=None, optional=False, tooltip=None, lazy=None,
                 default=None, min=None, max=None, step=None, control_after_generate=None,
                 display_mode=None, socketless=None, force_input=None):
        super().__init__(id, display_name, optional, tooltip, lazy, default, min, max, step,
                         display_mode)
        self.control_after_generate = control_after_generate


class StringInput(WidgetInput):
    def __init__(self, id, display_name=None, optional=False, tooltip=None, lazy=None,
                 multiline=False, placeholder=None, default=None, dynamic_prompts=None,
                 socketless=None, force_input=None):
        super().__init__(id, display_name, optional, tooltip, lazy, default)
        self.multiline = multiline


class ComboInput(WidgetInput):
    def __init__(self, id, options=None, display_name=None, optional=False, tooltip=None,
                 lazy=None, default=None, control_after_generate=None, upload=None,
                 image_folder=None, remote=None, socketless=None):
        super().__init__(id, display_name, optional, tooltip, lazy, default)
        self.options = options


class Output:
    def __init__(self, id=None, display_name=None, tooltip=None, is_output_list=False):
        self.id, self.display_name, self.tooltip = id, display_name, tooltip
        self.is_output_list = is_output_list


def io_type(name: str, input_class: type = Input) -> type:
    """A ComfyUI type: a class with `io_type`, `Input` and `Output`."""
    body = {
        "io_type": name,
        "Input": type("Input", (input_class,), {"io_type": name}),
        "Output": type("Output", (Output,), {"io_type": name}),
    }
    return type(name, (), body)


class NodeOutput:
    def __init__(self, *args, ui=None, expand=None, block_execution=None):
        self.args, self.ui = args, ui


class HiddenHolder:
    def __init__(self, unique_id=None, prompt=None, extra_pnginfo=None):
        self.unique_id, self.prompt, self.extra_pnginfo = unique_id, prompt, extra_pnginfo


class ComfyNode:
    hidden: Any = None

    @classmethod
    def get_schema(cls):
        """Build and check the schema as ComfyUI does when it lists nodes."""
        schema = cls.define_schema()
        ids = [item.id for item in schema.inputs]
        named = [item.id for item in schema.outputs if item.id is not None]
        if len(set(ids)) != len(ids) or len(set(named)) != len(named) or set(ids) & set(named):
            raise ValueError(f"ids must be unique: {ids} {named}")
        return schema

    @classmethod
    def run(cls, hidden: HiddenHolder | None = None, **values: Any) -> NodeOutput:
        """Validate and execute on a clone that carries the hidden values."""
        clone = type(cls.__name__, (cls,), {"hidden": hidden})
        verdict = clone.validate_inputs(**values)
        if verdict is not True:
            raise ValueError(verdict)
        output = clone.execute(**values)
        if not isinstance(output, NodeOutput):
            raise TypeError(f"invalid return type {type(output)}")
        return output


class ComfyExtension:
    async def on_load(self):
        """Never called by 0.3.64."""


class ModelPatcher:
    def __init__(self, model, load_device, offload_device, size=0, weight_inplace_update=False):
        self.model, self.load_device, self.offload_device = model, load_device, offload_device
        if not hasattr(model, "device"):
            model.device = offload_device
        model.model_loaded_weight_memory = 0


def schema_class(known: tuple[str, ...]) -> type:
    """A Schema dataclass that knows exactly these fields."""
    return make_dataclass("Schema", [("node_id", str), *[(n, Any, None) for n in known]])


OLD_SCHEMA = ("display_name", "category", "inputs", "outputs", "hidden", "description",
              "is_input_list", "is_output_node", "is_deprecated", "is_experimental",
              "is_api_node", "not_idempotent", "enable_expand")
NEW_SCHEMA = (*OLD_SCHEMA, "search_aliases", "is_dev_only", "essentials_category")


def modules(root: Path, record: Record, *, old: bool = False) -> dict[str, types.ModuleType]:
    """The modules to put into `sys.modules`; `old` imitates 0.3.64."""

    def module(name: str, **contents: Any) -> types.ModuleType:
        made = types.ModuleType(name)
        made.__dict__.update(contents)
        return made

    io = module(
        "comfy_api.latest.io", Schema=schema_class(OLD_SCHEMA if old else NEW_SCHEMA),
        Int=io_type("INT", IntInput), Float=io_type("FLOAT", NumberInput),
        String=io_type("STRING", StringInput), Boolean=io_type("BOOLEAN", WidgetInput),
        Combo=io_type("COMBO", ComboInput), Image=io_type("IMAGE"), Mask=io_type("MASK"),
        Custom=io_type, Hidden=Hidden, NumberDisplay=NumberDisplay, NodeOutput=NodeOutput,
        ComfyNode=ComfyNode,
    )

    class ProgressBar:
        def __init__(self, total, node_id=None):
            self.total = total

        def update_absolute(self, value, total=None, preview=None):
            record.progress.append((value, total or self.total, preview))
            if record.cancel_after is not None and len(record.progress) >= record.cancel_after:
                record.cancelled = True

    def throw_exception_if_processing_interrupted():
        if record.cancelled:
            raise InterruptProcessingError

    def load(patchers, **options):
        record.loads.append((list(patchers), options))

    def load_old(models, memory_required=0, force_patch_weights=False):
        load(models)

    def load_new(models, memory_required=0, force_patch_weights=False,
                 minimum_memory_required=None, force_full_load=False):
        load(models, force_full_load=force_full_load)

    cpu = torch.device("cpu")
    management = module(
        "comfy.model_management", get_torch_device=lambda: cpu, intermediate_device=lambda: cpu,
        unet_offload_device=lambda: cpu, load_models_gpu=load_old if old else load_new,
        throw_exception_if_processing_interrupted=throw_exception_if_processing_interrupted,
    )
    utils = module("comfy.utils", ProgressBar=ProgressBar)
    patcher = module("comfy.model_patcher", ModelPatcher=ModelPatcher)
    cli_args = module("comfy.cli_args", args=types.SimpleNamespace(disable_metadata=False))
    comfy = module("comfy", model_management=management, utils=utils, model_patcher=patcher,
                   cli_args=cli_args)

    known: dict[str, tuple[list[str], set[str]]] = {}

    def add_model_folder_path(name, path, is_default=False):
        known.setdefault(name, ([], set()))
        if path not in known[name][0]:
            known[name][0].append(path)

    folder_paths = module(
        "folder_paths", models_dir=str(root / "models"), folder_names_and_paths=known,
        add_model_folder_path=add_model_folder_path,
        get_folder_paths=lambda name: known[name][0][:],
        get_input_directory=lambda: str(root / "input"),
        get_output_directory=lambda: str(root / "output"),
        get_temp_directory=lambda: str(root / "temp"),
    )
    latest = module("comfy_api.latest", io=io, ComfyExtension=ComfyExtension)
    return {
        "comfy": comfy, "comfy.model_management": management, "comfy.utils": utils,
        "comfy.model_patcher": patcher, "comfy.cli_args": cli_args,
        "comfy_api": module("comfy_api", latest=latest), "comfy_api.latest": latest,
        "folder_paths": folder_paths,
    }


def install(monkeypatch, root: Path, *, old: bool = False) -> Record:
    """Put the fake in place for one test and make the adapter be imported afresh."""
    record = Record()
    for name, module in modules(root, record, old=old).items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "ganvas.nodes.comfy_adapter", raising=False)
    return record
