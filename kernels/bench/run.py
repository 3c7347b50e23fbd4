"""Runs entries one after another and gathers a checked result."""

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone

import torch

from .machine import describe
from .protocol import Entry, Protocol
from .schema import VERSION, Result, Row, Skipped
from .timers import SAMPLES, CpuTimer, CudaRuntime, GraphTimer, LaunchTimer
from .work import measure_ceilings

# Seconds of samples a row: on a CPU a call may take seconds, on a GPU fifty samples take one.
_BUDGET_S = {"cpu": 4.0, "cuda": 0.8}
_QUICK_BUDGET_S = 0.02
_QUICK_SAMPLE_S = 0.001
_QUICK_SAMPLES = (3, 5)
GPU_TIME_LIMIT_S = 540.0
_COMPILE_MODE = {"cpu": None, "cuda": "max-autotune-no-cudagraphs"}  # the graph is ours


def run(
    entries: Iterable[Entry],
    device: torch.device,
    *,
    quick: bool = False,
    compile: bool = False,
    time_limit_s: float | None = None,
    arguments: dict[str, str] | None = None,
    progress: Callable[[str], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Result:
    """Measure all entries.

    Args:
        entries: in the order in which they run.
        device: of every tensor.
        quick: few and short samples, to try the benchmark; its numbers mean little.
        compile: also torch.compile eager, where an entry asks for it.
        time_limit_s: no row begins later; the rest is listed as skipped. None is no limit.
        arguments: of the command, for the record.
        progress: called with the name of each row before it runs.
        clock: seconds that pass.

    Returns:
        The result, which keeps to the schema.
    """
    start = clock()
    entries = list(entries)
    cuda = device.type == "cuda"
    dtypes = list(dict.fromkeys(entry.dtype for entry in entries)) or [torch.float32]
    progress("copy bandwidth and matrix products")
    ceilings = measure_ceilings(device, dtypes, quick)
    runtime = CudaRuntime() if cuda else None
    cpu_timer = CpuTimer(_QUICK_SAMPLE_S) if quick else CpuTimer()
    protocol = Protocol(
        device=device,
        timer=cpu_timer if runtime is None else GraphTimer(runtime),
        launch_timer=None if runtime is None else LaunchTimer(runtime),
        ceilings=ceilings,
        budget_s=_QUICK_BUDGET_S if quick else _BUDGET_S[device.type],
        samples=_QUICK_SAMPLES if quick else SAMPLES,
        compile=compile,
        compile_mode=_COMPILE_MODE[device.type],
    )
    rows: list[Row] = []
    skipped: list[Skipped] = []
    for entry in entries:
        if time_limit_s is not None and clock() - start > time_limit_s:
            skipped.append(Skipped(f"{entry.name} {entry.phase}", "the time limit had passed"))
            continue
        progress(f"{entry.name} {entry.phase}")
        rows.append(protocol.measure(entry))
        if cuda:
            torch.cuda.empty_cache()
    return Result(
        version=VERSION,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        arguments=arguments or {},
        machine=describe(device),
        ceilings=ceilings,
        rows=rows,
        skipped=skipped,
    )


def choose(names: Sequence[str], known: Sequence[str], what: str) -> list[str]:
    """Those of `known` that one of `names` equals or begins, up to a "-"; all for no names.

    Raises:
        ValueError: a name fits nothing.
    """
    if not names:
        return list(known)
    chosen: list[str] = []
    for name in names:
        fits = [other for other in known if other == name or other.startswith(f"{name}-")]
        if not fits:
            raise ValueError(f"bench: expected {what} of {', '.join(known)}; got {name!r}")
        chosen += [other for other in fits if other not in chosen]
    return chosen
