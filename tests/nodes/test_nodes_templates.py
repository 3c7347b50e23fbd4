"""Every shipped template and blueprint: an editor can show it, and both file formats run alike."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ganvas.core.images import read_image
from ganvas.nodes import registry
from ganvas.nodes.context import Host
from ganvas.nodes.engine import parse_workflow, run_file, validate
from ganvas.nodes.engine.ui_model import VIRTUAL_TYPES
from ganvas.nodes.interface import NodeSpec

from .small_models import GENERATOR, RESTORER, save_demo_stand_ins

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / "workflows"
TEMPLATES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
BLUEPRINTS = sorted((ROOT / "subgraphs").glob("*.json"), key=lambda path: path.name)
PREVIEWING = {"Ganvas_Synthesize", "Ganvas_RestoreFaces", "Ganvas_DegradeImage"}
SHOWING = {"SaveImage", "PreviewImage", "Ganvas_SaveVideo", "Ganvas_CompareImages"}
PICTURE = 220
"""Height that the frontend keeps free for a picture below a node's widgets."""

THUMBNAIL_BYTES = 60_000
SPECS = registry()


def load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def real_nodes(data: dict[str, Any]) -> list[dict[str, Any]]:
    return [node for node in data["nodes"] if node["type"] not in VIRTUAL_TYPES]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_demo_stand_ins(folder)
    return folder


def test_the_jobs_that_people_come_for_have_templates():
    assert {
        "compare_generators",
        "degrade_and_restore",
        "find_directions",
        "generate_and_curate",
        "latent_walk",
        "quickstart",
        "style_mixing",
    } <= set(TEMPLATES)
    assert all(re.fullmatch(r"[a-z0-9_-]+", name) for name in TEMPLATES)  # part of an address


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_has_a_small_picture(name):
    path = WORKFLOWS / f"{name}.jpg"
    assert path.stat().st_size <= THUMBNAIL_BYTES
    with Image.open(path) as image:
        assert image.format == "JPEG" and 400 <= image.width <= 800
        assert len(set(image.convert("L").tobytes())) > 100


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_runs_and_its_result_opens_as_the_template(name, models, tmp_path):
    path = WORKFLOWS / f"{name}.json"
    files = run_file(path, output_dir=tmp_path, device="cpu", model_folders=[models]).files
    for file in files:
        if file.suffix == ".png":
            assert float(read_image(file).std()) > 0.02
    result = [file for file in files if file.stem.startswith(last_prefix(name))][-1]
    with Image.open(result) as image:
        texts = [image.info.get("workflow"), *map(str, image.getexif().values())]
    (workflow,) = [text.removeprefix("workflow:") for text in texts if text and '"nodes"' in text]
    assert json.loads(workflow) == load(path)


def last_prefix(name: str) -> str:
    saving = [n for n in real_nodes(load(WORKFLOWS / f"{name}.json")) if "Save" in n["type"]]
    return saving[-1]["widgets_values"][0].rpartition("/")[2]


@pytest.mark.parametrize("name", TEMPLATES)
def test_both_formats_are_one_graph_without_errors(name, models, tmp_path):
    shown = parse_workflow(load(WORKFLOWS / f"{name}.json"), SPECS)
    plain = parse_workflow(load(WORKFLOWS / f"api/{name}.json"), SPECS)
    assert shown.ui is not None and plain.ui is None
    assert graph_of(shown.prompt) == graph_of(plain.prompt)
    host = Host(tmp_path, tmp_path, tmp_path, (models,))
    assert validate(shown.prompt, SPECS, host) == []


def graph_of(prompt: Any) -> dict[str, Any]:
    return {id: (n["class_type"], n["inputs"], n["_meta"]["title"]) for id, n in prompt.items()}


@pytest.mark.parametrize("name", TEMPLATES)
def test_slots_and_widgets_agree_with_the_nodes(name):
    for node in real_nodes(load(WORKFLOWS / f"{name}.json")):
        agrees(node, SPECS[node["type"]])


def agrees(node: dict[str, Any], spec: NodeSpec) -> None:
    sockets = [item for item in spec.ordered_inputs if not item.is_widget]
    items = [(item.name, item.type) for item in (*sockets, *spec.widgets)]
    assert [(entry["name"], entry["type"]) for entry in node["inputs"]] == items
    assert [entry["type"] for entry in node["outputs"]] == [item.type for item in spec.outputs]
    seeds = sum(item.control_after_generate for item in spec.widgets)
    assert len(node["widgets_values"]) == len(spec.widgets) + seeds
    assert node["widgets_values"].count("fixed") == seeds  # running twice gives one result


@pytest.mark.parametrize("name", TEMPLATES)
def test_links_agree_with_both_of_their_ends(name):
    data = load(WORKFLOWS / f"{name}.json")
    nodes = {node["id"]: node for node in data["nodes"]}
    for id, origin, slot, target, target_slot, kind in data["links"]:
        output, entry = nodes[origin]["outputs"][slot], nodes[target]["inputs"][target_slot]
        assert id in output["links"] and entry["link"] == id
        assert output["type"] == kind and entry["type"] in (kind, "*")
    used = [i["link"] for n in nodes.values() for i in n["inputs"] if i["link"] is not None]
    assert sorted(used) == sorted(link[0] for link in data["links"])
    assert data["last_link_id"] == max(used) and data["last_node_id"] == max(nodes)


