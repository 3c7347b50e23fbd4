"""Execution: order, values, lists, caching, events, interruption and failures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from weakref import ref

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganvas.core.errors import InputError, Interrupted
from ganvas.nodes.engine import Cache, NodeFailedError, NodeInputError, execute, prepare
from ganvas.nodes.engine.cache import Entry, size_of


def entry(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def run(workflow: dict[str, Any], small: Any, host: Any, **options: Any) -> Any:
    return execute(prepare(workflow, small.registry, host), host, **options)


def shown(workflow: dict[str, Any], small: Any, host: Any, **options: Any) -> dict[str, list[Any]]:
    ui = run(workflow, small, host, **options).ui
    return {id: content["values"] for id, content in ui.items()}


def diamond(value: int = 2, factor: int = 3) -> dict[str, Any]:
    return {
        "show": entry("Show", value=["sum", 0]),
        "sum": entry("Add", a=["left", 0], b=["right", 0], factor=1),
        "left": entry("Add", a=["number", 0], factor=factor),
        "right": entry("Split", a=["number", 0]),
        "number": entry("Constant", value=value),
    }


def test_values_flow_from_inputs_to_outputs(fresh, host):
    assert shown(diamond(), fresh, host) == {"show": [8]}
    names = fresh.names()
    assert names[0] == "Constant" and names[-1] == "Show" and len(names) == 5


def test_unconnected_optional_inputs_take_their_default(fresh, host):
    run(diamond(), fresh, host)
    assert ("Add", {"a": 2, "b": None, "factor": 3}) in fresh.calls


def test_only_what_outputs_need_runs(fresh, host):
    run({**diamond(), "extra": entry("Fail", a=["number", 0])}, fresh, host)
    assert "Fail" not in fresh.names()


DAGS = st.lists(
    st.tuples(st.integers(-9, 9), st.integers(0, 100), st.integers(0, 100), st.integers(1, 3)),
    min_size=2,
    max_size=15,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(DAGS, st.randoms(use_true_random=False))
def test_random_graphs_give_the_values_that_plain_arithmetic_gives(fresh, host, rows, random):
    workflow, expected = {"0": entry("Constant", value=rows[0][0])}, [rows[0][0]]
    for index, (_, a, b, factor) in enumerate(rows[1:], 1):
        a, b = a % index, b % index
        workflow[str(index)] = entry("Add", a=[str(a), 0], b=[str(b), 0], factor=factor)
        expected.append((expected[a] + expected[b]) * factor)
    for index in range(len(rows)):
        workflow[f"show{index}"] = entry("Show", value=[str(index), 0])
    items = list(workflow.items())
    random.shuffle(items)
    fresh.calls.clear()
    result = shown(dict(items), fresh, host)
    assert result == {f"show{i}": [value] for i, value in enumerate(expected)}
    assert len(fresh.names()) == 2 * len(rows)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(DAGS, st.data())
def test_after_a_change_only_what_depends_on_it_runs_again(fresh, host, rows, data):
    needs = {0: set()}
    workflow = {"0": entry("Constant", value=rows[0][0])}
    for index, (_, a, b, factor) in enumerate(rows[1:], 1):
        a, b = a % index, b % index
        needs[index] = {a, b} | needs[a] | needs[b]
        workflow[str(index)] = entry("Add", a=[str(a), 0], b=[str(b), 0], factor=factor)
    last = len(rows) - 1
    workflow["show"] = entry("Show", value=[str(last), 0])
    cache = Cache()
    run(workflow, fresh, host, cache=cache)
    again = run(workflow, fresh, host, cache=cache)
    assert again.executed == [] and again.ui["show"]["values"]
    target = data.draw(st.integers(0, last))
    name = "factor" if target else "value"
    workflow[str(target)]["inputs"][name] = 9 if target else 55
    fresh.calls.clear()
    third = run(workflow, fresh, host, cache=cache)
    allowed = {"show"} | {str(i) for i in range(last + 1) if i == target or target in needs[i]}
    assert set(third.executed) <= allowed
    assert ("show" in third.executed) is (target == last or target in needs[last])
    fresh.calls.clear()
    assert third.ui == run(workflow, fresh, host).ui


def test_keys_follow_content_and_not_ids(fresh, host):
    cache = Cache()
    run(diamond(), fresh, host, cache=cache)
    fresh.names()
    renamed = {
        "9": entry("Constant", value=2),
        "8": entry("Add", a=["9", 0], factor=3),
        "show": entry("Show", value=["8", 0]),
    }
    assert run(renamed, fresh, host, cache=cache).executed == ["show"]


def test_two_equal_output_nodes_both_run(fresh, host):
    workflow = {**diamond(), "again": entry("Show", value=["sum", 0])}
    result = run(workflow, fresh, host, cache=Cache())
    assert result.ui["show"] == result.ui["again"]
    assert fresh.names().count("Show") == 2


def test_a_changed_file_runs_its_reader_again(fresh, host):
    workflow = {"1": entry("Read", name="a"), "2": entry("Show", value=["1", 0])}
    cache = Cache()
    assert shown(workflow, fresh, host, cache=cache) == {"2": ["first"]}
    assert run(workflow, fresh, host, cache=cache).executed == []
    fresh.file_content = "second"
    assert shown(workflow, fresh, host, cache=cache) == {"2": ["second"]}


def test_the_cache_drops_what_was_not_used_for_longest():
    def filled() -> Entry:
        return Entry(([torch.zeros(250)],), {})

    size = size_of(filled().outputs)
    assert 1000 <= size < 1600
    cache = Cache(capacity=int(size * 2.5))
    cache.put("a", filled())
    cache.put("b", filled())
    assert cache.get("a") is not None
    cache.put("c", filled())
    assert cache.get("b") is None and cache.get("a") is not None and cache.get("c") is not None
    assert cache.size == 2 * size
    cache.put("big", Entry(([torch.zeros(10_000)],), {}))
    assert cache.get("big") is None and len(cache) == 2
    cache.clear()
    assert cache.size == 0 and len(cache) == 0


def test_sizes_count_modules_and_shared_tensors_once():
    layer = torch.nn.Linear(100, 100, bias=False)
    assert 40_000 <= size_of(layer) < 42_000
    tensor = torch.zeros(1000)
    assert 4000 <= size_of([tensor, tensor, {"x": tensor}]) < 5000


def test_lists_run_nodes_once_for_each_element_repeating_the_last(fresh, host):
    workflow = {
        "three": entry("Count", size=3),
        "two": entry("Count", size=2),
        "sum": entry("Add", a=["three", 0], b=["two", 0], factor=2),
        "show": entry("Show", value=["sum", 0]),
    }
    assert shown(workflow, fresh, host) == {"show": [0, 4, 6]}
    assert fresh.names().count("Add") == 3


def test_list_inputs_take_everything_in_one_call(fresh, host):
    workflow = {
        "list": entry("Count", size=4),
        "doubled": entry("Add", a=["list", 0], factor=2),
        "total": entry("Total", items=["doubled", 0]),
        "show": entry("Show", value=["total", 0]),
    }
    assert shown(workflow, fresh, host) == {"show": [12]}
    assert fresh.names().count("Total") == 1


def test_an_empty_list_is_refused_naming_node_and_input(fresh, host):
    workflow = {
        "list": entry("Count", size=0),
        "sum": entry("Add", a=["list", 0], factor=1),
        "show": entry("Show", value=["sum", 0]),
    }
    with pytest.raises(NodeInputError, match=r"node sum \(Add Node\): input a: received an empty"):
        run(workflow, fresh, host)


def test_linked_widget_values_are_checked(fresh, host):
    workflow = {
        "1": entry("Constant", value=1),
        "2": entry("Repeat", a=["1", 0], times=4),
        "3": entry("Repeat", a=["1", 0], times=["2", 0]),
        "4": entry("Constant", value=["3", 0]),
        "5": entry("Show", value=["4", 0]),
    }
    assert shown(workflow, fresh, host) == {"5": [4]}
    workflow["6"] = entry("Options", seed=1, mode="slow", amount=["2", 0], flag=False, text="")
    workflow["7"] = entry("Show", value=["6", 0])
    with pytest.raises(InputError, match="Return type mismatch"):
        run(workflow, fresh, host)


def test_an_exception_names_its_node_and_keeps_its_cause(fresh, host):
    events = []
    workflow = {**diamond(), "bad": entry("Fail", a=["number", 0])}
    workflow["show2"] = entry("Show", value=["bad", 0])
    with pytest.raises(
        NodeFailedError, match=r"node bad \(Fail Node\): ZeroDivisionError"
    ) as caught:
        run(workflow, fresh, host, events=lambda kind, data: events.append((kind, data)))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert not isinstance(caught.value, InputError)
    kind, data = events[-1]
    assert kind == "execution_error"
    assert (data["node_id"], data["node_type"]) == ("bad", "Fail")
    assert data["exception_type"] == "ZeroDivisionError"
    assert any("ZeroDivisionError" in line for line in data["traceback"])


def test_results_before_a_failure_stay_in_the_cache(fresh, host):
    cache = Cache()
    workflow = {**diamond(), "bad": entry("Fail", a=["sum", 0])}
    workflow["show2"] = entry("Show", value=["bad", 0])
    with pytest.raises(NodeFailedError):
        run(workflow, fresh, host, cache=cache)
    fresh.names()
    run(diamond(), fresh, host, cache=cache)
    assert "Add" not in fresh.names()


def test_events_tell_the_story_in_order(fresh, host):
    events = []
    workflow = {
        "1": entry("Constant", value=1),
        "2": entry("Repeat", a=["1", 0], times=2),
        "3": entry("Show", value=["2", 0]),
    }
    cache = Cache()
    run(workflow, fresh, host, cache=cache, events=lambda *event: events.append(event))
    assert [(kind, data.get("node")) for kind, data in events] == [
        ("execution_start", None),
        ("execution_cached", None),
        ("executing", "1"),
        ("node_finished", "1"),
        ("executing", "2"),
        ("progress", "2"),
        ("progress", "2"),
        ("node_finished", "2"),
        ("executing", "3"),
        ("executed", "3"),
        ("node_finished", "3"),
        ("execution_success", None),
    ]
    assert events[5][1] == {"node": "2", "value": 1, "max": 2}
    assert events[9][1]["output"] == {"values": [2]}
    events.clear()
    run(workflow, fresh, host, cache=cache, events=lambda *event: events.append(event))
    assert events[1] == ("execution_cached", {"nodes": ["3"]})
    assert ("executed", {"node": "3", "display_node": "3", "output": {"values": [2]}}) in events


def test_interruption_stops_inside_and_between_nodes(fresh, host):
    events, stop = [], []
    workflow = {
        "1": entry("Constant", value=1),
        "2": entry("Repeat", a=["1", 0], times=4),
        "3": entry("Show", value=["2", 0]),
    }
    steps = []

    def on_tick(index: int) -> None:
        steps.append(index)
        if index == 1:
            stop.append(True)

    fresh.on_tick = on_tick
    with pytest.raises(Interrupted):
        run(
            workflow,
            fresh,
            host,
            interrupted=lambda: bool(stop),
            events=lambda *event: events.append(event),
        )
    assert steps == [0, 1]
    assert events[-1][0] == "execution_interrupted"
    assert events[-1][1] == {"node_id": "2", "node_type": "Repeat", "executed": ["1"]}
    fresh.calls.clear()
    with pytest.raises(Interrupted):
        run(workflow, fresh, host, interrupted=lambda: True)
    assert fresh.calls == []


def test_intermediate_results_are_released_when_nobody_needs_them(small, host):
    alive = []
    registry = dict(small.registry)

    class Value:
        pass

    def make(ctx: Any, value: int) -> Any:
        item = Value()
        alive.append(ref(item))
        return item

    def use(ctx: Any, **inputs: Any) -> Any:
        return 1

    registry["Constant"] = replace(registry["Constant"], function=make)
    registry["Add"] = replace(registry["Add"], function=use)
    seen = []

    def check(ctx: Any, value: Any) -> None:
        seen.append(alive[0]())

    registry["Show"] = replace(registry["Show"], function=check)
    workflow = {
        "1": entry("Constant", value=1),
        "2": entry("Add", a=["1", 0], factor=1),
        "3": entry("Show", value=["2", 0]),
    }
    execute(prepare(workflow, registry, host), host)
    assert seen == [None]


def test_another_output_of_the_same_node_is_another_content(fresh, host):
    workflow = {
        "1": entry("Constant", value=4),
        "2": entry("Split", a=["1", 0]),
        "3": entry("Show", value=["2", 0]),
    }
    cache = Cache()
    assert shown(workflow, fresh, host, cache=cache) == {"3": [4]}
    workflow["3"] = entry("Show", value=["2", 1])
    assert shown(workflow, fresh, host, cache=cache) == {"3": ["4"]}


def test_results_of_one_device_are_not_used_on_another(fresh, host):
    cache = Cache()
    run(diamond(), fresh, host, cache=cache)
    assert len(run(diamond(), fresh, replace(host, device="cuda"), cache=cache).executed) == 5


def test_interruption_stops_between_the_elements_of_a_list(fresh, host):
    workflow = {
        "list": entry("Count", size=5),
        "sum": entry("Add", a=["list", 0], factor=1),
        "show": entry("Show", value=["sum", 0]),
    }
    with pytest.raises(Interrupted):
        run(workflow, fresh, host, interrupted=lambda: len(fresh.calls) >= 3)
    assert fresh.names() == ["Count", "Add", "Add"]


def test_nodes_run_without_recording_gradients(fresh, host):
    seen = []

    def show(ctx: Any, value: Any) -> None:
        seen.append(torch.is_inference_mode_enabled())

    registry = {**fresh.registry, "Show": replace(fresh.registry["Show"], function=show)}
    execute(prepare(diamond(), registry, host), host)
    assert seen == [True] and not torch.is_inference_mode_enabled()
