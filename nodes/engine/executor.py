"""Run a planned workflow: in order, list by list, from the cache where nothing changed.

`events(kind, data)` is called on the thread that runs, with the names and fields of ComfyUI's
messages: execution_start, execution_cached, executing, progress, executed, execution_success,
execution_error, execution_interrupted; and two of our own, `preview` (node, image: a tensor
[C,H,W] or [N,C,H,W] in 0..1) and `node_finished` (node). A server adds prompt id and time.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError, Interrupted
from ..context import Context, Events, Host
from ..interface import InputSpec, pack_outputs
from .cache import Cache, Entry, content_keys
from .checker import PlannedNode
from .errors import NodeFailedError, node_failure
from .graph import Plan
from .values import WidgetValueError, check_value

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Execution:
    """What a run brought.

    Attributes:
        outputs: Values of the output nodes: for each output, the list of its values.
        ui: What the editor shows, by node.
        files: Files written by this run, in the order in which they were finished.
        executed: Nodes that ran, in order.
        cached: Nodes whose result was there already.
    """

    outputs: dict[str, tuple[list[Any], ...]] = field(default_factory=dict)
    ui: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    executed: list[str] = field(default_factory=list)
    cached: list[str] = field(default_factory=list)


def execute(
    plan: Plan,
    host: Host,
    *,
    cache: Cache | None = None,
    events: Events | None = None,
    interrupted: Callable[[], bool] | None = None,
    prompt: Mapping[str, Any] | None = None,
    workflow: Mapping[str, Any] | None = None,
) -> Execution:
    """Run every output node of a plan and what it needs.

    Args:
        plan: From `graph.prepare`.
        host: Folders and device.
        cache: Results of earlier runs, read and extended; none when None.
        events: Told what happens, see the module's description.
        interrupted: Asked between nodes, and by nodes in their loops, whether to stop.
        prompt: The API-format workflow, for the metadata of saved images.
        workflow: The UI-format workflow, for the same.

    Raises:
        NodeFailedError: A node raised an exception; it names the node.
        Interrupted: `interrupted` returned true.
    """
    kept = Cache(0) if cache is None else cache  # an empty cache is false
    stop = interrupted or _never
    return _Run(plan, host, kept, events or _ignore, stop, prompt, workflow).run()


class EngineContext(Context):
    """Reports a node's progress as events, and lets it be interrupted."""

    def __init__(
        self, host: Host, events: Events, interrupted: Callable[[], bool], **fields: Any
    ) -> None:
        super().__init__(host, **fields)
        self._events = events
        self._interrupted = interrupted

    def progress(self, done: int, total: int, preview: Tensor | None = None) -> None:
        """Send a progress event, and a preview event when there is an image."""
        self.check()
        self._events("progress", {"node": self.node_id, "value": done, "max": total})
        if preview is not None:
            self._events("preview", {"node": self.node_id, "image": preview})

    def check(self) -> None:
        """Raise `Interrupted` when the user asked to stop."""
        if self._interrupted():
            raise Interrupted("interrupted")


