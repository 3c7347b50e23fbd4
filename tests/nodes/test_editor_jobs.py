"""The editor's worker and queue where things go wrong or come late."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the editor needs ganvas[editor]")

import torch

from ganvas.nodes.context import Context
from ganvas.nodes.editor.state import Editor
from ganvas.nodes.spec import Image as ImageSocket
from ganvas.nodes.spec import build_spec

from .conftest import Number
from .editor_client import Browser, with_browser
from .test_editor_run import CHAIN, entry, long_run


@pytest.fixture
def editor(fresh: Any, host: Any, tmp_path: Any) -> Editor:
    (tmp_path / "static").mkdir()
    return Editor(dict(fresh.registry), host, tmp_path / "user", tmp_path / "static")


def raising(editor: Editor, error: BaseException) -> dict[str, Any]:
    """Add a node that raises, and return a workflow with it."""

    def bad(ctx: Context) -> ImageSocket:
        """Raise.

        Returns:
            image: Never.
        """
        raise error

    editor.registry["Bad"] = build_spec(bad, id="Bad", title="Bad", category="test")
    return {"7": entry("Bad"), "8": entry("Show", value=["7", 0])}


class PanicError(BaseException):
    """As the panics of libraries written in Rust, which are no `Exception`."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("x"), "ValueError"),
        (SystemExit(3), "SystemExit"),
        (PanicError("index"), "PanicError"),
        (RecursionError(), "RecursionError"),
    ],
)
def test_whatever_a_node_raises_is_reported_on_it_and_the_next_job_runs(editor, error, kind):
    workflow = raising(editor, error)

    async def check(browser: Browser) -> None:
        tab = await browser.tab()
        await browser.queue(workflow)
        failed = await tab.until("execution_error")
        assert (failed["exception_type"], failed["node_id"], failed["node_type"]) == (
            kind,
            "7",
            "Bad",
        )
        await browser.queue(CHAIN)
        await tab.until("execution_success")

    with_browser(editor, check)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    ],
)
def test_running_out_of_memory_says_what_to_do(editor, error):
    workflow = raising(editor, error)

    async def check(browser: Browser) -> None:
        tab = await browser.tab()
        await browser.queue(workflow)
        failed = await tab.until("execution_error")
        assert failed["exception_message"].startswith(str(error))
        assert failed["exception_message"].endswith("lower a batch, chunk or tile size")

    with_browser(editor, check)


def test_an_error_shows_the_values_that_led_to_it(editor, fresh):
    def tick(index: int) -> None:
        raise ValueError("tick")

    fresh.on_tick = tick

    async def check(browser: Browser) -> None:
        tab = await browser.tab()
        await browser.queue(
            {
                "1": entry("Constant", value=3),
                "2": entry("Repeat", a=["1", 0], times=2),
                "3": entry("Show", value=["2", 0]),
            }
        )
        failed = await tab.until("execution_error")
        assert failed["current_inputs"] == {"times": [2]} and failed["current_outputs"] == ["1"]

    with_browser(editor, check)


def test_a_preview_that_follows_the_hand_leaves_no_trace_in_the_lists(editor, fresh):
    workflow, begun, go_on = long_run(fresh)
    unlisted = {"extra_data": {"ganvas_unlisted": True}}

    async def check(browser: Browser) -> None:
        page, pad = await browser.tab("page"), await browser.tab("pad")
        page.messages.clear()
        await browser.queue(workflow, "pad", **unlisted)
        assert await asyncio.to_thread(begun.wait, 20)
        queue = await browser.get("/api/queue")
        assert queue == {"queue_running": [], "queue_pending": []}
        assert (await browser.get("/api/prompt"))["exec_info"]["queue_remaining"] == 0
        waiting = await browser.queue(CHAIN, "pad", **unlisted)
        assert (await browser.get("/api/jobs"))["jobs"] == []
        go_on.set()
        await pad.until("execution_success", prompt_id=waiting)
        assert (await browser.get("/api/history")) == {}
        listed = await browser.queue(CHAIN, "page")
        await page.until("execution_success", prompt_id=listed)
        about = {data.get("prompt_id") for kind, data in page.messages if kind != "status"}
        assert about == {listed}

    with_browser(editor, check)


def test_a_page_loaded_anew_gets_earlier_results_when_the_job_ends(editor, fresh):
    workflow, begun, go_on = long_run(fresh)
    workflow = {"0": entry("Constant", value=9), "9": entry("Show", value=["0", 0]), **workflow}

    async def check(browser: Browser) -> None:
        tab = await browser.tab()
        await browser.queue(workflow)
        assert (await tab.until("executed"))["node"] == "9"
        assert await asyncio.to_thread(begun.wait, 20)
        await tab.socket.close()
        while editor.clients.all():
            await asyncio.sleep(0.01)
        again = await browser.tab()
        await again.until("progress_state")
        counted = [kind for kind in again.kinds() if kind in ("executed", "execution_cached")]
        assert counted == []  # the page would take them for all there is: 100 %
        go_on.set()
        await again.until("execution_success")
        executed = [data["node"] for kind, data in again.messages if kind == "executed"]
        assert executed == ["3", "9"]

    with_browser(editor, check)


def test_results_are_kept_up_to_a_limit(editor):
    def weigh(ctx: Context, size: Number) -> ImageSocket:
        """Give a megabyte.

        Args:
            size: What it holds.

        Returns:
            image: A megabyte.
        """
        return torch.full((1, 512, 512, 1), float(size))

    editor.registry["Weigh"] = build_spec(weigh, id="Weigh", title="W", category="test")
    editor.registry["Show"] = replace(editor.registry["Show"], function=lambda ctx, value: None)
    editor.cache.capacity = 4 * 2**20 + 2**16

    async def check(browser: Browser) -> None:
        tab = await browser.tab()
        for value in range(20):
            workflow = {
                "1": entry("Constant", value=value),
                "2": entry("Weigh", size=["1", 0]),
                "3": entry("Show", value=["2", 0]),
            }
            id = await browser.queue(workflow)
            await tab.until("execution_success", prompt_id=id)
        assert 4 * 2**20 <= editor.cache.size <= editor.cache.capacity

    with_browser(editor, check)


def test_the_frontend_is_told_that_no_node_asks_other_hosts(editor):
    async def check(browser: Browser) -> None:
        system = (await browser.get("/api/system_stats"))["system"]
        assert "--disable-api-nodes" in system["argv"]
        assert system["python_version"].startswith(f"{sys.version_info.major}.")

    with_browser(editor, check)
