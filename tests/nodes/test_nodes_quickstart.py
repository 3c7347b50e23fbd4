"""The quickstart workflow: both files give the same sheet, and an editor can show it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ganvas.core import checkpoints
from ganvas.core.images import read_image
from ganvas.core.models.stylegan2 import Generator
from ganvas.core.models.unet import RestorationUNet
from ganvas.nodes import registry
from ganvas.nodes.context import Host
from ganvas.nodes.engine import parse_workflow, run_file
from ganvas.nodes.spec import NodeSpec

ROOT = Path(__file__).resolve().parents[2]
UI = ROOT / "workflows" / "quickstart.json"
API = ROOT / "workflows" / "api" / "quickstart.json"
GENERATOR = "faces-stylegan2-64.safetensors"
RESTORER = "faces-restore-unet-64.safetensors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Small stand-ins under the demo models' names, for a checkout that lacks those."""
    folder = tmp_path_factory.mktemp("models")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = Generator(
            z_dim=16,
            w_dim=16,
            img_resolution=64,
            channel_base=512,
            channel_max=16,
            num_mapping_layers=2,
        )
        restorer = RestorationUNet(base_channels=4, num_levels=2)
        torch.nn.init.normal_(restorer.tail.weight, std=0.1)  # at first it is the identity
    for name, arch, net in (
        (GENERATOR, "stylegan2-generator", generator),
        (RESTORER, "restore-unet", restorer),
    ):
        checkpoints.save(
            folder / name,
            arch=arch,
            config=asdict(net.config),
            tensors=net.state_dict(),
            training={"preset": "test stand-in"},
        )
    return folder


@pytest.fixture(scope="module")
def sheets(folder, tmp_path_factory) -> dict[str, Path]:
    """The sheet from either file."""
    made = {}
    for name, path in (("ui", UI), ("api", API)):
        out = tmp_path_factory.mktemp(name)
        (made[name],) = run_file(path, output_dir=out, device="cpu", model_folders=[folder]).files
    return made


def test_both_formats_give_the_same_image(sheets):
    assert torch.equal(read_image(sheets["ui"]), read_image(sheets["api"]))


def test_the_sheet_shows_samples_edits_damage_and_restoration(sheets):
    sheet = read_image(sheets["ui"])
    height, width, _ = sheet.shape
    assert 900 <= width <= 1200 and height == 4 + 4 * 28 + 6 * 132
    row_tops = [32, *(192 + 132 * k for k in range(3)), 616, 776]
    rows = [sheet[top : top + 128, 4 : width - 4] for top in row_tops]
    assert all(float(row.std()) > 0.02 for row in rows)
    assert float((rows[0] - rows[4]).abs().mean()) > 0.005  # damaged
    assert float((rows[4] - rows[5]).abs().mean()) > 0.001  # restored
    for row in rows[1:4]:  # edits go on from left to right
        left, middle, right = row[:, :128], row[:, 396:524], row[:, 924:1052]
        assert (left - right).abs().mean() > (left - middle).abs().mean() > 0


def test_the_saved_sheet_opens_as_its_workflow(sheets):
    with Image.open(sheets["ui"]) as image:
        prompt, workflow = (json.loads(image.info[key]) for key in ("prompt", "workflow"))
    assert workflow == json.loads(UI.read_text(encoding="utf-8"))
    assert {n["class_type"] for n in prompt.values()} >= {"Ganvas_Synthesize", "SaveImage"}


def test_both_files_describe_the_same_graph():
    nodes = registry()
    from_ui = parse_workflow(json.loads(UI.read_text(encoding="utf-8")), nodes).prompt
    from_api = parse_workflow(json.loads(API.read_text(encoding="utf-8")), nodes).prompt
    assert _plain(from_ui) == _plain(from_api)


def _plain(prompt: Any) -> dict[str, Any]:
    return {id: (n["class_type"], n["inputs"], n["_meta"]["title"]) for id, n in prompt.items()}


def _ui() -> tuple[dict[str, Any], dict[int, dict[str, Any]], dict[str, NodeSpec]]:
    data = json.loads(UI.read_text(encoding="utf-8"))
    return data, {node["id"]: node for node in data["nodes"]}, registry()


def test_slots_and_widgets_agree_with_the_nodes():
    _, nodes, specs = _ui()
    for node in nodes.values():
        if node["type"] == "Note":
            continue
        spec = specs[node["type"]]
        sockets = [i for i in spec.ordered_inputs if not i.is_widget]
        assert [i["name"] for i in node["inputs"]] == [i.name for i in (*sockets, *spec.widgets)]
        assert [i["type"] for i in node["inputs"]] == [i.type for i in (*sockets, *spec.widgets)]
        assert [o["type"] for o in node["outputs"]] == [o.type for o in spec.outputs]
        seeds = sum(item.control_after_generate for item in spec.widgets)
        assert len(node["widgets_values"]) == len(spec.widgets) + seeds
        assert node["widgets_values"].count("fixed") == seeds  # running twice gives one result


def test_links_agree_with_both_of_their_ends():
    data, nodes, _ = _ui()
    for id, origin, slot, target, target_slot, kind in data["links"]:
        output, entry = nodes[origin]["outputs"][slot], nodes[target]["inputs"][target_slot]
        assert id in output["links"] and entry["link"] == id
        assert output["type"] == entry["type"] == kind
    used = [i["link"] for n in nodes.values() for i in n["inputs"] if i["link"] is not None]
    assert sorted(used) == sorted(link[0] for link in data["links"])
    assert data["last_link_id"] == max(used) and data["last_node_id"] == max(nodes)


def test_nothing_overlaps_and_every_node_has_its_group():
    data, nodes, _ = _ui()
    boxes = [
        (n["pos"][0], n["pos"][1] - 30, n["size"][0], n["size"][1] + 30) for n in nodes.values()
    ]  # a node's title bar stands 30 above its position
    groups = [tuple(group["bounding"]) for group in data["groups"]]
    for each in (boxes, groups):
        for i, a in enumerate(each):
            assert not any(_overlap(a, b) for b in each[:i])
    notes = [n for n in nodes.values() if n["type"] == "Note"]
    assert len(notes) == 1 and len(notes[0]["widgets_values"][0]) > 200
    for node, box in zip(nodes.values(), boxes, strict=True):
        inside = [g for g in groups if _overlap(box, g)]
        assert len(inside) == (0 if node in notes else 1)
    assert all(group["title"] for group in data["groups"])


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def test_the_workflow_is_a_template_that_names_the_shipped_models():
    prompt = json.loads(API.read_text(encoding="utf-8"))
    models = {n["inputs"]["model"] for n in prompt.values() if "model" in n["inputs"]}
    assert models == {GENERATOR, RESTORER}


def test_a_host_without_the_models_is_told_their_names(tmp_path):
    from ganvas.nodes.engine import validate

    host = Host(tmp_path, tmp_path, tmp_path, (tmp_path,))
    if host.list_models("restorer"):
        pytest.skip("the demo models are in this checkout")
    errors = validate(json.loads(API.read_text(encoding="utf-8")), registry(), host)
    assert {e.socket for e in errors} == {"model"}
    assert all(e.type == "value_not_in_list" for e in errors)
