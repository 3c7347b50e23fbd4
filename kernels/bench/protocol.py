"""One row: the same numbers through every column, first compared with float64, then timed.

A row whose accuracy is red gets no timings at all: a wrong kernel's speed means nothing.
"""

import gc
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .phases import Column as Function
from .phases import Outputs
from .schema import Accuracy, Cache, Ceilings, Column, Group, Row
from .timers import Prepared, Timer, interleave
from .work import NAMES, Work, floor

EAGER, COMPOSED, OURS, COMPILED, LAUNCHED = "eager", "composed", "ours", "compile", "eager no graph"

GPU_FACTOR = 1.25  # ours may be this much farther from float64 than eager at the same dtype
CPU_LIMIT = 1e-4  # of the largest magnitude, or absolute below 1
LOW_PRECISION_LIMIT = 1e-2  # relative, for 16-bit on a CPU
COLD_BYTES = 256 << 20  # over four times the L2 cache of the largest GPU of today
MOST_COPIES = 64

_LOG = logging.getLogger("ganvas.bench")


@dataclass(frozen=True)
class Case:
    """An entry made ready to run.

    Attributes:
        inputs: by name, in the row's dtype (integers stay).
        columns: functions of such inputs, by the column's name; they give equal results.
        exact: the same in float64, of the same inputs.
        work: parts of the least work, for the floor.
        shape: sizes, for the reader.
        part: indices along `axis` that `exact` gives, where all would take too long; None is all.
        axis: of the results.
        contiguous: columns whose images are contiguous; the others' are channels_last.
        missing: columns that cannot be had, and why.
    """

    inputs: dict[str, Tensor]
    columns: dict[str, Function]
    exact: Function
    work: list[Work]
    shape: dict[str, int]
    part: tuple[int, ...] | None = None
    axis: int = 0
    contiguous: tuple[str, ...] = (COMPOSED,)
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A line of the registry.

    Attributes:
        name, group, op, phase, dtype, cache, part_of, weight: see `schema.Row`.
        make: called when the row's turn has come, so that one row's tensors exist at a time.
        compile: torch.compile is worth its time here.
    """

    name: str
    group: Group
    op: str
    phase: str
    dtype: torch.dtype
    make: Callable[[], Case]
    cache: Cache | None = None
    compile: bool = False
    part_of: str | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Protocol:
    """How rows are measured.

    Attributes:
        device: of all tensors.
        timer: of all columns but "eager no graph".
        launch_timer: of that one; None leaves it out.
        ceilings: of this run.
        budget_s: time for the samples of one row.
        samples: rounds at least and at most.
        compile: time torch.compile of eager where an entry asks for it.
        compile_mode: of torch.compile.
    """

    device: torch.device
    timer: Timer
    launch_timer: Timer | None
    ceilings: Ceilings
    budget_s: float
    samples: tuple[int, int]
    compile: bool = False
    compile_mode: str | None = None

    def measure(self, entry: Entry) -> Row:
        """Run one entry; a column that fails says so in its reason."""
        case = entry.make()
        functions = dict(case.columns)
        reasons = dict(case.missing)
        if self.compile and entry.compile:
            functions[COMPILED] = _compiled(functions[EAGER], self.compile_mode)
        accuracies, failures = self._compare(case, functions)
        reasons |= failures
        passed, verdict = judge(accuracies, reasons, entry.dtype, self.device.type)
        timings = {}
        if passed:
            alive = {name: f for name, f in functions.items() if name not in reasons}
            prepared, failures = self._prepare(case, alive, entry.cache == "cold")
            reasons |= failures
            if OURS in prepared:
                timings = interleave(prepared, budget_s=self.budget_s, samples=self.samples)
            else:
                passed, verdict = False, f"ours failed: {reasons[OURS]}"
            del prepared
        names = [n for n in (COMPOSED, EAGER, LAUNCHED, COMPILED, OURS) if n in timings | reasons]
        names += [] if OURS in names else [OURS]
        names += [name for name in functions if name not in names]
        bound = floor(case.work, self.ceilings, entry.dtype)
        row = Row(
            entry=entry.name,
            group=entry.group,
            op=entry.op,
            phase=entry.phase,
            dtype=NAMES[entry.dtype],
            shape=case.shape,
            cache=entry.cache,
            part_of=entry.part_of,
            weight=entry.weight,
            floor_s=None if bound is None else bound[0],
            bound=None if bound is None else bound[1],
            columns={
                name: Column(timings.get(name), accuracies.get(name), reasons.get(name))
                for name in names
            },
            passed=passed,
            verdict=verdict,
        )
        del case, functions
        gc.collect()
        return row

    def _compare(
        self, case: Case, functions: Mapping[str, Function]
    ) -> tuple[dict[str, Accuracy], dict[str, str]]:
        exact = case.exact({name: _widen(tensor) for name, tensor in case.inputs.items()})
        accuracies, reasons = {}, {}
        for name, function in functions.items():
            try:
                outputs = function(laid_out(case, name))
                accuracies[name] = accuracy(select_part(outputs, case), exact)
            except Exception as error:  # whatever it is, a broken column is a result too
                reasons[name] = _first_line(error)
        return accuracies, reasons

    def _prepare(
        self, case: Case, functions: Mapping[str, Function], cold: bool
    ) -> tuple[dict[str, Prepared], dict[str, str]]:
        prepared, reasons = {}, {}
        wanted = [(name, name, self.timer) for name in functions]
        if self.launch_timer is not None and EAGER in functions:
            wanted.append((LAUNCHED, EAGER, self.launch_timer))
        copies: dict[bool, list[dict[str, Tensor]]] = {}
        for name, source, timer in wanted:
            function = functions[source]
            contiguous = source in case.contiguous
            if contiguous not in copies:
                inputs = laid_out(case, source)
                copies[contiguous] = _copies(inputs) if cold else [inputs]
            inputs = copies[contiguous]
            try:
                prepared[name] = timer.prepare(
                    lambda index, function=function, inputs=inputs: function(inputs[index]),
                    len(inputs),
                )
            except Exception as error:  # out of memory, or what no graph can hold
                reasons[name] = _first_line(error)
        return prepared, reasons


def laid_out(case: Case, column: str) -> dict[str, Tensor]:
    """The inputs in the memory format in which the column's network has them."""
    layout = torch.contiguous_format if column in case.contiguous else torch.channels_last
    return {
        name: tensor.contiguous(memory_format=layout) if tensor.ndim == 4 else tensor
        for name, tensor in case.inputs.items()
    }


