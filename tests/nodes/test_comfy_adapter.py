"""The adapter builds a V3 class for every node and runs it, inside a stand-in for ComfyUI."""

from __future__ import annotations

import gc
import importlib
import io as bytes_io
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Annotated

import pytest
import torch
from torch import nn

import ganvas
from ganvas.core import checkpoints
from ganvas.core.errors import InputError
from ganvas.core.models.stylegan2 import Generator
from ganvas.nodes import registry
from ganvas.nodes.context import Context
from ganvas.nodes.spec import NODES, Choice, Image, build_spec

from . import fake_comfyui as fake
from .fake_executor import LINK, fingerprint, load, run, validate


@pytest.fixture
def record(monkeypatch, tmp_path):
    return fake.install(monkeypatch, tmp_path)


@pytest.fixture
def adapter(record):
    return importlib.import_module("ganvas.nodes.comfy_adapter")


def classes_of(adapter, *, old: bool = False) -> dict[str, type]:
    assert adapter is importlib.import_module("ganvas.nodes.comfy_adapter")
    return load(ganvas.comfy_entrypoint, old=old)


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

    return Descriptor(
        arch="restore-unet",
        config={},
        image_range=(-1.0, 1.0),
        resolution=None,
        network=Halver(),
        generator=None,
    )


def degrade_inputs(**change):
    """All inputs of Degrade Image as a workflow has them."""
    inputs = {item.name: item.default for item in NODES["Ganvas_DegradeImage"].widgets}
    return {"image": LINK, **inputs, **change}


def test_every_own_node_becomes_a_class_and_no_built_in(adapter):
    ours = {name for name in registry() if name.startswith("Ganvas_")}
    assert len(ours) >= 9 and ours == set(classes_of(adapter))


def test_schemas_carry_the_declarations(adapter):
    for name, cls in classes_of(adapter).items():
        spec, schema = NODES[name], cls.GET_SCHEMA()
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
    schema = classes_of(adapter)["Ganvas_SampleLatents"].GET_SCHEMA()
    inputs = {i.id: i for i in schema.inputs}
    assert (inputs["count"].min, inputs["count"].max, inputs["count"].default) == (1, 4096, 1)
    assert inputs["seed"].control_after_generate is True
    assert inputs["count"].control_after_generate is None
    assert inputs["truncation_psi"].display_mode is fake.NumberDisplay.slider
    assert inputs["truncation_psi"].step == 0.01


def test_an_older_comfyui_gets_only_what_it_knows(monkeypatch, tmp_path):
    fake.install(monkeypatch, tmp_path, old=True)
    adapter = importlib.import_module("ganvas.nodes.comfy_adapter")
    schemas = [cls.GET_SCHEMA() for cls in classes_of(adapter, old=True).values()]
    assert schemas and not any(hasattr(s, "search_aliases") for s in schemas)
    cls = classes_of(adapter)["Ganvas_DegradeImage"]
    errors = validate(cls, degrade_inputs(preset="sepia"), old=True)  # ComfyUI would let it pass
    assert [(name, kind) for name, kind, _ in errors] == [("preset", "custom_validation_failed")]


def test_the_model_folder_is_registered_with_its_extensions_once(adapter):
    import folder_paths

    classes_of(adapter)
    classes_of(adapter)
    paths, extensions = folder_paths.folder_names_and_paths["ganvas"]
    assert len(paths) == 1 and paths[0].endswith("ganvas")
    assert extensions == {".safetensors", ".pkl", ".pt", ".pth", ".ckpt"}


def test_running_a_node_returns_its_images_and_leaves_the_input_alone(adapter):
    image = torch.rand(3, 10, 7, 3)
    before = image.clone()
    cls = classes_of(adapter)["Ganvas_DegradeImage"]
    (out,) = run(
        cls,
        image=image,
        preset="custom",
        blur=2.0,
        downscale=1.0,
        noise=0.0,
        jpeg=0,
        holes=0,
        hole_size=0.1,
        seed=1,
    ).args
    assert out.shape == image.shape and out.is_inference()
    assert not torch.equal(out, image) and torch.equal(image, before)


def test_progress_carries_jpeg_previews(adapter, record):
    image = torch.rand(5, 8, 6, 3)
    cls = classes_of(adapter)["Ganvas_RestoreFaces"]
    run(cls, restorer=restorer(), image=image, chunk_size=2)
    assert [(done, total) for done, total, _ in record.progress] == [(2, 5), (4, 5), (5, 5)]
    kind, picture, side = record.progress[0][2]
    assert (kind, picture.size, picture.mode) == ("JPEG", (6, 8), "RGB") and side >= 64
    picture.save(bytes_io.BytesIO(), kind)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_preview_is_rgb_whatever_the_model_gives(adapter, channels):
    image = torch.ones(2, channels, 5, 7)
    image[:, :, 0, 0] = float("nan")
    picture = adapter.preview_picture(image)
    assert (picture.size, picture.mode) == ((7, 5), "RGB")
    assert picture.getpixel((6, 4)) == (255, 255, 255)
    assert picture.getpixel((0, 0)) == (0, 0, 0)  # a preview of NaN is no reason to stop


def test_cancelling_stops_after_the_running_chunk(adapter, record):
    record.cancel_after = 1
    with pytest.raises(fake.InterruptProcessingError):
        run(
            classes_of(adapter)["Ganvas_RestoreFaces"],
            restorer=restorer(),
            image=torch.rand(9, 8, 8, 3),
            chunk_size=1,
        )
    assert len(record.progress) == 1


