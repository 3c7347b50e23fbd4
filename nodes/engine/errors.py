"""What can be wrong with a workflow: in its graph before it runs, or in a node while it runs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...core.errors import InputError, as_input_error, printable


@dataclass(frozen=True, kw_only=True)
class NodeError:
    """One thing wrong with one node, or with the whole workflow when `node_id` is empty.

    Attributes:
        type: ComfyUI's identifier of the kind of error, for example "value_not_in_list".
        message: The kind of error in words.
        details: What was expected and what came.
        node_id: Id in the API form; for a node inside a subgraph "instance:inner".
        class_type: The node's class, as the workflow names it.
        title: The node's title, if it has one.
        socket: The input concerned, or "".
        extra: What ComfyUI calls `extra_info`.
    """

    type: str
    message: str
    details: str = ""
    node_id: str = ""
    class_type: str = ""
    title: str = ""
    socket: str = ""
    extra: dict[str, Any] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        place = f"node {self.node_id} ({self.title or self.class_type})" if self.node_id else ""
        if self.socket:
            place += f", input {self.socket}"
        text = ": ".join(part for part in (place, self.message, self.details) if part)
        return printable(text)  # titles and values are whatever the workflow's author wrote


class GraphError(InputError):
    """A workflow that cannot run as it is; `errors` says what is wrong on which node."""

    def __init__(self, errors: Iterable[NodeError]) -> None:
        self.errors = tuple(errors)
        lines = [str(error) for error in self.errors]
        if len(lines) > 1:
            shown = [f"  {line}" for line in lines[:20]]
            shown += [f"  and {len(lines) - 20} more"] if len(lines) > 20 else []
            text = "\n".join([f"the workflow has {len(lines)} errors:", *shown])
        else:
            text = f"the workflow cannot run: {''.join(lines)}"
        super().__init__(text)


class NodeFailedError(Exception):
    """A node raised an exception while it ran; the exception is `original` and `__cause__`."""

    def __init__(
        self, node_id: str, class_type: str, original: BaseException, title: str = ""
    ) -> None:
        self.node_id = node_id
        self.class_type = class_type
        self.original = original
        reason = str(original) or type(original).__name__
        if not isinstance(original, InputError):
            reason = f"{type(original).__name__}: {original}"
        place = f"node {node_id} ({title or class_type})"
        super().__init__(f"{printable(place)}: {reason}")


class NodeInputError(NodeFailedError, InputError):
    """A node refused what the user gave it (it raised `InputError`)."""


def node_failure(
    node_id: str, class_type: str, original: BaseException, title: str = ""
) -> NodeFailedError:
    """Wrap an exception of a node, keeping the user's mistakes apart from ours."""
    mistake = as_input_error(original)
    if mistake is not None:
        return NodeInputError(node_id, class_type, mistake, title)
    return NodeFailedError(node_id, class_type, original, title)


def workflow_error(type: str, message: str, details: str = "") -> GraphError:
    """Return the exception for something wrong with the workflow as a whole."""
    return GraphError([NodeError(type=type, message=message, details=details)])


def brief(value: Any) -> str:
    """Name a value of a workflow in a few characters, whatever it is."""
    if isinstance(value, int) and value.bit_length() > 128:
        return "a number of more than 38 digits"
    if isinstance(value, (str, int, float)) or value is None:
        return repr(value)[:80]
    return f"a {type(value).__name__}" if value else f"an empty {type(value).__name__}"


def close_names(name: str, names: Iterable[str]) -> list[str]:
    """Return up to three of `names` that a misspelt name may mean, best first."""
    by_lower = {each.lower(): each for each in names}
    found = difflib.get_close_matches(name[:100].lower(), list(by_lower), n=3, cutoff=0.6)
    return [by_lower[each] for each in found]


def nearest(name: str, names: Iterable[str]) -> str:
    """Return ` (nearest: a, b)` for a misspelt name, or "" when nothing is close."""
    found = close_names(name, names)
    return f" (nearest: {', '.join(found)})" if found else ""


def node_errors(
    errors: Sequence[NodeError],
    dependents: dict[str, list[str]] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return ComfyUI's `node_errors` of a refused prompt.

    Args:
        errors: What `validate` found.
        dependents: For a node id, the output nodes that need it (`graph.dependent_outputs`).
    """
    result: dict[str, dict[str, Any]] = {}
    for error in errors:
        if not error.node_id:
            continue
        entry = result.setdefault(
            error.node_id,
            {
                "errors": [],
                "dependent_outputs": (dependents or {}).get(error.node_id, []),
                "class_type": error.class_type,
            },
        )
        extra = {"input_name": error.socket, **error.extra} if error.socket else error.extra
        entry["errors"].append(
            {
                "type": error.type,
                "message": error.message,
                "details": error.details,
                "extra_info": extra,
            }
        )
    return result
