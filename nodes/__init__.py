"""Node declarations (plain functions), their headless engine and their ComfyUI adapter.

`registry()` imports the node modules, and torch with them; importing this package does not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .interface import NodeSpec

MODULES = (
    "builtin",
    "logic",
    "load",
    "latent_files",
    "sample",
    "mix",
    "edit",
    "pad",
    "restore",
    "translate",
    "compare",
    "measure",
    "output",
    "video",
)


def registry() -> dict[str, NodeSpec]:
    """Return every node by its id, importing the modules that declare them."""
    for module in MODULES:
        importlib.import_module(f"{__name__}.{module}")
    from .spec import NODES

    return NODES
