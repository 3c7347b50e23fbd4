"""What the editor saves becomes the prompt that the editor itself would send."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ganvas.nodes.engine import GraphError, execute, parse_workflow, prepare
from ganvas.nodes.engine.ui_format import ui_to_api


def node(
    id: int,
    type: str,
    links: dict[str, int] | None = None,
    *,
    widgets: Any = (),
    outputs: str = "NUMBER",
    mode: int = 0,
    **fields: Any,
) -> dict[str, Any]:
    inputs = [
        {"name": name, "type": "NUMBER", "link": link} for name, link in (links or {}).items()
    ]
    return {
        "id": id,
        "type": type,
        "mode": mode,
        "inputs": inputs,
        "outputs": [{"name": kind, "type": kind} for kind in outputs.split()],
        "widgets_values": list(widgets) if isinstance(widgets, tuple) else widgets,
        **fields,
    }


def link(id: int, origin: int, target: int, *, slot: int = 0, into: int = 0) -> list[Any]:
    return [id, origin, slot, target, into, "NUMBER"]


def convert(nodes: list[Any], links: list[Any], small: Any, **extra: Any) -> dict[str, Any]:
    prompt = ui_to_api({"nodes": nodes, "links": links, **extra}, small.registry)
    return {
        id: {"class_type": entry["class_type"], "inputs": entry["inputs"]}
        for id, entry in prompt.items()
    }


def entry(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


PLAIN_NODES = [
    node(1, "Constant", widgets=(7,)),
    node(2, "Add", {"a": 1, "b": 2}, widgets=(3,), title="My sum"),
    node(3, "Show", {"value": 3}),
]
PLAIN_LINKS = [link(1, 1, 2), link(2, 1, 2, into=1), link(3, 2, 3)]
PLAIN_PROMPT = {
    "1": entry("Constant", value=7),
    "2": entry("Add", a=["1", 0], b=["1", 0], factor=3),
    "3": entry("Show", value=["2", 0]),
}


def test_links_and_positional_widgets(small):
    assert convert(PLAIN_NODES, PLAIN_LINKS, small) == PLAIN_PROMPT


def test_titles_are_kept(small):
    prompt = ui_to_api({"nodes": PLAIN_NODES, "links": PLAIN_LINKS}, small.registry)
    assert prompt["2"]["_meta"] == {"title": "My sum"}
    assert prompt["1"]["_meta"] == {"title": "Constant Node"}


def test_links_may_be_objects(small):
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    links = [dict(zip(names, each, strict=True)) for each in PLAIN_LINKS]
    assert convert(PLAIN_NODES, links, small) == PLAIN_PROMPT


def test_both_formats_give_the_same_result(fresh, host):
    results = []
    for data in (
        {"nodes": PLAIN_NODES, "links": PLAIN_LINKS},
        PLAIN_PROMPT,
        {"prompt": PLAIN_PROMPT, "client_id": "x"},
    ):
        workflow = parse_workflow(data, fresh.registry)
        assert (workflow.ui is not None) is ("nodes" in data)
        plan = prepare(workflow.prompt, fresh.registry, host)
        results.append((execute(plan, host).ui, fresh.names()))
    assert results[0] == results[1] == results[2]
    assert results[0][0] == {"3": {"values": [42]}}


@pytest.mark.parametrize(
    ("widgets", "expected"),
    [
        ((9, "randomize", "fast", 0.5, True, "x"), (9, "fast", 0.5, True, "x")),
        ((9, "fast", 0.5, True, "x"), (9, "fast", 0.5, True, "x")),
        ((9, "fixed", "fast"), (9, "fast", 1.0, False, "hello")),
        ((), (5, "slow", 1.0, False, "hello")),
        ((9, "increment", "fast", 0.5, True, "fixed"), (9, "fast", 0.5, True, "fixed")),
        ({"seed": 4, "text": "by name"}, (4, None, None, None, "by name")),
    ],
)
def test_widget_values_with_seed_control_and_defaults(widgets, expected, small):
    prompt = convert([node(1, "Options", widgets=widgets)], [], small)
    names = ("seed", "mode", "amount", "flag", "text")
    assert tuple(prompt["1"]["inputs"].get(name) for name in names) == expected


def test_a_widget_value_that_is_a_list_is_no_link(small, host):
    prompt = convert([node(1, "Constant", widgets=(["2", 0],))], [], small)
    assert prompt["1"]["inputs"]["value"] == {"__value__": ["2", 0]}


def test_a_linked_widget_keeps_its_place_among_the_values(small):
    options = node(2, "Options", widgets=(9, "fixed", "fast", 0.5, True, "x"))
    options["inputs"] = [
        {"name": "amount", "type": "FLOAT", "link": 1, "widget": {"name": "amount"}}
    ]
    prompt = convert([node(1, "Constant", widgets=(1,)), options], [link(1, 1, 2)], small)
    assert prompt["2"]["inputs"] == {
        "seed": 9,
        "mode": "fast",
        "amount": ["1", 0],
        "flag": True,
        "text": "x",
    }


def test_notes_vanish(small):
    notes = [node(8, "Note", widgets=("text",)), node(9, "MarkdownNote", widgets=("text",))]
    assert convert([*PLAIN_NODES, *notes], PLAIN_LINKS, small) == PLAIN_PROMPT


def test_reroutes_dissolve(small):
    nodes = [
        node(1, "Constant", widgets=(7,)),
        node(5, "Reroute", {"": 1}, outputs="*"),
        node(6, "Reroute", {"": 2}, outputs="*"),
        node(3, "Show", {"value": 3}),
    ]
    prompt = convert(nodes, [link(1, 1, 5), link(2, 5, 6), link(3, 6, 3)], small)
    assert prompt == {"1": entry("Constant", value=7), "3": entry("Show", value=["1", 0])}


def test_primitives_become_values(small):
    constant = node(2, "Constant", widgets=(7,))
    constant["inputs"] = [{"name": "value", "type": "INT", "link": 1, "widget": {"name": "value"}}]
    nodes = [node(1, "PrimitiveNode", widgets=(12, "randomize")), constant]
    assert convert(nodes, [link(1, 1, 2)], small) == {"2": entry("Constant", value=12)}


def test_muted_nodes_and_their_links_vanish(small, host):
    nodes = [
        node(1, "Constant", widgets=(7,)),
        node(2, "Split", {"a": 1}, outputs="NUMBER LABEL", mode=2),
        node(3, "Add", {"a": 2, "b": 3}, widgets=(1,)),
        node(4, "Show", {"value": 4}),
    ]
    links = [link(1, 1, 2), link(2, 1, 3), link(3, 2, 3, into=1), link(4, 3, 4)]
    prompt = convert(nodes, links, small)
    assert prompt["3"] == entry("Add", a=["1", 0], factor=1)
    assert "2" not in prompt
    nodes[0]["mode"] = 2
    with pytest.raises(GraphError, match=r"node 3 \(Add\), input a: Required input is missing"):
        prepare(convert(nodes, links, small), small.registry, host)


def test_bypassed_nodes_hand_an_input_of_the_same_type_through(small):
    split = node(2, "Split", {"a": 1}, outputs="LABEL NUMBER", mode=4)
    nodes = [node(1, "Constant", widgets=(7,)), split, node(3, "Show", {"value": 2})]
    links = [link(1, 1, 2), link(2, 2, 3, slot=1)]
    assert convert(nodes, links, small)["3"] == entry("Show", value=["1", 0])
    links[1] = link(2, 2, 3, slot=0)  # a LABEL, which no input of the node brings
    assert convert(nodes, links, small)["3"] == entry("Show")


def test_bypassing_prefers_the_input_in_the_same_place(small):
    swap = node(3, "Add", {"a": 1, "b": 2}, outputs="NUMBER NUMBER", mode=4)
    nodes = [
        node(1, "Constant", widgets=(1,)),
        node(2, "Constant", widgets=(2,)),
        swap,
        node(4, "Show", {"value": 3}),
    ]
    links = [link(1, 1, 3), link(2, 2, 3, into=1), link(3, 3, 4, slot=1)]
    assert convert(nodes, links, small)["4"] == entry("Show", value=["2", 0])


def test_circles_of_reroutes_are_refused(small):
    nodes = [
        node(1, "Reroute", {"": 2}),
        node(2, "Reroute", {"": 1}),
        node(3, "Show", {"value": 3}),
    ]
    links = [link(1, 1, 2), link(2, 2, 1), link(3, 2, 3)]
    with pytest.raises(GraphError, match="form a cycle"):
        convert(nodes, links, small)


def subgraph(id: str, nodes: list[Any], links: list[Any], names: tuple[str, ...]) -> dict[str, Any]:
    keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    return {
        "id": id,
        "nodes": nodes,
        "inputs": [{"name": name} for name in names],
        "links": [dict(zip(keys, each, strict=True)) for each in links],
    }


def double(factor_link: bool = False) -> dict[str, Any]:
    """A subgraph that adds its first input to itself; its second input may be the factor."""
    add = node(5, "Add", {"a": 1, "b": 2}, widgets=(4,))
    links = [link(1, -10, 5), link(2, -10, 5, into=1), link(3, 5, -20)]
    if factor_link:
        add["inputs"].append(
            {"name": "factor", "type": "INT", "link": 4, "widget": {"name": "factor"}}
        )
        links.append(link(4, -10, 5, slot=1, into=2))
    return subgraph("double-id", [add], links, ("x", "factor"))


def test_subgraphs_are_expanded(fresh, host):
    nodes = [
        node(1, "Constant", widgets=(7,)),
        node(2, "double-id", {"x": 1}),
        node(3, "double-id", {"x": 2}),
        node(4, "Show", {"value": 3}),
    ]
    links = [link(1, 1, 2), link(2, 2, 3), link(3, 3, 4)]
    definitions = {"subgraphs": [double()]}
    prompt = convert(nodes, links, fresh, definitions=definitions)
    assert prompt == {
        "1": entry("Constant", value=7),
        "2:5": entry("Add", a=["1", 0], b=["1", 0], factor=4),
        "3:5": entry("Add", a=["2:5", 0], b=["2:5", 0], factor=4),
        "4": entry("Show", value=["3:5", 0]),
    }
    assert execute(prepare(prompt, fresh.registry, host), host).ui["4"] == {"values": [7 * 64]}


def test_promoted_widgets_of_a_subgraph(small):
    definitions = {"subgraphs": [double(factor_link=True)]}
    instance = node(2, "double-id", {"x": 1}, widgets=(6,))
    instance["inputs"].append(
        {"name": "factor", "type": "INT", "link": None, "widget": {"name": "factor"}}
    )
    nodes = [node(1, "Constant", widgets=(7,)), instance]
    prompt = convert(nodes, [link(1, 1, 2)], small, definitions=definitions)
    assert prompt["2:5"]["inputs"]["factor"] == 6
    instance["widgets_values"] = [["1", 0]]
    prompt = convert(nodes, [link(1, 1, 2)], small, definitions=definitions)
    assert prompt["2:5"]["inputs"]["factor"] == {"__value__": ["1", 0]}  # no link to node 1
    instance["widgets_values"] = []
    prompt = convert(nodes, [link(1, 1, 2)], small, definitions=definitions)
    assert prompt["2:5"]["inputs"]["factor"] == 4


def test_nested_and_muted_subgraphs(small):
    outer = subgraph(
        "outer-id", [node(9, "double-id", {"x": 1})], [link(1, -10, 9), link(2, 9, -20)], ("y",)
    )
    definitions = {"subgraphs": [outer, double()]}
    nodes = [
        node(1, "Constant", widgets=(7,)),
        node(2, "outer-id", {"y": 1}),
        node(4, "Show", {"value": 3}),
    ]
    links = [link(1, 1, 2), link(3, 2, 4)]
    prompt = convert(nodes, links, small, definitions=definitions)
    assert prompt["4"] == entry("Show", value=["2:9:5", 0])
    assert prompt["2:9:5"]["inputs"]["a"] == ["1", 0]
    nodes[1]["mode"] = 2
    prompt = convert(nodes, links, small, definitions=definitions)
    assert set(prompt) == {"1", "4"}


def test_a_subgraph_inside_itself_is_refused(small):
    endless = subgraph(
        "endless", [node(1, "endless", {"x": 1})], [link(1, -10, 1), link(2, 1, -20)], ("x",)
    )
    nodes = [node(1, "endless"), node(2, "Show", {"value": 1})]
    with pytest.raises(GraphError, match="nested too deeply"):
        convert(nodes, [link(1, 1, 2)], small, definitions={"subgraphs": [endless]})


def test_a_bomb_of_subgraphs_is_refused(small):
    levels = [
        subgraph(f"s{i}", [node(j, f"s{i + 1}") for j in range(10)], [], ()) for i in range(9)
    ]
    with pytest.raises(GraphError, match="more than 10000 nodes"):
        convert([node(1, "s0")], [], small, definitions={"subgraphs": levels})


def test_unknown_classes_survive_to_be_reported_on_their_node(small, host):
    nodes = [*PLAIN_NODES, node(4, "Constnt", widgets=(1,))]
    with pytest.raises(GraphError, match=r"node 4 .*Constnt.*nearest: Constant"):
        prepare(convert(nodes, PLAIN_LINKS, small), small.registry, host)


@pytest.mark.parametrize(
    "damage",
    [
        {"nodes": [{"id": 1}]},
        {"nodes": [3]},
        {"nodes": [node(1, "Add"), node(1, "Add")]},
        {"nodes": [node(1, "Add", widgets="text")]},
        {"nodes": PLAIN_NODES, "links": [[1, 2]]},
        {"nodes": PLAIN_NODES, "links": {"1": 2}},
        {"nodes": PLAIN_NODES, "links": [[1, 1, 10**9, 2, 0, "X"]]},
        {"nodes": PLAIN_NODES, "definitions": {"subgraphs": 3}},
    ],
    ids=str,
)
def test_damaged_files_are_refused(damage, small):
    with pytest.raises(GraphError):
        ui_to_api(damage, small.registry)


def test_a_widget_whose_link_leads_nowhere_keeps_its_own_value(small):
    constant = node(2, "Constant", widgets=(7,))
    constant["inputs"] = [{"name": "value", "type": "INT", "link": 1, "widget": {"name": "value"}}]
    nodes = [node(1, "Constant", widgets=(1,), mode=2), constant]
    assert convert(nodes, [link(1, 1, 2)], small) == {"2": entry("Constant", value=7)}


def test_the_upload_button_takes_a_place_among_the_values(small):
    spec = small.registry["Options"]
    inputs = tuple(
        replace(item, image_upload=True) if item.name == "mode" else item for item in spec.inputs
    )
    registry = {"Options": replace(spec, inputs=inputs)}
    widgets = (9, "fixed", "a.png", "image", 0.5, True, "x")
    prompt = ui_to_api({"nodes": [node(1, "Options", widgets=widgets)]}, registry)
    assert prompt["1"]["inputs"] == {
        "seed": 9,
        "mode": "a.png",
        "amount": 0.5,
        "flag": True,
        "text": "x",
    }
