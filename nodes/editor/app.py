"""The aiohttp application: every route, the guard before them, the worker beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from . import (
    routes_files,
    routes_jobs,
    routes_nodes,
    routes_prompt,
    routes_static,
    routes_user,
    socket,
)
from .images import MAX_UPLOAD
from .security import Guard, guarded
from .state import EDITOR, Editor
from .worker import Worker

STOP_SECONDS = 10.0
FORM_OVERHEAD = 2**16


def build_app(editor: Editor, guard: Guard) -> web.Application:
    """Return the application of one editor; ComfyUI's routes are there with and without /api."""
    app = web.Application(client_max_size=MAX_UPLOAD + FORM_OVERHEAD, middlewares=[guarded(guard)])
    app[EDITOR] = editor
    app[routes_user.LOCK] = asyncio.Lock()
    for module in (
        routes_nodes,
        routes_prompt,
        routes_jobs,
        routes_files,
        routes_user,
        routes_static,
        socket,
    ):
        for route in module.ROUTES:
            if not isinstance(route, web.RouteDef):
                raise TypeError(f"{module.__name__}: expected handlers only")
            for prefix in ("", "/api"):
                app.router.add_route(route.method, prefix + route.path, route.handler)
    for path in routes_nodes.CONSTANT:
        for prefix in ("", "/api"):
            app.router.add_get(prefix + path, routes_nodes.get_constant)
    app.add_routes(routes_static.PAGES)
    app.cleanup_ctx.append(_work)
    app.on_shutdown.append(_close_sockets)
    return app


async def _work(app: web.Application) -> AsyncIterator[None]:
    """Start the worker with the server, and stop it with the server."""
    editor = app[EDITOR]
    editor.clients.start()
    editor.queue.on_change = lambda: _send_status(editor)
    worker = Worker(editor)
    worker.start()
    yield
    await asyncio.to_thread(worker.stop, STOP_SECONDS)


async def _close_sockets(app: web.Application) -> None:
    """Let the browsers go; the server would wait for them to leave."""
    editor = app[EDITOR]
    editor.queue.close()
    closing = [client.socket.close() for client in editor.clients.all()]
    await asyncio.wait_for(asyncio.gather(*closing), STOP_SECONDS)


def _send_status(editor: Editor) -> None:
    editor.clients.send("status", {"status": routes_prompt.queue_info(editor)})
