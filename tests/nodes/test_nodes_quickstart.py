"""The quickstart workflow: both files give the same sheet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ganvas.core.images import read_image
from ganvas.nodes import registry
from ganvas.nodes.context import Host
from ganvas.nodes.engine import parse_workflow, run_file

from .small_models import GENERATOR, RESTORER, save_demo_stand_ins

ROOT = Path(__file__).resolve().parents[2]
UI = ROOT / "workflows" / "quickstart.json"
API = ROOT / "workflows" / "api" / "quickstart.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_demo_stand_ins(folder)
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