class _Run:
    """One execution of one plan.

    Attributes:
        keys: Where the cache has the result of each node.
        entries: Results at hand: from the cache, or of this run while somebody may want them.
        waiting: For each node, how many that have not run may want its result.
        done: Nodes that ran.
        place: Position of each node in the plan's order.
    """

    def __init__(
        self,
        plan: Plan,
        host: Host,
        cache: Cache,
        events: Events,
        interrupted: Callable[[], bool],
        prompt: Mapping[str, Any] | None,
        workflow: Mapping[str, Any] | None,
    ) -> None:
        self.plan = plan
        self.host = host
        self.cache = cache
        self.events = events
        self.interrupted = interrupted
        self.prompt = prompt
        self.workflow = workflow
        self.keys: dict[str, str] = {}
        self.entries: dict[str, Entry] = {}
        self.waiting: Counter[str] = Counter()
        self.done: set[str] = set()
        self.place = {id: place for place, id in enumerate(plan.order)}
        self.result = Execution()

    def run(self) -> Execution:
        """Execute, and report how it ended."""
        self.events("execution_start", {})
        node = ""
        try:
            self.keys = content_keys(self.plan, self.host)
            todo = self._look_up()
            self.events("execution_cached", {"nodes": list(self.result.cached)})
            for node in self.result.cached:
                self._finish(node, self.entries[node])
            while todo:
                node = todo[-1]
                if self.interrupted():
                    raise Interrupted("interrupted")
                wanted = [] if node in self.done else self._wanted(self.plan.nodes[node])
                if wanted:
                    todo += self._upstream(wanted)
                    continue
                todo.pop()
                if node not in self.done:  # a lazy input may have had it run already
                    self._execute(self.plan.nodes[node])
        except NodeFailedError as failure:
            self._report_failure(failure)
            raise
        except (Interrupted, KeyboardInterrupt):
            kind = self.plan.nodes[node].spec.id if node else ""
            self.events(
                "execution_interrupted",
                {"node_id": node, "node_type": kind, "executed": list(self.result.executed)},
            )
            raise
        self.events("execution_success", {})
        return self.result

    def _look_up(self) -> list[str]:
        """Find what the cache holds; return the nodes that must run, the first one last.

        `waiting` counts who may want a result, those behind lazy inputs included: until all of
        them have run, it is kept.
        """
        needed: set[str] = set()
        stack = list(self.plan.outputs)
        while stack:
            id = stack.pop()
            if id in needed or id in self.entries:
                continue
            entry = self.cache.get(self.keys[id])
            if entry is not None:
                self.entries[id] = entry
                continue
            needed.add(id)
            stack += [link.node for link in self.plan.nodes[id].links.values()]
        self.result.cached = [id for id in self.plan.order if id in self.entries]
        for id in needed:
            self.waiting.update({link.node for link in self.plan.nodes[id].links.values()})
        return self._upstream(self.plan.outputs)

    def _upstream(self, wanted: Iterable[str]) -> list[str]:
        """Return `wanted` and what they need beyond what is there, the first to run last."""
        needed: set[str] = set()
        stack = list(wanted)
        while stack:
            id = stack.pop()
            if id in needed or id in self.entries or id in self.done:
                continue
            needed.add(id)
            planned = self.plan.nodes[id]
            lazy = {item.name for item in planned.spec.inputs if item.lazy}
            stack += [link.node for name, link in planned.links.items() if name not in lazy]
        return sorted(needed, key=lambda id: self.place[id], reverse=True)

    def _wanted(self, planned: PlannedNode) -> list[str]:
        """Return the nodes that feed lazy inputs which a node asks for and has not got."""
        needs = planned.spec.needs
        if needs is None:
            return []
        known = {name: link for name, link in planned.links.items() if link.node in self.entries}
        try:
            names = {
                name
                for arguments in self._calls(replace(planned, links=known))
                for name in needs(arguments)
            }
        except Exception as error:
            raise node_failure(planned.id, planned.spec.id, error, planned.title) from error
        missing = [planned.links[name].node for name in names if name in planned.links]
        return [id for id in missing if id not in self.entries]

    def _execute(self, planned: PlannedNode) -> None:
        """Run one node, or take over what a node with the same content gave earlier in this run."""
        id, key = planned.id, self.keys[planned.id]
        entry = self.cache.get(key)
        if entry is None:
            self.events("executing", {"node": id, "display_node": id, "title": planned.title})
            entry = self._call(planned)
            self.cache.put(key, entry)
            self.result.files += entry.saved
        self.result.executed.append(id)
        self.done.add(id)
        self.entries[id] = entry
        self._finish(id, entry)
        for source in {link.node for link in planned.links.values()}:
            self.waiting[source] -= 1
            if not self.waiting[source]:
                self.entries.pop(source, None)

    def _finish(self, id: str, entry: Entry) -> None:
        """Report a node's result."""
        if id in self.plan.outputs:
            self.result.outputs[id] = entry.outputs
        if entry.ui:
            self.result.ui[id] = entry.ui
            self.events("executed", {"node": id, "display_node": id, "output": entry.ui})
        self.events("node_finished", {"node": id})

    def _call(self, planned: PlannedNode) -> Entry:
        """Call a node's function once for each element of its lists, the last repeated."""
        import torch

        spec = planned.spec
        context = EngineContext(
            self.host,
            self.events,
            self.interrupted,
            node_id=planned.id,
            prompt=self.prompt,
            workflow=self.workflow,
        )
        outputs: tuple[list[Any], ...] = tuple([] for _ in spec.outputs)
        try:
            not_wanted = {item.name: None for item in spec.inputs if item.lazy}
            for given in self._calls(planned):
                arguments = {**not_wanted, **given}
                context.check()
                with torch.inference_mode():
                    values = pack_outputs(spec, spec.function(context, **arguments))
                for output, collected, value in zip(spec.outputs, outputs, values, strict=True):
                    if output.is_list:
                        collected.extend(value)
                    else:
                        collected.append(value)
        except Interrupted:
            raise
        except Exception as error:
            raise node_failure(planned.id, spec.id, error, planned.title) from error
        return Entry(outputs, context.ui, tuple(context.saved))

    def _calls(self, planned: PlannedNode) -> list[dict[str, Any]]:
        """Return the keyword arguments of each call of a node."""
        inputs: dict[str, list[Any]] = {name: [value] for name, value in planned.values.items()}
        for name, link in planned.links.items():
            item = planned.spec.input(name)
            if item is not None and item.lazy and link.node not in self.entries:
                continue
            values = self.entries[link.node].outputs[link.slot]
            inputs[name] = (
                [_linked_value(item, value, self.host) for value in values]
                if item is not None and item.is_widget
                else list(values)
            )
        if planned.spec.is_input_list or not inputs:
            return [inputs]
        empty = [name for name, values in inputs.items() if not values]
        if empty:
            raise InputError(f"input {empty[0]}: received an empty list")
        count = max(len(values) for values in inputs.values())
        return [
            {name: values[min(index, len(values) - 1)] for name, values in inputs.items()}
            for index in range(count)
        ]

    def _report_failure(self, failure: NodeFailedError) -> None:
        """Send ComfyUI's execution_error."""
        original = failure.original
        self.events(
            "execution_error",
            {
                "node_id": failure.node_id,
                "node_type": failure.class_type,
                "executed": list(self.result.executed),
                "exception_message": str(original),
                "exception_type": type(original).__name__,
                "traceback": traceback.format_exception(original),
                "current_inputs": {
                    name: [value] for name, value in self.plan.nodes[failure.node_id].values.items()
                },
                "current_outputs": list(self.result.executed),
            },
        )


def _linked_value(item: InputSpec, value: Any, host: Host) -> Any:
    """Check a value that a link brought to a widget, as if it had been typed in."""
    try:
        return check_value(item, value, host)
    except WidgetValueError as problem:
        raise InputError(f"input {item.name}: {problem.message}, {problem.details}") from None


def _ignore(kind: str, data: dict[str, Any]) -> None:
    """Take an event and do nothing."""


def _never() -> bool:
    """Never ask to stop."""
    return False
