"""What the template browser shows of the pack's workflows: title, sentence, group and picture."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..interface import NodeSpec

MODULE = "ganvas"
FIRST = "quickstart"
FIRST_GROUP = "Start here"
OTHERS = "More"
NOTES = ("Note", "MarkdownNote")
AUXILIARY = ("load", "output")
"""Node groups that say nothing about what a workflow is for."""

GENERAL = ("sample", "measure")
"""Those that say it only where no other group is there."""


def template_index(folder: Path, registry: Mapping[str, NodeSpec]) -> list[dict[str, Any]]:
    """Return the frontend's index of templates: groups, and in each the workflows of a folder.

    A workflow's group is the one that most of its nodes belong to, its description the first
    line of its first note. A picture `<name>.jpg` lies beside each `<name>.json`.

    Args:
        folder: Holds workflows in the UI format; files that are none are left out.
        registry: Node specifications, whose categories name the groups.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(folder.glob("*.json"), key=lambda file: (file.stem != FIRST, file.stem)):
        nodes = _nodes(file)
        if nodes is None:
            continue
        used = Counter(
            group
            for kind in {node.get("type") for node in nodes}
            if (group := _group(registry.get(str(kind)))) and group not in AUXILIARY
        )
        main = max(used, key=lambda group: (group not in GENERAL, used[group], group), default="")
        title = file.stem.replace("_", " ").replace("-", " ")
        place = FIRST_GROUP if file.stem == FIRST else main.capitalize() or OTHERS
        groups.setdefault(place, []).append(
            {
                "name": file.stem,
                "title": title[:1].upper() + title[1:],
                "description": _description(nodes) or title,
                "mediaType": "image",
                "mediaSubtype": "jpg",
                "tags": sorted(group.capitalize() for group in used),
                "models": [],
            }
        )
    return [
        {
            "moduleName": MODULE,
            "title": title,
            "category": MODULE,
            "type": "image",
            "isEssential": title == FIRST_GROUP,
            "templates": templates,
        }
        for title, templates in groups.items()
    ]


def _nodes(file: Path) -> list[dict[str, Any]] | None:
    """Return the nodes of a workflow, those of its subgraphs included; None if it is none."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(data, dict) or not isinstance(data.get("nodes"), list):
        return None
    graphs = [data]
    definitions = data.get("definitions")
    if isinstance(definitions, dict) and isinstance(definitions.get("subgraphs"), list):
        graphs += [item for item in definitions["subgraphs"] if isinstance(item, dict)]
    return [node for graph in graphs for node in graph.get("nodes") or [] if isinstance(node, dict)]


def _group(spec: NodeSpec | None) -> str:
    """Return the last word of one of our nodes' category, such as "edit"."""
    return spec.category.rpartition("/")[2] if spec and spec.id.startswith("Ganvas_") else ""


def _description(nodes: list[dict[str, Any]]) -> str:
    """Return the first paragraph of the first note, without a heading."""
    for node in nodes:
        values = node.get("widgets_values")
        if node.get("type") in NOTES and isinstance(values, list) and values:
            lines = [line.strip() for line in str(values[0]).splitlines()]
            return next((line for line in lines if line and not line.startswith("#")), "")
    return ""
