"""The benchmark's parts: published op boundaries, timers, protocol, schema, report."""

import contextlib
import dataclasses
import itertools
import json
import math
from collections.abc import Callable

import pytest
import torch

from ganvas.kernels import setup_filter, use_backend
from ganvas.kernels.bench import composed, entries, layers, networks, phases, report, schema
from ganvas.kernels.bench.protocol import (
    COLD_BYTES,
    COMPOSED,
    EAGER,
    LAUNCHED,
    OURS,
    Case,
    Entry,
    Protocol,
    accuracy,
    judge,
    select_part,
)
from ganvas.kernels.bench.run import choose, run
from ganvas.kernels.bench.timers import (
    REPLAYS,
    WARM_CALLS,
    WARM_UPS,
    CpuTimer,
    GraphTimer,
    LaunchTimer,
    Prepared,
    interleave,
    quantile,
)
from ganvas.kernels.bench.work import Work, floor
from ganvas.kernels.filtered_lrelu.geometry import layer_geometry

CPU = torch.device("cpu")


def near(y, reference):
    torch.testing.assert_close(y, reference, rtol=1e-9, atol=1e-9)


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def whole(case: Case, name: str, inputs: dict) -> tuple[torch.Tensor, ...]:
    return select_part(case.columns[name](inputs), case)


# Composed ops are the references, of the same arguments.


