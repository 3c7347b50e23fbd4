"""One self-contained `report.html` for a run: what was set, what was lost, what was drawn."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..core.files import atomic_write
from .meter import RANGE
from .report import Headline, best_snapshot, read_log

REPORT = "report.html"
NEIGHBOURS = "neighbours.png"
REALS = "reals.png"
_NO_CURVE = frozenset({"event", "images", "kimg", "histograms", "model", "text"})
_COST = ("s_per_kimg", "memory_gib")
_LOGITS = "logits_"
_GRIDS_SHOWN = 4
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em }
h1, h2 { font-weight: 600 } figure { margin: 1em 0 }
img, svg { max-width: 100%; height: auto } img { min-width: 20em; image-rendering: pixelated }
figcaption { color: #555 } table { border-collapse: collapse } td { padding: .1em 1em .1em 0 }
.alarm { background: #fde8e8; padding: .5em 1em; border-left: 4px solid #c00 }
details { margin: 1em 0 }
"""


def is_available() -> bool:
    """Whether matplotlib, of ganvas[train], is there to draw the curves."""
    return find_spec("matplotlib") is not None


def write_report(folder: Path, preset: str, headline: Headline, notes: dict[str, str]) -> Path:
    """Write `report.html` from a run's log and grids, atomically; it loads nothing from elsewhere.

    Args:
        folder: of the run: `log.jsonl`, `config.json` and the PNG grids.
        preset: the run's name.
        headline: the number that names the best snapshot.
        notes: what else the reader should know, such as data hash and parameters, by name.

    Returns:
        The report's path.
    """
    log = read_log(folder)
    ticks = [line for line in log if line["event"] == "tick"]
    shots = [line for line in log if line["event"] == "snapshot"]
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    parts = [
        f"<h1>{html.escape(preset)}</h1>",
        _table(_summary(ticks, shots, headline) | notes),
        *_alarms(log),
        *_charts(ticks, shots, settings),
        *_grids(folder),
        "<details><summary>Settings</summary>",
        _table({key: str(value) for key, value in settings.items()}),
        "</details>",
    ]
    page = (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<title>{html.escape(preset)}</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )
    atomic_write(folder / REPORT, page)
    return folder / REPORT


def _summary(
    ticks: list[dict[str, Any]], shots: list[dict[str, Any]], headline: Headline
) -> dict[str, str]:
    rows: dict[str, str] = {}
    if ticks:
        rows["kimg"] = f"{ticks[-1]['kimg']:g}"
        rows["seconds per kimg"] = f"{float(np.median([t['s_per_kimg'] for t in ticks])):.3g}"
        rows["peak memory"] = f"{max(t['memory_gib'] for t in ticks):.2f} GiB"
    best = best_snapshot(shots, headline)
    if best is not None:
        rows[f"best {headline.name}"] = f"{best[headline.name]:.4g} at kimg {best['kimg']:g}"
    return rows


def _alarms(log: list[dict[str, Any]]) -> list[str]:
    return [
        f"<p class='alarm'>kimg {line['kimg']:g}: {html.escape(line['text'])}</p>"
        for line in log
        if line["event"] == "alarm"
    ]


def _charts(
    ticks: list[dict[str, Any]], shots: list[dict[str, Any]], settings: dict[str, Any]
) -> list[str]:
    """Losses, logits and their histograms, metrics, cost; those that the run has."""
    names = _names(ticks)
    losses = [n for n in names if n not in _COST and not n.startswith(_LOGITS)]
    logits = [n for n in names if n.startswith(_LOGITS)]
    charts = []
    if losses:
        charts.append(_figure(_curves(ticks, losses), "Losses and regularisers by kimg."))
    if logits:
        charts.append(_figure(_curves(ticks, logits, together=True), "Mean logits of D by kimg."))
    counted = [tick for tick in ticks if tick.get("histograms")]
    if counted:
        caption = "Logits of D, over the run (left to right) and since the last tick (right)."
        charts.append(_figure(_histograms(counted), caption))
    metrics = _names(shots)
    if metrics:
        caption = "Numbers of the averaged model by kimg, at the training resolution, not resized."
        if "diversity" in metrics:
            caption += f" Diversity and modes: {settings['watch_images']} samples."
        if "swd_mean" in metrics:
            count = settings["swd_images"]
            caption += f" Sliced Wasserstein distance: {count} samples, no feature network."
        if "fd_faces" in metrics:
            count = settings["fd_images"]
            caption += f" Frechet distance: {count} samples, the package's own features of faces."
        if not {"diversity", "swd_mean", "fd_faces"}.isdisjoint(metrics):
            caption += " Never more samples than there are real images."
        charts.append(_figure(_curves(shots, metrics), caption))
    if ticks:
        charts.append(_figure(_curves(ticks, _COST), "Cost by kimg."))
    return charts


