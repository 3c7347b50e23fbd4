"""A thousand requests damaged at random: each is answered with a status below 500."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the editor needs ganvas[editor]")

from ganvas.nodes import registry
from ganvas.nodes.editor.state import Editor

from .editor_client import Browser, with_browser

ROOT = Path(__file__).resolve().parents[2]
REQUESTS = 1000
STRANGE = (
    None, True, -1, 1e308, 10**40, "", "\0", "../../x", "\ud800", "x" * 3000, [], {}, ["1", 0],
    [["1", 0]], ["1", -1], ["nothing", 0], {"__value__": ["1", 0]}, [1, [2, [3]]],
)  # fmt: skip
PATHS = (
    "/prompt", "/queue", "/history", "/interrupt", "/free", "/jobs/cancel", "/jobs/x/cancel",
    "/settings", "/settings/a", "/userdata/a%2Fb.json", "/userdata/a/move/b", "/upload/image",
    "/upload/mask",
)  # fmt: skip
QUERIES = (
    "/view?filename={}", "/view?filename=a.png&type={}", "/view?filename=a.png&subfolder={}",
    "/userdata?dir={}", "/userdata/{}", "/history/{}", "/history?max_items={}", "/jobs?limit={}",
    "/jobs?status={}", "/jobs/{}", "/object_info/{}", "/settings/{}", "/ws?clientId={}", "/{}",
    "/workflow_templates/ganvas/{}", "/global_subgraphs/{}", "/experiment/models/{}",
)  # fmt: skip
WORDS = (
    "", "..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%00", "%ff%fe", "a" * 2000, "-1", "1e9", "%u0",
    "con", "a.png%20[output]", "%5b", "😀", "%F0%9F%98%80", "[", "*", "?", "%0d%0aX:%20y",
)  # fmt: skip


def damage(data: Any, chance: random.Random) -> Any:
    """Return a copy of JSON data with up to three places replaced, removed or renamed."""
    data = copy.deepcopy(data)
    for _ in range(chance.randint(1, 3)):
        place, key = data, None
        holder: Any = None
        while isinstance(place, (dict, list)) and place and chance.random() < 0.85:
            holder = place
            key = chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
            place = place[key]
        if holder is None:
            return copy.deepcopy(chance.choice(STRANGE))
        if chance.random() < 0.15:
            del holder[key]
        elif isinstance(holder, dict) and chance.random() < 0.15:
            holder[str(chance.choice(STRANGE))[:50]] = holder.pop(key)
        else:
            holder[key] = copy.deepcopy(chance.choice(STRANGE))
    return data


def test_damaged_requests_never_fail_on_our_side(host, tmp_path):
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "index.html").write_text("<html>")
    nodes = registry()
    editor = Editor(nodes, host, tmp_path / "user", tmp_path / "static")
    workflow = json.loads((ROOT / "workflows" / "api" / "quickstart.json").read_text())
    valid = {
        "prompt": workflow,
        "client_id": "tab",
        "extra_data": {"extra_pnginfo": {"workflow": {"id": "x"}}},
        "delete": ["x"],
        "job_ids": ["x"],
        "prompt_id": "x",
    }
    chance = random.Random(20)
    editor.queue.take = lambda: None  # what survives the damage waits; nothing needs to run

    async def check(browser: Browser) -> None:
        for index in range(REQUESTS):
            kind = index % 4
            body: str | None = None
            if kind == 3:
                path, method = chance.choice(QUERIES).format(chance.choice(WORDS)), "GET"
            else:
                path, method = chance.choice(PATHS) if kind else "/prompt", "POST"
                body = json.dumps(damage(valid, chance))
                if kind == 2:
                    cut = chance.randrange(len(body))
                    body = body[:cut] + chance.choice(("", "}", "\\", '"', "NaN")) + body[cut + 1 :]
            prefix = chance.choice(("", "/api"))
            async with browser.client.request(method, prefix + path, data=body) as response:
                text = await response.text()
                assert response.status < 500, (method, path, body, text)
                if response.status >= 400:
                    assert text, (method, path, body)

    with_browser(editor, check)
    outside = {path.name for path in tmp_path.iterdir()}
    assert outside <= {"input", "output", "temp", "user", "static"}
    assert not [*host.input_dir.iterdir(), *host.output_dir.iterdir(), *host.temp_dir.iterdir()]
