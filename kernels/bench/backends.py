"""Which backends run on this machine, found out by running each of them once."""

from collections.abc import Sequence

from .. import registry
from ..errors import BackendError
from .protocol import OURS, Entry, laid_out


def explain_backends(examples: Sequence[Entry]) -> dict[str, dict[str, str | None]]:
    """Every backend of every op, preferred first: None if it runs, else the reason why not.

    Each backend is forced onto its op while the examples run, so that a helper op that only
    appears in a backward pass is met too, and a backend that accepts a call and then fails shows.

    Args:
        examples: small entries; those of op "a" stand for every op whose name begins with "a".
    """
    found: dict[str, dict[str, str | None]] = {}
    for op in registry.ops():
        rows = [row for row in examples if op == row.op or op.startswith(f"{row.op}_")]
        found[op] = {
            name: _reason(op, name, rows) if rows else "no example is known"
            for name in registry.backends(op)
        }
    return found


def backends_text(examples: Sequence[Entry]) -> str:
    """`explain_backends` for people; the first that runs is the one that is chosen."""
    lines = []
    for op, backends in explain_backends(examples).items():
        lines.append(op)
        chosen = next((name for name, reason in backends.items() if reason is None), None)
        for name, reason in backends.items():
            state = "runs" if reason is None else f"does not run: {reason}"
            lines.append(f"  {name:8}{state}{' (chosen)' if name == chosen else ''}")
    return "\n".join(lines)


def _reason(op: str, backend: str, rows: Sequence[Entry]) -> str | None:
    try:
        with registry.use_backend(backend, ops=[op]):
            for row in rows:
                case = row.make()
                case.columns[OURS](laid_out(case, OURS))
    except BackendError as error:
        return str(error).rpartition("cannot run: ")[2]
    except Exception as error:  # it took the call and broke: the very thing to be shown
        text = str(error).strip().splitlines()
        return f"it failed: {type(error).__name__}: {text[0] if text else 'no details'}"
    return None