@pytest.mark.parametrize("name", TEMPLATES)
def test_nothing_overlaps_and_every_node_has_its_group(name):
    data = load(WORKFLOWS / f"{name}.json")
    boxes = [
        (n["pos"][0], n["pos"][1] - 30, n["size"][0], n["size"][1] + 30) for n in data["nodes"]
    ]  # a node's title bar stands 30 above its position
    groups = [tuple(group["bounding"]) for group in data["groups"]]
    for each in (boxes, groups):
        for i, a in enumerate(each):
            assert not any(overlap(a, b) for b in each[:i])
    for node, box in zip(data["nodes"], boxes, strict=True):
        inside = [g for g in groups if overlap(box, g)]
        assert len(inside) == (0 if node["type"] in VIRTUAL_TYPES else 1)
        assert all(contains(group, box) for group in inside)
    assert all(group["title"] for group in data["groups"])


@pytest.mark.parametrize("name", TEMPLATES)
def test_nodes_that_show_pictures_have_room_for_them(name):
    for node in real_nodes(load(WORKFLOWS / f"{name}.json")):
        widgets = len(node["widgets_values"])
        if node["type"] in PREVIEWING | SHOWING:
            assert node["size"][1] >= 24 * widgets + PICTURE, node["title"]


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_explains_itself_and_names_shipped_models_only(name):
    data = load(WORKFLOWS / f"{name}.json")
    (note,) = [node for node in data["nodes"] if node["type"] in VIRTUAL_TYPES]
    assert len(note["widgets_values"][0]) > 300
    files = {
        value
        for node in real_nodes(data)
        for value in node["widgets_values"]
        if isinstance(value, str) and value.endswith(".safetensors")
    }
    assert files <= {GENERATOR, RESTORER}
    assert all(node["title"] for node in real_nodes(data))


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def contains(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return (
        a[0] <= b[0] and a[1] <= b[1] and b[0] + b[2] <= a[0] + a[2] and b[1] + b[3] <= a[1] + a[3]
    )


def test_two_blueprints_are_there():
    assert [path.stem for path in BLUEPRINTS] == ["Degrade and restore", "Sample faces"]


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_a_blueprint_is_one_node_with_its_inside(path):
    data = load(path)
    (host,), (inside,) = data["nodes"], data["definitions"]["subgraphs"]
    assert host["type"] == inside["id"] and host["title"] == inside["name"] == path.stem
    assert data["extra"]["BlueprintDescription"] == inside["description"]
    assert len(data["extra"]["BlueprintSearchAliases"]) >= 2
    assert {(e["name"], e["type"]) for e in host["inputs"]} == {
        (e["name"], e["type"]) for e in inside["inputs"]
    }
    assert [(e["name"], e["type"]) for e in host["outputs"]] == [
        (e["name"], e["type"]) for e in inside["outputs"]
    ]
    nodes = {node["id"]: node for node in inside["nodes"]}
    for node in nodes.values():
        agrees(node, SPECS[node["type"]])
    for link in inside["links"]:
        kinds = {link["type"]}
        if link["origin_id"] == -10:
            entry = inside["inputs"][link["origin_slot"]]
            assert link["id"] in entry["linkIds"]
            kinds.add(entry["type"])
        else:
            kinds.add(nodes[link["origin_id"]]["outputs"][link["origin_slot"]]["type"])
        if link["target_id"] == -20:
            entry = inside["outputs"][link["target_slot"]]
            assert link["id"] in entry["linkIds"]
            kinds.add(entry["type"])
        else:
            target = nodes[link["target_id"]]["inputs"][link["target_slot"]]
            assert target["link"] == link["id"]
            kinds.add(target["type"])
        assert len(kinds) == 1


def test_blueprints_run_together(models, tmp_path):
    """Both in one workflow, wired as an editor wires them."""
    first, second = (
        load(ROOT / "subgraphs/Sample faces.json"),
        load(ROOT / "subgraphs/Degrade and restore.json"),
    )
    faces, repair = first["nodes"][0], second["nodes"][0]
    faces["id"], repair["id"] = 10, 20
    repair["inputs"][0]["link"] = 1
    save = {
        "id": 30,
        "type": "SaveImage",
        "inputs": [{"name": "images", "type": "IMAGE", "link": 2}],
        "outputs": [],
        "widgets_values": ["both"],
    }
    workflow = {
        "version": 0.4,
        "nodes": [faces, repair, save],
        "links": [[1, 10, 0, 20, 0, "IMAGE"], [2, 20, 1, 30, 0, "IMAGE"]],
        "definitions": {
            "subgraphs": [each["definitions"]["subgraphs"][0] for each in (first, second)]
        },
    }
    path = tmp_path / "both.json"
    path.write_text(json.dumps(workflow), encoding="utf-8")
    files = run_file(path, output_dir=tmp_path, device="cpu", model_folders=[models]).files
    assert len(files) == 4  # the blueprint's own count
    assert all(read_image(file).shape == (64, 64, 3) for file in files)
