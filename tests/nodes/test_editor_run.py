"""The editor's server, running workflows: from object_info to the finished image and back."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import threading
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the editor needs ganvas[editor]")

import torch
from aiohttp import web
from PIL import Image

from ganvas.nodes import registry
from ganvas.nodes.context import Context
from ganvas.nodes.editor.clients import Client, Clients
from ganvas.nodes.editor.state import Editor
from ganvas.nodes.spec import Image as ImageSocket
from ganvas.nodes.spec import build_spec

from .editor_client import Browser, png, with_browser


def entry(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


@pytest.fixture
def editor(fresh: Any, host: Any, tmp_path: Any) -> Editor:
    def paint(ctx: Context) -> ImageSocket:
        """Paint in two steps, with a preview.

        Returns:
            image: A grey image.
        """
        picture = torch.full((1, 8, 8, 3), 0.5)
        for step in range(2):
            ctx.progress(step + 1, 2, picture.permute(0, 3, 1, 2))
        return picture

    nodes = {**fresh.registry, **{id: registry()[id] for id in ("LoadImage", "SaveImage")}}
    nodes["Paint"] = build_spec(paint, id="Paint", title="Paint", category="test")
    (tmp_path / "static" / "extensions").mkdir(parents=True)
    (tmp_path / "static" / "index.html").write_text("<html>")
    return Editor(nodes, host, tmp_path / "user", tmp_path / "static")


CHAIN = {
    "1": entry("Constant", value=3),
    "2": entry("Add", a=["1", 0], factor=2),
    "3": entry("Show", value=["2", 0]),
}
FAILING = {**CHAIN, "2": entry("Fail", a=["1", 0])}
PAINTING = {"1": entry("Paint"), "2": entry("SaveImage", images=["1", 0], filename_prefix="a/b")}


def long_run(fresh: Any) -> tuple[dict[str, Any], threading.Event, threading.Event]:
    """Return a workflow of four steps that begins, and goes on, when the events say so."""
    begun, go_on = threading.Event(), threading.Event()

    def tick(index: int) -> None:
        begun.set()
        assert go_on.wait(20)

    fresh.on_tick = tick
    workflow = {
        "1": entry("Constant", value=1),
        "2": entry("Repeat", a=["1", 0], times=4),
        "3": entry("Show", value=["2", 0]),
    }
    return workflow, begun, go_on


def test_nodes_are_described_one_by_one_and_together(editor):
    async def check(browser: Browser) -> None:
        everything = await browser.get("/api/object_info")
        assert set(everything) == set(editor.registry)
        assert everything["SaveImage"]["output_node"] is True
        assert await browser.get("/object_info/Add") == {"Add": everything["Add"]}
        assert await browser.get("/api/object_info/Nothing") == {}

    with_browser(editor, check)


def test_a_prompt_runs_and_reports_every_step(editor):
    async def check(browser: Browser) -> None:
        tab = await browser.tab()
        id = await browser.queue(CHAIN)
        await tab.until("executing", node=None)
        kinds = [kind for kind in tab.kinds() if kind not in ("status", "progress_state")]
        assert kinds == [
            "execution_start",
            "execution_cached",
            *["executing", "execution_cached"] * 2,
            "executing",
            "executed",
            "execution_success",
            "executing",
        ]
        assert all(data["prompt_id"] == id for kind, data in tab.messages if kind != "status")
        executed = next(data for kind, data in tab.messages if kind == "executed")
        assert executed["node"] == "3" and executed["output"] == {"values": [6]}
        states = [data for kind, data in tab.messages if kind == "progress_state"][-1]["nodes"]
        assert {state["state"] for state in states.values()} == {"finished"}
        await tab.until("status")
        history = (await browser.get(f"/api/history/{id}"))[id]
        assert history["outputs"] == {"3": {"values": [6]}}
        assert history["status"]["status_str"] == "success"
        assert [kind for kind, _ in history["status"]["messages"]] == [
            "execution_start",
            "execution_cached",
            "execution_success",
        ]
        assert (await browser.get("/prompt"))["exec_info"]["queue_remaining"] == 0

    with_browser(editor, check)


def test_a_second_run_comes_from_the_cache(editor):
    async def check(browser: Browser) -> None:
        tab = await browser.tab()
        await browser.queue(CHAIN)
        await tab.until("execution_success")
        await browser.queue(CHAIN)
        cached = await tab.until("execution_cached", nodes=["3"])
        assert cached["nodes"] == ["3"]
        assert (await tab.until("executed"))["output"] == {"values": [6]}

    with_browser(editor, check)


def test_saved_images_are_viewed_and_carry_their_workflow(editor):
    async def check(browser: Browser) -> None:
        tab = await browser.tab()
        ui = {"id": "w", "nodes": [], "links": []}
        id = await browser.queue(PAINTING, extra_data={"extra_pnginfo": {"workflow": ui}})
        image = (await tab.until("executed", node="2"))["output"]["images"][0]
        assert image == {"filename": "b_00001_.png", "type": "output", "subfolder": "a"}
        async with browser.client.get("/api/view", params=image) as response:
            assert response.content_type == "image/png"
            with Image.open(io.BytesIO(await response.read())) as picture:
                assert picture.getpixel((0, 0)) == (128, 128, 128)
                assert json.loads(picture.info["workflow"]) == ui
                assert json.loads(picture.info["prompt"]) == PAINTING
        async with browser.client.get("/view", params={**image, "preview": "webp;80"}) as small:
            assert small.content_type == "image/webp"
        await tab.until("executing", node=None)
        await tab.until("status")
        (job,) = (await browser.get("/api/jobs?status=completed"))["jobs"]
        assert job["id"] == id and job["outputs_count"] == 1 and job["workflow_id"] == "w"
        assert job["preview_output"]["filename"] == "b_00001_.png"
        details = await browser.get(f"/api/jobs/{id}")
        assert details["workflow"]["extra_data"]["extra_pnginfo"]["workflow"] == ui

    with_browser(editor, check)


@pytest.mark.parametrize("described", [True, False])
def test_previews_come_in_the_form_that_the_tab_reads(editor, described):
    async def check(browser: Browser) -> None:
        tab = await browser.tab(features={"supports_preview_metadata": described})
        id = await browser.queue(PAINTING)
        await tab.until("executing", node=None)
        kind, size = struct.unpack(">II", tab.previews[0][:8])
        jpeg = tab.previews[0][8:]
        if described:
            assert kind == 4
            about = json.loads(jpeg[:size])
            assert about["node_id"] == "1" and about["prompt_id"] == id
            jpeg = jpeg[size:]
        else:
            assert (kind, size) == (1, 1)
        with Image.open(io.BytesIO(jpeg)) as picture:
            assert picture.size == (8, 8)

    with_browser(editor, check)


def test_a_tab_that_lags_behind_misses_previews_but_never_all():
    async def check() -> None:
        clients = Clients()
        clients.start()
        lagging = Client("tab", web.WebSocketResponse())
        clients.add(lagging)
        for _ in range(100):
            clients.send("progress", {})
        for number in range(5):
            clients.send_preview(b"plain", bytes([number]), "tab")
        await asyncio.sleep(0)
        waiting = [lagging.outbox.get_nowait() for _ in range(lagging.outbox.qsize())]
        assert len(waiting) == 102 and waiting[100:] == [b"plain", b"plain"]

    asyncio.run(check())


def test_a_failing_node_is_named_and_the_next_prompt_runs(editor):
    async def check(browser: Browser) -> None:
        tab = await browser.tab()
        id = await browser.queue(FAILING)
        error = await tab.until("execution_error")
        assert error["node_id"] == "2" and error["node_type"] == "Fail"
        assert error["exception_type"] == "ZeroDivisionError" and error["traceback"]
        assert error["executed"] == ["1"]
        await tab.until("executing", node=None)
        await tab.until("status")
        (job,) = (await browser.get("/api/jobs"))["jobs"]
        assert job["status"] == "failed" and job["execution_error"]["node_id"] == "2"
        assert (await browser.get("/history"))[id]["status"]["status_str"] == "error"
        await browser.queue(CHAIN)
        await tab.until("execution_success")

    with_browser(editor, check)


def test_a_fault_outside_any_node_does_not_end_the_worker(editor, monkeypatch):
    def broken(*arguments: Any, **options: Any) -> None:
        raise KeyError("bug")

    async def check(browser: Browser) -> None:
        tab = await browser.tab()
        with monkeypatch.context() as patch:
            patch.setattr("ganvas.nodes.editor.worker.execute", broken)
            await browser.queue(CHAIN)
            assert (await tab.until("execution_error"))["exception_type"] == "KeyError"
            await tab.until("executing", node=None)
        await browser.queue(CHAIN)
        await tab.until("execution_success")

    with_browser(editor, check)


def test_running_out_of_memory_drops_what_was_kept(editor):
    def greedy(ctx: Context) -> ImageSocket:
        """Ask for too much.

        Returns:
            image: Never.
        """
        raise MemoryError

    editor.registry["Paint"] = build_spec(greedy, id="Paint", title="Paint", category="test")

    async def check(browser: Browser) -> None:
        tab = await browser.tab()
        await browser.queue(CHAIN)
        await tab.until("execution_success")
        assert len(editor.cache) == 3
        await browser.queue(PAINTING)
        assert (await tab.until("execution_error"))["exception_type"] == "MemoryError"
        await tab.until("status", status={"exec_info": {"queue_remaining": 0}})
        assert len(editor.cache) == 0

    with_browser(editor, check)


def broken_prompts() -> list[tuple[Any, str, str]]:
    return [
        ({}, "", "invalid_prompt"),
        ("text", "", "invalid_prompt"),
        (None, "", "invalid_prompt"),
        ({"1": entry("Constant", value=3)}, "", "prompt_no_outputs"),
        ({**CHAIN, "9": entry("Nothing")}, "9", "missing_node_type"),
        ({**CHAIN, "1": entry("Constant", value=9999)}, "1", "prompt_outputs_failed_validation"),
        ({**CHAIN, "2": entry("Add")}, "2", "prompt_outputs_failed_validation"),
    ]


@pytest.mark.parametrize(("prompt", "node", "kind"), broken_prompts())
def test_a_prompt_that_cannot_run_is_refused_with_its_node(editor, prompt, node, kind):
    async def check(browser: Browser) -> None:
        answer = await browser.post("/api/prompt", {"prompt": prompt}, status=400)
        assert answer["error"]["type"] == kind
        assert answer["error"]["message"]
        assert not node or answer["node_errors"][node]["errors"][0]["details"]
        assert await browser.get("/api/queue") == {"queue_running": [], "queue_pending": []}

    with_browser(editor, check)


def test_interruption_stops_the_running_prompt_only(editor, fresh):
    workflow, begun, go_on = long_run(fresh)

    async def check(browser: Browser) -> None:
        tab = await browser.tab()
        first = await browser.queue(workflow)
        second = await browser.queue(CHAIN)
        assert await asyncio.to_thread(begun.wait, 20)
        queue = await browser.get("/api/queue")
        assert [item[1] for item in queue["queue_running"]] == [first]
        assert [item[1] for item in queue["queue_pending"]] == [second]
        await browser.post("/api/interrupt", {"prompt_id": second})
        assert not editor.queue.running.stop.is_set()
        await browser.post("/api/interrupt")
        go_on.set()
        stopped = await tab.until("execution_interrupted")
        assert stopped["prompt_id"] == first and stopped["node_id"] == "2"
        await tab.until("execution_success", prompt_id=second)
        jobs = {job["id"]: job["status"] for job in (await browser.get("/api/jobs"))["jobs"]}
        assert jobs[first] == "cancelled"

    with_browser(editor, check)


def drop(how: str, id: str) -> tuple[str, dict[str, Any] | None]:
    return {
        "delete": ("/api/queue", {"delete": [id]}),
        "clear": ("/api/queue", {"clear": True}),
        "jobs": ("/api/jobs/cancel", {"job_ids": [id]}),
        "job": (f"/api/jobs/{id}/cancel", None),
    }[how]


@pytest.mark.parametrize("how", ["delete", "clear", "jobs", "job"])
def test_a_waiting_prompt_is_dropped(editor, fresh, how):
    workflow, begun, go_on = long_run(fresh)

    async def check(browser: Browser) -> None:
        tab = await browser.tab()
        await browser.queue(workflow)
        waiting = await browser.queue(CHAIN)
        assert await asyncio.to_thread(begun.wait, 20)
        await browser.post(*drop(how, waiting))
        assert (await browser.get("/api/queue"))["queue_pending"] == []
        go_on.set()
        await tab.until("status", status={"exec_info": {"queue_remaining": 0}})
        assert "Add" not in fresh.names()

    with_browser(editor, check)


def test_fifty_prompts_run_in_order_and_front_ones_first(editor, fresh):
    workflow, begun, go_on = long_run(fresh)

    async def check(browser: Browser) -> None:
        tab = await browser.tab()
        ids = [await browser.queue(workflow)]
        assert await asyncio.to_thread(begun.wait, 20)
        for value in range(50):
            changed = {**CHAIN, "1": entry("Constant", value=value)}
            ids.append(await browser.queue(changed, prompt_id=f"p{value}"))
        ids.insert(1, await browser.queue(CHAIN, front=True))
        go_on.set()
        await tab.until("status", status={"exec_info": {"queue_remaining": 0}})
        assert list(await browser.get("/api/history")) == ids
        page = await browser.get("/api/jobs?limit=10&offset=45")
        assert [job["id"] for job in page["jobs"]] == ids[::-1][45:]
        assert page["pagination"]["total"] == 52 and not page["pagination"]["has_more"]
        await browser.post("/api/history", {"delete": [ids[0]]})
        assert list(await browser.get("/api/history?max_items=2")) == ids[-2:]
        await browser.post("/api/history", {"clear": True})
        assert await browser.get("/api/history") == {}

    with_browser(editor, check)


def test_only_the_wanted_outputs_run(editor, fresh):
    async def check(browser: Browser) -> None:
        tab = await browser.tab()
        both = {**CHAIN, "4": entry("Show", value=["1", 0])}
        await browser.queue(both, partial_execution_targets=["4"])
        await tab.until("execution_success")
        assert fresh.names() == ["Constant", "Show"]

    with_browser(editor, check)


@pytest.mark.parametrize("id", ["tab", "another"])
def test_a_tab_that_comes_back_finds_its_running_prompt(editor, fresh, id):
    workflow, begun, go_on = long_run(fresh)

    async def check(browser: Browser) -> None:
        tab = await browser.tab()
        prompt = await browser.queue(workflow)
        assert await asyncio.to_thread(begun.wait, 20)
        await tab.socket.close()
        while editor.clients.all():
            await asyncio.sleep(0.01)
        again = await browser.tab(id)
        assert (await again.until("execution_start"))["prompt_id"] == prompt
        assert (await again.until("progress_state"))["nodes"]["2"]["state"] == "running"
        assert (await again.until("executing"))["node"] == "2"
        go_on.set()
        assert (await again.until("executed"))["output"] == {"values": [4]}

    with_browser(editor, check)


def test_a_foreign_tab_hears_of_the_queue_only(editor):
    async def check(browser: Browser) -> None:
        tab, other = await browser.tab("tab"), await browser.tab("other")
        await browser.queue(CHAIN)
        await tab.until("executing", node=None)
        await other.until("status", status={"exec_info": {"queue_remaining": 0}})
        assert set(other.kinds()) == {"status"}

    with_browser(editor, check)


def test_an_uploaded_image_is_loaded_and_saved(editor):
    async def check(browser: Browser) -> None:
        tab = await browser.tab()
        stored = await browser.upload("face.png", png())
        workflow = {
            "1": entry("LoadImage", image=stored["name"]),
            "2": entry("SaveImage", images=["1", 0], filename_prefix="x"),
        }
        await browser.queue(workflow)
        image = (await tab.until("executed", node="2"))["output"]["images"][0]
        async with browser.client.get("/api/view", params=image) as response:
            with Image.open(io.BytesIO(await response.read())) as picture:
                assert picture.getpixel((1, 1)) == (200, 30, 30)

    with_browser(editor, check)


def test_freeing_memory_forgets_results(editor):
    async def check(browser: Browser) -> None:
        tab = await browser.tab()
        await browser.queue(CHAIN)
        await tab.until("execution_success")
        await browser.post("/api/free", {"unload_models": True, "free_memory": True})
        assert len(editor.cache) == 0

    with_browser(editor, check)


def test_stopping_the_server_interrupts_what_runs(editor, fresh):
    workflow, begun, go_on = long_run(fresh)
    stopping: list[Callable[[], bool]] = []

    async def check(browser: Browser) -> None:
        await browser.queue(workflow)
        assert await asyncio.to_thread(begun.wait, 20)
        stopping.append(editor.queue.running.stop.is_set)
        go_on_later = threading.Timer(0.2, go_on.set)
        go_on_later.start()

    with_browser(editor, check)
    assert stopping[0]()
    assert not editor.cache.get("x") and editor.queue.running is None
