"""Least memory traffic and arithmetic of a row, and the time they take at measured ceilings."""

from dataclasses import dataclass
from typing import Literal

import torch

from .schema import Ceilings
from .timers import Call, CpuTimer, CudaRuntime, GraphTimer, Timer, interleave

_COPY_BYTES = {"cpu": 1 << 28, "cuda": 1 << 30}
_MATMUL_SIZE = {"cpu": 2048, "cuda": 8192}
_BUDGET_S = 1.0
NAMES = {
    torch.float64: "float64",
    torch.float32: "float32",
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
}


@dataclass(frozen=True)
class Work:
    """What one fused pass must at least do: bytes in or out of memory, and multiply-adds times 2.

    A convolution is counted directly.
    """

    bytes: float
    flop: float


def floor(
    parts: list[Work], ceilings: Ceilings, dtype: torch.dtype
) -> tuple[float, Literal["memory", "compute"]] | None:
    """Seconds that the parts take one after the other, each at the ceiling that binds it.

    None where this machine's rate for the dtype is not known.
    """
    rate = ceilings.matmul_flop_per_s.get(NAMES[dtype])
    if rate is None or not parts:
        return None
    memory = [part.bytes / ceilings.copy_bytes_per_s for part in parts]
    compute = [part.flop / rate for part in parts]
    total = sum(max(pair) for pair in zip(memory, compute, strict=True))
    return total, "memory" if sum(memory) > sum(compute) else "compute"


def measure_ceilings(device: torch.device, dtypes: list[torch.dtype], quick: bool) -> Ceilings:
    """Measure the bandwidth of a copy, bytes read plus written, and the rate of matrix products."""
    shrink = 16 if quick else 1
    timer: Timer = CpuTimer()
    if device.type == "cuda":
        timer = GraphTimer(CudaRuntime())
    budget = 0.05 if quick else _BUDGET_S

    def seconds(call: Call) -> float:
        prepared = timer.prepare(call, 1)
        return interleave({"": prepared}, budget_s=budget)[""].median_s

    count = _COPY_BYTES[device.type] // shrink // 4
    source = torch.randn(count, device=device)
    target = torch.empty_like(source)
    copy = 2 * 4 * count / seconds(lambda _: target.copy_(source))
    size = _MATMUL_SIZE[device.type] // (8 if quick else 1)
    rates = {}
    for dtype in dtypes:
        a = torch.randn(size, size, device=device).to(dtype)
        b = torch.randn(size, size, device=device).to(dtype)
        rates[NAMES[dtype]] = 2 * size**3 / seconds(lambda _, a=a, b=b: a @ b)
    return Ceilings(copy, rates)
