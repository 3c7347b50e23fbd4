"""Small arithmetic nodes, which the engine's tests wire together, and a host in a fresh folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest

from ganvas.nodes.context import Context, Host
from ganvas.nodes.interface import NodeSpec
from ganvas.nodes.spec import (
    Bool,
    Choice,
    Float,
    Int,
    Seed,
    Socket,
    Text,
    build_spec,
)

Number = Annotated[float, Socket("NUMBER")]
Label = Annotated[str, Socket("LABEL")]


@dataclass
class Arithmetic:
    """The registry of small nodes, and the calls they received in order."""

    registry: dict[str, NodeSpec] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    on_tick: Callable[[int], None] = lambda index: None
    file_content: str = "first"

    def names(self) -> list[str]:
        """Return the ids of the nodes called since the last time, and forget them."""
        names = [name for name, _ in self.calls]
        self.calls.clear()
        return names


@pytest.fixture(scope="module")
def small() -> Arithmetic:
    """Ten nodes: Count gives a list, Total takes one, Show is the output."""
    made = Arithmetic()

    def constant(ctx: Context, value: Annotated[int, Int(-1000, 1000)] = 0) -> Number:
        """Give a number.

        Args:
            value: The number.

        Returns:
            number: The same number.
        """
        made.calls.append(("Constant", {"value": value}))
        return value

    def add(
        ctx: Context,
        a: Number,
        b: Number | None = None,
        factor: Annotated[int, Int(1, 9)] = 1,
    ) -> Number:
        """Add two numbers.

        Args:
            a: First summand.
            b: Second summand.
            factor: Multiplies the sum.

        Returns:
            sum: The sum.
        """
        made.calls.append(("Add", {"a": a, "b": b, "factor": factor}))
        return (a + (b or 0)) * factor

    def split(ctx: Context, a: Number) -> tuple[Number, Label]:
        """Give a number and its text.

        Args:
            a: A number.

        Returns:
            number: The number.
            label: Its text.
        """
        made.calls.append(("Split", {"a": a}))
        return a, str(a)

    def count(ctx: Context, size: Annotated[int, Int(0, 9)] = 3) -> list[Number]:
        """List the numbers below a limit.

        Args:
            size: The limit.

        Returns:
            numbers: 0 to size - 1.
        """
        made.calls.append(("Count", {"size": size}))
        return [float(index) for index in range(size)]

    def total(ctx: Context, items: list[Number]) -> Number:
        """Sum a list.

        Args:
            items: The numbers.

        Returns:
            sum: Their sum.
        """
        made.calls.append(("Total", {"items": items}))
        return sum(items)

    def options(
        ctx: Context,
        seed: Seed = 5,
        mode: Annotated[str, Choice(("slow", "fast"))] = "slow",
        amount: Annotated[float, Float(0, 2)] = 1.0,
        flag: Bool = False,
        text: Text = "hello",
    ) -> Label:
        """Take one widget of each kind.

        Args:
            seed: A seed.
            mode: A choice.
            amount: A number.
            flag: A switch.
            text: A text.

        Returns:
            label: All of them as text.
        """
        made.calls.append(("Options", {"seed": seed}))
        return f"{seed}/{mode}/{amount}/{flag}/{text}"

    def read(ctx: Context, name: Text = "a") -> Label:
        """Read a file that can change.

        Args:
            name: Its name.

        Returns:
            label: Its content.
        """
        made.calls.append(("Read", {"name": name}))
        return made.file_content

    def repeat(
        ctx: Context, a: Number, times: Annotated[int, Int(0, 5)] = 1
    ) -> Annotated[int, Int(0, 5)]:
        """Work in steps, with progress.

        Args:
            a: A number.
            times: Number of steps.

        Returns:
            times: The steps done.
        """
        made.calls.append(("Repeat", {"a": a, "times": times}))
        for index in range(times):
            made.on_tick(index)
            ctx.progress(index + 1, times)
        return times

    def fail(ctx: Context, a: Number) -> Number:
        """Divide by zero.

        Args:
            a: A number.

        Returns:
            number: Never.
        """
        return a / 0

    def show(ctx: Context, value: Annotated[Any, Socket("*")]) -> None:
        """Show a value.

        Args:
            value: Anything.
        """
        made.calls.append(("Show", {"value": value}))
        ctx.show("values", [value])

    def fingerprint(host: Host, values: Mapping[str, Any]) -> str:
        return made.file_content

    def even_only(host: Host, values: Mapping[str, Any]) -> dict[str, str]:
        return {"times": "must be even"} if values.get("times", 0) % 2 else {}

    functions: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
        "Constant": (constant, {}),
        "Add": (add, {}),
        "Split": (split, {}),
        "Count": (count, {}),
        "Total": (total, {"is_input_list": True}),
        "Options": (options, {}),
        "Read": (read, {"fingerprint": fingerprint}),
        "Repeat": (repeat, {"validate": even_only}),
        "Fail": (fail, {}),
        "Show": (show, {"output_node": True}),
    }
    for id, (function, extra) in functions.items():
        made.registry[id] = build_spec(
            function, id=id, title=f"{id} Node", category="test", **extra
        )
    return made


@pytest.fixture
def fresh(small: Arithmetic) -> Arithmetic:
    """The same nodes with nothing called yet and nothing changed."""
    small.calls.clear()
    small.on_tick = lambda index: None
    small.file_content = "first"
    return small


@pytest.fixture
def host(tmp_path: Any) -> Host:
    """A host whose folders lie below a fresh one."""
    for name in ("input", "output", "temp"):
        (tmp_path / name).mkdir()
    return Host(tmp_path / "input", tmp_path / "output", tmp_path / "temp")
