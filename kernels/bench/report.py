"""A result as a table for people: times, ratios to ours, share of the floor, error."""

from collections.abc import Iterable

from .protocol import COMPOSED, EAGER, OURS
from .schema import Column, Result, Row

_COLUMNS = ("composed", "eager", "eager no graph", "compile", "ours")


def table(result: Result) -> str:
    """All rows, the sums of those that belong together, and what was skipped."""
    machine, ceilings = result.machine, result.ceilings
    where = machine.gpu or f"{machine.cpu}, {machine.threads} threads"
    rates = ", ".join(
        f"{name} {rate / 1e12:.3g} TFLOP/s" for name, rate in ceilings.matmul_flop_per_s.items()
    )
    lines = [
        f"{where}; torch {machine.torch}; copy {ceilings.copy_bytes_per_s / 1e9:.3g} GB/s; {rates}",
        "",
    ]
    shown = [name for name in _COLUMNS if any(name in row.columns for row in result.rows)]
    head = ["row", "phase", "dtype", *shown, "floor", "% floor", "vs composed", "vs eager", "error"]
    lines += _aligned([head, *(_cells(row, shown) for row in result.rows)])
    totals = summaries(result)
    if totals:
        lines += [
            "",
            *_aligned([["sum", *shown, "vs composed", "vs eager"], *_totals(totals, shown)]),
        ]
    red = [f"RED {row.entry} {row.phase}: {row.verdict}" for row in result.rows if not row.passed]
    missing = [
        f"{row.entry} {row.phase}: no {name}: {column.reason}"
        for row in result.rows
        for name, column in row.columns.items()
        if row.passed and column.reason is not None
    ]
    lines += ["", *red] if red else []
    lines += ["", *missing] if missing else []
    if result.skipped:
        lines += ["", f"skipped: {len(result.skipped)} rows ({result.skipped[0].reason})"]
    return "\n".join(lines)


def summaries(result: Result) -> dict[str, dict[str, float]]:
    """Weighted sums of medians over rows with the same `part_of`, by column.

    A column that lacks a part has no sum: it would look fast.
    """
    groups: dict[str, list[Row]] = {}
    for row in result.rows:
        if row.part_of is not None:
            groups.setdefault(row.part_of, []).append(row)
    sums: dict[str, dict[str, float]] = {}
    for name, rows in groups.items():
        sums[name] = {}
        for column in _COLUMNS:
            parts = [(row.weight, _median(row.columns.get(column))) for row in rows]
            found = [weight * median for weight, median in parts if median is not None]
            if len(found) == len(parts):
                sums[name][column] = sum(found)
    return sums


def ratio(row: Row, column: str) -> float | None:
    """How many times faster ours is than the column."""
    ours, other = _median(row.columns.get(OURS)), _median(row.columns.get(column))
    return None if ours is None or other is None else other / ours


def seconds(value: float | None) -> str:
    """A duration with three digits and a unit."""
    if value is None:
        return "-"
    for factor, unit in ((1.0, "s"), (1e3, "ms")):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e6:.3g} us"


def _cells(row: Row, shown: Iterable[str]) -> list[str]:
    ours = _median(row.columns.get(OURS))
    share = None if row.floor_s is None or ours is None else row.floor_s / ours
    label = row.entry if row.cache is None else f"{row.entry} ({row.cache})"
    accuracy = row.columns[OURS].accuracy
    eager = row.columns[EAGER].accuracy if EAGER in row.columns else None
    errors = [f"{a.relative_l2:.0e}" if a is not None else "-" for a in (accuracy, eager)]
    return [
        label,
        row.phase,
        row.dtype,
        *(seconds(_median(row.columns.get(name))) for name in shown),
        seconds(row.floor_s),
        "-" if share is None else f"{share:.0%}",
        _times(ratio(row, COMPOSED)),
        _times(ratio(row, EAGER)),
        f"{errors[0]} ({errors[1]})" if row.passed else "RED",
    ]


def _totals(totals: dict[str, dict[str, float]], shown: list[str]) -> Iterable[list[str]]:
    for name, sums in totals.items():
        ours = sums.get(OURS)
        ratios = [sums[c] / ours if ours and c in sums else None for c in (COMPOSED, EAGER)]
        yield [name, *(seconds(sums.get(c)) for c in shown), *(_times(r) for r in ratios)]


def _median(column: Column | None) -> float | None:
    return None if column is None or column.timing is None else column.timing.median_s


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}x"


def _aligned(cells: list[list[str]]) -> list[str]:
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
