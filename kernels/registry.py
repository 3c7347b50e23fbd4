"""Which implementations each op has, and which one a call runs."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from .errors import BackendError

Implementation = Callable[..., Any]

# First match wins; a backend is listed here before any op can register it.
_PREFERENCE = ("eager",)

_implementations: dict[str, dict[str, Implementation]] = {}
_forced: ContextVar[str | None] = ContextVar("ganvas_backend", default=None)


def register(op: str, backend: str, implementation: Implementation) -> None:
    """Make `implementation` the `backend` of `op`.

    Raises:
        BackendError: the backend's name is unknown, or the op already has it.
    """
    if backend not in _PREFERENCE:
        raise BackendError(f"{op}: expected a backend of {_PREFERENCE}, got {backend!r}")
    entries = _implementations.setdefault(op, {})
    if backend in entries:
        raise BackendError(f"{op}: backend {backend!r} is registered already")
    entries[backend] = implementation


def backends(op: str) -> tuple[str, ...]:
    """Names of the backends that `op` has, preferred first.

    Raises:
        BackendError: no such op.
    """
    entries = _implementations.get(op)
    if entries is None:
        known = ", ".join(sorted(_implementations))
        raise BackendError(f"backends: expected an op of [{known}], got {op!r}")
    return tuple(name for name in _PREFERENCE if name in entries)


@contextmanager
def use_backend(name: str) -> Generator[None, None, None]:
    """Force every op called inside the `with` block onto one backend.

    Raises:
        BackendError: no op has such a backend.
    """
    known = {backend for entries in _implementations.values() for backend in entries}
    if name not in known:
        listed = ", ".join(sorted(known))
        raise BackendError(f"use_backend: expected a backend of [{listed}], got {name!r}")
    token = _forced.set(name)
    try:
        yield
    finally:
        _forced.reset(token)


def select(op: str) -> Implementation:
    """Implementation of `op` that the current context asks for.

    Raises:
        BackendError: no such op, or the forced backend lacks it.
    """
    available = backends(op)
    name = _forced.get() or available[0]
    if name not in available:
        listed = ", ".join(available)
        raise BackendError(f"{op}: expected a backend of [{listed}], got {name!r}")
    return _implementations[op][name]
