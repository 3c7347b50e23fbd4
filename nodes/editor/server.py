"""Bind the address, serve until Ctrl-C, leave nothing behind."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import tempfile
import threading
import webbrowser
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from ...core.devices import choose_device
from ...core.errors import InputError
from .. import registry
from ..context import Host
from .app import build_app
from .security import Guard
from .serve import Settings
from .state import Editor

SHUTDOWN_SECONDS = 2.0


def run(settings: Settings, static: Path, token: str | None) -> None:
    """Serve the editor until Ctrl-C or SIGTERM.

    Args:
        settings: Address and folders.
        static: The frontend's files.
        token: The secret that browsers must present, if any.

    Raises:
        InputError: The address or the device cannot be used.
    """
    logging.basicConfig(level=logging.WARNING, format="ganvas editor: %(message)s")
    device = choose_device(settings.device)
    with tempfile.TemporaryDirectory(prefix="ganvas-") as temporary:
        for folder in (settings.input_dir, settings.output_dir, settings.user_dir):
            folder.mkdir(parents=True, exist_ok=True)
        host = Host(settings.input_dir, settings.output_dir, Path(temporary), device=device)
        editor = Editor(registry(), host, settings.user_dir, static)
        asyncio.run(_serve(settings, editor, token))


async def _serve(settings: Settings, editor: Editor, token: str | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError, ValueError):  # Windows, or not the main thread
            loop.add_signal_handler(number, stop.set)
    app = build_app(editor, Guard(settings.host, token))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port)
        try:
            await site.start()
        except OSError as error:
            busy = error.errno == errno.EADDRINUSE
            reason = "in use; another --port may be free" if busy else error.strerror or str(error)
            raise InputError(
                f"cannot listen on {settings.host} port {settings.port}: {reason}"
            ) from None
        address = page_address(settings.host, bound_port(runner), token)
        print(f"ganvas editor: {address}  (Ctrl-C stops it)", flush=True)
        if settings.open_browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        await stop.wait()
    finally:
        await runner.cleanup()


def bound_port(runner: web.AppRunner) -> int:
    """Return the port that the server got."""
    return int(runner.addresses[0][1])


def page_address(host: str, port: int, token: str | None) -> str:
    """Return the address to open; one bound to all interfaces is reached at this machine's own."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")
