"""The adapter builds a V3 class for every node and runs it, inside a stand-in for ComfyUI."""

from __future__ import annotations

import asyncio
import gc
import importlib
import io as bytes_io
from dataclasses import asdict
from types import SimpleNamespace
from typing import Annotated

import pytest
import torch
from torch import nn

from ganvas.core import checkpoints
from ganvas.core.errors import InputError
from ganvas.core.models.stylegan2 import Generator
from ganvas.nodes import registry
from ganvas.nodes.context import Context
from ganvas.nodes.spec import NODES, Choice, Image, build_spec

from . import fake_comfyui as fake


@pytest.fixture
def record(monkeypatch, tmp_path):
    return fake.install(monkeypatch, tmp_path)


@pytest.fixture
def adapter(record):
    return importlib.import_module("ganvas.nodes.comfy_adapter")


def classes_of(adapter) -> dict[str, type]:
    listed = asyncio.run(adapter.GanvasExtension().get_node_list())
    return {item.__name__: item for item in listed}


class Halver(nn.Module):
    """A model that needs no file: half the input."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.5), requires_grad=False)

    def forward(self, x):
        return x * self.gain


def probe(
    ctx: Context,
    name: Annotated[str, Choice(lambda host: getattr(fake, "FILES", ["a"]))],
    image: Image | None = None,
) -> Image:
    """Show what the context knows.

    Args:
        name: One of the files.
        image: Any image.

    Returns:
        image: A grey pixel.
    """
    ctx.show("text", [ctx.node_id, ctx.prompt, ctx.workflow, ctx.output_dir.name])
    return torch.full((1, 1, 1, 3), 0.5)


def restorer():
    class Descriptor(SimpleNamespace):
        """Weakly referable, unhashable and without a common class, as Model is seen from here."""

    return Descriptor(network=Halver(), generator=None)


def test_every_own_node_becomes_a_class_and_no_built_in(adapter):
    ours = {name for name in registry() if name.startswith("Ganvas_")}
    assert len(ours) >= 9 and ours == set(classes_of(adapter))


def test_schemas_carry_the_declarations(adapter):
    for name, cls in classes_of(adapter).items():
        spec, schema = NODES[name], cls.get_schema()
        assert (schema.node_id, schema.display_name) == (spec.id, spec.title)
        assert schema.category.startswith("ganvas/") and schema.description
        assert schema.search_aliases == list(spec.aliases) and schema.search_aliases
        assert [i.id for i in schema.inputs] == [i.name for i in spec.ordered_inputs]
        assert [i.io_type for i in schema.inputs] == [i.type for i in spec.ordered_inputs]
        assert all(i.tooltip for i in [*schema.inputs, *schema.outputs])
        assert [(o.io_type, o.is_output_list) for o in schema.outputs] == [
            (o.type, o.is_list) for o in spec.outputs
        ]


def test_widgets_carry_limits_sliders_and_seed_controls(adapter):
    schema = classes_of(adapter)["Ganvas_SampleLatents"].get_schema()
    inputs = {i.id: i for i in schema.inputs}
    assert (inputs["count"].min, inputs["count"].max, inputs["count"].default) == (1, 4096, 1)
    assert inputs["seed"].control_after_generate is True
    assert inputs["count"].control_after_generate is None
    assert inputs["truncation_psi"].display_mode is fake.NumberDisplay.slider
    assert inputs["truncation_psi"].step == 0.01


def test_an_older_comfyui_gets_only_what_it_knows(monkeypatch, tmp_path):
    record = fake.install(monkeypatch, tmp_path, old=True)
    adapter = importlib.import_module("ganvas.nodes.comfy_adapter")
    schemas = [cls.get_schema() for cls in classes_of(adapter).values()]
    assert schemas and not any(hasattr(s, "search_aliases") for s in schemas)
    cls = classes_of(adapter)["Ganvas_RestoreFaces"]
    cls.run(restorer=restorer(), image=torch.rand(1, 8, 8, 3))
    assert record.loads[0][1] == {}  # force_full_load is unknown there


def test_the_model_folder_is_registered_with_its_extensions_once(adapter):
    import folder_paths

    classes_of(adapter)
    classes_of(adapter)
    paths, extensions = folder_paths.folder_names_and_paths["ganvas"]
    assert len(paths) == 1 and paths[0].endswith("ganvas")
    assert extensions == {".safetensors", ".pkl", ".pt", ".pth"}


def test_running_a_node_returns_its_images_and_leaves_the_input_alone(adapter):
    image = torch.rand(3, 10, 7, 3)
    before = image.clone()
    cls = classes_of(adapter)["Ganvas_DegradeImage"]
    (out,) = cls.run(image=image, preset="custom", blur=2.0, downscale=1.0, noise=0.0, jpeg=0,
                     holes=0, hole_size=0.1, seed=1).args
    assert out.shape == image.shape and out.is_inference()
    assert not torch.equal(out, image) and torch.equal(image, before)


def test_progress_carries_jpeg_previews(adapter, record):
    image = torch.rand(5, 8, 6, 3)
    classes_of(adapter)["Ganvas_RestoreFaces"].run(
        restorer=restorer(), image=image, strength=1.0, chunk_size=2
    )
    assert [(done, total) for done, total, _ in record.progress] == [(2, 5), (4, 5), (5, 5)]
    kind, picture, side = record.progress[0][2]
    assert (kind, picture.size, picture.mode) == ("JPEG", (6, 8), "RGB") and side >= 64
    picture.save(bytes_io.BytesIO(), kind)


def test_cancelling_stops_after_the_running_chunk(adapter, record):
    record.cancel_after = 1
    with pytest.raises(fake.InterruptProcessingError):
        classes_of(adapter)["Ganvas_RestoreFaces"].run(
            restorer=restorer(), image=torch.rand(9, 8, 8, 3), chunk_size=1
        )
    assert len(record.progress) == 1


def test_models_are_loaded_through_comfyuis_memory_management(adapter, record):
    model, cls = restorer(), classes_of(adapter)["Ganvas_RestoreFaces"]
    for _ in range(2):
        cls.run(restorer=model, image=torch.rand(1, 8, 8, 3))
    (first, options), (second, _) = record.loads
    assert first == second and first[0].model is model.network  # one patcher, reused
    assert options == {"force_full_load": True}


def test_a_dropped_model_drops_its_patcher(adapter):
    placement, model = adapter.Placement(), restorer()
    placement.bring_in([model, 3, "text", torch.zeros(1)])
    assert len(placement._patchers) == 1
    del model
    gc.collect()
    assert placement._patchers == {}


@pytest.mark.parametrize(
    "change,socket",
    [({"preset": "sepia"}, "preset"), ({"jpeg": 101}, "jpeg"), ({"blur": -1.0}, "blur"),
     ({"holes": 1.5}, "holes"), ({"noise": float("nan")}, "noise")],
    ids=str,
)
def test_validation_names_the_socket(adapter, change, socket):
    cls = classes_of(adapter)["Ganvas_DegradeImage"]
    verdict = cls.validate_inputs(image=None, **change)
    assert isinstance(verdict, str) and verdict.startswith(f"{socket}: ")
    assert cls.validate_inputs(image=None, preset="default", jpeg=100) is True


def test_a_model_that_is_not_there_is_refused_before_running(adapter):
    cls = classes_of(adapter)["Ganvas_LoadGenerator"]
    verdict = cls.validate_inputs(model="../../etc/passwd")
    assert isinstance(verdict, str) and verdict.startswith("model: ")


def test_a_linked_widget_is_checked_when_its_value_arrives(adapter):
    cls = classes_of(adapter)["Ganvas_DegradeImage"]
    with pytest.raises(InputError, match=r"^jpeg: "):
        cls.execute(image=torch.rand(1, 4, 4, 3), jpeg=1000)


def test_the_workflow_reaches_the_context_and_ui_reaches_comfyui(adapter):
    classes_of(adapter)
    spec = build_spec(probe, id="Ganvas_Probe", title="Probe", category="ganvas/test")
    cls = adapter.node_class(spec, adapter.Placement())
    hidden = fake.HiddenHolder("17", {"17": {}}, {"workflow": {"nodes": []}})
    output = cls.run(hidden, name="a")
    assert output.ui == {"text": ["17", {"17": {}}, {"nodes": []}, "output"]}


def test_file_inputs_are_fingerprinted_by_content(adapter, tmp_path):
    classes_of(adapter)
    folder = tmp_path / "models" / "ganvas"
    folder.mkdir(parents=True)
    cls = classes_of(adapter)["Ganvas_LoadGenerator"]
    (folder / "a.safetensors").write_bytes(b"one")
    first = cls.fingerprint_inputs(model="a.safetensors")
    assert first == cls.fingerprint_inputs(model="a.safetensors")
    (folder / "a.safetensors").write_bytes(b"two")
    assert cls.fingerprint_inputs(model="a.safetensors") != first
    assert not hasattr(classes_of(adapter)["Ganvas_DegradeImage"], "fingerprint_inputs")


def test_choices_that_depend_on_files_are_listed_afresh(adapter, monkeypatch):
    classes_of(adapter)
    spec = build_spec(probe, id="Ganvas_Probe", title="Probe", category="ganvas/test")
    cls = adapter.node_class(spec, adapter.Placement())
    assert cls.get_schema().inputs[0].options == ["a"]
    monkeypatch.setattr(fake, "FILES", ["a", "b"], raising=False)
    assert cls.get_schema().inputs[0].options == ["a", "b"]
    assert [i.optional for i in cls.get_schema().inputs] == [False, True]


def test_the_root_package_hands_the_extension_out(record):
    import ganvas

    extension = asyncio.run(ganvas.comfy_entrypoint())
    assert type(extension).__name__ == "GanvasExtension"
    assert not hasattr(ganvas, "NODE_CLASS_MAPPINGS")  # its presence would hide the entrypoint


def test_a_graph_of_models_latents_and_directions_runs_inside_comfyui(adapter, record, tmp_path):
    classes = {name.removeprefix("Ganvas_"): cls for name, cls in classes_of(adapter).items()}
    net = Generator(z_dim=8, w_dim=8, img_resolution=8, channel_base=64, channel_max=8,
                    num_mapping_layers=1)
    folder = tmp_path / "models" / "ganvas"
    folder.mkdir(parents=True)
    checkpoints.save(folder / "g.safetensors", arch="stylegan2-generator",
                     config=asdict(net.config), tensors=net.state_dict(), training={})
    assert "g.safetensors" in classes["LoadGenerator"].get_schema().inputs[0].options

    with torch.inference_mode():  # as ComfyUI runs every node
        (model,) = classes["LoadGenerator"].run(model="g.safetensors").args
        (latents,) = classes["SampleLatents"].run(generator=model, seed=3, count=2).args
        direction, directions = classes["FindDirections"].run(generator=model, count=2).args
        (edited,) = classes["ApplyDirection"].run(
            latents=latents, direction=direction, strengths="0, 1"
        ).args
        (image,) = classes["Synthesize"].run(generator=model, latents=edited).args
        (sheet,) = classes["ContactSheet"].run(image=image, columns=2, gap=0, labels="").args
    assert len(directions) == 2 and torch.equal(directions[0].vector, direction.vector)
    assert image.shape == (4, 8, 8, 3) and sheet.shape == (1, 16, 16, 3)
    assert len({id(patchers[0]) for patchers, _ in record.loads}) == 1
