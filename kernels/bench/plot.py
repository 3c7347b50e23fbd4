"""Bars of how much faster ours is, row by row; needs matplotlib, from the extra "train"."""

import importlib
import importlib.util
from pathlib import Path

from .protocol import COMPOSED, EAGER
from .report import ratio, summaries
from .schema import Result

_BAR = 0.4


class PlotError(RuntimeError):
    """Matplotlib is not installed."""


def require_matplotlib() -> None:
    """Check that plots can be drawn.

    Raises:
        PlotError: matplotlib is not installed; it says what to install.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise PlotError(
            "bench: expected matplotlib for a plot (pip install 'ganvas[train]'), found none"
        )


def write_plot(result: Result, path: Path) -> None:
    """Write a PNG with the ratios composed / ours and eager / ours.

    Raises:
        PlotError: matplotlib is not installed.
    """
    require_matplotlib()
    Figure = importlib.import_module("matplotlib.figure").Figure

    lines: list[tuple[str, float | None, float | None]] = []
    for row in result.rows:
        pair = ratio(row, COMPOSED), ratio(row, EAGER)
        if pair != (None, None):
            cache = f", {row.cache}" if row.cache else ""
            lines.append((f"{row.entry} {row.phase}{cache}", *pair))
    for name, sums in summaries(result).items():
        if "ours" in sums:
            pair = [sums[c] / sums["ours"] if c in sums else None for c in (COMPOSED, EAGER)]
            lines.append((f"sum: {name}", pair[0], pair[1]))
    figure = Figure(figsize=(10, 1.5 + 0.28 * len(lines)), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(lines))
    for shift, label, values in (
        (-_BAR / 2, "composed / ours", [line[1] or 0 for line in lines]),
        (_BAR / 2, "eager / ours", [line[2] or 0 for line in lines]),
    ):
        axes.barh([place + shift for place in places], values, height=_BAR, label=label)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(list(places), [line[0] for line in lines], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("times faster")
    axes.set_title(result.machine.gpu or f"{result.machine.cpu}, {result.machine.threads} threads")
    axes.legend()
    figure.savefig(path, dpi=120, format="png")
