"""What a node's function may ask of the program that runs it, whichever that is."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, device

Events = Callable[[str, dict[str, Any]], None]
"""Told what happens in a run: ComfyUI's name of the message, and its fields."""


@dataclass(frozen=True)
class Host:
    """Folders, device and permissions of the running program.

    Attributes:
        input_dir: Folder of images that LoadImage may name.
        output_dir: Folder that receives results; nothing is written outside it.
        temp_dir: Folder for previews, which do not outlive the program.
        model_folders: Folders searched for models after the package's own demo models; the
            catalog's own choice ($GANVAS_MODELS, ./models) when None.
        device: Where models run, for example "cpu" or "cuda".
        files: Further readable files by the name that a workflow uses for them: what the user
            named on the command line. Nothing else outside the folders can be read.
        metadata: Whether saved images carry the workflow that made them.
    """

    input_dir: Path
    output_dir: Path
    temp_dir: Path
    model_folders: tuple[Path, ...] | None = None
    device: str | device = "cpu"
    files: Mapping[str, Path] = field(default_factory=dict)
    metadata: bool = True

    def list_models(self, kind: str) -> list[str]:
        """Return the names of all model files: those of a kind of `model_kinds` first."""
        from ..core.checkpoints import catalog
        from .model_kinds import MODEL_KINDS

        return catalog.list_models_for(MODEL_KINDS[kind].architectures, self.model_folders)

    def find_model(self, name: str) -> Path:
        """Return the file of a model that `list_models` names.

        Raises:
            InputError: There is no such model.
        """
        from ..core.checkpoints import catalog

        return catalog.find_model(name, self.model_folders)


def default_host() -> Host:
    """Return a host with `input` and `output` in the working folder, on the CPU."""
    return Host(Path("input"), Path("output"), Path(tempfile.gettempdir()) / "ganvas")


class Context:
    """Passed to every node function as `ctx`; one per node and run.

    This class reports nothing and is never interrupted, which suits scripts and tests. The engine
    and ComfyUI's adapter subclass it.

    Args:
        host: Folders and device; the working folder on the CPU when left out.
        node_id: Id of the node in its workflow.
        prompt: The API-format workflow that runs, saved into images.
        workflow: The editor's UI-format workflow, saved into images when there is one.
    """

    def __init__(
        self,
        host: Host | None = None,
        *,
        node_id: str = "",
        prompt: Mapping[str, Any] | None = None,
        workflow: Mapping[str, Any] | None = None,
    ) -> None:
        self.host = host or default_host()
        self.node_id = node_id
        self.prompt = prompt
        self.workflow = workflow
        self.ui: dict[str, list[Any]] = {}
        self.saved: list[Path] = []

    @property
    def device(self) -> str | device:
        """Where the node's models should run."""
        return self.host.device

    @property
    def input_dir(self) -> Path:
        """Folder of input images."""
        return self.host.input_dir

    @property
    def output_dir(self) -> Path:
        """Folder for results."""
        return self.host.output_dir

    @property
    def temp_dir(self) -> Path:
        """Folder for previews."""
        return self.host.temp_dir

    def find_model(self, name: str) -> Path:
        """Return the file of a model named by a `ModelFile` widget.

        Raises:
            InputError: There is no such model.
        """
        return self.host.find_model(name)

    def progress(self, done: int, total: int, preview: Tensor | None = None) -> None:
        """Report that `done` of `total` steps are finished, and check for interruption.

        Args:
            done: Finished steps.
            total: All steps.
            preview: An image so far, [C,H,W] or [N,C,H,W] in 0..1, of which the first is shown.

        Raises:
            Interrupted: The user asked to stop.
        """
        self.check()

    def check(self) -> None:
        """Return, or raise `Interrupted` when the user asked to stop; call it in long loops."""

    def show(self, kind: str, entries: Sequence[Any]) -> None:
        """Add what the editor shows on the node, for example ("images", [{"filename": ...}])."""
        self.ui.setdefault(kind, []).extend(entries)

    def record_file(self, path: Path) -> None:
        """Note a finished file, so that the command line can name it."""
        self.saved.append(path)
