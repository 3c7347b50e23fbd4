"""Files that only are sent: the frontend, the pack's scripts and help pages, workflow templates."""

from __future__ import annotations

import asyncio
import mimetypes
import re
from pathlib import Path

from aiohttp import web

from ..files import inside, is_file
from .state import editor_of
from .templates import template_index
from .wire import RefusedError, reply

ROUTES = web.RouteTableDef()
PAGES = web.RouteTableDef()
TEMPLATE_SUFFIXES = (".json", ".jpg", ".png", ".webp")
FOREVER = "public, max-age=31536000, immutable"


@ROUTES.get("/workflow_templates")
async def get_templates(request: web.Request) -> web.Response:
    """List no names: the index below has the pack's templates, with title and description."""
    return reply({})


@PAGES.get("/templates/{index:index(\\..+)?\\.json}")
async def get_template_index(request: web.Request) -> web.Response:
    """Describe the pack's template workflows, in whatever language."""
    editor = editor_of(request)
    folder = editor.pack / "workflows"
    return reply(await asyncio.to_thread(template_index, folder, editor.registry))


@ROUTES.get("/workflow_templates/ganvas/{name}")
async def get_template(request: web.Request) -> web.StreamResponse:
    """Send a template or its picture."""
    name = request.match_info["name"]
    if not name.lower().endswith(TEMPLATE_SUFFIXES) or "/" in name:
        raise RefusedError("there is no such template", 404)
    return send(editor_of(request).pack / "workflows", name)


@PAGES.get("/")
async def get_page(request: web.Request) -> web.StreamResponse:
    """Send the editor's page."""
    return send(editor_of(request).static, "index.html")


@PAGES.get("/user.css")
async def get_style(request: web.Request) -> web.Response:
    """Send an empty style sheet: the user's own is below /userdata."""
    return web.Response(content_type="text/css")


@PAGES.get("/extensions/ganvas/{name:.+}")
async def get_pack_file(request: web.Request) -> web.StreamResponse:
    """Send one of the pack's scripts or help pages.

    docs/<node>/<language>.md comes before docs/<node>.md, which stands for missing languages.
    """
    folder, name = editor_of(request).pack / "web", request.match_info["name"]
    page = re.fullmatch(r"docs/(\w+)/[\w-]+\.md", name)
    if page and not (folder / name).is_file():
        name = f"docs/{page.group(1)}.md"
    return send(folder, name)


@PAGES.get("/{name:.+}")
async def get_frontend_file(request: web.Request) -> web.StreamResponse:
    """Send one of the frontend's files; those named by their content never change."""
    name = request.match_info["name"]
    return send(editor_of(request).static, name, FOREVER if name.startswith("assets/") else "")


def send(folder: Path, name: str, caching: str = "") -> web.FileResponse:
    """Send a file of a folder.

    Raises:
        RefusedError: There is none.
    """
    path = inside(folder, name)
    if path is None or not is_file(path):
        raise RefusedError("there is no such file", 404)
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if path.suffix in (".js", ".mjs"):  # Windows' registry may say otherwise
        kind = "text/javascript"
    elif path.suffix == ".md":
        kind = "text/markdown"
    headers = {"Cache-Control": caching or "no-cache", "Content-Type": kind}
    return web.FileResponse(path, headers=headers)
