"""Prompts that wait, run, or have run; safe to use from the server's and the worker's thread."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ..engine import Plan

MAX_PENDING = 10_000
MAX_HISTORY = 1_000

PENDING, RUNNING = "pending", "in_progress"
COMPLETED, FAILED, CANCELLED = "completed", "failed", "cancelled"


def now() -> int:
    """Return the time in milliseconds since 1970, as the frontend counts it."""
    return time.time_ns() // 1_000_000


@dataclass
class Job:
    """One queued prompt and what became of it.

    Attributes:
        id: The prompt id.
        number: Its place: lower numbers run first.
        prompt: The API-format workflow.
        plan: The checked workflow; dropped when the job has ended.
        workflow: The UI-format workflow, embedded into saved images.
        client_id: The browser tab that sent it.
        extra: Further data that the client wants back with the history.
        messages: ComfyUI's execution messages so far, in order.
        nodes: Progress of each node, as `progress_state` reports it.
        node: The node that runs.
        stop: Set to interrupt it.
        unlisted: Runs, but is neither listed nor remembered: a preview that follows the hand.
        missed: Results of nodes that a tab, opened while the job ran, has not been told of.
    """

    id: str
    number: float
    prompt: dict[str, Any]
    plan: Plan | None = None
    workflow: dict[str, Any] | None = None
    client_id: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    status: str = PENDING
    created: int = field(default_factory=now)
    started: int | None = None
    ended: int | None = None
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    node: str | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    unlisted: bool = False
    missed: dict[str, dict[str, Any]] | None = None


class QueueFullError(Exception):
    """More prompts wait than the queue takes."""


class JobQueue:
    """The queue of one editor: at most one job runs, the others wait or have ended."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pending: list[Job] = []
        self._running: Job | None = None
        self._history: OrderedDict[str, Job] = OrderedDict()
        self._count = 0
        self._closed = False
        self.on_change: Callable[[], None] = _ignore

    def next_number(self) -> int:
        """Return the place of the next prompt, counting from 0."""
        with self._changed:
            number = self._count
            self._count += 1
            return number

    def add(self, job: Job) -> None:
        """Let a job wait for its turn.

        Raises:
            QueueFullError: Too many wait.
            ValueError: Its id is taken.
        """
        with self._changed:
            if len(self._pending) >= MAX_PENDING:
                raise QueueFullError
            if self._find(job.id) is not None:
                raise ValueError(f"there is a job {job.id} already")
            place = next(
                (at for at, other in enumerate(self._pending) if other.number > job.number),
                len(self._pending),
            )
            self._pending.insert(place, job)
            self._changed.notify()
        self._report(job)

    def take(self) -> Job | None:
        """Wait for the next job and mark it as running; None when the queue was closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._closed)
            if self._closed:
                return None
            job = self._running = self._pending.pop(0)
            job.status, job.started = RUNNING, now()
        self._report(job)
        return job

    def finish(self, job: Job, status: str) -> None:
        """Move the running job into the history, which forgets its oldest entries."""
        with self._changed:
            self._end(job, status)
            self._running = None
        self._report(job)

    def cancel(self, ids: Iterable[str]) -> int:
        """Stop running jobs and drop waiting ones; return how many were meant."""
        wanted = set(ids)
        with self._changed:
            dropped = [job for job in self._pending if job.id in wanted]
            self._pending = [job for job in self._pending if job.id not in wanted]
            for job in dropped:
                self._end(job, CANCELLED)
            stopping = [self._running] if self._running and self._running.id in wanted else []
            for job in stopping:
                job.stop.set()
        if dropped:
            self.on_change()
        return len(dropped) + len(stopping)

    def drop_pending(self, ids: Iterable[str] | None = None) -> None:
        """Forget waiting jobs, all of them when `ids` is None; the running one goes on."""
        with self._changed:
            wanted = {job.id for job in self._pending} if ids is None else set(ids)
            self._pending = [job for job in self._pending if job.id not in wanted]
        self.on_change()

    def interrupt(self, id: str | None = None) -> None:
        """Ask the running job to stop; nothing happens when `id` names another."""
        with self._changed:
            if self._running is not None and id in (None, self._running.id):
                self._running.stop.set()

    def forget(self, ids: Iterable[str] | None = None) -> None:
        """Remove ended jobs from the history, all of them when `ids` is None."""
        with self._changed:
            for id in list(self._history) if ids is None else ids:
                self._history.pop(id, None)

    def close(self) -> None:
        """Interrupt what runs and let the worker end."""
        with self._changed:
            self._closed = True
            if self._running is not None:
                self._running.stop.set()
            self._changed.notify_all()

    @property
    def running(self) -> Job | None:
        """The job that runs."""
        return self._running

    @property
    def remaining(self) -> int:
        """How many listed jobs have not ended."""
        with self._changed:
            jobs = [*self._pending, *([self._running] if self._running else [])]
            return sum(not job.unlisted for job in jobs)

    def pending(self) -> list[Job]:
        """Return the listed waiting jobs, the next one first."""
        with self._changed:
            return [job for job in self._pending if not job.unlisted]

    @property
    def listed_running(self) -> Job | None:
        """The job that runs, when lists show it."""
        job = self._running
        return None if job is None or job.unlisted else job

    def history(self) -> list[Job]:
        """Return the ended jobs, the oldest first."""
        with self._changed:
            return list(self._history.values())

    def find(self, id: str) -> Job | None:
        """Return a job by its id, whatever its status."""
        with self._changed:
            return self._find(id)

    def _report(self, job: Job) -> None:
        """Say that a job waits, runs or has ended."""
        if not job.unlisted:
            self.on_change()

    def _find(self, id: str) -> Job | None:
        if self._running is not None and self._running.id == id:
            return self._running
        waiting = next((job for job in self._pending if job.id == id), None)
        return waiting or self._history.get(id)

    def _end(self, job: Job, status: str) -> None:
        job.status, job.ended, job.plan, job.node = status, now(), None, None
        job.nodes = {}
        if job.unlisted:
            return
        self._history[job.id] = job
        while len(self._history) > MAX_HISTORY:
            self._history.popitem(last=False)


def _ignore() -> None:
    """Do nothing."""
