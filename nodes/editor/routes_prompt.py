"""Queueing, interrupting and remembering prompts: /prompt, /queue, /history, /interrupt, /free."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from aiohttp import web

from ...core.errors import InputError
from ..engine import (
    GraphError,
    Plan,
    dependent_outputs,
    node_errors,
    parse_workflow,
    prepare,
)
from .jobs import COMPLETED, Job, QueueFullError
from .state import Editor, editor_of
from .wire import RefusedError, read_object, reply, text_list, whole_number
from .worker import release

ROUTES = web.RouteTableDef()
FRONT = -1
MAX_ID = 200


@ROUTES.get("/prompt")
async def get_prompt(request: web.Request) -> web.Response:
    """Say how many jobs have not ended."""
    return reply(queue_info(editor_of(request)))


@ROUTES.post("/prompt")
async def post_prompt(request: web.Request) -> web.Response:
    """Check a workflow and queue it; every error is reported with its node and socket."""
    editor = editor_of(request)
    body = await read_object(request)
    number = _place(editor, body)
    job = _read_job(body, number)
    targets = text_list(body, "partial_execution_targets") or None
    try:
        job.prompt, job.plan = await asyncio.to_thread(check, editor, body.get("prompt"), targets)
    except GraphError as error:
        return refusal(editor, body.get("prompt"), error)
    except InputError as error:
        return reply({"error": problem("invalid_prompt", "Cannot execute prompt", str(error))}, 400)
    try:
        editor.queue.add(job)
    except (QueueFullError, ValueError) as error:
        raise RefusedError(str(error) or "too many prompts wait already", 429) from None
    return reply({"prompt_id": job.id, "number": job.number, "node_errors": {}})


def check(editor: Editor, data: Any, targets: list[str] | None) -> tuple[dict[str, Any], Plan]:
    """Return a workflow in the API format, and its plan.

    Raises:
        InputError: It cannot run.
    """
    prompt = parse_workflow(data, editor.registry, "prompt").prompt
    return prompt, prepare(prompt, editor.registry, editor.host, targets)


def refusal(editor: Editor, prompt: Any, error: GraphError) -> web.Response:
    """Answer a workflow that cannot run, so that the frontend marks nodes and sockets."""
    general = next((each for each in error.errors if not each.node_id), None)
    missing = next((each for each in error.errors if each.type == "missing_node_type"), None)
    if general is not None:
        summary = problem(general.type, general.message, general.details)
    elif missing is not None:
        summary = problem(
            missing.type,
            missing.message,
            missing.details,
            {"node_id": missing.node_id, "class_type": missing.class_type},
        )
    else:
        details = "\n".join(str(each) for each in error.errors[:20])
        summary = problem(
            "prompt_outputs_failed_validation", "Prompt outputs failed validation", details
        )
    dependents = dependent_outputs(prompt, editor.registry)
    return reply({"error": summary, "node_errors": node_errors(error.errors, dependents)}, 400)


def problem(
    type: str, message: str, details: str, extra: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return ComfyUI's description of what is wrong with a whole prompt."""
    return {"type": type, "message": message, "details": details, "extra_info": extra or {}}


def _place(editor: Editor, body: dict[str, Any]) -> float:
    """Return where a prompt queues: after all, before all ("front"), or where it asks to."""
    number = body.get("number")
    counted = editor.queue.next_number()
    if number is not None:
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise RefusedError("number: expected a number")
        return float(max(-(2**53), min(2**53, number)))
    return FRONT * counted - 1 if body.get("front") is True else counted


def _read_job(body: dict[str, Any], number: float) -> Job:
    """Read everything of a prompt but the workflow itself."""
    id = body.get("prompt_id") or uuid.uuid4().hex
    client = body.get("client_id") or ""
    extra = body.get("extra_data") or {}
    if not isinstance(id, str) or len(id) > MAX_ID:
        raise RefusedError("prompt_id: expected a short text")
    if not isinstance(client, str) or len(client) > MAX_ID:
        raise RefusedError("client_id: expected a short text")
    if not isinstance(extra, dict):
        raise RefusedError("extra_data: expected an object")
    info = extra.get("extra_pnginfo")
    workflow = info.get("workflow") if isinstance(info, dict) else None
    return Job(
        id,
        number,
        {},
        workflow=workflow if isinstance(workflow, dict) else None,
        client_id=client,
        unlisted=extra.get("ganvas_unlisted") is True,
    )