def select_part(outputs: Outputs, case: Case) -> Outputs:
    """What of the outputs `exact` gives: all, or a part where float64 would take too long."""
    if case.part is None:
        return outputs
    return tuple(
        y.index_select(case.axis, torch.tensor(case.part, device=y.device)) for y in outputs
    )


def accuracy(outputs: Outputs, exact: Outputs) -> Accuracy:
    """Worst distance of any output from the float64 one.

    Raises:
        ValueError: there are not as many outputs, or a shape differs.
    """
    if len(outputs) != len(exact):
        raise ValueError(f"bench: expected {len(exact)} outputs, got {len(outputs)}")
    relative = absolute = scaled = 0.0
    for y, reference in zip(outputs, exact, strict=True):
        if y.shape != reference.shape:
            raise ValueError(
                f"bench: expected an output {tuple(reference.shape)}, got {tuple(y.shape)}"
            )
        if y.numel() == 0:
            continue
        error = y.detach().double() - reference
        norm = float(reference.norm())
        worst, peak = float(error.abs().max()), float(reference.abs().max())
        if not math.isfinite(worst):
            raise ValueError("bench: expected finite outputs, got nan or inf")
        relative = max(relative, float(error.norm()) / norm if norm else float(worst > 0))
        absolute = max(absolute, worst)
        scaled = max(scaled, worst / max(peak, 1.0))
    return Accuracy(relative, absolute, scaled)


def judge(
    accuracies: Mapping[str, Accuracy], reasons: Mapping[str, str], dtype: torch.dtype, device: str
) -> tuple[bool, str]:
    """Whether ours is as accurate as it must be, and what was compared.

    On a GPU ours must be within `GPU_FACTOR` of eager's own relative distance from float64, or
    within what rounding the result alone costs. On a CPU, where float32 convolutions may be
    Winograd's, within `CPU_LIMIT` of float64; 16-bit within `LOW_PRECISION_LIMIT`, relative.
    Where eager itself is beyond these limits, within `GPU_FACTOR` of eager.
    """
    ours, eager = accuracies.get(OURS), accuracies.get(EAGER)
    if ours is None:
        return False, f"ours failed: {reasons.get(OURS, 'no such column')}"
    if eager is not None and ours.relative_l2 <= GPU_FACTOR * eager.relative_l2:
        return True, f"relative L2 {ours.relative_l2:.1e}, eager {eager.relative_l2:.1e}"
    other = "none" if eager is None else f"{eager.relative_l2:.1e}"
    if device == "cuda":
        rounding = torch.finfo(dtype).eps / 4
        limit = f"{GPU_FACTOR} x eager's {other} or {rounding:.0e}"
        passed = ours.relative_l2 <= rounding
    elif dtype in (torch.bfloat16, torch.float16):
        limit = f"{LOW_PRECISION_LIMIT:.0e}"
        passed = ours.relative_l2 <= LOW_PRECISION_LIMIT
    else:
        limit = f"{CPU_LIMIT:.0e} absolute"
        passed = ours.max_scaled <= CPU_LIMIT
    found = f"relative L2 {ours.relative_l2:.1e}, absolute {ours.max_abs:.1e}, eager {other}"
    return passed, found if passed else f"expected at most {limit}, got {found}"


def _compiled(function: Function, mode: str | None) -> Function:
    torch.compiler.reset()
    return torch.compile(function, mode=mode, dynamic=False)


def _widen(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _copies(inputs: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """As many copies as exceed the cache; each keeps its memory format."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in inputs.values())
    count = min(MOST_COPIES, math.ceil(COLD_BYTES / max(size, 1)))
    return [{name: t.clone() for name, t in inputs.items()} for _ in range(max(2, count))]


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    line = f"{type(error).__name__}: {text[0] if text else 'no details'}"
    _LOG.debug("a column failed", exc_info=error)
    return line[:300]
