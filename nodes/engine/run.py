"""Run workflow files headless: what `ganvas run` does."""

from __future__ import annotations

import glob
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...core.errors import InputError
from ...core.files import check_output_folder
from .. import registry as default_registry
from ..context import Events, Host
from ..interface import NodeSpec
from .cache import Cache
from .executor import Execution, execute
from .graph import prepare
from .overrides import Overridden, apply_sets, upload_inputs
from .source import Workflow, parse_workflow, read_workflow


@dataclass
class Outputs:
    """What a command-line run brought.

    Attributes:
        files: Files written, in order.
        executions: One per run: one, or as many as `batch_over` matched files.
    """

    files: list[Path] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)


def run_file(
    path: str | Path,
    set: Sequence[str] = (),
    output_dir: str | Path = "output",
    device: str = "auto",
    batch_over: str | None = None,
    *,
    input_dir: str | Path = "input",
    model_folders: Sequence[Path] | None = None,
    metadata: bool = True,
    events: Events | None = None,
    interrupted: Callable[[], bool] | None = None,
    registry: Mapping[str, NodeSpec] | None = None,
) -> Outputs:
    """Execute a workflow file in the API or UI format, or the workflow inside a saved PNG.

    Args:
        path: The workflow.
        set: "NODE.INPUT=VALUE" texts, see `overrides.apply_sets`.
        output_dir: Receives the saved images; previews are not kept.
        device: "auto", "cpu", "cuda" or "cuda:1".
        batch_over: A glob pattern; the workflow runs once for each file, put into the one LoadImage
            node that `set` leaves alone.
        input_dir: Folder that LoadImage's names refer to.
        model_folders: Folders of models beside the package's own; the usual ones when None.
        metadata: Whether saved images carry the workflow.
        events: Told what happens, see `executor`; `batch_item` (index, total, file) comes too.
        interrupted: Asked whether to stop.
        registry: Node specifications; all of ours when None.

    Returns:
        The written files. Files are written whole or not at all, whatever happens.

    Raises:
        InputError: The workflow, a value or a file is wrong; every message names the place.
        NodeFailedError: A node failed for another reason.
        Interrupted: `interrupted` returned true.
    """
    from ...core.devices import choose_device

    nodes = registry if registry is not None else default_registry()
    target = Path(output_dir)
    check_output_folder(target)
    workflow = read_workflow(Path(path), nodes)
    overridden = apply_sets(workflow.prompt, set, nodes)
    items = _batch(overridden, batch_over, nodes)
    outputs, cache = Outputs(), Cache() if len(items) > 1 else None
    with tempfile.TemporaryDirectory(prefix="ganvas-") as temporary:
        host = Host(
            input_dir=Path(input_dir),
            output_dir=target,
            temp_dir=Path(temporary),
            model_folders=None if model_folders is None else tuple(model_folders),
            device=choose_device(device),
            metadata=metadata,
        )
        for index, item in enumerate(items):
            if events and batch_over is not None:
                events(
                    "batch_item", {"index": index, "total": len(items), "file": str(item.source)}
                )
            ui = workflow.ui if not item.changed.touched else None
            try:
                done = run_workflow(
                    Workflow(item.changed.prompt, ui),
                    replace(host, files=item.changed.files),
                    registry=nodes,
                    cache=cache,
                    events=events,
                    interrupted=interrupted,
                )
            except InputError as error:
                if item.source is None:
                    raise
                raise InputError(f"{item.source}: {error}") from error
            outputs.executions.append(done)
            outputs.files += done.files
    return outputs


def run_workflow(
    workflow: Workflow | Mapping[str, Any],
    host: Host,
    *,
    registry: Mapping[str, NodeSpec] | None = None,
    cache: Cache | None = None,
    events: Events | None = None,
    interrupted: Callable[[], bool] | None = None,
) -> Execution:
    """Check and execute a workflow that is in memory, in either format.

    Raises:
        InputError: It cannot run (`GraphError` names nodes and sockets).
        NodeFailedError: A node failed.
        Interrupted: `interrupted` returned true.
    """
    nodes = registry if registry is not None else default_registry()
    if not isinstance(workflow, Workflow):
        workflow = parse_workflow(workflow, nodes)
    plan = prepare(workflow.prompt, nodes, host)
    return execute(
        plan,
        host,
        cache=cache,
        events=events,
        interrupted=interrupted,
        prompt=workflow.prompt,
        workflow=workflow.ui,
    )


@dataclass(frozen=True)
class _Item:
    """One run of a batch."""

    changed: Overridden
    source: Path | None = None


def _batch(
    overridden: Overridden, pattern: str | None, registry: Mapping[str, NodeSpec]
) -> list[_Item]:
    """Return one copy of the workflow for each file of the pattern."""
    if pattern is None:
        return [_Item(overridden)]
    paths = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
    paths = [path for path in paths if path.is_file()]
    if not paths:
        raise InputError(f"--batch-over: no file matches {pattern!r}")
    place = _free_upload(overridden, registry)
    items = []
    for path in paths:
        item = apply_sets(overridden.prompt, [], registry)
        item.files.update(overridden.files)
        item.set_file(*place, path.resolve(), str(path))
        items.append(_Item(item, path))
    return items


def _free_upload(overridden: Overridden, registry: Mapping[str, NodeSpec]) -> tuple[str, str]:
    """Return the node id and the name of the one input that takes a batch's files.

    Raises:
        InputError: The workflow has none, or several that `--set` leaves alone.
    """
    inputs = upload_inputs(overridden.prompt, registry)
    if not inputs:
        raise InputError(
            "--batch-over: expected a workflow with a Load Image node to put the files into, "
            "got one that loads no image"
        )
    free = [place for place in inputs if place not in overridden.touched]
    if len(free) == 1:
        return free[0]
    found = ", ".join(".".join(place) for place in free) or "none"
    others = "give the others a value with --set" if free else "leave one out of --set"
    raise InputError(
        f"--batch-over: expected one Load Image input to put the files into, got {found}; {others}"
    )