def test_models_are_loaded_through_comfyuis_memory_management(adapter, record):
    model, cls = restorer(), classes_of(adapter)["Ganvas_RestoreFaces"]
    for _ in range(2):
        run(cls, restorer=model, image=torch.rand(1, 8, 8, 3))
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
    "change,kind",
    [
        ({"preset": "sepia"}, "custom_validation_failed"),
        ({"jpeg": 101}, "value_bigger_than_max"),
        ({"blur": -1.0}, "value_smaller_than_min"),
        ({"holes": "many"}, "invalid_input_type"),
    ],
    ids=str,
)
def test_one_wrong_input_gives_one_error_on_its_socket(adapter, change, kind):
    cls = classes_of(adapter)["Ganvas_DegradeImage"]
    assert validate(cls, degrade_inputs()) == []
    ((name, found, details),) = validate(cls, degrade_inputs(**change))
    assert ([name], found) == (list(change), kind)
    assert kind != "custom_validation_failed" or details.startswith("preset - got 'sepia'")


def test_a_nodes_own_hook_is_asked_with_all_its_widgets(adapter):
    classes_of(adapter)
    spec = replace(NODES["SaveImage"], id="Ganvas_Save")
    cls = adapter.node_class(spec, adapter.Placement())
    assert validate(cls, {"images": LINK, "filename_prefix": "faces/a"}) == []
    ((name, _, details),) = validate(cls, {"images": LINK, "filename_prefix": "../a"})
    assert name == "filename_prefix" and "'../a'" in details


def test_a_model_that_is_not_there_is_refused_before_running(adapter):
    cls = classes_of(adapter)["Ganvas_LoadGenerator"]
    ((name, _, details),) = validate(cls, {"model": "../../etc/passwd"})
    assert name == "model" and details.startswith("model - got '../../etc/passwd'")


@pytest.mark.parametrize("values", [{"jpeg": 1000}, {"noise": float("nan")}], ids=str)
def test_a_linked_widget_is_checked_when_its_value_arrives(adapter, values):
    cls = classes_of(adapter)["Ganvas_DegradeImage"]
    assert validate(cls, degrade_inputs(**{name: LINK for name in values})) == []
    with pytest.raises(InputError, match=f"^{next(iter(values))}: "):
        cls.execute(image=torch.rand(1, 4, 4, 3), **values)


def test_the_workflow_reaches_the_context_and_ui_reaches_comfyui(adapter):
    classes_of(adapter)
    spec = build_spec(probe, id="Ganvas_Probe", title="Probe", category="ganvas/test")
    cls = adapter.node_class(spec, adapter.Placement())
    hidden = fake.HiddenHolder(
        unique_id="17", prompt={"17": {}}, extra_pnginfo={"workflow": {"nodes": []}}
    )
    output = run(cls, hidden, name="a")
    assert output.ui == {"text": ["17", {"17": {}}, {"nodes": []}, "output"]}


def test_file_inputs_are_fingerprinted_by_content(adapter, tmp_path):
    classes_of(adapter)
    folder = tmp_path / "models" / "ganvas"
    folder.mkdir(parents=True)
    cls = classes_of(adapter)["Ganvas_LoadGenerator"]
    (folder / "a.safetensors").write_bytes(b"one")
    first = fingerprint(cls, {"model": "a.safetensors"})
    assert first == fingerprint(cls, {"model": "a.safetensors"})
    (folder / "a.safetensors").write_bytes(b"two")
    assert fingerprint(cls, {"model": "a.safetensors"}) != first
    assert fingerprint(classes_of(adapter)["Ganvas_DegradeImage"], degrade_inputs()) is False


def test_choices_that_depend_on_files_are_listed_afresh(adapter, monkeypatch):
    classes_of(adapter)
    spec = build_spec(probe, id="Ganvas_Probe", title="Probe", category="ganvas/test")
    cls = adapter.node_class(spec, adapter.Placement())
    assert cls.GET_SCHEMA().inputs[0].options == ["a"]
    monkeypatch.setattr(fake, "FILES", ["a", "b"], raising=False)
    assert cls.GET_SCHEMA().inputs[0].options == ["a", "b"]
    assert [i.optional for i in cls.GET_SCHEMA().inputs] == [False, True]


def test_the_root_package_shows_comfyui_nothing_but_the_entrypoint():
    assert not hasattr(ganvas, "NODE_CLASS_MAPPINGS")  # its presence would hide the entrypoint


def test_a_graph_of_models_latents_and_directions_runs_inside_comfyui(adapter, record, tmp_path):
    classes = {name.removeprefix("Ganvas_"): cls for name, cls in classes_of(adapter).items()}
    net = Generator(
        z_dim=8, w_dim=8, img_resolution=8, channel_base=64, channel_max=8, num_mapping_layers=1
    )
    folder = tmp_path / "models" / "ganvas"
    folder.mkdir(parents=True)
    checkpoints.save(
        folder / "g.safetensors",
        arch="stylegan2-generator",
        config=asdict(net.config),
        tensors=net.state_dict(),
        training={},
    )
    assert "g.safetensors" in classes["LoadGenerator"].GET_SCHEMA().inputs[0].options

    (model,) = run(classes["LoadGenerator"], model="g.safetensors").args
    (latents,) = run(classes["SampleLatents"], generator=model, seed=3, count=2).args
    direction, directions = run(classes["FindDirections"], generator=model, count=2).args
    apply = {"direction": direction, "strengths": "0, 1"}
    (edited,) = run(classes["ApplyDirection"], latents=latents, **apply).args
    (image,) = run(classes["Synthesize"], generator=model, latents=edited).args
    (sheet,) = run(classes["ContactSheet"], image=image, columns=2, gap=0, labels="").args
    assert len(directions) == 2 and torch.equal(directions[0].vector, direction.vector)
    assert image.shape == (4, 8, 8, 3) and sheet.shape == (1, 16, 16, 3)
    assert len({id(patchers[0]) for patchers, _ in record.loads}) == 1
