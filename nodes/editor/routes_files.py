"""Images on their way in and out: /view, /upload/image, /upload/mask."""

from __future__ import annotations

import asyncio
import mimetypes
from pathlib import Path
from typing import Any

from aiohttp import web

from ...core.errors import InputError
from ..files import is_file, split_reference
from .images import apply_mask, clean_name, render, store, verify_image
from .state import Editor, editor_of
from .wire import RefusedError, parse_json, read_form, reply

ROUTES = web.RouteTableDef()
SHOWN = ("image/", "video/", "audio/")
WRITABLE = ("input", "temp")


@ROUTES.get("/view")
async def view(request: web.Request) -> web.StreamResponse:
    """Send a file of the input, output or temp folder, or one channel of it."""
    query = request.query
    path = _existing(
        editor_of(request),
        query.get("type", "output"),
        query.get("subfolder", ""),
        query.get("filename", ""),
    )
    rendered = await asyncio.to_thread(render, path, query)
    headers = {"Cache-Control": "no-cache", "Content-Disposition": "inline"}
    if rendered is not None:
        body, kind = rendered
        return web.Response(body=body, content_type=kind, headers=headers)
    kind = mimetypes.guess_type(path.name)[0] or ""
    if not kind.startswith(SHOWN) or kind == "image/svg+xml":  # a script may be inside
        headers["Content-Type"] = "application/octet-stream"
        headers["Content-Disposition"] = "attachment"
    return web.FileResponse(path, headers=headers)


@ROUTES.get("/internal/files/{kind}")
async def list_folder(request: web.Request) -> web.Response:
    """List the images and films of the input, output or temp folder, the newest first."""
    folder = editor_of(request).folder(request.match_info["kind"])
    return reply(await asyncio.to_thread(_newest_first, folder))


def _newest_first(folder: Path) -> list[str]:
    """Return the names of a folder's files that the page can show."""
    found = [
        (path.stat().st_mtime, path.name)
        for path in folder.glob("*")
        if path.is_file()
        and not path.name.startswith(".")
        and (mimetypes.guess_type(path.name)[0] or "").startswith(SHOWN)
    ]
    return [name for _, name in sorted(found, reverse=True)]


@ROUTES.post("/upload/image")
async def upload_image(request: web.Request) -> web.Response:
    """Store an image in the input folder, or in a subfolder of it."""
    editor = editor_of(request)
    form = await read_form(request)
    name, data = _upload(form)
    return reply(await asyncio.to_thread(_store, editor, form, name, data))


@ROUTES.post("/upload/mask")
async def upload_mask(request: web.Request) -> web.Response:
    """Store `original_ref` with the transparency of the uploaded mask."""
    editor = editor_of(request)
    form = await read_form(request)
    reference = parse_json(_text(form, "original_ref"))
    if not isinstance(reference, dict):
        raise RefusedError("original_ref: expected an object with a filename")
    original = _existing(
        editor,
        str(reference.get("type") or "output"),
        str(reference.get("subfolder") or ""),
        str(reference.get("filename") or ""),
    )
    name, data = _upload(form)
    masked = await asyncio.to_thread(apply_mask, original, data)
    return reply(await asyncio.to_thread(_store, editor, form, Path(name).stem + ".png", masked))


def _store(editor: Editor, form: Any, name: str, data: bytes) -> dict[str, str]:
    """Verify and write an upload; return how workflows refer to it."""
    kind = _text(form, "type") or "input"
    if kind not in WRITABLE:
        raise InputError(f"type: expected {' or '.join(WRITABLE)}, got {kind[:40]!r}")
    subfolder = _text(form, "subfolder").replace("\\", "/").strip("/")
    cleaned = clean_name(name, verify_image(data, name))
    target = editor.file(kind, subfolder, cleaned)
    path = store(target, data, overwrite=_text(form, "overwrite") in ("1", "true"))
    folder = path.parent.relative_to(editor.folder(kind).resolve()).as_posix()
    return {"name": path.name, "subfolder": "" if folder == "." else folder, "type": kind}


def _existing(editor: Editor, kind: str, subfolder: str, name: str) -> Path:
    """Return the file of a reference, whose name may end in " [input]" and the like."""
    name, kind = split_reference(name, kind)
    path = editor.file(kind, subfolder, name)
    if path.name.startswith(".") or not is_file(path):
        raise RefusedError(f"there is no file {name[:100]!r} in the {kind} folder", 404)
    return path


def _upload(form: Any) -> tuple[str, bytes]:
    """Return the name and the content of a form's image."""
    field = form.get("image")
    if not isinstance(field, web.FileField):
        raise RefusedError("image: expected a file")
    return field.filename, field.file.read()


def _text(form: Any, key: str) -> str:
    value = form.get(key)
    return value if isinstance(value, str) else ""
