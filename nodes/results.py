"""What nodes that write results share: names in the output folder, images, metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..core.errors import InputError
from ..core.images import save_png
from .context import Context, Host
from .convert import check_image
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


def write_images(
    ctx: Context, images: Tensor, root: Path, prefix: str, kind: str, show: str = "images"
) -> list[Path]:
    """Write a batch as `<prefix>_00001_.png` and so on, and show it on the node.

    Args:
        ctx: The node's context.
        images: An IMAGE batch.
        root: The folder that `kind` stands for.
        prefix: Start of the file names, see `files.output_name`.
        kind: "output" or "temp", as the editor calls the folder.
        show: Under which name the editor gets the files.

    Raises:
        InputError: The images or the prefix cannot be used.
    """
    check_image(images, name="images")
    folder, stem = output_name(root, prefix)
    folder.mkdir(parents=True, exist_ok=True)
    first = next_number(folder, stem)
    text = workflow_metadata(ctx)
    paths = []
    for index, image in enumerate(images):
        ctx.check()
        path = folder / f"{stem}_{first + index:05}_.png"
        save_png(path, image, text)
        paths.append(path)
        ctx.show(show, [shown(path, root, kind)])
        ctx.progress(index + 1, len(images))
    return paths


def safe_name(node_id: str) -> str:
    """Return an id with nothing in it that a file name cannot hold."""
    return "".join(letter if letter.isalnum() else "-" for letter in node_id)[:40] or "image"
