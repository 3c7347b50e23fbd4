"""The one thread that runs nodes; no exception of a node ends it."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import traceback

from ...core.errors import Interrupted
from ..engine import NodeFailedError, execute
from .jobs import CANCELLED, COMPLETED, FAILED, Job
from .messages import OUT_OF_MEMORY, Reporter, is_out_of_memory
from .state import Editor

LOG = logging.getLogger("ganvas.editor")


class Worker:
    """Takes jobs from an editor's queue and executes them, one after another."""

    def __init__(self, editor: Editor) -> None:
        self.editor = editor
        self.thread = threading.Thread(target=self._work, name="ganvas-worker", daemon=True)

    def start(self) -> None:
        """Begin to take jobs."""
        self.thread.start()

    def stop(self, seconds: float) -> None:
        """Interrupt what runs, and wait for it at most so long."""
        self.editor.queue.close()
        self.thread.join(seconds)

    def _work(self) -> None:
        while (job := self.editor.queue.take()) is not None:
            reporter = Reporter(job, self.editor.clients)
            status = FAILED
            try:
                status = self._run(job, reporter)
            except BaseException as error:  # a fault of ours, sys.exit, a panic of a Rust library
                LOG.exception("job %s failed outside its nodes", job.id)
                reporter.record("execution_error", failure(job, error))
            finally:
                reporter.end()
                self.editor.queue.finish(job, status)

    def _run(self, job: Job, reporter: Reporter) -> str:
        """Execute one job and return how it ended."""
        if job.plan is None:
            raise RuntimeError("the job has no plan")
        try:
            execute(
                job.plan,
                self.editor.host,
                cache=self.editor.cache,
                events=reporter,
                interrupted=job.stop.is_set,
                prompt=job.prompt,
                workflow=job.workflow,
            )
        except Interrupted:
            return CANCELLED
        except NodeFailedError as error:
            LOG.warning("%s", error)
            if is_out_of_memory(type(error.original).__name__, str(error.original)):
                self._free_memory()
            return FAILED
        return COMPLETED

    def _free_memory(self) -> None:
        """Give back what can be computed again, so that the next job finds room."""
        LOG.warning(OUT_OF_MEMORY)
        self.editor.cache.clear()
        release()


def release() -> None:
    """Return unused memory to the device."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def failure(job: Job, error: BaseException) -> dict[str, object]:
    """Return the fields of an execution_error that did not come through a node's own report."""
    running = job.plan.nodes.get(job.node or "") if job.plan else None
    return {
        "node_id": job.node or "",
        "node_type": running.spec.id if running else "",
        "executed": [],
        "exception_message": str(error),
        "exception_type": type(error).__name__,
        "traceback": traceback.format_exception(error),
        "current_inputs": {},
        "current_outputs": [],
    }
