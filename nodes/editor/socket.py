"""The websocket that tells a browser tab what happens: /ws."""

from __future__ import annotations

import asyncio
import json
import uuid

from aiohttp import WSMsgType, web

from .clients import Client
from .messages import is_watched_by, replay
from .routes_nodes import FEATURES
from .routes_prompt import MAX_ID, queue_info
from .state import editor_of

ROUTES = web.RouteTableDef()
MAX_MESSAGE = 2**16
HEARTBEAT_SECONDS = 30


@ROUTES.get("/ws")
async def get_socket(request: web.Request) -> web.WebSocketResponse:
    """Keep a tab informed; one that comes back finds its running job."""
    editor = editor_of(request)
    socket = web.WebSocketResponse(max_msg_size=MAX_MESSAGE, heartbeat=HEARTBEAT_SECONDS)
    await socket.prepare(request)
    id = request.query.get("clientId", "")[:MAX_ID] or uuid.uuid4().hex
    client = Client(id, socket)
    editor.clients.add(client)
    status = {"status": queue_info(editor), "sid": id}
    editor.clients.send("status", status, id)
    job = editor.queue.running
    if job is not None and is_watched_by(job, id, editor.clients):
        replay(job, editor.clients, id)
    writer = asyncio.create_task(client.write())
    try:
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                _receive(client, message.data)
    finally:
        editor.clients.remove(client)
        writer.cancel()
    return socket


def _receive(client: Client, text: str) -> None:
    """Take a tab's feature flags and answer with ours; anything else is ignored."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return
    if isinstance(message, dict) and message.get("type") == "feature_flags":
        features = message.get("data")
        client.features = features if isinstance(features, dict) else {}
        client.outbox.put_nowait(json.dumps({"type": "feature_flags", "data": FEATURES}))
