"""A served editor and headless Chromium in front of it, for the tests of what a user sees.

Needs ganvas[editor], the test extra's playwright and a Chromium of the system; a test is skipped
with what is missing. Screenshots lie in $GANVAS_SCREENSHOTS, or in the test's own folder.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from ganvas.core.errors import InputError
from ganvas.nodes import registry
from ganvas.nodes.context import Host
from ganvas.nodes.editor.app import build_app
from ganvas.nodes.editor.frontend import frontend_folder
from ganvas.nodes.editor.security import Guard
from ganvas.nodes.editor.state import Editor

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SECONDS = 60
TRIES = 4
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
NODES = "window.app && window.app.graph && window.app.graph._nodes.length"
READY = """window.LiteGraph && !!LiteGraph.registered_node_types['Ganvas_LatentPad']
  && !!app.extensionManager?.workflow?.activeWorkflow"""
SET = """([type, name, value]) => {
  const node = app.graph._nodes.find(node => node.type == type);
  node.widgets.find(widget => widget.name == name).value = value;
}"""
NO_TEMPLATES = {"Comfy.TutorialCompleted": True}
"""Settings of someone who has been here before, and sees an empty canvas first."""


class Visit:
    """An editor, the page that shows it, and what went wrong on the page."""

    def __init__(self, editor: Editor, address: str, page: Any, shots: Path) -> None:
        self.editor = editor
        self.address = address
        self.page = page
        self.shots = shots
        self.failures: list[str] = []
        page.set_default_timeout(SECONDS * 1000)
        page.on("pageerror", lambda error: self.failures.append(f"exception: {error}"))
        page.on("console", self._console)
        page.on("request", self._request)

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.failures.append(f"console: {message.text} {message.location.get('url', '')}")

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.failures.append(f"asks another host: {request.url}")

    def open(self, query: str = "") -> None:
        """Load the page and wait until it has its first workflow, empty or not."""
        self.page.goto(self.address + query, wait_until="domcontentloaded")
        self.page.wait_for_function(READY)

    def open_template(self, name: str, nodes: int) -> None:
        """Open one of the pack's templates by its address."""
        self.open(f"?template={name}&source=ganvas")
        self.page.wait_for_function(f"{NODES} == {nodes}")
        self.page.wait_for_timeout(200)  # the view is fitted to it

    def set(self, type: str, name: str, value: Any) -> None:
        """Change a widget of the first node of a class."""
        self.page.evaluate(SET, [type, name, value])

    def press_until(self, button: Any, shown: Any) -> None:
        """Press a button until it has an effect: a page that is still starting misses a click."""
        for _ in range(TRIES):
            button.click()
            deadline = time.monotonic() + SECONDS / TRIES
            while time.monotonic() < deadline:
                if shown.is_visible():
                    return
                self.page.wait_for_timeout(100)
        raise AssertionError(f"{button} shows no {shown}")

    def run(self) -> None:
        """Press Run."""
        self.page.get_by_test_id("queue-button").click()

    def ended(self, count: int) -> str:
        """Wait until so many jobs have ended, and return how the last one did."""
        history = self.editor.queue.history
        return wait(lambda: len(jobs := history()) >= count and jobs[-1].status)

    def look(self, name: str) -> None:
        """Take a screenshot."""
        self.page.screenshot(path=self.shots / f"{name}.png")


@contextmanager
def visiting(folder: Path, settings: dict[str, Any] | None = None) -> Iterator[Visit]:
    """Serve an editor in a folder and open a browser, whose page is still empty."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="the test extra's playwright is not installed"
    )
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH: apt-get install chromium")
    started = subprocess.run([CHROMIUM, "--version"], capture_output=True, check=False)
    if started.returncode:
        pytest.skip(f"{CHROMIUM} does not start (Ubuntu's is a door to its snap)")
    try:
        static = frontend_folder()
    except InputError as error:
        pytest.skip(str(error))
    for name in ("input", "output", "temp", "shots"):
        (folder / name).mkdir()
    host = Host(folder / "input", folder / "output", folder / "temp")
    editor = Editor(registry(), host, folder / "user", static)
    editor.user_files.mkdir(parents=True)
    (editor.user_files / "comfy.settings.json").write_text(json.dumps(settings or {}))
    shots = Path(os.environ.get("GANVAS_SCREENSHOTS", folder / "shots"))
    shots.mkdir(parents=True, exist_ok=True)
    with serving(editor) as address, playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1600, "height": 950})
        yield Visit(editor, address, page, shots)
        browser.close()


@contextmanager
def serving(editor: Editor) -> Iterator[str]:
    """Serve an editor on a thread of its own; gives the address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> TestServer:
        server = TestServer(build_app(editor, Guard("127.0.0.1", None)))
        await server.start_server()
        return server

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(SECONDS)
    yield str(server.make_url("/"))
    asyncio.run_coroutine_threadsafe(server.close(), loop).result(SECONDS)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(SECONDS)


def wait(condition: Callable[[], Any]) -> Any:
    """Wait until a condition on the server's side holds, and return it."""
    end = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found
