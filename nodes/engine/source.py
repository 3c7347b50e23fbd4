"""Read a workflow from a file: API or UI format, as JSON or from a saved PNG."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ...core.errors import InputError
from ...core.files import check_input_file
from ..interface import NodeSpec
from .ui_format import ui_to_api

MAX_BYTES = 64 * 2**20
MAX_DEPTH = 100


@dataclass(frozen=True)
class Workflow:
    """A workflow in the API format, and in the UI format when the file had that."""

    prompt: dict[str, Any]
    ui: dict[str, Any] | None = None


def read_workflow(path: Path, registry: Mapping[str, NodeSpec]) -> Workflow:
    """Read and, from the UI format, convert a workflow file.

    Args:
        path: A `.json` file, or a PNG whose text chunks hold a workflow.
        registry: Node specifications, needed for the UI format.

    Raises:
        InputError: No such file, not JSON, or neither of the two formats.
    """
    check_input_file(path, "a workflow file")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(
                f"{path}: expected a workflow of at most {MAX_BYTES} bytes, "
                f"got {path.stat().st_size}"
            )
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return _from_png(path, registry)
    return parse_workflow(_json(content, str(path)), registry, str(path))


def parse_workflow(data: Any, registry: Mapping[str, NodeSpec], name: str = "workflow") -> Workflow:
    """Tell the format of a loaded workflow, and convert it if need be.

    Args:
        data: What the JSON file held.
        registry: Node specifications, needed for the UI format.
        name: What messages call it.

    Raises:
        InputError: Neither of the two formats (a `GraphError` when it is a malformed one).
    """
    _refuse_deep(data, name)
    if isinstance(data, dict) and isinstance(data.get("prompt"), dict) and "nodes" not in data:
        data = data["prompt"]  # the body of a request to /prompt
    if isinstance(data, dict) and isinstance(data.get("nodes"), list):
        return Workflow(ui_to_api(data, registry), data)
    if isinstance(data, dict) and any(
        isinstance(value, dict) and "class_type" in value for value in data.values()
    ):
        return Workflow(data)
    raise InputError(
        f'{name}: expected a workflow in ComfyUI\'s UI format (with "nodes") or API '
        'format (an object of nodes with "class_type"), got neither'
    )


def _refuse_deep(data: Any, name: str) -> None:
    """Refuse lists and objects nested so deep that walking them would exhaust the stack."""
    level = [data]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return
    raise InputError(f"{name}: expected at most {MAX_DEPTH} levels of nested lists and objects")


def _from_png(path: Path, registry: Mapping[str, NodeSpec]) -> Workflow:
    """Read the workflow that a saved image carries; its API format is what really ran."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            text = {key: value for key, value in image.info.items() if isinstance(value, str)}
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: not a readable PNG ({error})") from None
    loaded = {
        key: _json(text[key], f"{path} ({key})") for key in ("prompt", "workflow") if key in text
    }
    if "prompt" in loaded:
        prompt = parse_workflow(loaded["prompt"], registry, str(path)).prompt
        ui = loaded.get("workflow")
        return Workflow(prompt, ui if isinstance(ui, dict) else None)
    if "workflow" in loaded:
        return parse_workflow(loaded["workflow"], registry, str(path))
    raise InputError(f'{path}: the image carries no workflow (no text chunk "prompt")')


def _json(content: bytes | str, name: str) -> Any:
    """Parse JSON text, with one sentence for whatever is wrong with it."""
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise InputError(f"{name}: not JSON (line {error.lineno}: {error.msg})") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: not JSON ({str(error)[:80]})") from None
