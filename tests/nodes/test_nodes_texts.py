"""Every node explains itself: help page, translations, tooltips, search words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ganvas.nodes import registry

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "web" / "docs"
OURS = {name: spec for name, spec in registry().items() if name.startswith("Ganvas_")}


def translations(language: str) -> dict[str, Any]:
    path = ROOT / "locales" / language / "nodeDefs.json"
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", OURS)
def test_a_node_has_a_category_search_words_and_a_help_page(name):
    spec = OURS[name]
    assert re.fullmatch(r"ganvas/[a-z]+", spec.category)
    assert len(spec.aliases) >= 2 and len(set(spec.aliases)) == len(spec.aliases)
    page = (ROOT / "web" / "docs" / f"{name}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {spec.title}\n")
    rows = set(re.findall(r"\w+", " ".join(re.findall(r"^\| ([^|]*) \|", page, re.MULTILINE))))
    assert {i.name for i in spec.inputs} | {o.name for o in spec.outputs} <= rows


def test_help_pages_belong_to_nodes():
    assert {page.stem for page in DOCS.glob("*.md")} == set(OURS)
    assert {folder.name for folder in DOCS.iterdir() if folder.is_dir()} == set(OURS)


@pytest.mark.parametrize("name", OURS)
def test_the_chinese_page_says_the_same_in_chinese(name):
    page = (DOCS / name / "zh.md").read_text(encoding="utf-8")
    title = translations("zh")[name]["display_name"]
    assert page.startswith(f"# {title}\n")
    rows = set(
        re.findall(r"[a-z_0-9]+", " ".join(re.findall(r"^\| ([^|]*) \|", page, re.MULTILINE)))
    )
    assert {item.name for item in (*OURS[name].inputs, *OURS[name].outputs)} <= rows
    text = re.sub(r"[`(].*?[`)]", "", page)
    assert len(re.findall(r"[\u4e00-\u9fff]", text)) > 60


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("page", ["{}.md", "{}/zh.md"])
def test_a_help_page_has_a_picture_that_is_there(name, page):
    text = (DOCS / page.format(name)).read_text(encoding="utf-8")
    pictures = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", text)
    assert pictures
    for description, target in pictures:
        assert len(description) > 5
        with Image.open(DOCS / target) as image:  # the frontend resolves it against docs/
            assert image.format == "JPEG" and 200 <= image.width <= 700


def test_pictures_are_small():
    pictures = [path for path in DOCS.rglob("*") if path.suffix in (".jpg", ".png", ".webp")]
    assert sum(path.stat().st_size for path in pictures) < 1_000_000


def test_english_texts_are_those_of_the_nodes():
    texts = translations("en")
    assert set(texts) == set(OURS)
    for name, spec in OURS.items():
        text = texts[name]
        assert (text["display_name"], text["description"]) == (spec.title, spec.description)
        assert {k: v["tooltip"] for k, v in text["inputs"].items()} == {
            i.name: i.tooltip for i in spec.inputs
        }
        assert [text["outputs"][str(k)]["tooltip"] for k in range(len(spec.outputs))] == [
            o.tooltip for o in spec.outputs
        ]


def test_chinese_texts_are_complete_and_chinese():
    english, chinese = translations("en"), translations("zh")
    assert _keys(english) == _keys(chinese)
    for text in chinese.values():
        sentences = [text["display_name"], text["description"]]
        sentences += [e["tooltip"] for e in (*text["inputs"].values(), *text["outputs"].values())]
        assert all(re.search(r"[\u4e00-\u9fff]", sentence) for sentence in sentences)


def _keys(tree: Any, path: str = "") -> set[str]:
    if not isinstance(tree, dict):
        return {path}
    return set().union(*(_keys(value, f"{path}/{key}") for key, value in tree.items()))


def test_titles_and_tooltips_are_distinct_sentences():
    titles = [spec.title for spec in OURS.values()]
    assert len(set(titles)) == len(titles)
    for spec in OURS.values():
        assert all(i.tooltip.endswith(".") and len(i.tooltip) > 10 for i in spec.inputs)
        assert all(o.tooltip.endswith(".") for o in spec.outputs)
