"""Progress on the terminal: bars on stderr, silent without one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from tqdm import tqdm

from .errors import printable

_MOMENT = 0.5  # seconds


@contextmanager
def progress_bar(unit: str) -> Iterator[Callable[[int, int], None]]:
    """A bar as a function of (done, total), of things of this name; none if it takes a moment."""
    with tqdm(unit=unit, disable=None, delay=_MOMENT) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield advance


class WorkflowProgress:
    """Shows the events of a running workflow as progress bars on stderr; silent without a terminal.

    Use as a context manager and pass the object itself as the engine's `events`.
    """

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._node = ""
        self._item = ""

    def __enter__(self) -> "WorkflowProgress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def __call__(self, kind: str, data: dict[str, Any]) -> None:
        """Take one event: its kind and its fields, as ComfyUI names them."""
        if kind == "batch_item":
            self._item = f"{data['index'] + 1}/{data['total']} "
        elif kind == "executing":
            self._close()
            self._node = printable(str(data["node"]))
        elif kind == "progress":
            self._advance(int(data["value"]), int(data["max"]))

    def _advance(self, done: int, total: int) -> None:
        if self._bar is None or self._bar.total != total:
            self._close()
            self._bar = tqdm(
                total=total, desc=f"{self._item}node {self._node}", leave=False, disable=None
            )
        self._bar.update(done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
