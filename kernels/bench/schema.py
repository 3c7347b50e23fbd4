"""What a benchmark's JSON holds, as dataclasses, and the check that a file holds just that."""

import dataclasses
import json
import math
import types
import typing
from dataclasses import dataclass
from typing import Any, Literal

VERSION = 1

Group = Literal["op", "network", "training"]
Cache = Literal["warm", "cold"]


class SchemaError(ValueError):
    """A record is not as the dataclasses say; names the place, what was expected and what came."""


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: median, 10th and 90th percentile over interleaved samples."""

    median_s: float
    p10_s: float
    p90_s: float
    samples: int
    calls_per_sample: int


@dataclass(frozen=True)
class Accuracy:
    """Distance from float64 over all results and gradients of a call.

    Attributes:
        relative_l2: of the worst tensor.
        max_abs: of the worst element.
        max_scaled: the same, divided by the tensor's largest magnitude where that exceeds 1.
    """

    relative_l2: float
    max_abs: float
    max_scaled: float


@dataclass(frozen=True)
class Column:
    """One implementation in one row; `reason` says why a number is missing."""

    timing: Timing | None
    accuracy: Accuracy | None
    reason: str | None


@dataclass(frozen=True)
class Row:
    """One entry in one phase: every column was run on the same numbers, interleaved.

    Attributes:
        entry: unique together with phase and cache.
        shape: sizes of the input, named.
        part_of, weight: rows with the same `part_of` add up, with these weights, to one figure.
        floor_s: no implementation of this dtype can be faster at the measured ceilings (a
            convolution counted directly; Winograd's may be); None where nothing is modelled.
        bound: what the floor is due to.
        passed: ours is as accurate as it must be; no timing is published where it is not.
        verdict: what was compared.
    """

    entry: str
    group: Group
    op: str
    phase: str
    dtype: str
    shape: dict[str, int]
    cache: Cache | None
    part_of: str | None
    weight: float
    floor_s: float | None
    bound: Literal["memory", "compute"] | None
    columns: dict[str, Column]
    passed: bool
    verdict: str


@dataclass(frozen=True)
class Machine:
    """Where and with what it ran; None where there is no such thing."""

    commit: str | None
    dirty: bool | None
    device: str
    cpu: str
    threads: int
    gpu: str | None
    driver: str | None
    cuda: str | None
    python: str
    torch: str
    triton: str | None
    compiler: str | None
    nvcc: str | None
    system: str


@dataclass(frozen=True)
class Ceilings:
    """What this machine reaches: bytes read and written by a copy; matrix products by dtype."""

    copy_bytes_per_s: float
    matmul_flop_per_s: dict[str, float]


@dataclass(frozen=True)
class Skipped:
    """An entry that was not run, and why."""

    entry: str
    reason: str


@dataclass(frozen=True)
class Result:
    """One run of the benchmark."""

    version: int
    created: str
    arguments: dict[str, str]
    machine: Machine
    ceilings: Ceilings
    rows: list[Row]
    skipped: list[Skipped]


def to_json(result: Result) -> str:
    """Text of a checked result.

    Raises:
        SchemaError: it is not as the dataclasses here say.
    """
    data = dataclasses.asdict(result)
    from_data(data)
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


def from_json(text: str) -> Result:
    """Result in a JSON text.

    Raises:
        SchemaError: it is no JSON, or not a result as described here.
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise SchemaError(f"bench: expected JSON, got {error}") from error
    return from_data(data)


def from_data(data: object) -> Result:
    """Result in what JSON decodes to.

    Raises:
        SchemaError: as `from_json`.
    """
    result = _read(Result, data, "result")
    if result.version != VERSION:
        raise SchemaError(f"bench: expected version {VERSION}, got {result.version}")
    if result.ceilings.copy_bytes_per_s <= 0:
        raise SchemaError("bench: expected a copy rate above 0")
    seen: set[tuple[str, str, str | None]] = set()
    for row in result.rows:
        key = (row.entry, row.phase, row.cache)
        if key in seen:
            raise SchemaError(f"bench: expected each row once, got {key} twice")
        seen.add(key)
        _check_row(row)
    return result


def _check_row(row: Row) -> None:
    where = f"row {row.entry} {row.phase}"
    if "ours" not in row.columns:
        raise SchemaError(f"bench: {where}: expected a column ours, got {sorted(row.columns)}")
    for name, column in row.columns.items():
        if not row.passed and column.timing is not None:
            raise SchemaError(f"bench: {where}: expected no timing of a row that failed")
        if column.timing is None and row.passed and column.reason is None:
            raise SchemaError(f"bench: {where}: expected a timing or a reason in {name}")
        timing = column.timing
        if timing is None:
            continue
        if not 0 < timing.p10_s <= timing.median_s <= timing.p90_s:
            raise SchemaError(f"bench: {where}: expected 0 < p10 <= median <= p90 in {name}")
        if timing.samples < 1 or timing.calls_per_sample < 1:
            raise SchemaError(f"bench: {where}: expected samples and calls >= 1 in {name}")


def _read(kind: Any, data: object, where: str) -> Any:
    """`data` as an instance of the annotation `kind`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _read_record(kind, data, where)
    if origin in (types.UnionType, typing.Union):
        if data is None and type(None) in arguments:
            return None
        (inner,) = [argument for argument in arguments if argument is not type(None)]
        return _read(inner, data, where)
    if origin is Literal:
        if data not in arguments:
            raise SchemaError(f"bench: {where}: expected one of {arguments}, got {data!r}")
        return data
    if origin is list and isinstance(data, list):
        return [_read(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(data)]
    if origin is dict and isinstance(data, dict):
        return {
            _read(arguments[0], key, where): _read(arguments[1], item, f"{where}.{key}")
            for key, item in data.items()
        }
    if kind is float and isinstance(data, (int, float)) and not isinstance(data, bool):
        if not math.isfinite(data):
            raise SchemaError(f"bench: {where}: expected a finite number, got {data}")
        return float(data)
    if kind in (int, str, bool) and type(data) is kind:
        return data
    name = getattr(kind, "__name__", str(kind)) if origin is None else str(kind)
    raise SchemaError(f"bench: {where}: expected {name}, got {type(data).__name__} {data!r:.60}")


def _read_record(kind: Any, data: object, where: str) -> Any:
    if not isinstance(data, dict):
        raise SchemaError(f"bench: {where}: expected an object, got {type(data).__name__}")
    hints = typing.get_type_hints(kind)
    if set(data) != set(hints):
        missing, unknown = sorted(set(hints) - set(data)), sorted(set(data) - set(hints))
        raise SchemaError(
            f"bench: {where}: expected the fields of {kind.__name__}, "
            f"got missing {missing}, unknown {unknown}"
        )
    return kind(
        **{name: _read(hint, data[name], f"{where}.{name}") for name, hint in hints.items()}
    )
