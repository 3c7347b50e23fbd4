"""JSON as it goes over the wire: strict in both directions, refusals as one sentence."""

from __future__ import annotations

import json
import math
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError


class RefusedError(Exception):
    """A request that is answered with a status and a reason, and changes nothing."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


def to_json(data: Any) -> str:
    """Write JSON that browsers read: NaN and infinity become null, strange objects their text."""
    try:
        return json.dumps(data, allow_nan=False, default=str)
    except ValueError:
        return json.dumps(_finite(data), allow_nan=False, default=str)


def reply(data: Any, status: int = 200) -> web.Response:
    """Answer with JSON."""
    return web.Response(text=to_json(data), status=status, content_type="application/json")


def refuse(error: RefusedError) -> web.Response:
    """Answer a refused request."""
    return reply({"error": str(error)}, error.status)


async def read_json(request: web.Request) -> Any:
    """Read a request's JSON.

    Raises:
        RefusedError: It is no JSON, or holds NaN or infinity.
    """
    return parse_json(await request.read())


def parse_json(body: bytes | str) -> Any:
    """Parse JSON text as `read_json` does."""
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"expected JSON, got {str(error)[:100]}") from None


async def read_object(request: web.Request, *, empty: bool = False) -> dict[str, Any]:
    """Read a request's JSON object; with `empty`, a request without a body counts as {}.

    Raises:
        RefusedError: Something else came.
    """
    if empty and not await request.read():
        return {}
    data = await read_json(request)
    if not isinstance(data, dict):
        raise RefusedError(f"expected a JSON object, got a {type(data).__name__}")
    return data


async def read_form(request: web.Request) -> Any:
    """Read a request's multipart form.

    Raises:
        RefusedError: It is damaged, or no form.
    """
    if request.content_type != "multipart/form-data":
        raise RefusedError("expected a multipart/form-data form")
    try:
        return await request.post()
    except (
        HttpProcessingError,
        ValueError,
        LookupError,
        AssertionError,
        RuntimeError,
        EOFError,
    ) as error:
        raise RefusedError(f"damaged form ({str(error)[:100]})") from None


def text_list(data: dict[str, Any], key: str) -> list[str]:
    """Return the list of texts under `key`, empty when there is none.

    Raises:
        RefusedError: Something else is there.
    """
    value = data.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, (str, int)) for item in value):
        raise RefusedError(f"{key}: expected a list of ids")
    return [str(item) for item in value]


def whole_number(request: web.Request, key: str, default: int, limit: int) -> int:
    """Return a number of the query, from 0 to `limit`.

    Raises:
        RefusedError: It is none.
    """
    text = request.query.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise RefusedError(f"{key}: expected a whole number, got {text[:40]!r}")
    return min(int(text), limit)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name}, which JSON does not have")


def _finite(data: Any) -> Any:
    """Return a copy without numbers that JSON lacks."""
    if isinstance(data, dict):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    if isinstance(data, float) and not math.isfinite(data):
        return None
    return data
