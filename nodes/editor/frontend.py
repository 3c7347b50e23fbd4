"""The editor's page and scripts: the pinned comfyui-frontend-package, found but never imported."""

from __future__ import annotations

import importlib.util
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ...core.errors import InputError

COMFYUI_VERSION = "0.3.64"
"""The ComfyUI release whose HTTP interface this server speaks."""

PACKAGE = "comfyui_frontend_package"
NEEDED = {"aiohttp": "aiohttp", PACKAGE: "comfyui-frontend-package"}


def frontend_folder() -> Path:
    """Return the folder of the frontend's static files.

    Raises:
        InputError: The extra `editor` is not installed, or only in part.
    """
    missing = [name for module, name in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise InputError(
            f"ganvas editor: needs {' and '.join(missing)}, which the extra brings: "
            "pip install 'ganvas[editor]' (from a clone: pip install -c constraints.txt "
            "-e '.[editor]')"
        )
    spec = importlib.util.find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec else []:
        static = Path(place) / "static"
        if (static / "index.html").is_file():
            return static
    raise InputError(
        "ganvas editor: the installed comfyui-frontend-package has no static/index.html; "
        "install it again: pip install --force-reinstall --no-deps comfyui-frontend-package"
    )


@cache
def frontend_version() -> str:
    """Return the installed frontend's version, which it asks for itself."""
    try:
        return version(NEEDED[PACKAGE])
    except PackageNotFoundError:
        return "0"
