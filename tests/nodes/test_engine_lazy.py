"""Lazy inputs: what feeds them runs only when the node asks, in whatever graph."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganvas.core.errors import Interrupted
from ganvas.nodes import logic, registry
from ganvas.nodes.context import Context
from ganvas.nodes.engine import Cache, NodeFailedError, execute, object_info, prepare
from ganvas.nodes.spec import Socket, build_spec

from . import fake_comfyui as fake
from . import fake_executor

Number = Annotated[float, Socket("NUMBER")]
Lazy = Annotated[float | None, Socket("NUMBER", lazy=True)]


def entry(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def first_positive(values: Mapping[str, Any]) -> list[str]:
    """Ask for a, b, c in turn until one is positive."""
    for name in ("a", "b", "c"):
        if name not in values:
            return [name]
        if values[name] > 0:
            return []
    return []


@pytest.fixture
def nodes(fresh):
    def first(ctx: Context, a: Lazy, b: Lazy, c: Lazy | None = None) -> Number:
        """Give the first positive number.

        Args:
            a: Looked at first.
            b: Looked at next.
            c: Looked at last.

        Returns:
            number: That number, 0 when there is none.
        """
        fresh.calls.append(("First", {"a": a, "b": b, "c": c}))
        return next((value for value in (a, b, c) if value is not None and value > 0), 0)

    spec = build_spec(first, id="First", title="First", category="test", needs=first_positive)
    switch = registry()["ComfySwitchNode"]
    return {**fresh.registry, "First": spec, "ComfySwitchNode": switch}


def run(workflow, nodes, host, **options):
    return execute(prepare(workflow, nodes, host), host, **options)


def three(a: int, b: int, c: int) -> dict[str, Any]:
    return {
        "1": entry("Constant", value=a),
        "2": entry("Constant", value=b),
        "3": entry("Constant", value=c),
        "4": entry("First", a=["1", 0], b=["2", 0], c=["3", 0]),
        "5": entry("Show", value=["4", 0]),
    }


@pytest.mark.parametrize(
    ("values", "ran"), [((5, 6, 7), 1), ((-5, 6, 7), 2), ((0, 0, 7), 3), ((0, 0, 0), 3)]
)
def test_what_is_not_asked_for_does_not_run(nodes, fresh, host, values, ran):
    done = run(three(*values), nodes, host)
    assert fresh.names() == ["Constant"] * ran + ["First", "Show"]
    assert done.ui["5"] == {"values": [next((v for v in values if v > 0), 0)]}
    assert len(done.executed) == ran + 2 and done.cached == []


def test_what_is_not_asked_for_arrives_as_none(nodes, fresh, host):
    run(three(5, 6, 7), nodes, host)
    assert dict(fresh.calls)["First"] == {"a": 5, "b": None, "c": None}


def test_an_optional_lazy_input_may_stay_unlinked(nodes, fresh, host):
    workflow = three(0, 0, 0)
    del workflow["4"]["inputs"]["c"]
    assert run(workflow, nodes, host).ui["5"] == {"values": [0]}


def test_a_branch_that_fails_does_no_harm_until_it_is_wanted(nodes, fresh, host):
    def workflow(on: bool) -> dict[str, Any]:
        return {
            "1": entry("Constant", value=1),
            "2": entry("Fail", a=["1", 0]),
            "3": entry("ComfySwitchNode", switch=on, on_false=["1", 0], on_true=["2", 0]),
            "4": entry("Show", value=["3", 0]),
        }

    cache = Cache()
    assert run(workflow(False), nodes, host, cache=cache).ui["4"] == {"values": [1]}
    with pytest.raises(NodeFailedError) as caught:
        run(workflow(True), nodes, host, cache=cache)
    assert caught.value.node_id == "2"


def test_a_switch_may_be_linked_itself(nodes, fresh, host):
    workflow = {
        "0": entry("PrimitiveBoolean", value=True),
        "1": entry("Constant", value=1),
        "2": entry("Constant", value=2),
        "3": entry("ComfySwitchNode", switch=["0", 0], on_false=["1", 0], on_true=["2", 0]),
        "4": entry("Show", value=["3", 0]),
    }
    nodes["PrimitiveBoolean"] = registry()["PrimitiveBoolean"]
    assert run(workflow, nodes, host).ui["4"] == {"values": [2]}
    assert fresh.names() == ["Constant", "Show"]


def test_lists_ask_for_what_any_of_their_elements_needs(nodes, fresh, host):
    workflow = three(0, 6, 7)
    workflow["1"] = entry("Count", size=3)  # 0, 1, 2: only the first one needs b
    done = run(workflow, nodes, host)
    assert done.ui["5"] == {"values": [6, 1, 2]}
    assert fresh.names() == ["Count", "Constant", *["First"] * 3, *["Show"] * 3]


def test_a_result_is_kept_until_the_last_one_that_may_ask_for_it(nodes, fresh, host):
    workflow = {
        "6": entry("Add", a=["3", 0], factor=1),
        "7": entry("Show", value=["6", 0]),  # the eager reader of node 3 runs first
        **three(0, 0, 7),
    }
    assert run(workflow, nodes, host).ui["5"] == {"values": [7]}
    assert fresh.names().count("Constant") == 3


def test_long_chains_of_switches_need_no_recursion(nodes, fresh, host):
    workflow = {"0": entry("Constant", value=3), "x": entry("Fail", a=["0", 0])}
    for index in range(1, 2001):
        below = [str(index - 1), 0]
        workflow[str(index)] = entry("ComfySwitchNode", on_false=below, on_true=["x", 0])
        workflow[str(index)]["inputs"]["switch"] = False
    workflow["show"] = entry("Show", value=["2000", 0])
    assert run(workflow, nodes, host).ui["show"] == {"values": [3]}


def test_a_second_run_finds_what_the_first_one_computed(nodes, fresh, host):
    cache = Cache()
    run(three(0, 6, 7), nodes, host, cache=cache)
    fresh.names()
    again = run(three(0, 6, 7), nodes, host, cache=cache)
    assert fresh.names() == [] and again.cached == ["5"]
    changed = run(three(0, 6, -1), nodes, host, cache=cache)
    assert fresh.names() == ["First", "Show"] and changed.ui["5"] == {"values": [6]}


def test_a_failing_hook_names_its_node(fresh, nodes, host):
    def broken(values: Mapping[str, Any]) -> list[str]:
        raise KeyError("hook")

    nodes["First"] = build_spec(
        nodes["First"].function, id="First", title="F", category="test", needs=broken
    )
    with pytest.raises(NodeFailedError) as caught:
        run(three(1, 2, 3), nodes, host)
    assert caught.value.node_id == "4"


def test_interruption_stops_before_what_a_lazy_input_asks_for(nodes, fresh, host):
    def stop() -> bool:
        return any(name == "Constant" for name, _ in fresh.calls)

    with pytest.raises(Interrupted):
        run(three(0, 0, 0), nodes, host, interrupted=stop)
    assert fresh.names() == ["Constant"]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_random_graphs_give_what_plain_evaluation_gives_and_run_nothing_twice(data):
    """Switches over switches, shared branches among them; each node runs once at most."""
    ran: list[str] = []

    def leaf(ctx: Context) -> Number:
        """Give this node's number.

        Returns:
            number: The number in its id.
        """
        ran.append(ctx.node_id)
        return float(ctx.node_id)

    def show(ctx: Context, value: Annotated[Any, Socket("*")]) -> None:
        """Show a value.

        Args:
            value: Anything.
        """
        ctx.show("values", [value])

    nodes = {
        "Leaf": build_spec(leaf, id="Leaf", title="Leaf", category="test"),
        "Switch": registry()["ComfySwitchNode"],
        "Show": build_spec(show, id="Show", title="Show", category="test", output_node=True),
    }
    count = data.draw(st.integers(1, 4))
    workflow: dict[str, Any] = {str(k): entry("Leaf") for k in range(count)}
    value = {str(k): float(k) for k in range(count)}
    for k in range(count, count + data.draw(st.integers(1, 8))):
        on = data.draw(st.booleans())
        off_link, on_link = (data.draw(st.sampled_from(sorted(value))) for _ in range(2))
        workflow[str(k)] = entry("Switch", switch=on, on_false=[off_link, 0], on_true=[on_link, 0])
        value[str(k)] = value[on_link if on else off_link]
    outputs = data.draw(st.lists(st.sampled_from(sorted(value)), min_size=1, max_size=3))
    for place, id in enumerate(outputs):
        workflow[f"o{place}"] = entry("Show", value=[id, 0])
    host = Context().host
    done = run(workflow, nodes, host)
    for place, id in enumerate(outputs):
        assert done.ui[f"o{place}"] == {"values": [value[id]]}
    wanted = {str(int(value[id])) for id in outputs}
    assert sorted(ran) == sorted(wanted)
    assert len(done.executed) == len(set(done.executed))


def test_the_editor_is_told_which_inputs_are_lazy(host):
    inputs = object_info(registry()["ComfySwitchNode"], host)["input"]["required"]
    assert inputs["on_true"][1]["lazy"] is True and "lazy" not in inputs["switch"][1]


def test_comfyui_asks_for_what_the_node_needs(monkeypatch, tmp_path, nodes):
    fake.install(monkeypatch, tmp_path)
    adapter = importlib.import_module("ganvas.nodes.comfy_adapter")
    adapter.register_model_folder()
    made = adapter.node_class(nodes["First"], adapter.Placement())
    assert [port.lazy for port in made.GET_SCHEMA().inputs] == [True] * 3
    assert made.check_lazy_status(a=None, b=None, c=None) == ["a"]
    assert made.check_lazy_status(a=-1.0, b=None, c=None) == ["b"]
    assert made.check_lazy_status(a=-1.0, b=2.0, c=None) == []
    assert fake_executor.run(made, a=-1.0, b=2.0, c=None).args == (2.0,)


def test_lazy_inputs_and_their_hook_go_together(nodes):
    function = nodes["First"].function
    with pytest.raises(TypeError, match="needs"):
        build_spec(function, id="First", title="First", category="test")
    with pytest.raises(TypeError, match="needs"):
        build_spec(logic.primitive_int, id="X", title="X", category="test", needs=first_positive)


@pytest.mark.parametrize(
    ("id", "value"),
    [
        ("PrimitiveInt", -7),
        ("PrimitiveFloat", 0.25),
        ("PrimitiveBoolean", True),
        ("PrimitiveString", "a b"),
        ("PrimitiveStringMultiline", "a\nb"),
    ],
)
def test_constants_pass_their_value_on(nodes, fresh, host, id, value):
    nodes[id] = registry()[id]
    workflow = {"1": entry(id, value=value), "2": entry("Show", value=["1", 0])}
    assert run(workflow, nodes, host).ui["2"] == {"values": [value]}
