"""The frontend's list of jobs, waiting, running and ended: /jobs."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from .jobs import CANCELLED, COMPLETED, FAILED, PENDING, RUNNING, Job
from .routes_prompt import extra_data
from .state import Editor, editor_of
from .wire import RefusedError, read_object, reply, text_list, whole_number

ROUTES = web.RouteTableDef()
STATUSES = (PENDING, RUNNING, COMPLETED, FAILED, CANCELLED)
MEDIA = ("images", "video", "audio")


@ROUTES.get("/jobs")
async def get_jobs(request: web.Request) -> web.Response:
    """List jobs, the newest first; `status` selects, `offset` and `limit` cut a page."""
    wanted = [text for text in request.query.get("status", "").split(",") if text]
    unknown = sorted(set(wanted) - set(STATUSES))
    if unknown:
        raise RefusedError(f"status: expected {', '.join(STATUSES)}, got {unknown[0][:40]!r}")
    jobs = [job for job in all_jobs(editor_of(request)) if not wanted or job.status in wanted]
    if request.query.get("workflow_id"):
        jobs = [job for job in jobs if workflow_id(job) == request.query["workflow_id"]]
    if request.query.get("sort_order") == "asc":
        jobs.reverse()
    offset = whole_number(request, "offset", 0, len(jobs))
    limit = whole_number(request, "limit", 200, 1000)
    page = jobs[offset : offset + limit]
    return reply(
        {
            "jobs": [summary(job) for job in page],
            "pagination": {
                "offset": offset,
                "limit": limit,
                "total": len(jobs),
                "has_more": offset + len(page) < len(jobs),
            },
        }
    )


@ROUTES.post("/jobs/cancel")
async def cancel_jobs(request: web.Request) -> web.Response:
    """Stop or drop {"job_ids": [...]}; ids of ended jobs are ignored."""
    ids = text_list(await read_object(request), "job_ids")
    return reply({"cancelled": editor_of(request).queue.cancel(ids)})


@ROUTES.get("/jobs/{id}")
async def get_job(request: web.Request) -> web.Response:
    """Return everything about one job."""
    return reply(details(_find(request)))


@ROUTES.post("/jobs/{id}/cancel")
async def cancel_job(request: web.Request) -> web.Response:
    """Stop or drop one job."""
    return reply({"cancelled": editor_of(request).queue.cancel([_find(request).id])})


def _find(request: web.Request) -> Job:
    job = editor_of(request).queue.find(request.match_info["id"])
    if job is None:
        raise RefusedError("there is no such job", 404)
    return job


def all_jobs(editor: Editor) -> list[Job]:
    """Return every job once: waiting ones (last to run first), the running one, ended ones."""
    running = editor.queue.listed_running
    jobs = editor.queue.pending()[::-1] + ([running] if running else [])
    jobs += editor.queue.history()[::-1]
    return list({job.id: job for job in jobs}.values())


def summary(job: Job) -> dict[str, Any]:
    """Return a job as the list shows it."""
    files = outputs(job)
    error = next((data for kind, data in job.messages if kind == "execution_error"), None)
    return {
        "id": job.id,
        "status": job.status,
        "priority": job.number,
        "create_time": job.created,
        "execution_start_time": job.started,
        "execution_end_time": job.ended,
        "execution_error": error,
        "outputs_count": len(files),
        "preview_output": preview(files),
        "workflow_id": workflow_id(job),
    }


def details(job: Job) -> dict[str, Any]:
    """Return a job with its outputs and its workflow."""
    return {
        **summary(job),
        "outputs": job.outputs,
        "update_time": job.ended or job.started or job.created,
        "execution_status": {"completed": job.status == COMPLETED, "messages": job.messages},
        "workflow": {"prompt": job.prompt, "extra_data": extra_data(job)},
    }


def outputs(job: Job) -> list[dict[str, Any]]:
    """Return every file that a job shows, with its node and its kind of medium."""
    return [
        {**entry, "nodeId": node, "mediaType": kind}
        for node, content in list(job.outputs.items())
        for kind, entries in content.items()
        if kind in MEDIA
        for entry in entries
        if isinstance(entry, dict)
    ]


def preview(files: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the file that stands for a job: a saved one before a mere preview."""
    saved = [file for file in files if file.get("type") == "output"]
    return (saved or files or [None])[-1]


def workflow_id(job: Job) -> str | None:
    """Return the id that the frontend gave the workflow."""
    id = job.workflow.get("id") if job.workflow else None
    return id if isinstance(id, str) else None