@ROUTES.get("/queue")
async def get_queue(request: web.Request) -> web.Response:
    """List the running and the waiting prompts."""
    queue = editor_of(request).queue
    running = queue.listed_running
    return reply(
        {
            "queue_running": [as_item(running)] if running else [],
            "queue_pending": [as_item(job) for job in queue.pending()],
        }
    )


@ROUTES.post("/queue")
async def post_queue(request: web.Request) -> web.Response:
    """Drop waiting prompts: {"clear": true} or {"delete": [ids]}."""
    body = await read_object(request)
    queue = editor_of(request).queue
    ids = text_list(body, "delete")
    if body.get("clear") is True:
        queue.drop_pending()
    if ids:
        queue.drop_pending(ids)
    return web.Response()


@ROUTES.post("/interrupt")
async def post_interrupt(request: web.Request) -> web.Response:
    """Stop the running prompt, or only {"prompt_id": ...} if that one runs."""
    body = await read_object(request, empty=True)
    id = body.get("prompt_id")
    if id is not None and not isinstance(id, str):
        raise RefusedError("prompt_id: expected a text")
    editor_of(request).queue.interrupt(id)
    return web.Response()


@ROUTES.post("/free")
async def post_free(request: web.Request) -> web.Response:
    """Drop kept results, models among them."""
    body = await read_object(request, empty=True)
    editor = editor_of(request)
    if body.get("unload_models") or body.get("free_memory"):
        editor.cache.clear()
        await asyncio.to_thread(release)
    return web.Response()


@ROUTES.get("/history")
async def get_history(request: web.Request) -> web.Response:
    """List ended prompts, the newest `max_items` of them in the order in which they ran."""
    jobs = editor_of(request).queue.history()
    limit = whole_number(request, "max_items", len(jobs), len(jobs))
    first = whole_number(request, "offset", len(jobs) - limit, len(jobs))
    return reply({job.id: as_history(job) for job in jobs[first : first + limit]})


@ROUTES.get("/history/{id}")
async def get_history_item(request: web.Request) -> web.Response:
    """Return one ended prompt, {} when there is none."""
    job = editor_of(request).queue.find(request.match_info["id"])
    return reply({job.id: as_history(job)} if job is not None and job.ended else {})


@ROUTES.post("/history")
async def post_history(request: web.Request) -> web.Response:
    """Forget ended prompts: {"clear": true} or {"delete": [ids]}."""
    body = await read_object(request)
    queue = editor_of(request).queue
    queue.forget(None if body.get("clear") is True else text_list(body, "delete"))
    return web.Response()


def queue_info(editor: Editor) -> dict[str, Any]:
    """Return what the frontend's `status` message says."""
    return {"exec_info": {"queue_remaining": editor.queue.remaining}}


def as_item(job: Job) -> list[Any]:
    """Return a prompt as ComfyUI's queue lists it."""
    outputs = list(job.plan.outputs) if job.plan else list(job.outputs)
    return [job.number, job.id, job.prompt, extra_data(job), outputs]


def extra_data(job: Job) -> dict[str, Any]:
    """Return what came with a prompt; the frontend's account tokens were never kept."""
    data: dict[str, Any] = {"client_id": job.client_id, "create_time": job.created}
    if job.workflow is not None:
        data["extra_pnginfo"] = {"workflow": job.workflow}
    return data


def as_history(job: Job) -> dict[str, Any]:
    """Return an ended prompt as ComfyUI's history lists it."""
    ids = {
        node: {
            "node_id": node,
            "display_node": node,
            "parent_node": node.rpartition(":")[0] or None,
            "real_node_id": node,
        }
        for node in job.outputs
    }
    return {
        "prompt": as_item(job),
        "outputs": job.outputs,
        "meta": ids,
        "status": {
            "status_str": "success" if job.status == COMPLETED else "error",
            "completed": job.status == COMPLETED,
            "messages": job.messages,
        },
    }