@pytest.mark.parametrize("op", sorted({entry.op for entry in entries.op_entries(CPU, quick=True)}))
def test_composed_ops_equal_the_references_with_all_gradients(op):
    rows = [entry for entry in entries.op_entries(CPU, quick=True) if entry.op == op]
    assert rows
    for entry in rows:
        case = entry.make()
        inputs = {
            name: tensor.double() if tensor.is_floating_point() else tensor
            for name, tensor in case.inputs.items()
        }
        exact = case.exact(inputs)
        for y, reference in zip(whole(case, COMPOSED, inputs), exact, strict=True):
            near(y, reference)
        with use_backend("eager"):
            for y, reference in zip(whole(case, OURS, inputs), exact, strict=True):
                # That the same thing is called; how near it comes is the matter of its own tests.
                torch.testing.assert_close(y, reference, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("radial", [False, True])
def test_composed_filtered_lrelu_equals_the_reference_in_every_layer(radial):
    torch.manual_seed(0)
    found = set()
    for geometry in layer_geometry(32, radial=radial, channel_base=64, channel_max=2):
        if geometry.is_torgb:
            continue
        found.add((geometry.up, geometry.down))
        op = entries._filtered_lrelu(geometry, 1, torch.float64)
        case = op.case(phases.BACKWARD, torch.float64, CPU)
        for y, reference in zip(
            case.columns[COMPOSED](case.inputs), case.exact(case.inputs), strict=True
        ):
            near(y, reference)
    assert len(found) > 1


def test_composed_filter_crops_where_padding_is_negative():
    x, f = draw(1, 2, 7, 6), setup_filter([1, 2, 4]).double()
    padding = (-1, 2, 1, -2)
    y = composed.upfirdn2d(x, f, up=2, down=1, padding=padding, gain=3.0)
    reference = networks.upfirdn2d_reference.upfirdn2d(x, f, (2, 2), (1, 1), padding, False, 3.0)
    near(y, reference)


def test_layer_list_is_that_of_the_1024_network():
    found = layers.synthesis_layers(1024)
    assert len(found) == 17
    assert found[-1] == layers.Layer("1024/conv1", 1024, 32, 32, 1)
    flop = sum(part.flop for part in layers.synthesis_work(256, 1, torch.bfloat16))
    assert flop == pytest.approx(90e9, rel=0.02)
    moved = sum(part.bytes for part in layers.synthesis_work(1024, 1, torch.bfloat16))
    assert moved == pytest.approx(0.47e9, rel=0.05)


def test_few_of_many_separate_channels_are_compared_with_float64():
    op = entries._bias_act(1, 20, 3, torch.float32)
    case = op.case(phases.FORWARD, torch.float32, CPU)
    assert case.part is not None and case.part[0] == 0 and case.part[-1] == 19
    assert len(case.part) == 8
    (exact,) = case.exact({name: tensor.double() for name, tensor in case.inputs.items()})
    (y,) = whole(case, COMPOSED, case.inputs)
    torch.testing.assert_close(y.double(), exact, rtol=1e-5, atol=1e-5)


# Timers.


class Ticks:
    """A clock that only moves when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_cpu_timer_repeats_short_calls_and_divides():
    clock, calls = Ticks(), []

    def call(index: int) -> None:
        calls.append(index)
        clock.now += 0.01

    prepared = CpuTimer(0.035, clock).prepare(call, 2)
    assert prepared.calls == 4
    calls.clear()
    assert prepared.sample() == pytest.approx(0.01)
    assert calls == [0, 1, 0, 1]


class FakeGpu:
    """A `GraphRuntime` whose time is what the recorded work would take."""

    def __init__(self, clock: Ticks) -> None:
        self.clock = clock
        self.inside = 0
        self.replays = 0
        self.recorded: list[list[int]] = []
        self.pending: list[int] = []

    @contextlib.contextmanager
    def side_stream(self):
        self.inside += 1
        yield
        self.inside -= 1

    def capture(self, work: Callable[[], object]) -> Callable[[], None]:
        assert not self.inside
        start, self.pending = self.clock.now, []
        work()
        cost, self.clock.now = self.clock.now - start, start
        self.recorded.append(self.pending)

        def replay() -> None:
            self.replays += 1
            self.clock.now += cost

        return replay

    def elapsed(self, work: Callable[[], object]) -> float:
        start = self.clock.now
        work()
        return self.clock.now - start


@pytest.mark.parametrize("copies", [1, 3, 64])
def test_graph_timer_replays_one_graph_of_all_input_copies(copies):
    clock = Ticks()
    gpu = FakeGpu(clock)
    warm = []

    def call(index: int) -> None:
        (warm if gpu.inside else gpu.pending).append(index)
        clock.now += 1e-4

    prepared = GraphTimer(gpu).prepare(call, copies)
    assert len(warm) == WARM_UPS
    assert gpu.recorded == [list(range(copies)) if copies > 1 else [0] * WARM_CALLS]
    gpu.replays = 0
    assert prepared.sample() == pytest.approx(1e-4)
    assert gpu.replays * len(gpu.recorded[0]) == prepared.calls >= REPLAYS
    assert len(gpu.recorded) == 1


def test_launch_timer_calls_without_a_graph():
    clock = Ticks()
    gpu = FakeGpu(clock)

    def call(index: int) -> None:
        clock.now += 2e-4

    prepared = LaunchTimer(gpu).prepare(call, 1)
    assert prepared.sample() == pytest.approx(2e-4)
    assert not gpu.recorded


def test_samples_are_interleaved_and_stop_at_the_budget():
    clock, order = Ticks(), []

    def column(name: str, seconds: float) -> Prepared:
        def sample() -> float:
            order.append(name)
            clock.now += 1.0
            return seconds

        return Prepared(sample, 7)

    columns = {"a": column("a", 1.0), "b": column("b", 2.0)}
    timings = interleave(columns, budget_s=100, samples=(3, 4), clock=clock)
    assert order == ["a", "b", "b", "a", "a", "b", "b", "a"]
    assert timings["b"] == schema.Timing(2.0, 2.0, 2.0, 4, 7)
    order.clear()
    assert interleave(columns, budget_s=0, samples=(3, 9), clock=clock)["a"].samples == 3
    assert len(order) == 6


def test_quantiles_are_linear_between_samples():
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([0.0, 10.0], 0.1) == pytest.approx(1.0)
    assert quantile([5.0], 0.9) == 5.0


# The protocol.


def the_case(ours, eager=None, **changes) -> Case:
    columns = {
        COMPOSED: lambda i: (i["x"] * 2,),
        EAGER: eager or (lambda i: (i["x"] * 2,)),
        OURS: ours,
    }
    x = torch.linspace(-1, 1, 24).reshape(1, 2, 3, 4)
    case = Case({"x": x}, columns, lambda i: (i["x"] * 2,), [Work(8.0, 0.0)], {"N": 1})
    return dataclasses.replace(case, **changes)


def the_entry(case: Case, **changes) -> Entry:
    entry = Entry("thing/1", "op", "thing", phases.FORWARD, torch.float32, lambda: case)
    return dataclasses.replace(entry, **changes)


def the_protocol(**changes) -> Protocol:
    ceilings = schema.Ceilings(1e9, {"float32": 1e12})
    protocol = Protocol(CPU, CpuTimer(1e-5), None, ceilings, 0.01, (3, 5))
    return dataclasses.replace(protocol, **changes)


def test_a_row_has_every_column_its_floor_and_its_errors():
    row = the_protocol().measure(the_entry(the_case(lambda i: (i["x"] + i["x"],))))
    assert row.passed and set(row.columns) == {COMPOSED, EAGER, OURS}
    assert row.floor_s == pytest.approx(8e-9) and row.bound == "memory"
    for column in row.columns.values():
        assert column.timing is not None and 3 <= column.timing.samples <= 5
        assert column.accuracy is not None and column.accuracy.max_abs < 1e-6
        assert column.reason is None


@pytest.mark.parametrize(
    "ours, said",
    [
        (lambda i: (i["x"] * 2.01,), "expected at most 1e-04"),
        (lambda i: (i["x"] * math.nan,), "finite"),
        (lambda i: (i["x"], i["x"]), "1 outputs"),
        (lambda i: (i["x"][:, :1],), "an output"),
        (lambda i: 1 // 0, "ZeroDivisionError"),
    ],
)
def test_a_red_row_says_why_and_has_no_number_at_all(ours, said):
    row = the_protocol().measure(the_entry(the_case(ours)))
    assert not row.passed and said in row.verdict
    assert all(column.timing is None for column in row.columns.values())


def test_another_column_may_fail_with_its_reason():
    def broken(i):
        raise RuntimeError("no such thing\nand more")

    row = the_protocol().measure(the_entry(the_case(lambda i: (i["x"] * 2,), eager=broken)))
    assert row.passed
    assert row.columns[EAGER] == schema.Column(None, None, "RuntimeError: no such thing")


def test_columns_get_the_memory_format_of_their_network():
    seen = {}

    def ours(i):
        seen["ours"] = i["x"].is_contiguous(memory_format=torch.channels_last)
        return (i["x"] * 2,)

    def eager(i):
        seen["eager"] = i["x"].is_contiguous(memory_format=torch.channels_last)
        return (i["x"] * 2,)

    the_protocol().measure(the_entry(the_case(ours, eager, contiguous=(COMPOSED, EAGER))))
    assert seen == {"ours": True, "eager": False}


def test_a_gpu_row_is_cold_over_copies_and_has_one_column_without_graph(monkeypatch):
    clock = Ticks()
    gpu = FakeGpu(clock)
    pointers = set()

    def ours(i):
        clock.now += 1e-5
        pointers.add(i["x"].data_ptr())
        return (i["x"] * 2,)

    def other(i):
        clock.now += 3e-5
        return (i["x"] * 2,)

    case = the_case(ours, other)
    case.columns[COMPOSED] = other
    protocol = the_protocol(timer=GraphTimer(gpu), launch_timer=LaunchTimer(gpu))
    row = protocol.measure(the_entry(case, cache="cold"))
    assert row.passed and list(row.columns) == [COMPOSED, EAGER, LAUNCHED, OURS]
    medians = {n: c.timing.median_s for n, c in row.columns.items() if c.timing is not None}
    assert medians == pytest.approx({COMPOSED: 3e-5, EAGER: 3e-5, LAUNCHED: 3e-5, OURS: 1e-5})
    assert len(pointers) >= 3, "expected copies of the inputs that exceed the cache"
    assert COLD_BYTES > 4 * 50e6  # an H200's L2


def test_judgement_on_a_gpu_and_in_low_precision():
    def verdict(ours: float, eager: float | None, dtype=torch.bfloat16, device="cuda"):
        made = {OURS: schema.Accuracy(ours, ours, ours)}
        if eager is not None:
            made[EAGER] = schema.Accuracy(eager, eager, eager)
        return judge(made, {}, dtype, device)[0]

    assert verdict(5e-3, 4e-3) and not verdict(5.1e-3, 4e-3)
    assert verdict(1.9e-3, 1e-3)  # rounding alone
    assert not verdict(1e-3, None, torch.float32)
    assert verdict(9e-3, 4e-3, device="cpu") and not verdict(1.1e-2, 4e-3, device="cpu")
    assert verdict(9e-5, 1e-7, torch.float32, "cpu") and not verdict(
        2e-4, 1e-7, torch.float32, "cpu"
    )
    assert not judge({}, {OURS: "broken"}, torch.float32, "cpu")[0]


def test_accuracy_is_that_of_the_worst_output():
    exact = (torch.tensor([3.0, 4.0]).double(), torch.tensor([100.0]).double())
    found = accuracy((torch.tensor([3.0, 4.5]), torch.tensor([101.0])), exact)
    assert found.relative_l2 == pytest.approx(0.1)
    assert found.max_abs == pytest.approx(1.0)
    assert found.max_scaled == pytest.approx(0.125)


def test_floor_takes_the_binding_ceiling_of_each_part():
    ceilings = schema.Ceilings(100.0, {"float32": 1000.0})
    parts = [Work(200, 500), Work(100, 3000)]
    assert floor(parts, ceilings, torch.float32) == (5.0, "compute")
    assert floor(parts, ceilings, torch.bfloat16) is None
    assert floor([], ceilings, torch.float32) is None


# Results.


@pytest.fixture(scope="module")
def result() -> schema.Result:
    with use_backend("eager"):
        chosen = [e for e in entries.op_entries(CPU, quick=True) if e.op in ("bias_act",)]
        red = the_entry(the_case(lambda i: (i["x"],)))
        total = [
            the_entry(the_case(lambda i: (i["x"] * 2,)), name=name, part_of="both", weight=weight)
            for name, weight in (("half", 0.5), ("whole", 1.0))
        ]
        return run([*chosen, red, *total], CPU, quick=True, arguments={"quick": "True"})


def test_result_survives_json_and_names_its_surroundings(result):
    assert schema.from_json(schema.to_json(result)) == result
    machine = result.machine
    assert machine.torch == torch.__version__ and machine.cpu and machine.threads >= 1
    assert machine.gpu is None and machine.device == "cpu"
    assert result.ceilings.copy_bytes_per_s > 1e6


def test_table_shows_times_red_rows_and_sums(result):
    text = report.table(result)
    assert "bias_act/layer/8/n4" in text and "vs composed" in text
    assert "RED thing/1 forward: expected at most" in text
    sums = report.summaries(result)["both"]
    half, whole = (row.columns[OURS].timing for row in result.rows[-2:])
    assert half is not None and whole is not None
    assert sums[OURS] == pytest.approx(0.5 * half.median_s + whole.median_s)
    assert "both" in text


def test_a_sum_lacks_columns_that_miss_a_part(result):
    last = result.rows[-1]
    columns = {**last.columns, EAGER: schema.Column(None, None, "out of memory")}
    rows = [*result.rows[:-1], dataclasses.replace(last, columns=columns)]
    sums = report.summaries(dataclasses.replace(result, rows=rows))
    assert set(sums["both"]) == {COMPOSED, OURS}


@pytest.mark.parametrize(
    "damage, said",
    [
        (lambda d: d.update(version=2), "version 1, got 2"),
        (lambda d: d.pop("machine"), "missing ['machine']"),
        (lambda d: d.update(extra=1), "unknown ['extra']"),
        (lambda d: d["machine"].update(threads="2"), "machine.threads: expected int"),
        (lambda d: d["machine"].update(threads=True), "expected int, got bool"),
        (lambda d: d["ceilings"].update(copy_bytes_per_s=0), "copy rate"),
        (lambda d: d["rows"][0].update(group="other"), "rows[0].group: expected one of"),
        (lambda d: d["rows"][0].update(cache="hot"), "expected one of"),
        (lambda d: d["rows"].append(d["rows"][0]), "twice"),
        (lambda d: d["rows"][0]["columns"].pop("ours"), "column ours"),
        (lambda d: d["rows"][0].update(passed=False), "no timing of a row that failed"),
        (lambda d: d["rows"][0]["columns"]["ours"].update(timing=None), "timing or a reason"),
        (lambda d: d["rows"][0]["columns"]["ours"]["timing"].update(p10_s=9.0), "p10 <= median"),
        (lambda d: d["rows"][0]["columns"]["ours"]["timing"].update(samples=0), "samples"),
        (lambda d: d["rows"][0]["columns"]["ours"]["timing"].update(p90_s=math.inf), "finite"),
        (lambda d: d.update(rows={}), "rows: expected"),
    ],
)
def test_schema_refuses_records_that_are_not_so(result, damage, said):
    data = json.loads(schema.to_json(result))
    damage(data)
    with pytest.raises(schema.SchemaError) as caught:
        schema.from_data(data)
    assert said in str(caught.value)


def test_schema_refuses_text_that_is_no_json():
    with pytest.raises(schema.SchemaError, match="expected JSON"):
        schema.from_json("{")


def test_rows_after_the_time_limit_are_listed_as_skipped():
    clock = itertools.count(0, 10)
    rows = [the_entry(the_case(lambda i: (i["x"] * 2,)), name=f"row {i}") for i in range(3)]
    found = run(rows, CPU, quick=True, time_limit_s=15, clock=lambda: float(next(clock)))
    assert [row.entry for row in found.rows] == ["row 0"]
    assert [skip.entry for skip in found.skipped] == ["row 1 forward", "row 2 forward"]
    assert "skipped: 2 rows" in report.table(found)


def test_names_are_chosen_whole_or_by_their_beginning():
    known = ["a-1", "a-10", "a-1-n8", "b"]
    assert choose(["a-1"], known, "networks") == ["a-1", "a-1-n8"]
    assert choose([], known, "networks") == known
    with pytest.raises(ValueError, match=r"expected networks of a-1, .*; got 'c'"):
        choose(["b", "c"], known, "networks")
