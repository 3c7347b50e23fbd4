"""Declarations become specifications, and incomplete declarations are refused."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest

from ganvas.core.seeds import MAX_SEED, consecutive_seeds
from ganvas.nodes.context import Context
from ganvas.nodes.engine.object_info import object_info
from ganvas.nodes.interface import pack_outputs
from ganvas.nodes.signature import parse_docstring
from ganvas.nodes.spec import (
    NODES,
    Bool,
    Choice,
    Float,
    Image,
    Int,
    Mask,
    Seed,
    build_spec,
    node,
)


def declare(function: Any, **fields: Any) -> Any:
    return build_spec(function, **{"id": "X", "title": "X", "category": "test", **fields})


def blend(
    ctx: Context,
    image: Image,
    mask: Mask | None = None,
    seed: Seed = 3,
    amount: Annotated[float, Float(0, 2, step=0.5, slider=True)] = 1.5,
    mode: Annotated[str, Choice(("a", "b"))] = "b",
    count: Annotated[int, Int(1, 8, optional=True)] = 2,
    flag: Bool = True,
) -> tuple[Image, list[Mask]]:
    """Blend an image
    with itself.

    A second paragraph.

    Args:
        image: The image: any size.
        mask: Where to blend,
            or everywhere.
        seed: The seed.
        amount: How much.
        mode: Which way.
        count: How often.
        flag: Whether.

    Returns:
        blended: The result.
        masks: One mask each.

    Raises:
        InputError: Never.
    """
    return image, [mask]


def test_annotations_and_docstring_become_the_specification():
    spec = declare(blend, aliases=("mix",), output_node=True)
    assert [item.name for item in spec.inputs] == [
        "image",
        "mask",
        "seed",
        "amount",
        "mode",
        "count",
        "flag",
    ]
    image, mask, seed, amount, mode, count, flag = spec.inputs
    assert (image.type, image.optional, image.tooltip) == ("IMAGE", False, "The image: any size.")
    assert (mask.type, mask.optional) == ("MASK", True)
    assert mask.tooltip == "Where to blend, or everywhere."
    assert (seed.type, seed.default, seed.min, seed.max) == ("INT", 3, 0, MAX_SEED)
    assert seed.control_after_generate and not count.control_after_generate
    assert (amount.type, amount.step, amount.slider) == ("FLOAT", 0.5, True)
    assert (mode.type, mode.default, mode.options) == ("COMBO", "b", ("a", "b"))
    assert (count.optional, flag.type, flag.default) == (True, "BOOLEAN", True)
    assert spec.description == "Blend an image with itself.\n\nA second paragraph."
    assert [(out.name, out.type, out.is_list) for out in spec.outputs] == [
        ("blended", "IMAGE", False),
        ("masks", "MASK", True),
    ]
    assert spec.aliases == ("mix",) and spec.output_node


def test_widgets_are_ordered_required_first_as_in_workflow_files():
    spec = declare(blend)
    assert [item.name for item in spec.widgets] == ["seed", "amount", "mode", "flag", "count"]
    assert [item.name for item in spec.ordered_inputs][-2:] == ["mask", "count"]


def test_decorator_registers_once_and_returns_the_function(monkeypatch):
    for id in list(NODES):
        monkeypatch.delitem(NODES, id)
    decorated = node("Test_Blend", title="Blend", category="test")(blend)
    assert decorated is blend
    assert NODES["Test_Blend"].title == "Blend"
    with pytest.raises(TypeError, match="Test_Blend: declared twice"):
        node("Test_Blend", title="Again", category="test")(blend)
    NODES.pop("Test_Blend")


def without_tooltip(ctx: Context, seed: Seed = 0) -> None:
    """Do."""


def without_description(ctx: Context) -> None:
    pass


def without_marker(ctx: Context, size: int = 0) -> None:
    """Do.

    Args:
        size: Size.
    """


def without_default(ctx: Context, size: Annotated[int, Int(0, 5)]) -> None:
    """Do.

    Args:
        size: Size.
    """


def default_outside(ctx: Context, size: Annotated[int, Int(0, 5)] = 6) -> None:
    """Do.

    Args:
        size: Size.
    """


def default_no_option(ctx: Context, size: Annotated[str, Choice(("a",))] = "b") -> None:
    """Do.

    Args:
        size: Size.
    """


def socket_with_default(ctx: Context, image: Image = 3) -> None:
    """Do.

    Args:
        image: Image.
    """


def list_input(ctx: Context, image: list[Image]) -> None:
    """Do.

    Args:
        image: Images.
    """


def undocumented_output(ctx: Context) -> Image:
    """Do."""
    raise NotImplementedError


def documents_too_much(ctx: Context) -> None:
    """Do.

    Args:
        size: Not there.
    """


def without_context(image: Image) -> None:
    """Do.

    Args:
        image: Image.
    """


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (without_tooltip, "input seed has no tooltip"),
        (without_description, "docstring must say"),
        (without_marker, "input size needs a marker"),
        (without_default, "widget size needs a default"),
        (default_outside, "default of size lies outside 0..5"),
        (default_no_option, "default of size is not among its options"),
        (socket_with_default, "socket image is either required"),
        (list_input, "is_input_list is not set"),
        (undocumented_output, "1 outputs are annotated"),
        (documents_too_much, "documents \\['size'\\]"),
        (without_context, "first argument must be called ctx"),
    ],
)
def test_incomplete_declarations_are_refused(function, message):
    with pytest.raises(TypeError, match=message):
        declare(function)


def test_outputs_are_packed_and_counted():
    spec = declare(blend)
    assert pack_outputs(spec, (1, [2])) == (1, [2])
    with pytest.raises(TypeError, match="2 outputs declared, 1 returned"):
        pack_outputs(spec, 1)
    with pytest.raises(TypeError, match="output masks must be a list"):
        pack_outputs(spec, (1, 2))
    nothing = declare(without_description_but_text)
    assert pack_outputs(nothing, None) == ()
    with pytest.raises(TypeError, match="0 outputs declared"):
        pack_outputs(nothing, 3)


def without_description_but_text(ctx: Context) -> None:
    """Do."""


def test_docstring_sections_do_not_leak_into_each_other():
    text = "One.\n\nArgs:\n    a: First\n        line two.\n\nRaises:\n    InputError: no.\n"
    assert parse_docstring(text) == ("One.", {"a": "First line two."}, {})


def test_object_info_is_what_the_frontend_reads(host):
    info = object_info(declare(blend, id="Ganvas_Blend", experimental=True), host)
    json.dumps(info)
    assert info["input_order"] == {
        "required": ["image", "seed", "amount", "mode", "flag"],
        "optional": ["mask", "count"],
    }
    required = info["input"]["required"]
    assert required["image"] == ["IMAGE", {"tooltip": "The image: any size."}]
    assert required["seed"][1]["control_after_generate"] is True
    assert required["amount"][1] | {"tooltip": ""} == {
        "tooltip": "",
        "default": 1.5,
        "min": 0,
        "max": 2,
        "step": 0.5,
        "display": "slider",
    }
    assert required["mode"] == [["a", "b"], {"tooltip": "Which way.", "default": "b"}]
    assert info["output"] == ["IMAGE", "MASK"] and info["output_is_list"] == [False, True]
    assert info["output_tooltips"] == ["The result.", "One mask each."]
    assert info["experimental"] and info["python_module"] == "custom_nodes.ganvas"


def test_the_seeds_of_a_batch_begin_again_after_the_largest():
    assert consecutive_seeds(7, 3) == [7, 8, 9]
    assert consecutive_seeds(MAX_SEED, 2) == [MAX_SEED, 0]
