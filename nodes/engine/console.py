"""A progress bar on the terminal for a run's events."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm


class ConsoleProgress:
    """An events callback that shows the running node and how far it is, on stderr.

    Nothing is shown when stderr is no terminal. Use it as a context manager, so that the bar is
    closed also on errors and on Ctrl-C.
    """

    def __init__(self) -> None:
        self._prefix = ""
        self._bar = tqdm(total=1, disable=None, leave=False, bar_format="{l_bar}{bar}| {elapsed}")

    def __enter__(self) -> ConsoleProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def __call__(self, kind: str, data: dict[str, Any]) -> None:
        """Take one event."""
        if kind == "batch_item":
            self._prefix = f"[{data['index'] + 1}/{data['total']}] "
        elif kind == "executing":
            self._bar.set_description(f"{self._prefix}{data['title']}", refresh=False)
            self._show(0, 1)
        elif kind == "progress":
            self._show(data["value"], data["max"])

    def _show(self, done: int, total: int) -> None:
        """Draw the bar at `done` of `total`."""
        self._bar.total = max(total, 1)
        self._bar.n = done
        self._bar.refresh()
