"""`--set NODE.INPUT=VALUE`: change values of a workflow from the command line."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.errors import InputError
from ..interface import InputSpec, NodeSpec
from .errors import nearest
from .prompt import parse_prompt, wrap_value


@dataclass
class Overridden:
    """A workflow with values set.

    Attributes:
        prompt: API format.
        files: Files that the user named for upload widgets, by the name the workflow now has.
        touched: The (node id, input) pairs that were set.
    """

    prompt: dict[str, Any]
    files: dict[str, Path] = field(default_factory=dict)
    touched: set[tuple[str, str]] = field(default_factory=set)

    def set_file(self, node_id: str, name: str, path: Path, text: str) -> None:
        """Point an upload widget at a file; only its name is recorded, unless that is taken."""
        label = path.name
        if self.files.get(label, path) != path:
            label = text
        self.files[label] = path
        self.prompt[node_id]["inputs"][name] = label
        self.touched.add((node_id, name))


def apply_sets(
    prompt: Mapping[str, Any], sets: Sequence[str], registry: Mapping[str, NodeSpec]
) -> Overridden:
    """Return a copy of `prompt` with values replaced.

    NODE is a node's id, its title, or its class when only one node has it. VALUE is JSON where
    that parses (numbers, true, false) and text otherwise; for an upload widget it may be a path.

    Args:
        prompt: API-format workflow.
        sets: Texts of the form "NODE.INPUT=VALUE".
        registry: Node specifications.

    Raises:
        InputError: A text of another form, an unknown node or input (with the nearest names), or
            a socket, which takes links only.
    """
    parse_prompt(prompt)
    result = Overridden(
        {str(id): {"inputs": {}, **copy.deepcopy(dict(entry))} for id, entry in prompt.items()}
    )
    for text in sets:
        target, equals, value = text.partition("=")
        node_name, dot, name = target.strip().rpartition(".")
        if not equals or not dot or not node_name or not name:
            raise InputError(f"--set: expected NODE.INPUT=VALUE, got {text!r}")
        id = find_node(result.prompt, node_name, registry)
        entry = result.prompt[id]
        item = _find_input(id, entry["class_type"], name, registry)
        if item.image_upload and Path(value).is_file():
            result.set_file(id, name, Path(value).resolve(), value)
            continue
        entry["inputs"][name] = _value(item, value)
        result.touched.add((id, name))
    return result


def find_node(prompt: Mapping[str, Any], name: str, registry: Mapping[str, NodeSpec]) -> str:
    """Return the id of the node that `name` means: an id, a title, or a class.

    Raises:
        InputError: No node or several nodes are meant.
    """
    if name in prompt:
        return name
    titles, classes = {}, {}
    for id, entry in prompt.items():
        kind = entry["class_type"]
        spec = registry.get(kind)
        meta = entry.get("_meta")
        title = meta.get("title") if isinstance(meta, Mapping) else None
        title = title if isinstance(title, str) else spec.title if spec else ""
        titles.setdefault(title.lower(), []).append(id)
        classes.setdefault(kind.lower(), []).append(id)
    for ids in (titles.get(name.lower()), classes.get(name.lower())):
        if ids and len(ids) == 1:
            return ids[0]
        if ids:
            raise InputError(f"--set: {name!r} means {len(ids)} nodes, use an id: {', '.join(ids)}")
    known = [*prompt, *titles, *classes]
    listed = ", ".join(f"{id} ({entry['class_type']})" for id, entry in list(prompt.items())[:10])
    raise InputError(
        f"--set: the workflow has no node {name!r}{nearest(name, known)}; its nodes are {listed}"
    )


def upload_inputs(
    prompt: Mapping[str, Any],
    registry: Mapping[str, NodeSpec],
) -> list[tuple[str, str]]:
    """Return the (node id, input) pairs of all upload widgets, such as LoadImage's."""
    return [
        (id, item.name)
        for id, entry in prompt.items()
        if entry["class_type"] in registry
        for item in registry[entry["class_type"]].inputs
        if item.image_upload
    ]


def _find_input(id: str, kind: str, name: str, registry: Mapping[str, NodeSpec]) -> InputSpec:
    """Return the widget of a node that `name` means."""
    spec = registry.get(kind)
    if spec is None:
        raise InputError(
            f"--set: node {id} has the unknown class {kind!r}{nearest(kind, registry)}"
        )
    item = spec.input(name)
    if item is None:
        names = [each.name for each in spec.widgets]
        raise InputError(
            f"--set: node {id} ({spec.title}) has no input {name!r}"
            f"{nearest(name, names)}; it has {', '.join(names) or 'none'}"
        )
    if not item.is_widget:
        raise InputError(
            f"--set: input {name} of node {id} ({spec.title}) takes a link to a "
            f"{item.type} output, not a value"
        )
    return item


def _value(item: InputSpec, text: str) -> Any:
    """Parse a value: text stays text for text widgets unless it is a quoted JSON string."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if item.type in ("STRING", "COMBO") and not isinstance(value, str):
        return text
    return wrap_value(value)
