"""Timers: what one sample of a column is, on a CPU and on a GPU.

A timer warms a call up once and gives a `Prepared` call, whose `sample()` runs it a fixed number of
times and returns seconds per call. `interleave` takes samples of all columns in turn, so that a
machine that slows down slows all of them.

A GPU column is one CUDA graph of several calls, replayed: launches cost what a graph's launches
cost, for every column alike. "cold" graphs go through copies of the inputs that together exceed
the L2 cache; "warm" ones repeat the same input. The GPU's API is behind `GraphRuntime`, so that
this logic is tested without one.
"""

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch

from .schema import Timing

Call = Callable[[int], object]
"""Runs a column on the copy of its inputs with this number."""

CPU_SAMPLE_S = 0.03  # far above the clock's resolution and the cost of a loop in Python
WARM_UPS = 3  # cuDNN and Triton choose their kernels in the first call
REPLAYS = 20  # at least, in one sample
WARM_CALLS = 4  # in one graph, so that the gaps between graphs weigh little
GPU_SAMPLE_S = 0.002
SAMPLES = (3, 50)  # at least and at most


@dataclass(frozen=True)
class Prepared:
    """A warm call: `sample()` gives seconds per call over `calls` calls."""

    sample: Callable[[], float]
    calls: int


class Timer(Protocol):
    """Makes columns ready to be sampled."""

    def prepare(self, call: Call, copies: int) -> Prepared:
        """Warm up and fix how many calls a sample has; `copies` inputs exist."""
        ...


class CpuTimer:
    """Wall-clock time of as many calls as make a sample long enough to be measured.

    The protocol has run every call once before, to compare it.
    """

    def __init__(
        self,
        sample_s: float = CPU_SAMPLE_S,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._sample_s = sample_s
        self._clock = clock

    def prepare(self, call: Call, copies: int) -> Prepared:
        start = self._clock()
        call(0)
        once = max(self._clock() - start, 1e-9)
        calls = max(1, math.ceil(self._sample_s / once))

        def sample() -> float:
            start = self._clock()
            for index in range(calls):
                call(index % copies)
            return (self._clock() - start) / calls

        return Prepared(sample, calls)


class GraphRuntime(Protocol):
    """The few things that a GPU timer needs of a GPU."""

    def side_stream(self) -> AbstractContextManager[object]:
        """Run what is launched inside on a stream that a capture may follow."""
        ...

    def capture(self, work: Callable[[], object]) -> Callable[[], None]:
        """Record the work; the result replays it."""
        ...

    def elapsed(self, work: Callable[[], object]) -> float:
        """Seconds that the GPU takes from the first to the last launch of the work."""
        ...


class CudaRuntime:
    """`GraphRuntime` on the current CUDA device."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def side_stream(self) -> AbstractContextManager[object]:
        torch.cuda.synchronize()
        return torch.cuda.stream(torch.cuda.Stream())

    def capture(self, work: Callable[[], object]) -> Callable[[], None]:
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        # Autograd's own threads launch into the capture too.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="relaxed"):
            work()
        return graph.replay

    def elapsed(self, work: Callable[[], object]) -> float:
        start = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        start.record()
        work()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1000


class GraphTimer:
    """Replays of a CUDA graph with one call an input copy, or `WARM_CALLS` of the only one."""

    def __init__(self, runtime: GraphRuntime) -> None:
        self._runtime = runtime

    def prepare(self, call: Call, copies: int) -> Prepared:
        indices = list(range(copies)) if copies > 1 else [0] * WARM_CALLS

        def all_calls() -> None:
            for index in indices:
                call(index)

        with self._runtime.side_stream():
            for _ in range(WARM_UPS):
                call(0)
        replay = self._runtime.capture(all_calls)
        replay()
        once = max(self._runtime.elapsed(replay), 1e-9)
        replays = max(math.ceil(REPLAYS / len(indices)), math.ceil(GPU_SAMPLE_S / once))
        calls = replays * len(indices)

        def sample() -> float:
            def work() -> None:
                for _ in range(replays):
                    replay()

            return self._runtime.elapsed(work) / calls

        return Prepared(sample, calls)


class LaunchTimer:
    """A GPU without graphs: what launching from Python costs is part of the time."""

    def __init__(self, runtime: GraphRuntime) -> None:
        self._runtime = runtime

    def prepare(self, call: Call, copies: int) -> Prepared:
        with self._runtime.side_stream():
            for _ in range(WARM_UPS):
                call(0)

        def sample() -> float:
            def work() -> None:
                for index in range(REPLAYS):
                    call(index % copies)

            return self._runtime.elapsed(work) / REPLAYS

        sample()
        return Prepared(sample, REPLAYS)


def interleave(
    columns: Mapping[str, Prepared],
    *,
    budget_s: float,
    samples: tuple[int, int] = SAMPLES,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Sample all columns in turn, each round beginning with another one.

    Args:
        columns: what to sample, by name.
        budget_s: no round begins after this long, once there are samples[0] rounds.
        samples: rounds at least and at most.
        clock: seconds that pass.

    Returns:
        One timing a column.
    """
    names = list(columns)
    taken: dict[str, list[float]] = {name: [] for name in names}
    start = clock()
    for turn in range(samples[1]):
        if turn >= samples[0] and clock() - start > budget_s:
            break
        first = turn % max(1, len(names))
        for name in names[first:] + names[:first]:
            taken[name].append(columns[name].sample())
    return {
        name: Timing(
            median_s=quantile(values, 0.5),
            p10_s=quantile(values, 0.1),
            p90_s=quantile(values, 0.9),
            samples=len(values),
            calls_per_sample=columns[name].calls,
        )
        for name, values in taken.items()
    }


def quantile(values: list[float], share: float) -> float:
    """Quantile of the values, linear between neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
