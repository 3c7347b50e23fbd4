"""The engine's events as the frontend's messages: ids, times, node states and preview images."""

from __future__ import annotations

import json
import struct
import time
from typing import TYPE_CHECKING, Any

from ..convert import as_jpeg, preview_picture
from .clients import Clients
from .jobs import Job, now

if TYPE_CHECKING:
    from torch import Tensor

PREVIEW_SIZE = 512
PREVIEW_QUALITY = 85
PROGRESS_SECONDS = 0.05
PREVIEW_SECONDS = 0.1
PLAIN_PREVIEW, DESCRIBED_PREVIEW, JPEG = 1, 4, 1
"""Kinds of binary messages, and the code of the image format in them."""

ENDINGS = ("execution_success", "execution_error", "execution_interrupted")
OUT_OF_MEMORY = "out of memory: kept results were dropped; lower a batch, chunk or tile size"


class Reporter:
    """Called by the engine, on the worker's thread, with what happens in one job."""

    def __init__(self, job: Job, clients: Clients) -> None:
        self.job = job
        self.clients = clients
        self._last: dict[str, float] = {}

    def __call__(self, kind: str, data: dict[str, Any]) -> None:
        """Record an event in the job and tell the browser."""
        match kind:
            case "preview":
                self._preview(data["node"], data["image"])
            case "progress":
                self._progress(data["node"], data["value"], data["max"])
            case "node_finished":
                self._finish(data["node"])
            case "executing":
                self.job.node = data["node"]
                self._set_state(data["node"], 0, 1, "running")
                self.send(kind, data)
            case "executed":
                self.job.outputs[data["node"]] = data["output"]
                self.send(kind, data)
            case "execution_error" if is_out_of_memory(
                data["exception_type"], data["exception_message"]
            ):
                said = f"{data['exception_message']}\n{OUT_OF_MEMORY}".strip()
                self.record(kind, {**data, "exception_message": said})
            case _:
                self.record(kind, data)

    def record(self, kind: str, data: dict[str, Any]) -> None:
        """Send one of the execution_* messages, which the history keeps."""
        if kind in ENDINGS:
            self._catch_up()
        message = {**data, "prompt_id": self.job.id, "timestamp": now()}
        self.job.messages.append((kind, message))
        self.clients.send(kind, message, self.job.client_id)

    def send(self, kind: str, data: dict[str, Any]) -> None:
        """Send any other message about this job."""
        self.clients.send(kind, {**data, "prompt_id": self.job.id}, self.job.client_id)

    def _catch_up(self) -> None:
        """Show what was there before a tab joined; only now, since its total counts it as all."""
        for node, output in (self.job.missed or {}).items():
            self.send("executed", {"node": node, "display_node": node, "output": output})

    def end(self) -> None:
        """Say that nothing of this job runs any more."""
        self.send("executing", {"node": None})

    def _progress(self, node: str, value: float, maximum: float) -> None:
        self._set_state(node, value, maximum, "running", quiet=True)
        if value >= maximum or self._due("progress", PROGRESS_SECONDS):
            self.send("progress", {"node": node, "value": value, "max": maximum})
            self._send_states()

    def _finish(self, node: str) -> None:
        """Mark a node as done; the frontend's total counts only nodes with an image, or cached."""
        maximum = self.job.nodes.get(node, {}).get("max", 1)
        self._set_state(node, maximum, maximum, "finished")
        counts = self.job.missed is None  # a tab that joined later does not know the total
        if counts and node not in self.job.outputs:  # else "executed" counted it
            self.send("execution_cached", {"nodes": [node], "timestamp": now()})

    def _set_state(
        self, node: str, value: float, maximum: float, state: str, *, quiet: bool = False
    ) -> None:
        self.job.nodes[node] = {
            "value": value,
            "max": maximum,
            "state": state,
            **node_ids(node, self.job.id),
        }
        if not quiet:
            self._send_states()

    def _send_states(self) -> None:
        self.send("progress_state", {"nodes": dict(self.job.nodes)})

    def _preview(self, node: str, image: Tensor) -> None:
        if not self.clients.all() or not self._due(f"preview {node}", PREVIEW_SECONDS):
            return
        jpeg = encode_preview(image)
        plain = struct.pack(">II", PLAIN_PREVIEW, JPEG) + jpeg
        about = json.dumps({**node_ids(node, self.job.id), "image_type": "image/jpeg"}).encode()
        described = struct.pack(">II", DESCRIBED_PREVIEW, len(about)) + about + jpeg
        self.clients.send_preview(plain, described, self.job.client_id)

    def _due(self, what: str, seconds: float) -> bool:
        """Whether the last message of this sort is long enough ago."""
        time_now = time.monotonic()
        if time_now - self._last.get(what, -seconds) < seconds:
            return False
        self._last[what] = time_now
        return True


def is_out_of_memory(type: str, message: str) -> bool:
    """Whether an exception's class and text mean that memory, the CPU's or a GPU's, ran out."""
    return type in ("MemoryError", "OutOfMemoryError") or "not enough memory" in message


def node_ids(node: str, job: str) -> dict[str, Any]:
    """Return the ids under which the frontend finds a node, inside a subgraph "outer:inner" too."""
    parent = node.rpartition(":")[0]
    return {
        "node_id": node,
        "display_node_id": node,
        "real_node_id": node,
        "parent_node_id": parent or None,
        "prompt_id": job,
    }


def encode_preview(image: Tensor) -> bytes:
    """Return the first image of [C,H,W] or [N,C,H,W] in 0..1 as a JPEG of at most 512 pixels."""
    picture = preview_picture(image)
    picture.thumbnail((PREVIEW_SIZE, PREVIEW_SIZE))
    return as_jpeg(picture, PREVIEW_QUALITY)


def replay(job: Job, clients: Clients, client: str) -> None:
    """Tell a tab that has just connected where the running job stands.

    A page that was loaded anew takes the finished nodes it hears of for all there are, and shows
    100 %. So it hears of none until the job ends.
    """
    job.missed = dict(job.outputs)
    for kind, message in list(job.messages):
        if kind != "execution_cached":
            clients.send(kind, message, client)
    clients.send("progress_state", {"prompt_id": job.id, "nodes": dict(job.nodes)}, client)
    if job.node is not None:
        data = {"node": job.node, "display_node": job.node, "prompt_id": job.id}
        clients.send("executing", data, client)


def is_watched_by(job: Job, client: str, clients: Clients) -> bool:
    """Whether a tab shows this job: its own, or one whose tab is gone."""
    return job.client_id == client or all(job.client_id != each.id for each in clients.all())
