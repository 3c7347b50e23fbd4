"""An editor on small nodes behind aiohttp's test client, and a browser tab's end of its socket."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import FormData, WSMsgType
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image

from ganvas.nodes.editor.app import build_app
from ganvas.nodes.editor.security import Guard
from ganvas.nodes.editor.state import Editor

SECONDS = 20


class Tab:
    """A connected browser tab that remembers every message it got."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.previews: list[bytes] = []

    async def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Read until a message of this kind with these fields arrives, and return its data."""

        async def read() -> dict[str, Any]:
            while True:
                message = await self.socket.receive()
                if message.type == WSMsgType.BINARY:
                    self.previews.append(message.data)
                    continue
                assert message.type == WSMsgType.TEXT, message
                content = json.loads(message.data)
                self.messages.append((content["type"], content["data"]))
                data = content["data"]
                if content["type"] == kind and fields.items() <= data.items():
                    return data

        return await asyncio.wait_for(read(), SECONDS)

    def kinds(self) -> list[str]:
        """Return the kinds of the messages so far."""
        return [kind for kind, _ in self.messages]


class Browser:
    """Requests to the editor, with what the tests send over and over."""

    def __init__(self, client: TestClient[Any, Any], editor: Editor) -> None:
        self.client = client
        self.editor = editor

    async def get(self, path: str, **options: Any) -> Any:
        """Return the JSON of a successful GET."""
        async with self.client.get(path, **options) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def post(self, path: str, data: Any = None, status: int = 200) -> Any:
        """Send JSON and return the JSON of the answer, None where there is none."""
        async with self.client.post(path, json=data) as response:
            text = await response.text()
            assert response.status == status, text
            return json.loads(text) if text else None

    async def tab(self, id: str = "tab", features: dict[str, Any] | None = None) -> Tab:
        """Open the websocket of a browser tab."""
        tab = Tab(await self.client.ws_connect("/ws", params={"clientId": id}))
        await tab.until("status", sid=id)
        if features is not None:
            await tab.socket.send_json({"type": "feature_flags", "data": features})
            await tab.until("feature_flags")
        return tab

    async def queue(self, prompt: dict[str, Any], client: str = "tab", **fields: Any) -> str:
        """Queue a workflow and return its id."""
        body = {"prompt": prompt, "client_id": client, **fields}
        return (await self.post("/api/prompt", body))["prompt_id"]

    async def upload(
        self, name: str, data: bytes, status: int = 200, path: str = "image", **fields: str
    ) -> Any:
        """Upload an image."""
        form = FormData(fields)
        form.add_field("image", data, filename=name, content_type="image/png")
        async with self.client.post(f"/api/upload/{path}", data=form) as response:
            assert response.status == status, await response.text()
            return await response.json()


def with_browser(
    editor: Editor, test: Callable[[Browser], Awaitable[None]], token: str | None = None
) -> None:
    """Run a test against a server on a free port."""

    async def run() -> None:
        server = TestServer(build_app(editor, Guard("127.0.0.1", token)))
        async with TestClient(server) as client:
            await test(Browser(client, editor))

    asyncio.run(run())


def png(color: tuple[int, ...] = (200, 30, 30), size: tuple[int, int] = (6, 4)) -> bytes:
    """Return the bytes of a small PNG."""
    buffer = io.BytesIO()
    Image.new("RGBA" if len(color) == 4 else "RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()
