"""Charts as SVG elements that take their colours from the page: curves by kimg, histograms."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 340, 200
"""Of a chart, in units of its viewBox."""
STYLE = """
:root { --axis: #6b7280; --line: #e5e7eb;
  --c0: #1d4ed8; --c1: #c2410c; --c2: #15803d; --c3: #7e22ce; --c4: #0e7490; --c5: #be185d }
@media (prefers-color-scheme: dark) { :root { --axis: #9ca3af; --line: #374151;
  --c0: #7aa2ff; --c1: #ff9f6b; --c2: #6fdc8c; --c3: #cfa3ff; --c4: #5fd3e8; --c5: #ff8fc0 } }
svg.chart { width: 100%; height: auto; display: block; font: 10px system-ui, sans-serif }
svg.chart text { fill: var(--axis) } svg.chart .title { fill: currentColor; font-size: 12px }
svg.chart .grid { stroke: var(--line) } svg.chart .curve { fill: none; stroke-width: 1.4 }
"""
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 36, 32
_COLOURS = 6
_MOST_POINTS = 400
_DOTTED = 40  # points that are few enough to be marked, each telling its value
# Of the colour map viridis (CC0), evenly spaced.
_MAP = np.array(
    [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], dtype=np.float64
)


def curves(title: str, series: Mapping[str, Points], x_label: str = "kimg") -> str:
    """Curves in one frame, named in a legend where there are several.

    Args:
        title: above the frame; the last value stands behind it where there is one curve.
        series: (x, y) in rising order of x, by name; a y that is not finite is left out.
        x_label: of the axis.
    """
    shown = {
        name: thinned([(x, y) for x, y in points if math.isfinite(y)])
        for name, points in series.items()
    }
    everything = [point for points in shown.values() for point in points]
    if not everything:
        return ""
    frame = _Frame([x for x, _ in everything], [y for _, y in everything])
    parts = [frame.axes(x_label)]
    for number, points in enumerate(shown.values()):
        parts.append(_curve(frame, points, f"var(--c{number % _COLOURS})"))
    if len(shown) > 1:
        parts.append(_legend(list(shown)))
        last = ""
    else:
        last = f" {everything[-1][1]:.4g}"
    return _svg(title, last, "".join(parts))


def steps(
    title: str, series: Mapping[str, Sequence[float]], low: float, high: float, x_label: str
) -> str:
    """Histograms in one frame: each a share for each of equal bins from `low` to `high`."""
    frame = _Frame([low, high], [0.0, *(share for shares in series.values() for share in shares)])
    parts = [frame.axes(x_label)]
    for number, shares in enumerate(series.values()):
        edges = np.linspace(low, high, len(shares) + 1).tolist()
        points = [
            (x, share)
            for left, right, share in zip(edges[:-1], edges[1:], shares, strict=True)
            for x in (left, right)
        ]
        parts.append(_line(frame, points, f"var(--c{number % _COLOURS})"))
    parts.append(_legend(list(series)))
    return _svg(title, "", "".join(parts))


def heat_map(
    title: str,
    columns: Sequence[Sequence[float]],
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    x_label: str = "kimg",
) -> str:
    """Histograms side by side, a column each, the brighter the greater a bin's share."""
    counts = np.array(columns, dtype=np.float64)
    groups = np.array_split(counts, min(len(counts), WIDTH - _LEFT - _RIGHT))
    summed = np.stack([group.sum(axis=0) for group in groups], axis=1)[::-1]  # highest bin first
    shares = summed / summed.sum(axis=0).clip(min=1)
    place = (shares / max(float(shares.max()), 1e-12)) ** 0.5 * (len(_MAP) - 1)
    anchors = np.arange(len(_MAP))
    colours = np.stack([np.interp(place, anchors, channel) for channel in _MAP.T], axis=-1)
    buffer = io.BytesIO()
    Image.fromarray(colours.round().astype(np.uint8)).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    frame = _Frame(list(x_range), list(y_range), margin=0.0)
    width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    image = (
        f"<image x='{_LEFT}' y='{_TOP}' width='{width}' height='{height}' "
        f"preserveAspectRatio='none' style='image-rendering: pixelated' "
        f"href='data:image/png;base64,{data}'/>"
    )
    return _svg(title, "", frame.axes(x_label) + image)


def thinned(points: Points, most: int = _MOST_POINTS) -> list[tuple[float, float]]:
    """At most `most` points: the means of as many neighbours as that takes."""
    size = -(-len(points) // most)
    if size <= 1:
        return list(points)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [
        (sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group))
        for group in groups
    ]


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers within low..high, about `count` of them, in steps of 1, 2 or 5 x 10^n."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


class _Frame:
    """Where numbers lie in a chart."""

    def __init__(self, xs: Sequence[float], ys: Sequence[float], margin: float = 0.05) -> None:
        self.x_low, self.x_high = _bounds(xs)
        low, high = _bounds(ys)
        room = (high - low) * margin
        self.y_low, self.y_high = low - room, high + room

    def x(self, value: float) -> float:
        share = (value - self.x_low) / (self.x_high - self.x_low)
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        share = (value - self.y_low) / (self.y_high - self.y_low)
        return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)

    def axes(self, x_label: str) -> str:
        """Grid lines with their numbers, and the name of the x axis."""
        parts = []
        for value in nice_ticks(self.y_low, self.y_high):
            y = self.y(value)
            parts.append(
                f"<line class='grid' x1='{_LEFT}' x2='{WIDTH - _RIGHT}' y1='{y}' y2='{y}'/>"
            )
            parts.append(
                f"<text x='{_LEFT - 5}' y='{y + 3}' text-anchor='end'>{_number(value)}</text>"
            )
        for value in nice_ticks(self.x_low, self.x_high):
            x = self.x(value)
            parts.append(
                f"<text x='{x}' y='{HEIGHT - _BOTTOM + 13}' text-anchor='middle'>"
                f"{_number(value)}</text>"
            )
        middle, label = (_LEFT + WIDTH - _RIGHT) / 2, html.escape(x_label)
        parts.append(f"<text x='{middle}' y='{HEIGHT - 5}' text-anchor='middle'>{label}</text>")
        return "".join(parts)


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    """Lowest and highest value, apart even if all are the same."""
    low, high = min(values), max(values)
    if high - low > 1e-9 * max(abs(low), abs(high)):
        return low, high
    room = abs(low) * 0.1 or 1.0
    return low - room, high + room


def _curve(frame: _Frame, points: Points, colour: str) -> str:
    """A line; where points are few, dots that tell their values to a mouse at rest."""
    dots = ""
    if len(points) <= _DOTTED:
        dots = "".join(
            f"<circle cx='{frame.x(x)}' cy='{frame.y(y)}' r='2' fill='{colour}'>"
            f"<title>{_number(x)}: {y:.5g}</title></circle>"
            for x, y in points
        )
    return _line(frame, points, colour) + dots


def _line(frame: _Frame, points: Points, colour: str) -> str:
    places = " ".join(f"{frame.x(x)},{frame.y(y)}" for x, y in points)
    return f"<polyline class='curve' style='stroke: {colour}' points='{places}'/>"


def _legend(names: Sequence[str]) -> str:
    """Names in their curves' colours, in a line below the title."""
    parts = [
        f"<tspan style='fill: var(--c{number % _COLOURS})'> &#9632; {html.escape(name)} </tspan>"
        for number, name in enumerate(names)
    ]
    return f"<text x='{_LEFT - 8}' y='29'>{''.join(parts)}</text>"


def _number(value: float) -> str:
    return f"{value:.4g}"


def _svg(title: str, last: str, content: str) -> str:
    name = html.escape(title)
    return (
        f"<svg class='chart' viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{name}'>"
        f"<text class='title' x='4' y='14'>{name}<tspan style='fill: var(--axis)'>{last}</tspan>"
        f"</text>{content}</svg>"
    )
