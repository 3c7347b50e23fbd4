"""The editor's server: uploads, user files, static files, and who may ask for them."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the editor needs ganvas[editor]")

from aiohttp import FormData
from PIL import Image

from ganvas.core.errors import InputError
from ganvas.nodes.editor import Settings, frontend, serve
from ganvas.nodes.editor.images import clean_name
from ganvas.nodes.editor.serve import choose_token, is_loopback
from ganvas.nodes.editor.server import page_address
from ganvas.nodes.editor.state import Editor

from .editor_client import Browser, png, with_browser

TOKEN = "secret0123456789"
BLUEPRINT = '{"definitions": {}, "extra": {"BlueprintSearchAliases": ["couple"]}}'


@pytest.fixture
def editor(small: Any, host: Any, tmp_path: Path) -> Editor:
    for name, content in {
        "static/index.html": "<html>",
        "static/assets/a.js": "1",
        "static/extensions/core/x.js": "1",
        "pack/web/docs/Ganvas_X.md": "# Help",
        "pack/web/docs/Ganvas_X/zh.md": "# 帮助",
        "pack/web/js/own.js": "2",
        "pack/locales/zh/nodeDefs.json": '{"Ganvas_X": {"display_name": "X"}}',
        "pack/locales/zh/main.json": '{"settings": {}}',
        "pack/workflows/first.json": '{"nodes": []}',
        "pack/workflows/api/first.json": "{}",
        "pack/subgraphs/face_pair.json": BLUEPRINT,
        "secret.txt": "secret",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return Editor(small.registry, host, tmp_path / "user", tmp_path / "static", tmp_path / "pack")


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_an_upload_is_stored_once_and_other_images_get_another_name(editor):
    async def check(browser: Browser) -> None:
        first = await browser.upload("face.png", png())
        assert first == {"name": "face.png", "subfolder": "", "type": "input"}
        assert await browser.upload("face.png", png()) == first
        other = await browser.upload("face.png", png((1, 2, 3)))
        assert other["name"] == "face (1).png"
        await browser.upload("face.png", png((1, 2, 3)), overwrite="true")
        pasted = await browser.upload("image.png", png(), subfolder="pasted")
        assert pasted["subfolder"] == "pasted"
        assert files(editor.host.input_dir) == {"face.png", "face (1).png", "pasted/image.png"}
        assert (editor.host.input_dir / "face.png").read_bytes() == png((1, 2, 3))

    with_browser(editor, check)


@pytest.mark.parametrize(
    ("name", "data", "fields"),
    [
        ("a.png", b"<html>", {}),
        ("a.png", png()[:40], {}),
        ("a.png", b"", {}),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", {}),
        ("a.png", png(), {"subfolder": "../../outside"}),
        ("a.png", png(), {"subfolder": "/etc"}),
        ("a.png", png(), {"subfolder": "a\0b"}),
        ("a.png", png(), {"type": "output"}),
        ("a.png", png(), {"type": "../x"}),
        ("..", png(), {"subfolder": ".."}),
    ],
)
def test_what_is_no_image_or_leaves_the_folder_is_refused(editor, tmp_path, name, data, fields):
    before = files(tmp_path)

    async def check(browser: Browser) -> None:
        if fields.get("subfolder") == "/etc":  # a leading slash only means the folder itself
            assert (await browser.upload(name, data, **fields))["subfolder"] == "etc"
            (editor.host.input_dir / "etc" / "a.png").unlink()
        else:
            assert (await browser.upload(name, data, status=400, **fields))["error"]

    with_browser(editor, check)
    assert files(tmp_path) == before


def test_an_upload_that_is_too_large_is_refused(editor, monkeypatch):
    monkeypatch.setattr("ganvas.nodes.editor.app.MAX_UPLOAD", 1000)

    async def check(browser: Browser) -> None:
        await browser.upload("a.png", b"x" * 100_000, status=413)
        async with browser.client.post("/api/userdata/a", data=b"x" * 100_000) as response:
            assert response.status == 413

    with_browser(editor, check)


def test_a_decompression_bomb_is_refused_before_it_is_decoded(editor):
    small = png()
    header = small[12:16] + struct.pack(">II", 9_500, 9_000) + small[24:29]
    bomb = small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]

    async def check(browser: Browser) -> None:
        refusal = (await browser.upload("a.png", bomb, status=400))["error"]
        assert refusal.startswith("'a.png': 9500 x 9000 pixels")
        refusal = (await browser.upload("a.png", b"no image", status=400))["error"]
        assert refusal.startswith("'a.png': not an image (PNG, JPEG")

    with_browser(editor, check)


def test_names_lose_folders_and_get_the_suffix_of_their_format():
    assert clean_name("../../x.png", "PNG") == "x.png"
    assert clean_name("C:\\temp\\photo.JPG", "JPEG") == "photo.JPG"
    assert clean_name("evil.html", "PNG") == "evil.html.png"
    assert clean_name("a:b?.png", "PNG") == "a_b_.png"
    assert clean_name(".png", "PNG") == "png.png"
    assert len(clean_name("é" * 500, "PNG").encode()) <= 160
    with pytest.raises(InputError, match="file name"):
        clean_name("...", "PNG")


def test_a_mask_becomes_the_transparency_of_its_image(editor):
    async def check(browser: Browser) -> None:
        await browser.upload("face.png", png())
        reference = {"filename": "face.png", "type": "input", "subfolder": ""}
        stored = await browser.upload(
            "clipspace-1.png",
            png((0, 0, 0, 77)),
            path="mask",
            subfolder="clipspace",
            original_ref=json.dumps(reference),
        )
        assert stored["subfolder"] == "clipspace"
        view = {"filename": stored["name"], "subfolder": "clipspace", "type": "input"}
        for channel, pixel in {"rgba": (200, 30, 30, 77), "rgb": (200, 30, 30)}.items():
            async with browser.client.get("/view", params={**view, "channel": channel}) as answer:
                with Image.open(io.BytesIO(await answer.read())) as picture:
                    assert picture.getpixel((0, 0)) == pixel
        for broken in ("{", "[]", '{"filename": "../secret.txt", "type": "input"}'):
            await browser.upload("m.png", png(), status=400, path="mask", original_ref=broken)

    with_browser(editor, check)


@pytest.mark.parametrize(
    "query",
    [
        {"filename": "../secret.txt"},
        {"filename": "secret.txt", "subfolder": ".."},
        {"filename": "/etc/passwd"},
        {"filename": "nothing.png"},
        {"filename": ""},
        {"filename": "x" * 5000},
        {"filename": "a\0b"},
        {"filename": "a.png", "type": "user"},
        {"filename": "../secret.txt [temp]"},
    ],
)
def test_only_files_of_the_three_folders_are_viewed(editor, query):
    async def check(browser: Browser) -> None:
        async with browser.client.get("/api/view", params=query) as response:
            assert response.status in (400, 404)
            assert (await response.json())["error"]

    with_browser(editor, check)


def test_a_file_that_could_hold_a_script_is_never_shown(editor):
    (editor.host.output_dir / "x.html").write_text("<script>")
    (editor.host.output_dir / "x.svg").write_text("<svg>")

    async def check(browser: Browser) -> None:
        for name in ("x.html", "x.svg"):
            async with browser.client.get("/view", params={"filename": name}) as response:
                assert response.content_type == "application/octet-stream"
                assert response.headers["Content-Disposition"] == "attachment"
                assert response.headers["X-Content-Type-Options"] == "nosniff"

    with_browser(editor, check)


def test_settings_are_kept_and_survive_a_damaged_file(editor):
    path = editor.user_files / "comfy.settings.json"

    async def check(browser: Browser) -> None:
        quiet = await browser.get("/api/settings")
        assert quiet["Comfy.Notification.ShowVersionUpdates"] is False
        await browser.post("/api/settings", {"a": 1})
        await browser.post("/api/settings/Comfy.Locale", "zh")
        assert await browser.get("/api/settings") == {**quiet, "a": 1, "Comfy.Locale": "zh"}
        assert await browser.get("/api/settings/Comfy.Locale") == "zh"
        assert await browser.get("/api/settings/nothing") is None
        await browser.post("/api/settings", [1], status=400)
        await browser.post("/api/settings", dict.fromkeys(quiet, True))
        assert await browser.get(f"/api/settings/{next(iter(quiet))}") is True
        path.write_text("{half")
        assert await browser.get("/api/settings") == quiet
        assert path.with_suffix(".damaged").read_text() == "{half"

    with_browser(editor, check)


def test_workflows_are_saved_listed_moved_and_deleted(editor):
    async def check(browser: Browser) -> None:
        assert await browser.get("/api/userdata?dir=workflows&recurse=true") == []
        address = "/api/userdata/workflows%2Fa%20b.json"
        saved = await browser.post(f"{address}?overwrite=false&full_info=true", {"nodes": []})
        assert saved["path"] == "workflows/a b.json" and saved["size"] > 0
        await browser.post(f"{address}?overwrite=false", {}, status=409)
        assert await browser.get(address) == {"nodes": []}
        moved = await browser.post(f"{address}/move/workflows%2Fdeep%2Fc.json?overwrite=false")
        assert moved == "workflows/deep/c.json"
        listed = await browser.get("/api/userdata?dir=workflows&recurse=true&full_info=true")
        assert [item["path"] for item in listed] == ["deep/c.json"]
        names = await browser.get("/api/userdata?dir=workflows&recurse=true&split=true")
        assert names == [["deep/c.json", "deep", "c.json"]]
        async with browser.client.delete("/api/userdata/workflows%2Fdeep%2Fc.json") as response:
            assert response.status == 204
        async with browser.client.get(address) as response:
            assert response.status == 404
        assert files(editor.user_files) == set()

    with_browser(editor, check)


@pytest.mark.parametrize(
    "name",
    ["..%2Fsecret.txt", "%2Fetc%2Fx", "a%2F..%2F..%2F..%2Fx", ".hidden", "a%00b", "..", "x" * 300],
)
def test_user_files_stay_in_the_users_folder(editor, tmp_path, name):
    before = files(tmp_path)

    async def check(browser: Browser) -> None:
        for method in ("GET", "POST", "DELETE"):
            async with browser.client.request(method, f"/api/userdata/{name}") as response:
                assert 400 <= response.status < 500, (method, await response.text())

    with_browser(editor, check)
    assert files(tmp_path) == before


def test_links_that_lead_out_of_the_folder_are_not_followed(editor, tmp_path):
    editor.user_files.mkdir(parents=True)
    (editor.user_files / "out").symlink_to(tmp_path)
    (editor.host.output_dir / "link.png").symlink_to(tmp_path / "secret.txt")

    async def check(browser: Browser) -> None:
        for address in ("/api/userdata/out%2Fsecret.txt", "/view?filename=link.png"):
            async with browser.client.get(address) as response:
                assert response.status == 400

    with_browser(editor, check)


def test_the_frontend_finds_what_it_asks_for_at_its_start(editor):
    async def check(browser: Browser) -> None:
        assert await browser.get("/api/users") == {"storage": "server", "migrated": True}
        assert (await browser.get("/api/features"))["supports_preview_metadata"] is True
        assert await browser.get("/api/extensions") == [
            "/extensions/core/x.js",
            "/extensions/ganvas/js/own.js",
        ]
        translations = await browser.get("/api/i18n")
        assert translations == {
            "zh": {"nodeDefs": {"Ganvas_X": {"display_name": "X"}}, "settings": {}}
        }
        assert await browser.get("/api/workflow_templates") == {}
        for language in ("index", "index.zh"):
            (group,) = await browser.get(f"/templates/{language}.json")
            assert [template["name"] for template in group["templates"]] == ["first"]
        assert await browser.get("/api/workflow_templates/ganvas/first.json") == {"nodes": []}
        (about,) = (await browser.get("/api/global_subgraphs")).values()
        assert about["name"] == "face pair" and about["info"] == {
            "node_pack": "ganvas",
            "category": "ganvas",
            "search_aliases": ["couple"],
        }
        blueprint = await browser.get("/api/global_subgraphs/ganvas-face_pair")
        assert blueprint["data"] == BLUEPRINT
        stats = await browser.get("/api/system_stats")
        assert stats["devices"][0]["type"] == "cpu" and stats["system"]["ram_total"] > 0
        for path in (
            "/api/userdata/comfy.templates.json",
            "/api/embeddings",
            "/api/experiment/models/x",
        ):
            assert await browser.get(path) == []
        for path, text in {
            "/": "<html>",
            "/assets/a.js": "1",
            "/extensions/core/x.js": "1",
            "/extensions/ganvas/docs/Ganvas_X.md": "# Help",
            "/extensions/ganvas/docs/Ganvas_X/en.md": "# Help",
            "/extensions/ganvas/docs/Ganvas_X/zh.md": "# 帮助",
            "/user.css": "",
            "/api/userdata/user.css": "",
        }.items():
            async with browser.client.get(path) as response:
                assert response.status == 200 and await response.text() == text
                assert "connect-src 'self'" in response.headers["Content-Security-Policy"]

    with_browser(editor, check)


def test_the_asset_browser_lists_what_can_be_shown_the_newest_first(editor):
    folder = editor.host.input_dir
    for age, name in enumerate(("new.png", "old.jpg", "text.txt", ".hidden.png")):
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (1000 - age, 1000 - age))

    async def check(browser: Browser) -> None:
        assert await browser.get("/internal/files/input") == ["new.png", "old.jpg"]
        assert await browser.get("/internal/files/output") == []
        async with browser.client.get("/internal/files/user") as response:
            assert response.status == 400

    with_browser(editor, check)


@pytest.mark.parametrize(
    "path",
    [
        "/nothing.js",
        "/..%2Fsecret.txt",
        "/assets/..%2F..%2Fsecret.txt",
        "/extensions/ganvas/..%2Flocales%2Fzh%2Fmain.json",
        "/api/workflow_templates/ganvas/api%2Ffirst.json",
        "/api/workflow_templates/ganvas/..%2F..%2Fsecret.txt",
        "/api/global_subgraphs/x",
        "/api/jobs/x",
    ],
)
def test_nothing_else_is_sent(editor, path):
    async def check(browser: Browser) -> None:
        async with browser.client.get(path) as response:
            assert response.status == 404
            assert (await response.json())["error"]

    with_browser(editor, check)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/prompt", "{"),
        ("/prompt", "[]"),
        ("/prompt", '{"prompt": NaN}'),
        ("/prompt", '{"prompt": {}, "number": "x"}'),
        ("/prompt", '{"prompt": {}, "prompt_id": [1]}'),
        ("/prompt", '{"prompt": {}, "extra_data": 5}'),
        ("/prompt", '{"prompt": {}, "partial_execution_targets": 5}'),
        ("/prompt", '{"prompt": ' + "[" * 5000 + "]" * 5000 + "}"),
        ("/prompt", '{"prompt": {"1": {"class_type": "Show", "inputs": 3}}}'),
        ("/prompt", "\ud800".encode("utf-8", "surrogatepass")),
        ("/queue", '{"delete": 3}'),
        ("/queue", ""),
        ("/history", "3"),
        ("/interrupt", '{"prompt_id": 3}'),
        ("/jobs/cancel", '{"job_ids": {}}'),
        ("/settings", "null"),
        ("/upload/image", "no form"),
        ("/upload/mask", ""),
    ],
)
def test_malformed_requests_are_answered_with_a_reason(editor, path, body):
    async def check(browser: Browser) -> None:
        async with browser.client.post(f"/api{path}", data=body) as response:
            assert response.status == 400
            assert (await response.json())["error"]

    with_browser(editor, check)


def test_damaged_forms_are_refused(editor):
    async def check(browser: Browser) -> None:
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        for body in (
            b"",
            b"--x",
            b"--x\r\n\r\n",
            b"--x\r\nContent-Disposition: y\r\n\r\nz\r\n--x--",
        ):
            async with browser.client.post("/upload/image", data=body, headers=kind) as response:
                assert response.status == 400, body
        form = FormData({"image": "just text"})
        form.add_field("other", b"x", filename="x")
        async with browser.client.post("/upload/image", data=form) as response:
            assert response.status == 400

    with_browser(editor, check)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8188"}, 200),
        ({"Host": "LOCALHOST:8188"}, 200),
        ({"Host": "[::1]:8188"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "192.168.1.5:8188"}, 403),
        ({"Host": "localhost@evil.example"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "localhost:8188", "Origin": "http://localhost:8188"}, 200),
        ({"Host": "localhost:8188", "Origin": "http://localhost:9999"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_requests_of_other_hosts_and_pages_are_refused(editor, headers, status):
    async def check(browser: Browser) -> None:
        async with browser.client.get("/api/settings", headers=headers) as response:
            assert response.status == status
        async with browser.client.get(
            "/ws", headers={**headers, "Connection": "x"}
        ) as response:  # refused before it becomes a websocket; without an upgrade it is a 400
            assert response.status == (400 if status == 200 else status)

    with_browser(editor, check)


def test_a_link_of_another_page_may_open_the_editor_but_nothing_else(editor):
    async def check(browser: Browser) -> None:
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        for path, status in {"/": 200, "/api/history": 403}.items():
            async with browser.client.get(path, headers=headers) as response:
                assert response.status == status

    with_browser(editor, check)


def test_with_a_token_nothing_is_answered_without_it(editor):
    async def check(browser: Browser) -> None:
        for path in ("/", "/api/settings", "/ws", "/?token=wrong", "/api/settings?token=" + TOKEN):
            async with browser.client.get(path, allow_redirects=False) as response:
                assert response.status == 401
        for given in (f"Bearer {TOKEN}", f"bearer {TOKEN}"):
            headers = {"Authorization": given}
            async with browser.client.get("/api/settings", headers=headers) as response:
                assert response.status == 200
        async with browser.client.get(f"/?token={TOKEN}", allow_redirects=False) as response:
            assert response.status == 303 and response.headers["Location"] == "/"
            cookie = response.headers["Set-Cookie"]
            assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        headers = {"Cookie": f"ganvas_token={TOKEN}", "Host": "192.168.1.5:8188"}
        async with browser.client.get("/api/settings", headers=headers) as response:
            assert response.status == 200
        async with browser.client.get(
            "/api/settings", headers={**headers, "Host": "evil.example"}
        ) as response:
            assert response.status == 403

    with_browser(editor, check, TOKEN)


def test_a_token_is_asked_for_wherever_others_can_connect(monkeypatch):
    monkeypatch.delenv("GANVAS_EDITOR_TOKEN", raising=False)
    assert choose_token("127.0.0.1") is None and choose_token("localhost") is None
    assert is_loopback("::1") and not is_loopback("0.0.0.0") and not is_loopback("example.org")
    token = choose_token("0.0.0.0")
    assert token and token != choose_token("0.0.0.0")
    assert page_address("0.0.0.0", 8188, token) == f"http://127.0.0.1:8188/?token={token}"
    assert page_address("::1", 80, None) == "http://[::1]:80/"
    monkeypatch.setenv("GANVAS_EDITOR_TOKEN", TOKEN)
    assert choose_token("127.0.0.1") == TOKEN
    monkeypatch.setenv("GANVAS_EDITOR_TOKEN", "short")
    with pytest.raises(InputError, match="at least 8"):
        choose_token("127.0.0.1")


def test_a_missing_extra_and_a_wrong_port_are_named(monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(frontend.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(InputError, match=r"pip install 'ganvas\[editor\]'"):
            serve(Settings())
    monkeypatch.setattr(frontend, "frontend_folder", lambda: tmp_path)
    with pytest.raises(InputError, match="--port"):
        serve(Settings(port=70000))
