"""Charts: what is drawn where, with ticks that a reader takes for granted."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from ganvas.training import curves

SVG = "{http://www.w3.org/2000/svg}"


def parsed(chart: str) -> ElementTree.Element:
    return ElementTree.fromstring(
        chart.replace("<svg ", "<svg xmlns='http://www.w3.org/2000/svg' ")
    )


@pytest.mark.parametrize(
    "low,high,expected",
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-10, 10, [-10, -5, 0, 5, 10]),
        (0.031, 0.047, [0.035, 0.04, 0.045]),
        (1234, 5678, [2000, 3000, 4000, 5000]),
    ],
)
def test_ticks_are_round_numbers_within_the_frame(low, high, expected):
    assert curves.nice_ticks(low, high) == pytest.approx(expected)


def test_a_curve_runs_through_its_points():
    chart = parsed(curves.curves("loss", {"loss": [(0.0, 0.0), (1.0, 2.0), (2.0, 1.0)]}))
    line = chart.find(f"{SVG}polyline")
    assert line is not None
    (x0, y0), (x1, y1), (x2, y2) = (map(float, p.split(",")) for p in line.get("points").split())
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y1 == pytest.approx(2 * (y0 - y2), abs=0.3) and y1 < y2 < y0
    texts = ["".join(node.itertext()) for node in chart.iter(f"{SVG}text")]
    assert texts[0] == "loss 1" and texts[-1] == "kimg"
    assert [node.text for node in chart.iter(f"{SVG}title")] == ["0: 0", "1: 2", "2: 1"]


def test_several_curves_are_named_and_numbers_that_are_none_left_out():
    series = {"a<b": [(0.0, float("nan")), (1.0, 3.0)], "c": [(0.0, 3.0)]}
    chart = parsed(curves.curves("both", series))
    assert "a<b" in "".join(chart.itertext()) and len(list(chart.iter(f"{SVG}polyline"))) == 2
    assert curves.curves("none", {"x": [(0.0, float("inf"))]}) == ""


def test_long_curves_are_thinned_to_means():
    points = [(float(x), float(x % 2)) for x in range(10_000)]
    thin = curves.thinned(points, 100)
    assert len(thin) == 100 and thin[0] == (49.5, 0.5)
    assert curves.thinned(points[:100], 100) == points[:100]
    assert len(curves.curves("long", {"x": points})) < 20_000


def test_a_heat_map_has_a_column_for_each_histogram():
    chart = curves.heat_map("D", [[0, 4], [2, 2], [0, 0]], (0.0, 3.0), (-1.0, 1.0))
    assert len(re.findall("data:image/png;base64,", chart)) == 1
    texts = ["".join(node.itertext()) for node in parsed(chart).iter(f"{SVG}text")]
    assert {"-1", "1", "0", "3", "kimg"} <= set(texts)
