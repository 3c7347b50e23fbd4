"""A pickle interpreter that imports nothing, calls nothing and knows only its own stand-ins.

Python's `pickle` looks names up and calls what it finds; this machine does not use it. A name that
the caller's table lacks ends the reading with a sentence that says which; a name that it has is one
of our own functions on plain values, or an inert class that merely keeps its arguments. Work and
memory are bounded by a budget, nothing recurses, and `bytes` stay in the file until they are used.

The opcodes are those of protocols 2 to 5 (Python's pickletools documents them).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from ...errors import InputError
from .source import Source, Stream

MAX_OPCODES = 1_000_000
MAX_COPIES = 1 << 23
MAX_NAME = 512
MAX_INTEGER_BYTES = 256
MAX_PROTOCOL = 5
_TAKES_TOO_MUCH = "the pickle takes more values than it has made"
RAW_STATE = ""  # key in Inert.state of a state that is no dict; no attribute has this name


@dataclass
class Budget:
    """What one file may cost, however many pickles it holds."""

    opcodes: int = MAX_OPCODES
    copies: int = MAX_COPIES

    def copy(self, count: int) -> None:
        """Pay for an operation that copies `count` items or characters.

        Raises:
            InputError: the budget is spent.
        """
        self.copies -= count
        if self.copies < 0:
            raise InputError("the pickle copies more than any model needs; it is not read further")


@dataclass(frozen=True, eq=False)
class Function:
    """A name of the table with what stands in for it; `name` is for messages."""

    name: str
    apply: Callable[..., object]


@dataclass(eq=False)
class Inert:
    """An object of a class that is known by name only: its arguments and state, never its code."""

    name: str
    args: tuple[object, ...] = ()
    state: dict[str, object] = field(default_factory=dict[str, object])


Lookup = Callable[[str, str], Function]
Persistent = Callable[[object], object]


def no_persistent_ids(key: object) -> object:
    """The handler of files that must not hold persistent ids."""
    raise InputError("the pickle refers to data outside itself")


class Machine:
    """Runs one pickle of `stream`, which is left behind the pickle's last byte."""

    def __init__(
        self,
        stream: Stream,
        lookup: Lookup,
        budget: Budget,
        persistent: Persistent = no_persistent_ids,
    ) -> None:
        self.stream = stream
        self.lookup = lookup
        self.budget = budget
        self.persistent = persistent
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> object:
        """The pickled value, made of plain values, `Blob`, `Inert` and what the table makes.

        Raises:
            InputError: damaged, too large, or asking for anything that is not in the table.
        """
        read, budget, operations = self.stream.read, self.budget, _OPERATIONS
        while True:
            code = read(1)[0]
            if code == _STOP:
                return self.pop()
            budget.opcodes -= 1
            if budget.opcodes < 0:
                raise InputError("the pickle has more steps than any model needs")
            operation = operations.get(code)
            if operation is None:
                raise InputError(f"the pickle holds the opcode {code:#04x}, which is not accepted")
            operation(self)

    def push(self, value: object) -> None:
        """Put a value on the stack (which taking a mark has replaced, so not `stack.append`)."""
        self.stack.append(value)

    def pop(self) -> Any:
        """Take the top of the stack."""
        if not self.stack:
            raise InputError(_TAKES_TOO_MUCH)
        return self.stack.pop()

    def top(self, kind: type | tuple[type, ...], what: str) -> Any:
        """Look at the top of the stack, which must be of `kind`."""
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise InputError(f"the pickle fills {what} that is none")
        return self.stack[-1]

    def pop_mark(self) -> list[Any]:
        """Take everything since the last mark."""
        if not self.marks:
            raise InputError(_TAKES_TOO_MUCH)
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def number(self, layout: struct.Struct) -> Any:
        """Read one packed number."""
        return layout.unpack(self.stream.read(layout.size))[0]

    def text(self, count: int, encoding: str = "utf-8") -> None:
        """Push a text of `count` bytes."""
        self.budget.copy(count)
        try:
            self.stack.append(self.stream.read(count).decode(encoding, "surrogatepass"))
        except UnicodeDecodeError:
            raise InputError("the pickle holds text that is not UTF-8") from None

    def integer(self, count: int) -> None:
        """Push a whole number of `count` bytes."""
        if not 0 <= count <= MAX_INTEGER_BYTES:
            raise InputError(f"the pickle holds a whole number of {count} bytes")
        self.stack.append(int.from_bytes(self.stream.read(count), "little", signed=True))

    def remember(self, index: int) -> None:
        """Store the top of the stack under `index`."""
        if not self.stack:
            raise InputError(_TAKES_TOO_MUCH)
        self.memo[index] = self.stack[-1]

    def recall(self, index: int) -> None:
        """Push what was stored under `index`."""
        if index not in self.memo:
            raise InputError("the pickle refers to a value that it has not made")
        self.stack.append(self.memo[index])

    def find(self, module: object, name: object) -> None:
        """Push the stand-in of a name."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise InputError("the pickle names something by a value that is no text")
        if len(module) > MAX_NAME or len(name) > MAX_NAME:
            raise InputError(f"a name of more than {MAX_NAME} characters is not accepted")
        self.stack.append(self.lookup(module, name))

    def call(self) -> None:
        """Apply a stand-in to arguments."""
        arguments = as_tuple(self.pop())
        function = self.pop()
        if not isinstance(function, Function):
            raise InputError("the pickle calls a value that is no function")
        if arguments is None:
            raise InputError(f"the pickle calls {function.name} without a list of arguments")
        try:
            self.stack.append(function.apply(*arguments))
        except (TypeError, ValueError, OverflowError, LookupError, RuntimeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"the pickle calls {function.name} with wrong arguments") from error

    def build(self) -> None:
        """Give an inert object its state; what other objects carry along is dropped."""
        state = self.pop()
        target = self.top(object, "an object")
        if not isinstance(target, Inert):
            return
        for part in _state_parts(state):
            entries = as_dict(part)
            if entries is not None:
                self.budget.copy(len(entries))
                target.state.update({k: v for k, v in entries.items() if isinstance(k, str)})
            elif part is not None:
                target.state[RAW_STATE] = part

    def set_items(self, items: list[Any]) -> None:
        """Put pairs into the dict on top; other objects drop them."""
        target = self.top((dict, Inert), "a dictionary")
        if len(items) % 2:
            raise InputError("the pickle holds a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not is_key(key):
                raise InputError("the pickle holds a dictionary with a key that is no plain value")
            if isinstance(target, dict):
                target[key] = value

    def extend(self, items: list[Any]) -> None:
        """Put values at the end of the list on top; other objects drop them."""
        target = self.top((list, Inert), "a list")
        if isinstance(target, list):
            cast("list[object]", target).extend(items)

    def add(self, items: list[Any]) -> None:
        """Put values into the set on top."""
        target = self.top(set, "a set")
        if not all(is_key(item) for item in items):
            raise InputError("the pickle holds a set of values that are not plain")
        target.update(items)


def _state_parts(state: object) -> tuple[object, ...]:
    """A state is a dict, a pair of dicts (with slots), or something that only its class knows."""
    parts = as_tuple(state)
    if parts is None or len(parts) != 2:
        return (state,)
    return parts if all(part is None or isinstance(part, dict) for part in parts) else (state,)


def as_dict(value: object) -> dict[object, object] | None:
    """`value` if it is a dictionary."""
    return cast("dict[object, object]", value) if isinstance(value, dict) else None


def as_tuple(value: object) -> tuple[object, ...] | None:
    """`value` if it is a tuple."""
    return cast("tuple[object, ...]", value) if isinstance(value, tuple) else None


def is_key(value: object) -> bool:
    """Whether `value` may be a key: hashing it must be quick and must run no code."""
    plain = (str, int, float, bool, type(None), Function)
    items = as_tuple(value)
    if items is not None:
        return len(items) <= 16 and all(isinstance(item, plain) for item in items)
    return isinstance(value, plain)


def run_pickle(source: Source, lookup: Lookup, budget: Budget) -> object:
    """Run the pickle that `source` starts with."""
    return Machine(Stream(source, 0, source.size), lookup, budget).run()


_U1, _U2, _U4, _U8 = (struct.Struct("<" + code) for code in "BHIQ")
_I4, _F8 = struct.Struct("<i"), struct.Struct(">d")
_STOP = ord(".")
_SET_COST = 64  # an empty set takes four times the memory of an empty list


def _protocol(m: Machine) -> None:
    version = m.number(_U1)
    if version > MAX_PROTOCOL:
        raise InputError(f"pickle protocol {version} is newer than this version reads")


def _mark(m: Machine) -> None:
    m.marks.append(m.stack)
    m.stack = []


def _pop(m: Machine) -> None:
    if m.stack:
        m.stack.pop()
    else:
        m.pop_mark()


def _pop_to_mark(m: Machine) -> None:
    m.pop_mark()


def _frame(m: Machine) -> None:
    m.stream.read(8)  # a frame's length, which nothing here needs


def _push(value: object) -> Callable[[Machine], None]:
    return lambda m: m.push(value)


def _tuple_of(count: int) -> Callable[[Machine], None]:
    def make(m: Machine) -> None:
        items = [m.pop() for _ in range(count)]
        m.stack.append(tuple(reversed(items)))

    return make


def _dict_from_mark(m: Machine) -> None:
    items = m.pop_mark()
    m.stack.append({})
    m.set_items(items)


def _empty_set(m: Machine) -> None:
    m.budget.copy(_SET_COST)
    empty: set[object] = set()
    m.push(empty)


def _frozen_set(m: Machine) -> None:
    items = m.pop_mark()
    m.stack.append(set())
    m.add(items)


def _set_item(m: Machine) -> None:
    value = m.pop()
    m.set_items([m.pop(), value])


def _global(m: Machine) -> None:
    m.find(m.stream.line(MAX_NAME), m.stream.line(MAX_NAME))


def _stack_global(m: Machine) -> None:
    name = m.pop()
    m.find(m.pop(), name)


def _text(layout: struct.Struct, encoding: str = "utf-8") -> Callable[[Machine], None]:
    return lambda m: m.text(m.number(layout), encoding)


def _blob(layout: struct.Struct) -> Callable[[Machine], None]:
    return lambda m: m.push(m.stream.blob(m.number(layout)))


def _number(layout: struct.Struct) -> Callable[[Machine], None]:
    return lambda m: m.push(m.number(layout))


_OPERATIONS: dict[int, Callable[[Machine], None]] = {
    0x80: _protocol,
    0x95: _frame,
    ord("("): _mark,
    ord("0"): _pop,
    ord("1"): _pop_to_mark,
    ord("2"): lambda m: m.push(m.top(object, "a value")),
    ord("N"): _push(None),
    0x88: _push(True),
    0x89: _push(False),
    ord("J"): _number(_I4),
    ord("K"): _number(_U1),
    ord("M"): _number(_U2),
    ord("G"): _number(_F8),
    0x8A: lambda m: m.integer(m.number(_U1)),
    0x8B: lambda m: m.integer(m.number(_I4)),
    ord("X"): _text(_U4),
    0x8C: _text(_U1),
    0x8D: _text(_U8),
    ord("T"): _text(_U4, "latin-1"),
    ord("U"): _text(_U1, "latin-1"),
    ord("B"): _blob(_U4),
    ord("C"): _blob(_U1),
    0x8E: _blob(_U8),
    ord(")"): _push(()),
    0x85: _tuple_of(1),
    0x86: _tuple_of(2),
    0x87: _tuple_of(3),
    ord("t"): lambda m: m.push(tuple(m.pop_mark())),
    ord("]"): lambda m: m.push([]),
    ord("l"): lambda m: m.push(m.pop_mark()),
    ord("}"): lambda m: m.push({}),
    ord("d"): _dict_from_mark,
    0x8F: _empty_set,
    0x91: _frozen_set,
    ord("a"): lambda m: m.extend([m.pop()]),
    ord("e"): lambda m: m.extend(m.pop_mark()),
    ord("s"): _set_item,
    ord("u"): lambda m: m.set_items(m.pop_mark()),
    0x90: lambda m: m.add(m.pop_mark()),
    ord("q"): lambda m: m.remember(m.number(_U1)),
    ord("r"): lambda m: m.remember(m.number(_U4)),
    0x94: lambda m: m.remember(len(m.memo)),
    ord("h"): lambda m: m.recall(m.number(_U1)),
    ord("j"): lambda m: m.recall(m.number(_U4)),
    ord("c"): _global,
    0x93: _stack_global,
    ord("R"): Machine.call,
    0x81: Machine.call,
    ord("b"): Machine.build,
    ord("Q"): lambda m: m.push(m.persistent(m.pop())),
}
