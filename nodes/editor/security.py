"""Who may talk to the server: this machine's own pages, and holders of the token.

A page of any web site can make a browser send requests to this machine. The Host header gives away
names that an attacker's DNS server points here, the Origin header requests of foreign pages.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import re
import socket
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ...core.errors import InputError, as_input_error
from .wire import RefusedError, refuse

COOKIE = "ganvas_token"
LOG = logging.getLogger("ganvas.editor")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "SAMEORIGIN",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# The frontend would ask hosts for releases, models and accounts; nothing leaves this machine.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; media-src 'self' blob: data:; "
    "font-src 'self' data:; worker-src 'self' blob:; "
    "connect-src 'self' ws://{host} wss://{host} blob: data:; "
    "frame-src 'none'; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self'"
)


class Guard:
    """Checks every request before any handler sees it.

    Args:
        host: The name or address that the server is bound to.
        token: The secret that requests must carry, None where only this machine can connect.
    """

    def __init__(self, host: str, token: str | None) -> None:
        self.token = token
        self.names = {"localhost", host.lower()}
        if token is not None:
            self.names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    def check(self, request: web.Request) -> None:
        """Refuse a request that no page of ours, or no holder of the token, would send.

        Raises:
            RefusedError: With status 401 or 403.
        """
        self.check_host(request.headers.get("Host", ""))
        self._check_origin(request)
        if self.token is not None and not self._has_token(request):
            raise RefusedError(
                "this editor asks for a token: open the address that `ganvas editor` printed", 401
            )

    def check_host(self, given: str) -> None:
        """Refuse a Host header that names another server, see `check`."""
        name = urlsplit(f"//{given}").hostname if _is_host(given) else None
        if name is None or not (name in self.names or self._is_address(name)):
            raise RefusedError(f"Host: not a name of this server: {given[:100]!r}", 403)

    def _is_address(self, name: str) -> bool:
        """Whether a host is an address, which no DNS server can redirect.

        Without a token only this machine's own addresses count.
        """
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self.token is not None

    def _check_origin(self, request: web.Request) -> None:
        origin = request.headers.get("Origin")
        if origin is not None:
            if urlsplit(origin).netloc.lower() != request.headers.get("Host", "").lower():
                raise RefusedError(f"Origin: not this server: {origin[:100]!r}", 403)
        elif request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
            opens_page = request.method == "GET" and request.path == "/"
            if not (opens_page and request.headers.get("Sec-Fetch-Mode") == "navigate"):
                raise RefusedError("a page of another site may not use this server", 403)

    def _has_token(self, request: web.Request) -> bool:
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        given = bearer.strip() if scheme.lower() == "bearer" else request.cookies.get(COOKIE, "")
        return self.matches(given)

    def matches(self, given: str) -> bool:
        """Whether `given` is the token, compared in constant time."""
        expected = self.token or ""
        received = given.encode("utf-8", "replace")
        return bool(expected) and hmac.compare_digest(received, expected.encode())


def _is_host(text: str) -> bool:
    """Whether a Host header has the form name[:port]."""
    if not re.fullmatch(r"[A-Za-z0-9.:_\[\]-]{1,255}", text):
        return False
    try:
        parts = urlsplit(f"//{text}")
        return bool(parts.hostname) and parts.netloc == text and (parts.port or 0) >= 0
    except ValueError:
        return False


def guarded(guard: Guard) -> Middleware:
    """Return the middleware that checks requests, and turns exceptions into answers."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            entrance = await _enter(guard, request)
            response = entrance if entrance is not None else await handler(request)
        except RefusedError as error:
            response = refuse(error)
        except InputError as error:
            response = refuse(RefusedError(str(error)))
        except web.HTTPException as error:
            if error.status < 400:
                raise
            response = refuse(RefusedError(error.reason, error.status))
        except (OSError, ValueError) as error:
            response = refuse(_as_refusal(request, error))
        if not response.prepared:
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
            host = request.headers.get("Host", "")
            policy = POLICY.format(host=host if _is_host(host) else "localhost")
            response.headers.setdefault("Content-Security-Policy", policy)
        return response

    return middleware


def _as_refusal(request: web.Request, error: Exception) -> RefusedError:
    """Tell a path that the system refuses (a name too long) from a failure such as a full disk."""
    mistake = as_input_error(error)
    if mistake is not None:
        return RefusedError(str(mistake))
    LOG.exception("%s %s", request.method, request.path)
    return RefusedError(f"{type(error).__name__}: {error}"[:300], 500)


async def _enter(guard: Guard, request: web.Request) -> web.StreamResponse | None:
    """Check a request; the address with the right ?token= sets the cookie and leads to the page."""
    given = request.query.get("token")
    if guard.token is not None and request.path == "/" and given is not None:
        guard.check_host(request.headers.get("Host", ""))
        if guard.matches(given):
            response = web.Response(status=303, headers={"Location": "/"})
            response.set_cookie(COOKIE, guard.token, httponly=True, samesite="Strict", path="/")
            return response
    guard.check(request)
    return None
