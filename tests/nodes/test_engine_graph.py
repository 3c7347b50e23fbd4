"""Every mistake in an API-format workflow is found, on the right node and the right socket."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganvas.core.errors import InputError
from ganvas.nodes.engine import (
    GraphError,
    dependent_outputs,
    node_errors,
    parse_workflow,
    prepare,
    validate,
)
from ganvas.nodes.engine.checker import types_match
from ganvas.nodes.engine.graph import order_nodes


def entry(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def good() -> dict[str, Any]:
    return {
        "1": entry("Constant", value=2),
        "2": entry("Add", a=["1", 0], b=["1", 0], factor=3),
        "3": entry("Show", value=["2", 0]),
    }


def found(workflow: Any, small: Any, host: Any) -> list[tuple[str, str, str]]:
    errors = validate(workflow, small.registry, host)
    return [(error.node_id, error.socket, error.type) for error in errors]


def changed(id: str, class_type: str, **inputs: Any) -> dict[str, Any]:
    return {**good(), id: entry(class_type, **inputs)}


CASES = {
    "unknown class": (changed("9", "Constnt"), ("9", "", "missing_node_type")),
    "missing socket": (changed("2", "Add", factor=1), ("2", "a", "required_input_missing")),
    "missing widget": (changed("1", "Constant"), ("1", "value", "required_input_missing")),
    "missing node": (changed("2", "Add", a=["7", 0], factor=1), ("2", "a", "bad_linked_input")),
    "missing slot": (changed("2", "Add", a=["1", 1], factor=1), ("2", "a", "bad_linked_input")),
    "negative slot": (changed("2", "Add", a=["1", -1], factor=1), ("2", "a", "bad_linked_input")),
    "value on socket": (changed("2", "Add", a=5, factor=1), ("2", "a", "bad_linked_input")),
    "type mismatch": (
        changed("2", "Add", a=["4", 1], factor=1) | {"4": entry("Split", a=["1", 0])},
        ("2", "a", "return_type_mismatch"),
    ),
    "below minimum": (
        changed("1", "Constant", value=-1001),
        ("1", "value", "value_smaller_than_min"),
    ),
    "above maximum": (
        changed("1", "Constant", value=1001),
        ("1", "value", "value_bigger_than_max"),
    ),
    "huge": (changed("1", "Constant", value=10**9999), ("1", "value", "value_bigger_than_max")),
    "fraction": (changed("1", "Constant", value=2.5), ("1", "value", "invalid_input_type")),
    "truth value": (changed("1", "Constant", value=True), ("1", "value", "invalid_input_type")),
    "null": (changed("1", "Constant", value=None), ("1", "value", "invalid_input_type")),
    "word": (changed("1", "Constant", value="two"), ("1", "value", "invalid_input_type")),
    "hook": (
        changed("3", "Show", value=["4", 0]) | {"4": entry("Repeat", a=["1", 0], times=3)},
        ("4", "times", "custom_validation_failed"),
    ),
    "no outputs": ({"1": entry("Constant", value=1)}, ("", "", "prompt_no_outputs")),
}


@pytest.mark.parametrize("name", CASES)
def test_each_mistake_is_found_on_its_node_and_socket(name, small, host):
    workflow, expected = CASES[name]
    assert found(workflow, small, host) == [expected]
    with pytest.raises(GraphError) as caught:
        prepare(workflow, small.registry, host)
    if expected[0]:
        assert f"node {expected[0]} (" in str(caught.value)
    if expected[1]:
        assert f"input {expected[1]}" in str(caught.value)


def options(**inputs: Any) -> dict[str, Any]:
    values = {"seed": 1, "mode": "fast", "amount": 0.5, "flag": True, "text": "t"} | inputs
    return {"1": entry("Options", **values), "2": entry("Show", value=["1", 0])}


@pytest.mark.parametrize(
    ("name", "value", "type"),
    [
        ("mode", "fst", "value_not_in_list"),
        ("mode", 3, "invalid_input_type"),
        ("amount", float("nan"), "invalid_input_type"),
        ("amount", 2.01, "value_bigger_than_max"),
        ("amount", "much", "invalid_input_type"),
        ("flag", "yes", "invalid_input_type"),
        ("flag", 2, "invalid_input_type"),
        ("text", None, "invalid_input_type"),
        ("text", {"a": 1}, "invalid_input_type"),
        ("seed", 2**32, "value_bigger_than_max"),
        ("seed", [1, 2, 3], "invalid_input_type"),
    ],
)
def test_each_widget_refuses_what_it_cannot_use(name, value, type, small, host):
    assert found(options(**{name: value}), small, host) == [("1", name, type)]


def test_values_take_their_python_type(small, host):
    workflow = options(seed="7", amount=1, flag=1, text=5)
    values = prepare(workflow, small.registry, host).nodes["1"].values
    assert values == {"seed": 7, "mode": "fast", "amount": 1.0, "flag": True, "text": "5"}
    assert isinstance(values["amount"], float) and values["flag"] is True


def test_a_wrapped_list_is_a_value_and_no_link(small, host):
    workflow = changed("1", "Constant", value={"__value__": ["3", 0]})
    assert found(workflow, small, host) == [("1", "value", "invalid_input_type")]


def test_a_good_workflow_is_planned_in_order(small, host):
    plan = prepare(good(), small.registry, host)
    assert plan.order == ["1", "2", "3"] and plan.outputs == ["3"]
    assert plan.nodes["2"].values == {"factor": 3}
    assert validate(good(), small.registry, host) == []


def test_nodes_that_no_output_needs_are_not_checked(small, host):
    workflow = good() | {"9": entry("Constant", value="wrong")}
    plan = prepare(workflow, small.registry, host)
    assert "9" not in plan.nodes


def test_targets_select_outputs(small, host):
    workflow = good() | {"4": entry("Show", value=["1", 0])}
    plan = prepare(workflow, small.registry, host, targets=["4"])
    assert plan.outputs == ["4"] and plan.order == ["1", "4"]


def test_cycles_are_refused_naming_their_nodes(small, host):
    workflow = {
        "1": entry("Add", a=["3", 0], factor=1),
        "2": entry("Add", a=["1", 0], factor=1),
        "3": entry("Add", a=["2", 0], factor=1),
        "4": entry("Show", value=["3", 0]),
    }
    with pytest.raises(GraphError) as caught:
        prepare(workflow, small.registry, host)
    (error,) = caught.value.errors
    assert error.type == "dependency_cycle"
    names = error.details.split(" -> ")
    assert names[0] == names[-1] and set(names) == {"1", "2", "3"}
    for source, target in itertools.pairwise(names):
        assert workflow[target]["inputs"]["a"][0] == source


def test_a_node_linked_to_itself_is_a_cycle(small, host):
    workflow = changed("2", "Add", a=["2", 0], factor=1)
    assert ("2", "", "dependency_cycle") in found(workflow, small, host)


def test_all_errors_come_at_once_with_the_nearest_names(small, host):
    workflow = {
        "1": {"class_type": "Constnt", "inputs": {}, "_meta": {"title": "My number"}},
        "2": entry("Add", aa=["1", 0], factor=20),
        "3": entry("Show", value=["2", 0]),
    }
    with pytest.raises(GraphError) as caught:
        prepare(workflow, small.registry, host)
    text = str(caught.value)
    assert len(caught.value.errors) == 3
    assert "node 1 (My number)" in text and "(nearest: Constant" in text
    assert "node 2" in text and "('aa' is not an input" in text and "expected 1 to 9" in text


def test_node_errors_have_the_form_that_the_frontend_shows(small, host):
    workflow = changed("1", "Constant", value=1001)
    errors = validate(workflow, small.registry, host)
    shown = node_errors(errors, dependent_outputs(workflow, small.registry))
    json.dumps(shown)
    assert shown["1"]["class_type"] == "Constant"
    assert shown["1"]["dependent_outputs"] == ["3"]
    (error,) = shown["1"]["errors"]
    assert error["type"] == "value_bigger_than_max"
    assert error["extra_info"]["input_name"] == "value"
    assert error["extra_info"]["received_value"] == 1001
    assert error["extra_info"]["input_config"][0] == "INT"


@pytest.mark.parametrize(
    "data",
    [None, 3, [], {}, {"1": 2}, {"1": {}}, {"1": {"class_type": "Add", "inputs": 4}}],
    ids=str,
)
def test_what_is_no_prompt_is_refused(data, small, host):
    assert {error.type for error in validate(data, small.registry, host)} == {"invalid_prompt"}


def test_long_chains_need_no_recursion(small, host):
    workflow = {"0": entry("Constant", value=1)}
    workflow |= {str(i): entry("Add", a=[str(i - 1), 0], factor=1) for i in range(1, 5000)}
    workflow["last"] = entry("Show", value=["4999", 0])
    plan = prepare(workflow, small.registry, host)
    assert plan.order == [*(str(i) for i in range(5000)), "last"]


@pytest.mark.parametrize(
    ("received", "wanted", "fits"),
    [
        ("IMAGE", "IMAGE", True),
        ("IMAGE", "MASK", False),
        ("*", "MASK", True),
        ("IMAGE", "*", True),
        ("IMAGE", "MASK,IMAGE", True),
        ("INT", "FLOAT", False),
    ],
)
def test_socket_types(received, wanted, fits):
    assert types_match(received, wanted) is fits


@pytest.mark.parametrize("error", [OSError("unreadable"), InputError("no folder")], ids=str)
def test_options_that_cannot_be_listed_are_an_error_of_their_input(error, small, host):
    def listing(host):
        raise error

    spec = small.registry["Options"]
    inputs = tuple(
        replace(item, options=listing) if item.name == "mode" else item for item in spec.inputs
    )
    registry = {**small.registry, "Options": replace(spec, inputs=inputs)}
    (found_error,) = validate(options(), registry, host)
    assert (found_error.socket, found_error.type) == ("mode", "exception_during_validation")
    assert found_error.details == str(error)


@given(st.lists(st.lists(st.integers(0, 11), max_size=4), min_size=1, max_size=12))
def test_order_puts_every_node_after_what_it_needs_or_names_a_cycle(edges):
    upstream = {str(i): [str(j) for j in needs if j < len(edges)] for i, needs in enumerate(edges)}
    order, cycle = order_nodes(upstream, upstream)
    assert sorted(order) == sorted(upstream)
    if cycle:
        for source, target in zip(cycle, cycle[1:] + cycle[:1], strict=True):
            assert source in upstream[target]
    else:
        position = {id: index for index, id in enumerate(order)}
        assert all(position[need] < position[id] for id in upstream for need in upstream[id])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
LINKS = st.tuples(st.sampled_from(["1", "2", "3", "9"]), st.integers(-2, 3)).map(list)
NODES = st.fixed_dictionaries(
    {
        "class_type": st.sampled_from(
            ["Constant", "Add", "Split", "Count", "Total", "Options", "Repeat", "Show", "Lost"]
        ),
        "inputs": st.dictionaries(
            st.sampled_from(
                ["value", "a", "b", "factor", "items", "size", "times", "seed", "mode"]
            ),
            LINKS | JSON,
        ),
    }
)
PROMPTS = st.dictionaries(st.sampled_from(["1", "2", "3", "4"]), NODES | JSON) | JSON
UI_NODES = st.fixed_dictionaries(
    {"id": st.integers(1, 4), "type": st.sampled_from(["Add", "Reroute", "Constant", "S", "Show"])},
    optional={
        "mode": st.sampled_from([0, 2, 4]) | JSON,
        "inputs": JSON
        | st.lists(
            st.fixed_dictionaries(
                {
                    "name": st.sampled_from(["a", "value"]),
                    "type": st.just("NUMBER"),
                    "link": st.integers(1, 4) | JSON,
                }
            )
        ),
        "outputs": JSON,
        "widgets_values": JSON,
        "properties": JSON,
    },
)
UI_LINKS = JSON | st.lists(st.integers(1, 4), min_size=5, max_size=6)
UI_GRAPH = {"nodes": st.lists(UI_NODES | JSON, max_size=4), "links": st.lists(UI_LINKS, max_size=4)}
UI_FILES = st.fixed_dictionaries(
    UI_GRAPH,
    optional={
        "definitions": JSON
        | st.fixed_dictionaries(
            {
                "subgraphs": st.lists(
                    st.fixed_dictionaries({"id": st.just("S"), **UI_GRAPH}), max_size=2
                ),
            }
        ),
    },
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300
)
@given(PROMPTS | UI_FILES)
def test_no_file_raises_anything_but_an_input_error(small, host, data):
    try:
        prepare(parse_workflow(data, small.registry).prompt, small.registry, host)
    except InputError as error:
        assert str(error)


@pytest.mark.parametrize("depth", [200, 900])
def test_a_value_nested_too_deep_is_refused_before_it_is_walked(small, depth):
    value = 1
    for _ in range(depth):
        value = [value]
    with pytest.raises(InputError, match="at most 100 levels"):
        parse_workflow({"1": {"class_type": "x", "inputs": {"a": value}}}, small.registry)
