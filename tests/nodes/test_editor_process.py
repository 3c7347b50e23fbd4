"""`ganvas editor` as its own process: it starts, is killed, is started again, is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the editor needs ganvas[editor]")

from PIL import Image

from ganvas.core.errors import InputError
from ganvas.nodes.editor.frontend import frontend_folder

from .editor_client import png

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals"),
]
ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60


class Server:
    """A running `ganvas editor`, spoken to with urllib as a script would."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.process = process
        self.address = address

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.address + path, timeout=SECONDS) as response:
            return json.loads(response.read())

    def post(self, path: str, data: Any) -> Any:
        request = urllib.request.Request(
            self.address + path, json.dumps(data).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            return json.loads(response.read() or "null")


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    package = folder / "package"
    package.mkdir(exist_ok=True)
    if not (package / "ganvas").exists():
        (package / "ganvas").symlink_to(ROOT, target_is_directory=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "ganvas.cli", "editor", "--port", "0", "--no-browser"],
        env={**os.environ, "PYTHONPATH": str(package)},
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ganvas editor: http://127.0.0.1:"), line
        yield Server(process, line.split()[2])
    finally:
        process.kill()
        process.wait(SECONDS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    try:
        frontend_folder()
    except InputError as error:
        pytest.skip(str(error))
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "face.png").write_bytes(png(size=(512, 512)))
    return tmp_path


def save_often(count: int) -> dict[str, Any]:
    """A workflow with many output nodes, each of which writes a PNG."""
    load = {"1": {"class_type": "LoadImage", "inputs": {"image": "face.png"}}}
    saves = {
        str(10 + place): {
            "class_type": "SaveImage",
            "inputs": {"images": ["1", 0], "filename_prefix": f"s{place}"},
        }
        for place in range(count)
    }
    return {**load, **saves}


def whole_names(folder: Path) -> list[Path]:
    """The results that a user sees; a file that is being written has a hidden name."""
    return [path for path in (folder / "output").iterdir() if not path.name.startswith(".")]


def test_a_killed_server_leaves_whole_files_and_starts_again(folder):
    with running(folder) as server:
        server.post("api/userdata/workflows%2Fmine.json", {"nodes": []})
        server.post("api/settings", {"Comfy.Locale": "zh"})
        server.post("api/prompt", {"prompt": save_often(400)})
        end = time.monotonic() + SECONDS
        while len(whole_names(folder)) < 5:
            assert time.monotonic() < end
            time.sleep(0.005)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(SECONDS)
    written = whole_names(folder)
    assert 5 <= len(written) < 400  # it was in the middle of it
    for path in written:
        with Image.open(path) as image:
            image.load()
        assert path.read_bytes().endswith(b"IEND\xaeB`\x82")

    with running(folder) as server:
        assert server.get("api/userdata?dir=workflows") == ["mine.json"]
        assert server.get("api/settings/Comfy.Locale") == "zh"
        id = server.post("api/prompt", {"prompt": save_often(2)})["prompt_id"]
        end = time.monotonic() + SECONDS
        while not (done := server.get(f"api/history/{id}")):
            assert time.monotonic() < end
            time.sleep(0.02)
        assert done[id]["status"]["completed"]
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(SECONDS) == 0
