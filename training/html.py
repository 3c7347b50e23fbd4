"""One self-contained `report.html` for a run: what was set, what was lost, what was drawn."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..core.files import atomic_write
from . import curves
from .meter import RANGE
from .report import Headline, best_snapshot, read_log
from .scores import ALARM

REPORT = "report.html"
NEIGHBOURS = "neighbours.png"
REALS = "reals.png"
_NO_CURVE = frozenset({"event", "images", "kimg", "histograms", "model", "text"})
_COST = ("s_per_kimg", "memory_gib")
_WATCHED = ("diversity", "modes")
_GRIDS_SHOWN = 4
_MOST_BYTES, _QUALITY = 500_000, 90  # of a picture as it is, and of a JPEG in its place
# What the log's names stand for, with units, where the name alone does not say it.
_TITLES = {
    "s_per_kimg": "seconds per kimg",
    "memory_gib": "peak memory, GiB",
    "swd": "sliced Wasserstein distance x 1000, by resolution",
    "fd_faces": "fd_faces: Fréchet distance, own features",
    "diversity": "diversity (1: as the data)",
    "modes": "modes (1: all of the data)",
    "psnr": "PSNR, dB",
    "l1": "L1 distance, images of -1..1",
    "cycle": "cycle: L1 there and back, -1..1",
    "identity": "identity: L1 within a domain, -1..1",
    "change": "change: L1 of input and result, -1..1",
    "elbo": "ELBO, nats per image",
    "kl": "KL divergence, nats",
    "bits_per_dim": "bits per dimension",
    "active_units": "latents in use",
    "augment_p": "augment_p: probability of ADA",
    "real_sign": "real_sign: mean sign of D(real)",
    "r1": "R1 penalty, before its weight",
    "path_length": "path length",
}
_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1f2937; --soft: #6b7280; --card: #f8fafc;
  --alarm: #fde8e8 }
@media (prefers-color-scheme: dark) { :root { --paper: #111827; --ink: #e5e7eb; --soft: #9ca3af;
  --card: #1f2937; --alarm: #4c1d1d } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em;
  background: var(--paper); color: var(--ink) }
h1 { font-weight: 600; margin-bottom: .3em } h2 { font-weight: 600; margin: 1.6em 0 .4em }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(300px, 100%), 1fr));
  gap: 10px } .card { background: var(--card); border-radius: 6px; padding: 6px }
figure { margin: 1em 0 } figcaption, p.about { color: var(--soft); margin: .4em 0 }
.picture { display: flex; gap: .6em }
.picture img { flex: 0 1 auto; min-width: 0; width: 46em; max-width: 100%; height: auto;
  image-rendering: pixelated; object-fit: contain; align-self: start }
.rows { display: flex; flex-direction: column; font-size: 12px; color: var(--soft);
  text-align: right; max-width: 8em }
.rows span { flex: 1; display: flex; align-items: center; justify-content: end; line-height: 1.1 }
table { border-collapse: collapse } td { padding: .1em 1em .1em 0; vertical-align: top;
  overflow-wrap: anywhere } td:first-child { color: var(--soft); overflow-wrap: normal }
.alarm { background: var(--alarm); padding: .5em 1em; border-left: 4px solid #d33 }
details { margin: 1em 0 } summary { cursor: pointer }
"""


@dataclass(frozen=True)
class Captions:
    """What a reader must know of a run's pictures and numbers.

    Attributes:
        grid: what a grid of samples shows.
        rows: what its rows show, from the top; none where all show the same.
        reals: what `reals.png` shows.
        measured: how metrics were measured, a sentence for each kind.
    """

    grid: str = "Samples."
    rows: Sequence[str] = ()
    reals: str = "Training images."
    measured: Sequence[str] = field(default_factory=tuple)


