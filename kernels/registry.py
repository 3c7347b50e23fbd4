"""Which implementations each op has, what each accepts, and which one a call runs."""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .errors import BackendError

Implementation = Callable[..., Any]
Refusal = Callable[..., str | None]

# The first that does not refuse a call runs it.
BACKENDS = ("cuda", "triton", "cpu", "eager")

ENVIRONMENT = "GANVAS_BACKEND"
_EVERY_OP = "*"


@dataclass(frozen=True)
class _Backend:
    run: Implementation
    refuse: Refusal


_implementations: dict[str, dict[str, _Backend]] = {}
# Innermost choice last; each maps an op, or every op, to a backend's name. This is one list for
# the process and no context variable: autograd runs the backward of CUDA ops on threads of its own.
_forced: list[dict[str, str]] = []


def register(op: str, backend: str, run: Implementation, *, refuse: Refusal | None = None) -> None:
    """Make `run` the `backend` of `op`.

    Args:
        op: name of the op.
        backend: a name in `BACKENDS`.
        run: takes the op's positional arguments.
        refuse: takes the same, and gives the reason why `run` cannot take them, or None if it can;
            without it the backend takes every call.

    Raises:
        BackendError: the backend's name is unknown, or the op already has it.
    """
    if backend not in BACKENDS:
        raise BackendError(f"{op}: expected a backend of {BACKENDS}, got {backend!r}")
    entries = _implementations.setdefault(op, {})
    if backend in entries:
        raise BackendError(f"{op}: backend {backend!r} is registered already")
    entries[backend] = _Backend(run, refuse or _accept)


def ops() -> tuple[str, ...]:
    """Names of all ops, sorted."""
    return tuple(sorted(_implementations))


def backends(op: str) -> tuple[str, ...]:
    """Names of the backends that `op` has, preferred first.

    Raises:
        BackendError: no such op.
    """
    entries = _entries(op)
    return tuple(name for name in BACKENDS if name in entries)


def explain(op: str, *args: Any) -> dict[str, str | None]:
    """Every backend of `op`, preferred first, with its reason to refuse these arguments or None.

    Raises:
        BackendError: no such op.
    """
    entries = _entries(op)
    return {name: entries[name].refuse(*args) for name in BACKENDS if name in entries}


@contextmanager
def use_backend(name: str, *, ops: Sequence[str] | None = None) -> Generator[None, None, None]:
    """Force ops called inside the `with` block, in any thread, onto one backend.

    A call that the backend refuses raises `BackendError`; it never falls back. The environment
    variable GANVAS_BACKEND does the same for a whole process: "eager", or a list such as
    "upfirdn2d=cuda,bias_act=eager".

    Args:
        name: a backend.
        ops: names of the ops that it is forced for; None is every op.

    Raises:
        BackendError: no such op, or an op of these has no such backend.
    """
    _check_choice("use_backend", name, ops)
    choice = {op: name for op in (ops if ops is not None else [_EVERY_OP])}
    _forced.append(choice)
    try:
        yield
    finally:
        # By identity: another thread may have entered meanwhile.
        _forced[:] = [other for other in _forced if other is not choice]


def is_forced(backend: str, op: str) -> bool:
    """Whether `op` is to run on `backend` and on no other."""
    return _choice(op) == backend


def select(op: str, *args: Any) -> Implementation:
    """Implementation of `op` that runs these arguments here and now.

    Raises:
        BackendError: no such op, the forced backend is missing or refuses, or all do; the message
            has every backend's reason.
    """
    entries = _entries(op)
    forced = _choice(op)
    if forced is not None:
        if forced not in entries:
            listed = ", ".join(backends(op))
            raise BackendError(f"{op}: expected a backend of [{listed}], got {forced!r}")
        reason = entries[forced].refuse(*args)
        if reason is None:
            return entries[forced].run
        raise BackendError(f"{op}: the forced backend {forced!r} cannot run: {reason}")
    reasons: list[str] = []
    for name in BACKENDS:
        if name in entries:
            reason = entries[name].refuse(*args)
            if reason is None:
                return entries[name].run
            reasons.append(f"{name}: {reason}")
    raise BackendError(f"{op}: no backend takes the call ({'; '.join(reasons)})")


def _accept(*_: Any) -> None:
    return None


def _entries(op: str) -> dict[str, _Backend]:
    entries = _implementations.get(op)
    if entries is None:
        raise BackendError(f"backends: expected an op of [{', '.join(ops())}], got {op!r}")
    return entries


def _choice(op: str) -> str | None:
    for choice in reversed(_forced):
        name = choice.get(op) or choice.get(_EVERY_OP)
        if name is not None:
            return name
    text = os.environ.get(ENVIRONMENT)
    if not text:
        return None
    choice = _parse(text)
    return choice.get(op) or choice.get(_EVERY_OP)


def _parse(text: str) -> dict[str, str]:
    choice: dict[str, str] = {}
    for part in text.split(","):
        op, _, name = part.strip().rpartition("=")
        _check_choice(ENVIRONMENT, name, [op] if op else None)
        choice[op or _EVERY_OP] = name
    return choice


def _check_choice(where: str, name: str, ops: Sequence[str] | None) -> None:
    if ops is None:
        known = {backend for entries in _implementations.values() for backend in entries}
    else:
        known = {backend for op in ops for backend in _entries(op)}
        if any(name not in _entries(op) for op in ops):
            known.discard(name)
    if name not in known:
        listed = ", ".join(backend for backend in BACKENDS if backend in known)
        raise BackendError(f"{where}: expected a backend of [{listed}], got {name!r}")
