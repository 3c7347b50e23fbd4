"""A stand-in for the parts of ComfyUI that the adapter touches. It is not ComfyUI.

It follows the published behaviour of 0.3.64 (`old=True`) and of current releases, and refuses what
they refuse: unknown arguments of a schema, an input or an output; two inputs or outputs of one id;
a class without `define_schema` or `execute`; writing to a class while it runs.

- `comfy_api.latest`: ComfyExtension, and of `io` the schema, the types, the node class with what
  ComfyUI's loader and executor call on it (see `fake_executor`), NodeOutput;
- `comfy.utils.ProgressBar`, `comfy.model_management` (devices, loading, interruption),
  `comfy.model_patcher.ModelPatcher` (attributes it puts on a model), `comfy.cli_args`;
- `folder_paths` with an unknown folder's empty extension set.

What it leaves out: servers, caching, partial loading, real memory accounting.
"""

from __future__ import annotations

import sys
import types
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, make_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from PIL import Image


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
    dynprompt = "DYNPROMPT"


SOCKET = {"display_name", "optional", "tooltip", "lazy", "extra_dict"}
WIDGET = SOCKET | {"default", "socketless"}
NUMBER = WIDGET | {"min", "max", "step", "display_mode", "force_input"}
ARGUMENTS = {
    "INT": NUMBER | {"control_after_generate"},
    "FLOAT": NUMBER | {"round"},
    "STRING": WIDGET | {"multiline", "placeholder", "dynamic_prompts", "force_input"},
    "BOOLEAN": WIDGET | {"label_on", "label_off", "force_input"},
    "COMBO": WIDGET | {"options", "control_after_generate", "upload", "image_folder", "remote"},
}
"""Keyword arguments of `Input` beside the id; every other type has those of a plain socket."""


class Port:
    """An input or output: the arguments given to it, and None for those that were not."""

    io_type = ""
    accepted: frozenset[str] = frozenset()

    def __init__(self, id: str | None = None, **given: Any) -> None:
        unknown = set(given) - self.accepted
        if unknown:
            raise TypeError(f"{self.io_type}: unexpected keyword arguments {sorted(unknown)}")
        self.id = id
        self.__dict__.update({name: given.get(name) for name in self.accepted})


def io_type(name: str) -> type:
    """A ComfyUI type: a class with `io_type`, `Input` and `Output`."""
    takes = frozenset(ARGUMENTS.get(name, SOCKET))
    gives = frozenset({"display_name", "tooltip", "is_output_list"})
    body = {
        "io_type": name,
        "Input": type("Input", (Port,), {"io_type": name, "accepted": takes}),
        "Output": type("Output", (Port,), {"io_type": name, "accepted": gives}),
    }
    return type(name, (), body)


OLD_SCHEMA = [
    "display_name",
    "category",
    "inputs",
    "outputs",
    "hidden",
    "description",
    "is_input_list",
    "is_output_node",
    "is_deprecated",
    "is_experimental",
    "is_api_node",
    "not_idempotent",
    "enable_expand",
]
NEW_SCHEMA = [
    "search_aliases",
    "is_dev_only",
    "price_badge",
    "accept_all_inputs",
    "essentials_category",
    "has_intermediate_output",
]


def schema_class(names: list[str]) -> type:
    """A Schema dataclass with exactly these fields beside the id."""
    return make_dataclass("Schema", [("node_id", str), *[(name, Any, None) for name in names]])


class NodeOutput:
    def __init__(self, *args: Any, ui=None, expand=None, block_execution=None) -> None:
        self.args, self.ui = args, ui

    @property
    def result(self) -> tuple[Any, ...] | None:
        return self.args or None


class HiddenHolder:
    """What a run puts into `cls.hidden`; what a node did not ask for is None."""

    def __init__(self, **given: Any) -> None:
        self.__dict__.update(given)

    def __getattr__(self, name: str) -> None:
        return None


class ComfyNode:
    """Base of V3 nodes, with what ComfyUI's loader and executor call."""

    RELATIVE_PYTHON_MODULE: str | None = None
    SCHEMA: Any = None
    hidden: Any = None

    @classmethod
    def define_schema(cls) -> Any:
        raise NotImplementedError

    @classmethod
    def execute(cls, **values: Any) -> Any:
        raise NotImplementedError

    @classmethod
    def validate_inputs(cls, **values: Any) -> bool | str:
        raise NotImplementedError

    @classmethod
    def fingerprint_inputs(cls, **values: Any) -> Any:
        raise NotImplementedError

    @classmethod
    def overrides(cls, name: str) -> bool:
        """Whether a subclass brings its own method; not of ComfyUI, which asks this elsewhere."""
        return getattr(cls, name).__func__ is not getattr(ComfyNode, name).__func__

    @classmethod
    def validate_class(cls) -> None:
        for name in ("define_schema", "execute"):
            if not cls.overrides(name):
                raise TypeError(f"no {name} function was defined for node class {cls.__name__}")

    @classmethod
    def finalize_schema(cls) -> Any:
        schema = cls.define_schema()
        for index, output in enumerate(schema.outputs):
            output.id = output.id or f"_{index}_{output.io_type}_"
        return schema

    @classmethod
    def get_schema(cls) -> Any:
        cls.validate_class()
        schema = cls.finalize_schema()
        inputs, outputs = ([port.id for port in ports] for ports in (schema.inputs, schema.outputs))
        if len({*inputs, *outputs}) != len(inputs) + len(outputs):
            raise ValueError(f"ids must be unique: {inputs} {outputs}")
        cls.SCHEMA = schema
        return schema

    VALIDATE_CLASS, FINALIZE_SCHEMA, GET_SCHEMA = validate_class, finalize_schema, get_schema


