"""What nodes that write results share: names in the output folder, and the workflow as metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from .context import Context, Host
from .files import next_number, output_name


def check_prefix(host: Host, values: Mapping[str, Any]) -> dict[str, str]:
    """Refuse a `filename_prefix` that leaves the output folder before anything runs."""
    try:
        if "filename_prefix" in values:
            output_name(host.output_dir, values["filename_prefix"])
    except InputError as error:
        return {"filename_prefix": str(error)}
    return {}


def numbered(root: Path, prefix: str, suffix: str) -> Path:
    """Return the next free `<prefix>_00001_<suffix>` below a folder, which is made.

    Raises:
        InputError: The prefix leaves the folder.
    """
    folder, stem = output_name(root, prefix)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{stem}_{next_number(folder, stem):05}_{suffix}"


def shown(path: Path, root: Path, kind: str) -> dict[str, str]:
    """Return how the editor finds a file below `root`, the folder called `kind`."""
    root = root.resolve()
    subfolder = "" if path.parent == root else path.parent.relative_to(root).as_posix()
    return {"filename": path.name, "type": kind, "subfolder": subfolder}


def workflow_metadata(ctx: Context) -> dict[str, str]:
    """Return the entries that let an editor open a result's workflow."""
    if not ctx.host.metadata:
        return {}
    chunks = {"prompt": ctx.prompt, "workflow": ctx.workflow}
    return {key: json.dumps(value) for key, value in chunks.items() if value is not None}
