"""Which implementation computes a layer on a GPU: a measured table, and a rule where it is silent.

    python -m ganvas.kernels.synthesis.tuning [resolution ...]

measures the layers of published networks on this machine's GPU and writes the table beside this
file. Implementations of a 3x3 layer:

    cudnn    cuDNN's convolution, for up 2 its transposed one, then one epilogue kernel
    own      our convolution, with the epilogue in it unless an image is made of the result
    layer    one kernel for everything, at most 128 channels; "layer/2" is its tile of that number
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from ..modulated_conv2d.triton_registration import OWN_CHANNELS, OWN_LARGE_SIZE, OWN_SMALL_SIZE

TABLE = Path(__file__).with_name("tuning.json")
VERSION = 1

CUDNN, OWN, LAYER = "cudnn", "own", "layer"
LAYER_CHANNELS = 128  # at most, of `layer`'s result

_BATCHES = (1, 2, 4, 8, 16, 32)
_CHANNELS, _WIDEST, _FINEST = 32768, 512, 1024  # of published networks


@dataclass(frozen=True)
class LayerKey:
    """What an implementation is chosen by.

    Attributes:
        capability: "9.0" of an sm_90 GPU; "" where there is none.
        batch: see `bucket`.
        resolution: height and width of the result.
        inputs, outputs: channels.
        up: 1 or 2.
        dtype: "bfloat16", "float16" or "float32".
    """

    capability: str
    batch: int
    resolution: int
    inputs: int
    outputs: int
    up: int
    dtype: str


Table = Mapping[LayerKey, str]
Measure = Callable[[LayerKey, str], float | None]


def bucket(batch: int) -> int:
    """The batch size that is measured for all sizes from the next smaller one on."""
    return next((size for size in _BATCHES if batch <= size), _BATCHES[-1])


def choose(key: LayerKey, table: Table | None = None) -> str:
    """Name of the implementation for a layer; its batch is a bucket."""
    known = (shipped() if table is None else table).get(key)
    return rule(key) if known is None else known


def rule(key: LayerKey) -> str:
    """The choice for a layer that was not measured, by the limits of the modulated convolution."""
    if key.up == 2 or key.dtype == "float32":
        return CUDNN
    if key.resolution <= OWN_SMALL_SIZE:
        return OWN
    thin = max(key.inputs, key.outputs) <= OWN_CHANNELS
    return LAYER if key.resolution >= OWN_LARGE_SIZE and thin else CUDNN


def implementations(key: LayerKey) -> tuple[str, ...]:
    """Those that can compute a layer, whatever their tile."""
    if key.up == 2:
        return (CUDNN,)
    fits = key.outputs <= LAYER_CHANNELS and key.dtype != "float32"
    return (CUDNN, OWN, LAYER) if fits else (CUDNN, OWN)


def candidates(key: LayerKey, tiles: Sequence[int]) -> list[str]:
    """All that is measured for a layer; `tiles` are the columns of `layer`'s tiles."""
    names = [name for name in implementations(key) if name != LAYER]
    if LAYER in implementations(key):
        names += [f"{LAYER}/{i}" for i, width in enumerate(tiles) if width >= key.outputs]
    return names


@cache
def shipped() -> Table:
    """The table beside this file."""
    return read(TABLE.read_text(encoding="utf-8"))


def read(text: str) -> dict[LayerKey, str]:
    """Parse a table.

    Raises:
        ValueError: it is none, or of another version, or names what cannot compute a layer.
    """
    data = json.loads(text)
    if not isinstance(data, dict) or data.get("version") != VERSION:
        raise ValueError(f"tuning: expected a table of version {VERSION}, got {text[:40]!r}")
    table: dict[LayerKey, str] = {}
    for entry in data["entries"]:
        fields = {k: v for k, v in entry.items() if k not in ("implementation", "microseconds")}
        key, name = LayerKey(**fields), entry["implementation"]
        known = implementations(key)
        if name.partition("/")[0] not in known:
            raise ValueError(f"tuning: expected one of {known} for {key}, got {name!r}")
        table[key] = name
    return table


def tune(keys: Iterable[LayerKey], tiles: Sequence[int], measure: Measure) -> list[dict[str, Any]]:
    """Entries of a table: each layer's fastest implementation and all times.

    Args:
        keys: the layers.
        tiles: columns of the tiles of `layer`.
        measure: gives microseconds, or None for an implementation that does not run.
    """
    entries: list[dict[str, Any]] = []
    for key in keys:
        found = {name: measure(key, name) for name in candidates(key, tiles)}
        times = {name: round(time, 2) for name, time in found.items() if time is not None}
        if times:
            best = min(times, key=lambda name: times[name])
            entries.append({**asdict(key), "implementation": best, "microseconds": times})
    return entries


def write(entries: Sequence[Mapping[str, Any]], path: Path = TABLE) -> None:
    """Put entries into a table; those for other layers stay."""
    kept: list[Mapping[str, Any]] = []
    names = tuple(LayerKey.__dataclass_fields__)
    fresh = {tuple(entry[name] for name in names) for entry in entries}
    if path.is_file():
        read(path.read_text(encoding="utf-8"))
        old = json.loads(path.read_text(encoding="utf-8"))["entries"]
        kept = [entry for entry in old if tuple(entry[name] for name in names) not in fresh]
    rows = sorted(
        (dict(entry) for entry in [*kept, *entries]),
        key=lambda entry: tuple(str(entry[name]).zfill(8) for name in names),
    )
    lines = ",\n".join("    " + json.dumps(row) for row in rows)
    body = f"\n{lines}\n  " if rows else ""
    path.write_text(f'{{\n  "version": {VERSION},\n  "entries": [{body}]\n}}\n', encoding="utf-8")
    shipped.cache_clear()


def layers(
    capability: str, dtype: str, batch: int, resolutions: Sequence[int] = (256, _FINEST)
) -> list[LayerKey]:
    """All distinct layers of published networks of these resolutions, channel_base 32768."""
    keys: dict[LayerKey, None] = {}
    for last in resolutions:
        size, before = 4, min(_CHANNELS // 4, _WIDEST)
        while size <= last:
            width = min(_CHANNELS // size, _WIDEST)
            key = LayerKey(capability, bucket(batch), size, width, width, 1, dtype)
            if size > 4:
                keys[replace(key, inputs=before, up=2)] = None
            keys[key] = None
            size, before = 2 * size, width
    return list(keys)


def tune_gpu(
    resolutions: Sequence[int] = (256, _FINEST),
    batches: Sequence[int] = (1, 8),
    dtypes: Sequence[str] = ("bfloat16",),
    path: Path | None = TABLE,
) -> list[dict[str, Any]]:
    """Measure on the current GPU and write the table, unless `path` is None; gives the entries."""
    from .gpu import LAYER_WIDTHS, capability_of, measure_layer

    capability = capability_of("cuda")
    keys = [
        key
        for dtype in dtypes
        for batch in batches
        for key in layers(capability, dtype, batch, resolutions)
    ]
    entries = tune(keys, LAYER_WIDTHS, measure_layer)
    if path is not None:
        write(entries, path)
    return entries


if __name__ == "__main__":
    wanted = tuple(map(int, sys.argv[1:])) or (256, _FINEST)
    for row in tune_gpu(wanted, batches=_BATCHES):
        print(json.dumps(row))
