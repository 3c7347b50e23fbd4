"""The template browser's index: every shipped workflow with a title, a sentence and a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ganvas.nodes import registry
from ganvas.nodes.editor.templates import FIRST_GROUP, template_index

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"


def write(folder: Path, name: str, *types: str, note: str = "") -> None:
    nodes: list[dict[str, Any]] = [{"type": kind} for kind in types]
    if note:
        nodes.append({"type": "MarkdownNote", "widgets_values": [note]})
    (folder / f"{name}.json").write_text(json.dumps({"nodes": nodes}))


def found(folder: Path) -> dict[str, list[str]]:
    return {
        group["title"]: [template["name"] for template in group["templates"]]
        for group in template_index(folder, registry())
    }


def test_workflows_are_grouped_by_what_most_of_their_nodes_do(tmp_path):
    write(tmp_path, "restore_photo", "Ganvas_DegradeImage", "Ganvas_RestoreFaces", "LoadImage")
    write(tmp_path, "quickstart", "Ganvas_RestoreFaces")
    write(tmp_path, "draw", "Ganvas_LoadGenerator", "Ganvas_SampleLatents", "Ganvas_Synthesize")
    write(
        tmp_path, "pad", "Ganvas_SampleLatents", "Ganvas_Synthesize", "Ganvas_LatentPad"
    )  # sampling is only its beginning
    write(tmp_path, "a_plain", "LoadImage", "SaveImage")
    assert found(tmp_path) == {
        FIRST_GROUP: ["quickstart"],
        "More": ["a_plain"],
        "Sample": ["draw"],
        "Edit": ["pad"],
        "Restore": ["restore_photo"],
    }


def test_titles_and_descriptions_come_from_the_file(tmp_path):
    write(tmp_path, "two_words", "LoadImage", note="# Heading\n\nWhat it does.\n\nMore.")
    ((template,),) = [group["templates"] for group in template_index(tmp_path, registry())]
    assert (template["title"], template["description"]) == ("Two words", "What it does.")


@pytest.mark.parametrize("content", ["{", "[]", '{"1": {"class_type": "X"}}', '{"nodes": 3}'])
def test_files_that_are_no_workflows_are_left_out(tmp_path, content):
    (tmp_path / "bad.json").write_text(content)
    assert template_index(tmp_path, registry()) == []


def test_nodes_inside_subgraphs_count(tmp_path):
    data = {
        "nodes": [{"type": "some-id"}],
        "definitions": {"subgraphs": [{"nodes": [{"type": "Ganvas_RestoreFaces"}]}]},
    }
    (tmp_path / "inner.json").write_text(json.dumps(data))
    assert found(tmp_path) == {"Restore": ["inner"]}


def test_every_shipped_workflow_has_a_picture_and_a_sentence_of_its_own():
    templates = [t for group in template_index(WORKFLOWS, registry()) for t in group["templates"]]
    assert {t["name"] for t in templates} == {file.stem for file in WORKFLOWS.glob("*.json")}
    assert templates[0]["name"] == "quickstart"
    for template in templates:
        assert (WORKFLOWS / f"{template['name']}.{template['mediaSubtype']}").is_file()
    assert len({t["description"] for t in templates}) == len(templates)
