"""What the user keeps: settings, workflows and other files of the frontend: /settings, /userdata.

There is one user, whose files lie where ComfyUI's one user has them.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from aiohttp import web

from ...core.files import atomic_write
from ..files import is_file
from .state import Editor, editor_of
from .wire import RefusedError, read_json, read_object, reply

ROUTES = web.RouteTableDef()
SETTINGS = "comfy.settings.json"
MAX_SETTINGS = 4 * 2**20
DEFAULTS: dict[str, Any] = {
    "Comfy.Notification.ShowVersionUpdates": False,  # it would ask another host for its releases
    "LiteGraph.Canvas.MinFontSizeForLOD": 4,  # a whole template in view keeps its texts
}
"""Settings that differ from the frontend's own until the user changes them."""

ASKED_FOR = {"user.css": "", "comfy.templates.json": "[]"}
"""Files that every page asks for, and what stands for one that the user has not made."""

CONTENT_TYPES = {".json": "application/json", ".css": "text/css"}
LOCK = web.AppKey("settings lock", asyncio.Lock)


@ROUTES.get("/users")
async def get_users(request: web.Request) -> web.Response:
    """Say that the server keeps the settings of its one user."""
    return reply({"storage": "server", "migrated": True})


@ROUTES.get("/settings")
async def get_settings(request: web.Request) -> web.Response:
    """Return all settings."""
    return reply({**DEFAULTS, **await asyncio.to_thread(read_settings, editor_of(request))})


@ROUTES.get("/settings/{id}")
async def get_setting(request: web.Request) -> web.Response:
    """Return one setting, null when it was never changed."""
    settings = await asyncio.to_thread(read_settings, editor_of(request))
    return reply({**DEFAULTS, **settings}.get(request.match_info["id"]))


@ROUTES.post("/settings")
async def post_settings(request: web.Request) -> web.Response:
    """Change several settings."""
    return await _change(request, await read_object(request))


@ROUTES.post("/settings/{id}")
async def post_setting(request: web.Request) -> web.Response:
    """Change one setting."""
    return await _change(request, {request.match_info["id"]: await read_json(request)})


async def _change(request: web.Request, changes: dict[str, Any]) -> web.Response:
    editor = editor_of(request)
    async with request.app[LOCK]:
        await asyncio.to_thread(write_settings, editor, changes)
    return web.Response()


def read_settings(editor: Editor) -> dict[str, Any]:
    """Read the settings file; a damaged one counts as empty and is kept aside."""
    path = editor.user_files / SETTINGS
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        settings = None
    if isinstance(settings, dict):
        return settings
    os.replace(path, path.with_suffix(".damaged"))
    return {}


def write_settings(editor: Editor, changes: dict[str, Any]) -> None:
    """Write the settings with changes, whole or not at all."""
    text = json.dumps({**read_settings(editor), **changes}, indent=2)
    if len(text) > MAX_SETTINGS:
        raise RefusedError(f"settings: expected at most {MAX_SETTINGS} characters", 413)
    atomic_write(editor.user_files / SETTINGS, text)


@ROUTES.get("/userdata")
async def list_files(request: web.Request) -> web.Response:
    """List the files of a folder, of its subfolders too with `recurse`."""
    editor, query = editor_of(request), request.query
    folder = editor.user_file(query.get("dir", "").strip("/"))
    files = await asyncio.to_thread(_list, folder, query.get("recurse") == "true")
    if query.get("full_info") == "true":
        return reply([await asyncio.to_thread(about, file, folder) for file in files])
    names = [file.relative_to(folder).as_posix() for file in files]
    if query.get("split") == "true":
        return reply([[name, *name.split("/")] for name in names])
    return reply(names)


def _list(folder: Path, recurse: bool) -> list[Path]:
    """Return a folder's files; none where the frontend has not made the folder yet."""
    found = folder.rglob("*") if recurse else folder.glob("*")
    return sorted(file for file in found if file.is_file() and not file.name.startswith("."))


def about(file: Path, folder: Path) -> dict[str, Any]:
    """Return a file's name below `folder`, its size and its times in milliseconds."""
    facts = file.stat()
    return {
        "path": file.relative_to(folder).as_posix(),
        "size": facts.st_size,
        "modified": int(facts.st_mtime * 1000),
        "created": int(facts.st_ctime * 1000),
    }


@ROUTES.get("/userdata/{file}")
async def get_file(request: web.Request) -> web.StreamResponse:
    """Return a file's content; those that every page asks for may be empty."""
    name = request.match_info["file"]
    if name in ASKED_FOR and not editor_of(request).user_file(name).exists():
        kind = CONTENT_TYPES[Path(name).suffix]
        return web.Response(text=ASKED_FOR[name], content_type=kind)
    path = _existing(request, "file")
    kind = CONTENT_TYPES.get(path.suffix, "application/octet-stream")
    headers = {"Content-Type": kind, "Cache-Control": "no-cache"}
    return web.FileResponse(path, headers=headers)


@ROUTES.post("/userdata/{file}")
async def post_file(request: web.Request) -> web.Response:
    """Write a file, whole or not at all; with `overwrite=false` only a new one."""
    editor = editor_of(request)
    path = editor.user_file(request.match_info["file"])
    data = await request.read()
    _refuse_taken(request, path, default="true")
    await asyncio.to_thread(atomic_write, path, data)
    return _described(request, editor, path)


@ROUTES.delete("/userdata/{file}")
async def delete_file(request: web.Request) -> web.Response:
    """Remove a file."""
    path = _existing(request, "file")
    await asyncio.to_thread(path.unlink)
    return web.Response(status=204)


@ROUTES.post("/userdata/{file}/move/{target}")
async def move_file(request: web.Request) -> web.Response:
    """Rename a file; with `overwrite=true` over another one."""
    editor = editor_of(request)
    source = _existing(request, "file")
    target = editor.user_file(request.match_info["target"])
    _refuse_taken(request, target, default="false")
    await asyncio.to_thread(target.parent.mkdir, parents=True, exist_ok=True)
    await asyncio.to_thread(os.replace, source, target)
    return _described(request, editor, target)


def _existing(request: web.Request, key: str) -> Path:
    path = editor_of(request).user_file(request.match_info[key])
    if not is_file(path):
        raise RefusedError("there is no such file", 404)
    return path


def _refuse_taken(request: web.Request, path: Path, *, default: str) -> None:
    if path.is_dir():
        raise RefusedError("a folder has this name", 409)
    if request.query.get("overwrite", default) != "true" and path.exists():
        raise RefusedError("a file has this name already", 409)


def _described(request: web.Request, editor: Editor, path: Path) -> web.Response:
    root = editor.user_files.resolve()
    if request.query.get("full_info") == "true":
        return reply(about(path, root))
    return reply(path.relative_to(root).as_posix())
