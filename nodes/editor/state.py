"""What the request handlers share: nodes, folders, queue and connected browsers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from ...core.errors import InputError
from ..context import Host
from ..engine import Cache
from ..files import host_folder, inside
from ..interface import NodeSpec
from .clients import Clients
from .jobs import JobQueue

PACK = Path(__file__).resolve().parents[2]
"""The folder of the package, which holds workflows, web, locales and subgraphs."""

USER = "default"


@dataclass
class Editor:
    """The state of one running editor.

    Attributes:
        registry: Node specifications by id.
        host: Folders and device of the engine.
        user_dir: Folder of the user's workflows and settings.
        static: The frontend's files.
        pack: The package's own templates, help pages and translations.
    """

    registry: Mapping[str, NodeSpec]
    host: Host
    user_dir: Path
    static: Path
    pack: Path = PACK
    queue: JobQueue = field(default_factory=JobQueue)
    clients: Clients = field(default_factory=Clients)
    cache: Cache = field(default_factory=Cache)

    @property
    def user_files(self) -> Path:
        """Folder of the one user's files, laid out as ComfyUI does."""
        return self.user_dir / USER

    def folder(self, kind: str) -> Path:
        """Return the folder that a file reference calls "input", "output" or "temp".

        Raises:
            InputError: Another kind.
        """
        return host_folder(self.host, kind)

    def file(self, kind: str, subfolder: str, name: str) -> Path:
        """Return the path of a file reference, whether or not there is such a file.

        Raises:
            InputError: It lies outside the folder.
        """
        path = inside(self.folder(kind), f"{subfolder}/{name}" if subfolder else name)
        if path is None or not name.strip():
            raise InputError(f"{name[:100]!r} lies outside the {kind} folder")
        return path

    def user_file(self, name: str) -> Path:
        """Return the path of one of the user's files.

        Raises:
            InputError: It lies outside the user's folder, or is hidden.
        """
        path = inside(self.user_files, name)
        if path is None or any(part.startswith(".") for part in name.split("/")):
            raise InputError(f"{name[:100]!r} is not the name of a user file")
        return path


EDITOR = web.AppKey("editor", Editor)


def editor_of(request: web.Request) -> Editor:
    """Return the state that a request works on."""
    return request.app[EDITOR]
