"""The editor in a real browser: the page a user sees, driven through headless Chromium.

Needs ganvas[editor], playwright (pip install playwright) and a system Chromium.
Screenshots lie in $GANVAS_SCREENSHOTS, or in the test's own folder.
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the editor needs ganvas[editor]")

from aiohttp.test_utils import TestServer

from ganvas.core.errors import InputError
from ganvas.nodes import registry
from ganvas.nodes.editor.app import build_app
from ganvas.nodes.editor.frontend import frontend_folder
from ganvas.nodes.editor.security import Guard
from ganvas.nodes.editor.state import Editor

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SECONDS = 120
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
NODES = "window.app && window.app.graph && window.app.graph._nodes.length"
DROP = """async data => {
  const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
  await app.handleFile(new File([bytes], 'saved.png', {type: 'image/png'}));
}"""
SET = """([type, name, value]) => {
  const node = app.graph._nodes.find(node => node.type == type);
  node.widgets.find(widget => widget.name == name).value = value;
}"""


@pytest.fixture
def editor(host: Any, tmp_path: Path) -> Editor:
    try:
        static = frontend_folder()
    except InputError as error:
        pytest.skip(str(error))
    return Editor(registry(), host, tmp_path / "user", static)


@pytest.fixture
def address(editor: Editor) -> Iterator[str]:
    """Serve the editor on a thread of its own."""
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


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1600, "height": 950})
        page.set_default_timeout(SECONDS * 1000)
        yield page
        browser.close()


def wait(condition: Callable[[], Any]) -> Any:
    """Wait until a condition on the server's side holds, and return it."""
    end = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def ended(editor: Editor, count: int) -> str:
    """Wait until so many jobs have ended, and return how the last one did."""
    return wait(lambda: len(jobs := editor.queue.history()) >= count and jobs[-1].status)


def test_the_quickstart_from_the_first_screen_to_the_dropped_png(editor, address, page, tmp_path):
    folder = Path(os.environ.get("GANVAS_SCREENSHOTS", tmp_path / "screenshots"))
    foreign: list[str] = []
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on(
        "request",
        lambda request: (
            request.url.startswith((address, "data:", "blob:")) or foreign.append(request.url)
        ),
    )
    page.on("requestfinished", lambda request: request.url in foreign and failures.append("sent"))

    def look(name: str) -> None:
        page.wait_for_timeout(1500)
        page.screenshot(path=folder / f"{name}.png")

    page.goto(address, wait_until="domcontentloaded")
    page.get_by_text("quickstart").first.wait_for()
    look("1_templates")
    page.get_by_text("quickstart").first.click()
    page.wait_for_function(f"{NODES} == 12")
    look("2_quickstart")

    page.evaluate(SET, ["Ganvas_SampleLatents", "seed", 3])
    page.get_by_role("button", name="Run").first.click()
    assert ended(editor, 1) == "completed"
    (saved,) = editor.host.output_dir.glob("quickstart_*.png")
    page.wait_for_function("app.graph._nodes.find(n => n.type == 'SaveImage').imgs?.length == 1")
    look("3_done")

    page.evaluate(SET, ["Ganvas_SampleLatents", "count", 2000])
    page.get_by_role("button", name="Run").first.click()
    wait(lambda: editor.queue.running and editor.queue.running.nodes)
    page.reload(wait_until="domcontentloaded")
    page.wait_for_function(f"{NODES} == 12")
    look("4_reloaded_while_running")
    assert editor.queue.running is not None
    page.evaluate("fetch('/api/interrupt', {method: 'POST'})")
    assert ended(editor, 2) == "cancelled"

    page.evaluate(SET, ["Ganvas_SampleLatents", "count", 1])
    page.evaluate(SET, ["Ganvas_ApplyDirection", "strengths", "one"])
    page.get_by_role("button", name="Run").first.click()
    assert ended(editor, 3) == "failed"
    page.get_by_text("failed").first.wait_for()
    look("5_failed_node")

    page.keyboard.press("Control+s")
    page.wait_for_timeout(1500)
    page.keyboard.type("mine")
    page.keyboard.press("Enter")
    wait(lambda: (editor.user_files / "workflows" / "mine.json").exists())

    page.evaluate("app.graph.clear()")
    page.evaluate(DROP, base64.b64encode(saved.read_bytes()).decode())
    page.wait_for_function(f"{NODES} == 12")
    seed = "app.graph._nodes.find(n => n.type == 'Ganvas_SampleLatents').widgets[0].value"
    assert page.evaluate(seed) == 3
    look("6_dropped_png")
    assert not failures