def _names(lines: list[dict[str, Any]]) -> list[str]:
    return sorted({name for line in lines for name in line} - _NO_CURVE)


def _curves(lines: list[dict[str, Any]], names: Sequence[str], together: bool = False) -> str:
    """One small axis for each name, or all in one, as SVG."""
    from matplotlib.figure import Figure

    count = 1 if together else len(names)
    columns = min(3, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(10 if columns > 1 else 5, 2.3 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for index, name in enumerate(names):
        axis = axes[0 if together else index]
        points = [(line["kimg"], line[name]) for line in lines if name in line]
        style = "." if len(points) == 1 else "-"
        axis.plot(*zip(*points, strict=True), style, label=name, linewidth=1)
        axis.set_title("" if together else name, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
    for axis in axes[count:]:
        axis.set_visible(False)
    if together:
        axes[0].legend(fontsize=8)
    return _svg(figure)


def _histograms(ticks: list[dict[str, Any]]) -> str:
    """Shares of logits over kimg as an image for each name, and the last ones as lines."""
    from matplotlib.figure import Figure

    names = sorted(ticks[-1]["histograms"])
    figure = Figure(figsize=(10, 2.6), layout="constrained")
    axes = figure.subplots(1, len(names) + 1, squeeze=False)[0]
    for axis, name in zip(axes, names, strict=False):
        table = [tick["histograms"][name] for tick in ticks if name in tick["histograms"]]
        counts = np.array(table, dtype=np.float64).T
        shares = counts / counts.sum(axis=0).clip(min=1)
        extent = (0.0, float(ticks[-1]["kimg"]), -RANGE, RANGE)
        axis.imshow(shares, origin="lower", aspect="auto", extent=extent, cmap="viridis")
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=8)
    for name in names:
        counts = np.array(ticks[-1]["histograms"][name], dtype=np.float64)
        edges = np.linspace(-RANGE, RANGE, len(counts) + 1)
        axes[-1].stairs(counts / max(1.0, counts.sum()), edges, label=name)
    axes[-1].legend(fontsize=8)
    axes[-1].tick_params(labelsize=8)
    return _svg(figure)


def _svg(figure: Any) -> str:
    """The drawing as an SVG element, the same for the same run."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "ganvas", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _grids(folder: Path) -> list[str]:
    """The first and the newest sample grids, nearest training images, and real ones."""
    samples = sorted(folder.glob("samples-*.png"))
    shown = samples[:1] + samples[1:][-(_GRIDS_SHOWN - 1) :]
    figures = [
        _picture(path, f"Samples at kimg {int(path.stem.rpartition('-')[2]) / 1000:g}.")
        for path in reversed(shown)
    ]
    for name, caption in (
        (NEIGHBOURS, "Samples above the training images nearest to them (RMS at 16 px)."),
        (REALS, "Real images."),
    ):
        if (folder / name).is_file():
            figures.append(_picture(folder / name, caption))
    return figures


def _picture(path: Path, caption: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    image = f"<img alt='{html.escape(caption, quote=True)}' src='data:image/png;base64,{data}'>"
    return _figure(image, caption)


def _figure(content: str, caption: str) -> str:
    return f"<figure>{content}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _table(rows: dict[str, str]) -> str:
    cells: Iterable[str] = (
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>"
        for name, value in rows.items()
    )
    return "<table>" + "".join(cells) + "</table>"
