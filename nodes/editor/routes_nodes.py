"""What the frontend asks for at its start: nodes, features, translations, scripts, statistics."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
from functools import cache
from pathlib import Path
from typing import Any

from aiohttp import web

from ..engine import object_info
from .frontend import COMFYUI_VERSION, frontend_version
from .images import MAX_UPLOAD
from .state import Editor, editor_of
from .wire import RefusedError, reply

ROUTES = web.RouteTableDef()
FEATURES = {
    "supports_preview_metadata": True,
    "max_upload_size": MAX_UPLOAD,
    "node_replacements": True,
}
ARGUMENTS = ["ganvas", "editor", "--disable-api-nodes"]
"""What the frontend takes for our command line: no nodes that ask other hosts, nor releases."""

# Endpoints whose answer never changes here: no accounts, no diffusion models, no replacements.
CONSTANT: dict[str, Any] = {
    "/features": FEATURES,
    "/embeddings": [],
    "/models": [],
    "/experiment/models": [],
    "/node_replacements": {},
    "/internal/logs": "",
    "/internal/logs/raw": {"entries": [], "size": {"cols": 80, "rows": 24}},
    "/internal/folder_paths": {},
    "/templates/index_logo.json": {},
}


@ROUTES.get("/object_info")
async def get_object_info(request: web.Request) -> web.Response:
    """Describe every node."""
    return reply(await asyncio.to_thread(describe, editor_of(request)))


@ROUTES.get("/object_info/{id}")
async def get_one_object_info(request: web.Request) -> web.Response:
    """Describe one node, {} when there is none."""
    editor, id = editor_of(request), request.match_info["id"]
    spec = editor.registry.get(id)
    return reply(
        {} if spec is None else {id: await asyncio.to_thread(object_info, spec, editor.host)}
    )


def describe(editor: Editor) -> dict[str, Any]:
    """Return ComfyUI's description of all nodes, with the files that this machine holds now."""
    return {id: object_info(spec, editor.host) for id, spec in editor.registry.items()}


@ROUTES.get("/extensions")
async def get_extensions(request: web.Request) -> web.Response:
    """List the scripts that the page loads: the frontend's own and the pack's."""
    editor = editor_of(request)
    own = scripts(editor.pack / "web", "/extensions/ganvas/")
    return reply(scripts(editor.static / "extensions", "/extensions/") + own)


def scripts(folder: Path, prefix: str) -> list[str]:
    """Return the addresses of all scripts below a folder."""
    return [prefix + file.relative_to(folder).as_posix() for file in sorted(folder.rglob("*.js"))]


@ROUTES.get("/i18n")
async def get_translations(request: web.Request) -> web.Response:
    """Return the pack's translations by language and kind."""
    return reply(translations(editor_of(request).pack / "locales"))


@cache
def translations(folder: Path) -> dict[str, dict[str, Any]]:
    """Read locales/<language>/<kind>.json; the file "main" holds its kinds itself."""
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(folder.glob("*/*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        language = found.setdefault(file.parent.name, {})
        language.update(content if file.stem == "main" else {file.stem: content})
    return found


@ROUTES.get("/global_subgraphs")
async def get_blueprints(request: web.Request) -> web.Response:
    """List the pack's subgraph blueprints."""
    return reply({id: about for id, (about, _) in blueprints(editor_of(request).pack).items()})


@ROUTES.get("/global_subgraphs/{id}")
async def get_blueprint(request: web.Request) -> web.Response:
    """Return one subgraph blueprint."""
    found = blueprints(editor_of(request).pack).get(request.match_info["id"])
    if found is None:
        raise RefusedError("there is no such subgraph", 404)
    about, data = found
    return reply({**about, "data": data})


@cache
def blueprints(pack: Path) -> dict[str, tuple[dict[str, Any], str]]:
    """Read subgraphs/*.json."""
    return {
        f"ganvas-{file.stem}": _blueprint(file)
        for file in sorted((pack / "subgraphs").glob("*.json"))
    }


def _blueprint(file: Path) -> tuple[dict[str, Any], str]:
    """Return what the node library shows of a blueprint, and its content."""
    text = file.read_text(encoding="utf-8")
    extra = json.loads(text).get("extra") or {}
    about = {
        "name": file.stem.replace("_", " "),
        "source": "custom_node",
        "info": {
            "node_pack": "ganvas",
            "category": "ganvas",
            "search_aliases": extra.get("BlueprintSearchAliases") or [],
        },
    }
    return about, text


@ROUTES.get("/system_stats")
async def get_system_stats(request: web.Request) -> web.Response:
    """Describe this machine."""
    return reply(await asyncio.to_thread(system_stats, editor_of(request)))


def system_stats(editor: Editor) -> dict[str, Any]:
    """Return versions, memory and the device that nodes run on."""
    import torch

    total, free = memory()
    device = torch.device(editor.host.device)
    name, vram_total, vram_free, reserved = str(device), total, free, 0
    if device.type == "cuda":
        name = f"{device} {torch.cuda.get_device_name(device)}"
        vram_free, vram_total = torch.cuda.mem_get_info(device)
        reserved = torch.cuda.memory_reserved(device)
    return {
        "system": {
            "os": sys.platform,
            "ram_total": total,
            "ram_free": free,
            "comfyui_version": COMFYUI_VERSION,
            "required_frontend_version": frontend_version(),
            "installed_templates_version": None,
            "required_templates_version": None,
            "python_version": f"{platform.python_version()} ({platform.python_implementation()})",
            "pytorch_version": torch.__version__,
            "embedded_python": False,
            "argv": ARGUMENTS,
        },
        "devices": [
            {
                "name": name,
                "type": device.type,
                "index": device.index,
                "vram_total": vram_total,
                "vram_free": vram_free,
                "torch_vram_total": reserved if device.type == "cuda" else total,
                "torch_vram_free": 0 if device.type == "cuda" else free,
            }
        ],
    }


def memory() -> tuple[int, int]:
    """Return the machine's memory and what is free of it in bytes, zeros where it does not say."""
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        return page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0, 0


async def get_constant(request: web.Request) -> web.Response:
    """Answer an endpoint whose answer never changes."""
    path = request.path.removeprefix("/api")
    return reply(CONSTANT[path])


@ROUTES.get("/experiment/models/{folder}")
@ROUTES.get("/models/{folder}")
async def get_nothing(request: web.Request) -> web.Response:
    """Answer with an empty list: none of ComfyUI's model folders are here."""
    return reply([])


@ROUTES.patch("/internal/logs/subscribe")
async def subscribe_logs(request: web.Request) -> web.Response:
    """Accept; there are no log messages."""
    return web.Response()
