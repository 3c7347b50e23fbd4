"""Connected browser tabs, and messages to them from any thread."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from .wire import to_json

MAX_WAITING = 2_000
MAX_WAITING_PREVIEWS = 2


@dataclass(eq=False)
class Client:
    """One websocket; messages wait in `outbox`, so that a slow browser holds up nobody."""

    id: str
    socket: web.WebSocketResponse
    outbox: asyncio.Queue[str | bytes] = field(default_factory=asyncio.Queue)
    previews: int = 0  # how many of them wait
    features: dict[str, Any] = field(default_factory=dict)
    closing: asyncio.Future[bool] | None = None

    @property
    def reads_preview_metadata(self) -> bool:
        """Whether previews may say which node they belong to."""
        return self.features.get("supports_preview_metadata") is True

    async def write(self) -> None:
        """Send what waits until the connection ends; run as a task."""
        while not self.socket.closed:
            message = await self.outbox.get()
            try:
                if isinstance(message, bytes):
                    await self.socket.send_bytes(message)
                    self.previews -= 1
                else:
                    await self.socket.send_str(message)
            except (ConnectionError, RuntimeError):  # it left; the reader ends as well
                return


class Clients:
    """The browser tabs of one editor by their client id; the newest tab of an id counts."""

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Deliver on the running event loop from now on."""
        self._loop = asyncio.get_running_loop()

    def add(self, client: Client) -> None:
        """Let a tab receive messages."""
        self._clients[client.id] = client

    def remove(self, client: Client) -> None:
        """Forget a tab, unless a newer connection has taken its id."""
        if self._clients.get(client.id) is client:
            del self._clients[client.id]

    def all(self) -> list[Client]:
        """Return the connected tabs."""
        return list(self._clients.values())

    def send(self, kind: str, data: dict[str, Any], to: str | None = None) -> None:
        """Send a JSON message to a tab, or to everyone when nobody has that id.

        A job whose tab was closed is thereby shown by the tab that is opened next.

        Args:
            kind: The message's type.
            data: Its content.
            to: A client id; everyone when None.
        """
        self._from_any_thread(self._deliver, to_json({"type": kind, "data": data}), to)

    def send_preview(self, plain: bytes, described: bytes, to: str | None) -> None:
        """Send a preview image, in the form that each tab reads."""
        self._from_any_thread(self._deliver_preview, plain, described, to)

    def _from_any_thread(self, function: Any, *arguments: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    def _targets(self, to: str | None) -> list[Client]:
        client = self._clients.get(to) if to else None
        return [client] if client else self.all()

    def _deliver(self, message: str, to: str | None) -> None:
        for client in self._targets(to):
            if client.outbox.qsize() < MAX_WAITING:
                client.outbox.put_nowait(message)
            else:  # it reads nothing; closing makes a living browser connect afresh
                self.remove(client)
                client.closing = asyncio.ensure_future(client.socket.close())

    def _deliver_preview(self, plain: bytes, described: bytes, to: str | None) -> None:
        for client in self._targets(to):
            if client.previews < MAX_WAITING_PREVIEWS:  # a slow browser misses some, never all
                client.previews += 1
                client.outbox.put_nowait(described if client.reads_preview_metadata else plain)