class ComfyExtension(ABC):
    async def on_load(self) -> None:
        """Called before the nodes are asked for, but never by 0.3.64."""
        self.loaded = True

    @abstractmethod
    async def get_node_list(self) -> list[type[ComfyNode]]: ...


class ModelPatcher:
    """Puts ComfyUI's bookkeeping on a model, and moves it by `.to`."""

    def __init__(self, model, load_device, offload_device, size=0, weight_inplace_update=False):
        self.model, self.load_device, self.offload_device = model, load_device, offload_device
        if not hasattr(model, "device"):
            model.device = offload_device
        model.model_loaded_weight_memory = 0
        model.model_lowvram = False
        model.current_weight_patches_uuid = None

    def load(self) -> None:
        self.model.to(self.load_device)
        self.model.device = self.load_device


def module(name: str, **contents: Any) -> types.ModuleType:
    """A module of that name with these contents."""
    made = types.ModuleType(name)
    made.__dict__.update(contents)
    return made


def io_module(old: bool) -> types.ModuleType:
    """`comfy_api.latest.io`."""
    kinds = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "IMAGE", "MASK")
    return module(
        "comfy_api.latest.io",
        Schema=schema_class(OLD_SCHEMA if old else [*OLD_SCHEMA, *NEW_SCHEMA]),
        Custom=io_type,
        Hidden=Hidden,
        HiddenHolder=HiddenHolder,
        NumberDisplay=NumberDisplay,
        NodeOutput=NodeOutput,
        ComfyNode=ComfyNode,
        **{kind.title(): io_type(kind) for kind in kinds},
    )


def comfy_module(record: Record) -> types.ModuleType:
    """`comfy` with the four submodules that the adapter imports."""

    class ProgressBar:
        def __init__(self, total: int, node_id: str | None = None) -> None:
            self.total = total

        def update_absolute(self, value, total=None, preview=None) -> None:
            self.total = total or self.total
            if preview is not None:
                kind, picture, side = preview
                assert isinstance(kind, str) and isinstance(picture, Image.Image)
                assert side is None or isinstance(side, int)
            record.progress.append((min(value, self.total), self.total, preview))
            if record.cancel_after is not None and len(record.progress) >= record.cancel_after:
                record.cancelled = True

    def throw_exception_if_processing_interrupted() -> None:
        if record.cancelled:
            record.cancelled = False  # one request stops one prompt
            raise InterruptProcessingError

    def load_models_gpu(
        models,
        memory_required=0,
        force_patch_weights=False,
        minimum_memory_required=None,
        force_full_load=False,
    ) -> None:
        record.loads.append((list(models), {"force_full_load": force_full_load}))
        for patcher in models:
            patcher.load()

    cpu = torch.device("cpu")
    management = module(
        "comfy.model_management",
        InterruptProcessingException=InterruptProcessingError,
        get_torch_device=lambda: cpu,
        intermediate_device=lambda: cpu,
        unet_offload_device=lambda: cpu,
        load_models_gpu=load_models_gpu,
        throw_exception_if_processing_interrupted=throw_exception_if_processing_interrupted,
    )
    arguments = types.SimpleNamespace(disable_metadata=False, preview_size=512)
    return module(
        "comfy",
        model_management=management,
        utils=module("comfy.utils", ProgressBar=ProgressBar),
        model_patcher=module("comfy.model_patcher", ModelPatcher=ModelPatcher),
        cli_args=module("comfy.cli_args", args=arguments),
    )


def folder_module(root: Path) -> types.ModuleType:
    """`folder_paths` with its folders below `root`."""
    known: dict[str, tuple[list[str], set[str]]] = {}

    def add_model_folder_path(folder_name, full_folder_path, is_default=False) -> None:
        paths, _ = known.setdefault(folder_name, ([], set()))
        if full_folder_path not in paths:
            paths.insert(0 if is_default else len(paths), full_folder_path)

    return module(
        "folder_paths",
        models_dir=str(root / "models"),
        folder_names_and_paths=known,
        add_model_folder_path=add_model_folder_path,
        get_folder_paths=lambda folder_name: known[folder_name][0][:],
        get_input_directory=lambda: str(root / "input"),
        get_output_directory=lambda: str(root / "output"),
        get_temp_directory=lambda: str(root / "temp"),
    )


def install(monkeypatch, root: Path, *, old: bool = False) -> Record:
    """Put the fake in place for one test and make the adapter be imported afresh.

    Args:
        monkeypatch: Takes it away again.
        root: Where the folders of models, inputs and outputs lie.
        old: Imitate 0.3.64 in place of a current release.
    """
    record = Record()
    comfy = comfy_module(record)
    latest = module("comfy_api.latest", io=io_module(old), ComfyExtension=ComfyExtension)
    loaded = {
        "comfy": comfy,
        "comfy_api": module("comfy_api", latest=latest),
        "comfy_api.latest": latest,
        "folder_paths": folder_module(root),
    }
    for name in ("model_management", "utils", "model_patcher", "cli_args"):
        loaded[f"comfy.{name}"] = getattr(comfy, name)
    for name, contents in loaded.items():
        monkeypatch.setitem(sys.modules, name, contents)
    monkeypatch.delitem(sys.modules, "ganvas.nodes.comfy_adapter", raising=False)
    return record