def write_report(
    folder: Path, preset: str, headline: Headline, notes: Mapping[str, str], captions: Captions
) -> Path:
    """Write `report.html` from a run's log and grids, atomically; it loads nothing from elsewhere.

    Args:
        folder: of the run: `log.jsonl`, `config.json` and the PNG grids.
        preset: the run's name.
        headline: the number that names the best snapshot.
        notes: what else the reader should know, such as data hash and parameters, by name.
        captions: of pictures and metrics.

    Returns:
        The report's path.
    """
    log = read_log(folder)
    ticks = [line for line in log if line["event"] == "tick"]
    shots = [line for line in log if line["event"] == "snapshot"]
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    newest, *earlier = _grids(folder, captions) or [""]
    parts = [
        f"<h1>{html.escape(preset)}</h1>",
        _table({**_summary(ticks, shots, headline, settings), **notes}),
        *_alarms(log),
        _section("Samples", newest),
        *_metrics(shots, captions),
        *_training(ticks),
        *_discriminator(ticks),
        _section("Cost", _cards([_chart(ticks, [name]) for name in _COST] if ticks else [])),
        *_others(folder, captions),
        _details("Earlier samples", "".join(earlier)),
        _details("Settings", _table({key: str(value) for key, value in settings.items()})),
    ]
    page = (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{html.escape(preset)}</title><style>{_STYLE}{curves.STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )
    atomic_write(folder / REPORT, page)
    return folder / REPORT


def _summary(
    ticks: list[dict[str, Any]],
    shots: list[dict[str, Any]],
    headline: Headline,
    settings: Mapping[str, Any],
) -> dict[str, str]:
    rows: dict[str, str] = {}
    if ticks:
        rows["length"] = f"{ticks[-1]['kimg']:g} of {settings['total_kimg']:g} kimg"
        speed = float(np.median([tick["s_per_kimg"] for tick in ticks]))
        rows["speed"] = f"{speed:.3g} s/kimg (median)"
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


def _metrics(shots: list[dict[str, Any]], captions: Captions) -> list[str]:
    """Numbers of snapshots: metrics, and the watch for mode collapse."""
    names = _names(shots)
    charts = [_chart(shots, group) for group in _groups([n for n in names if n not in _WATCHED])]
    watched = [_chart(shots, [name]) for name in _WATCHED if name in names]
    about = " ".join(["Numbers of the averaged model at each snapshot.", *captions.measured])
    return [
        _section("Metrics", _cards(charts), about),
        _section(
            "Variety of the samples",
            _cards(watched),
            "The watch for mode collapse: how much samples differ from one another, beside what "
            "real images do, and which share of the data lies in clusters that samples visit. "
            f"Below {ALARM:g} the log gives an alarm, once a run has begun.",
        ),
    ]


def _training(ticks: list[dict[str, Any]]) -> list[str]:
    """Losses, regularisers and whatever else a step tells."""
    logits = _distributions(ticks)
    names = [name for name in _names(ticks) if name not in _COST and name not in logits]
    charts = [_chart(ticks, [name]) for name in names]
    return [_section("Losses and regularisers", _cards(charts), "Means between two log lines.")]


def _discriminator(ticks: list[dict[str, Any]]) -> list[str]:
    """Logits of real and generated images: their means, and how they spread."""
    names = _distributions(ticks)
    counted = [tick for tick in ticks if tick.get("histograms")]
    if not names:
        return []
    charts = [_chart(ticks, group, f"{stem}: mean") for stem, group in _sides(names).items()]
    for name in names:
        lines = [tick for tick in counted if name in tick["histograms"]]
        if lines:
            columns = [tick["histograms"][name] for tick in lines]
            before = ticks[: ticks.index(lines[0])]  # of a run that began without histograms
            span = (before[-1]["kimg"] if before else 0.0, lines[-1]["kimg"])
            title = f"{name}: logits over the run"
            charts.append(curves.heat_map(title, columns, span, (-RANGE, RANGE)))
    for stem, group in _sides(names).items():
        last = {name: counted[-1]["histograms"][name] for name in group} if counted else {}
        shares = {name: [n / max(1, sum(row)) for n in row] for name, row in last.items()}
        if shares:
            charts.append(
                curves.steps(f"{stem}: shares in the last line", shares, -RANGE, RANGE, "logit")
            )
    about = (
        "Logits of D for real and for generated images: means by kimg, their distribution over the "
        f"run (a column a log line; bright is frequent; beyond {RANGE:g} in the outermost bin), "
        "and that of the last log line."
    )
    return [_section("Discriminator", _cards(charts), about)]


def _distributions(ticks: list[dict[str, Any]]) -> list[str]:
    """Names of logits, those with histograms and those with a mean alone."""
    names = {name for tick in ticks for name in tick.get("histograms", {})}
    return sorted(names | {name for name in _names(ticks) if name.startswith("logits_")})


def _sides(names: list[str]) -> dict[str, list[str]]:
    """Logits of one discriminator each: names alike up to the last underscore."""
    stems = dict.fromkeys(name.rpartition("_")[0] for name in names)
    return {stem: [name for name in names if name.rpartition("_")[0] == stem] for stem in stems}


def _groups(names: list[str]) -> list[list[str]]:
    """Names that belong in one frame: a number and its baselines, the levels of a distance."""
    groups: dict[str, list[str]] = {}
    for name in names:
        stem, _, last = name.rpartition("_")
        level = stem == "swd" or (stem in names and not last.isdigit())
        groups.setdefault(stem if level else name, []).append(name)
    return list(groups.values())


def _names(lines: list[dict[str, Any]]) -> list[str]:
    return sorted({name for line in lines for name in line} - _NO_CURVE)


def _chart(lines: list[dict[str, Any]], names: Sequence[str], title: str = "") -> str:
    """Numbers of log lines by kimg in one frame."""
    series = {
        name: [(line["kimg"], line[name]) for line in lines if name in line] for name in names
    }
    key = names[0] if len(names) == 1 else names[0].partition("_")[0]
    return curves.curves(title or _TITLES.get(key, key), series)


def _grids(folder: Path, captions: Captions) -> list[str]:
    """The newest sample grids, newest first, and the very first."""
    samples = sorted(folder.glob("samples-*.png"))
    shown = samples[:1] + samples[1:][-(_GRIDS_SHOWN - 1) :]
    return [
        _picture(
            path,
            f"Kimg {int(path.stem.rpartition('-')[2]) / 1000:g}. {captions.grid}",
            captions.rows,
        )
        for path in reversed(shown)
    ]


def _others(folder: Path, captions: Captions) -> list[str]:
    """Nearest training images, and real ones."""
    nearest = "Samples, and below each the training image nearest to it (RMS distance at 16 px)."
    found = (
        ("Nearest training images", NEIGHBOURS, nearest, ("samples", "nearest")),
        ("Data", REALS, captions.reals, ()),
    )
    return [
        _section(title, _picture(folder / name, caption, rows))
        for title, name, caption, rows in found
        if (folder / name).is_file()
    ]


def _picture(path: Path, caption: str, rows: Sequence[str]) -> str:
    kind, data = _embedded(path)
    said = html.escape(caption, quote=True)
    named = "".join(f"<span>{html.escape(row)}</span>" for row in rows)
    return (
        "<figure><div class='picture'>"
        + (f"<div class='rows'>{named}</div>" if rows else "")
        + f"<img alt='{said}' src='data:image/{kind};base64,{data}'></div>"
        f"<figcaption>{said}</figcaption></figure>"
    )


def _embedded(path: Path) -> tuple[str, str]:
    """A PNG's kind and base64 text; a large one as JPEG, as the file lies beside the report."""
    content, kind = path.read_bytes(), "png"
    if len(content) > _MOST_BYTES:
        buffer = io.BytesIO()
        with Image.open(path) as image:
            image.convert("RGB").save(buffer, "JPEG", quality=_QUALITY)
        content, kind = buffer.getvalue(), "jpeg"
    return kind, base64.b64encode(content).decode()


def _section(title: str, content: str, about: str = "") -> str:
    if not content:
        return ""
    said = f"<p class='about'>{html.escape(about)}</p>" if about else ""
    return f"<h2>{html.escape(title)}</h2>{said}{content}"


def _details(title: str, content: str) -> str:
    if not content:
        return ""
    return f"<details><summary>{html.escape(title)}</summary>{content}</details>"


def _cards(charts: Sequence[str]) -> str:
    cards = "".join(f"<div class='card'>{chart}</div>" for chart in charts if chart)
    return f"<div class='cards'>{cards}</div>" if cards else ""


def _table(rows: Mapping[str, str]) -> str:
    cells: Iterable[str] = (
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>"
        for name, value in rows.items()
    )
    return "<table>" + "".join(cells) + "</table>"
