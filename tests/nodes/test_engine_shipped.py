"""The shipped workflows: both forms are one workflow, and every node and value in them is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ganvas
from ganvas.nodes import registry
from ganvas.nodes.context import Host
from ganvas.nodes.engine import parse_workflow, validate

WORKFLOWS = Path(ganvas.__file__).parent / "workflows"
SHIPPED = sorted(path.name for path in WORKFLOWS.glob("*.json"))


def test_there_is_a_quickstart():
    assert "quickstart.json" in SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_the_editors_form_and_the_api_form_are_one_workflow(name):
    shown = parse_workflow(json.loads((WORKFLOWS / name).read_text()), registry())
    plain = parse_workflow(json.loads((WORKFLOWS / "api" / name).read_text()), registry())
    assert shown.ui is not None and plain.ui is None

    def content(prompt):
        return {id: (node["class_type"], node["inputs"]) for id, node in prompt.items()}

    assert content(shown.prompt) == content(plain.prompt)


class EveryModel(Host):
    """A host that claims to hold every model; whether the demo models ship is tested elsewhere."""

    def list_models(self, kind: str) -> list[str]:
        return ["faces-stylegan2-64.safetensors", "faces-restore-unet-64.safetensors"]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_workflow_has_nothing_wrong(name, tmp_path):
    workflow = parse_workflow(json.loads((WORKFLOWS / name).read_text()), registry())
    errors = validate(workflow.prompt, registry(), EveryModel(tmp_path, tmp_path, tmp_path))
    assert [str(error) for error in errors] == []
