"""What a family of published checkpoints must say about itself, and helpers to say it.

A family works on names and shapes alone: no file name, no code and no number of the file decides
what it is.
"""

import math
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError

Shapes = Mapping[str, tuple[int, ...]]
Values = Mapping[str, object]

ATTRIBUTES = "attributes"
"""Key of `init` under which a pickled network's own plain attributes lie, by their full name:
{"synthesis.b4.conv1.conv_clamp": 256, ...}. Only StyleGAN pickles have them."""


def same_tensors(tensors: Mapping[str, Tensor], config: Values) -> dict[str, Tensor]:
    """The translation of a family whose published names are our module's names."""
    return dict(tensors)


def no_notes(shapes: Shapes, init: Values | None) -> tuple[str, ...]:
    """Nothing to say."""
    return ()


@dataclass(frozen=True)
class PublishedFamily:
    """One spelling of one architecture as it is published.

    Attributes:
        id: id of the architecture in the registry; several families (spellings) may share one.
        detect: whether tensors of these names and shapes are such a network.
        infer: the config that our module takes, from shapes, the published constructor's arguments
            (`init`, None where the file has none) and what the user gave as KEY=VALUE; raises
            InputError for what cannot be inferred (`not_inferable`) and for shapes that contradict
            each other.
        translate: tensors under our module's names, as views of or in place of the given ones;
            takes the config too.
        given: the KEYs that `infer` reads from what the user gave.
        notes: sentences on what loading decides or makes up that the file leaves open.
    """

    id: str
    detect: Callable[[Shapes], bool]
    infer: Callable[[Shapes, Values | None, Values], dict[str, object]]
    translate: Callable[[Mapping[str, Tensor], Values], dict[str, Tensor]] = same_tensors
    given: tuple[str, ...] = ()
    notes: Callable[[Shapes, Values | None], tuple[str, ...]] = no_notes


def not_inferable(key: str) -> InputError:
    """The refusal of a file that does not say `key`."""
    return InputError(f"{key} cannot be inferred from the file; give it as {key}=VALUE")


def argument(
    key: str,
    init: Values | None,
    given: Values,
    default: object,
    *,
    within: Iterable[str] = (),
    attribute: str = "",
) -> object:
    """The value of a constructor argument that shapes do not show.

    Looked for in what the user gave, in `init`, in the dictionaries of `init` named by `within`
    ("synthesis_kwargs"), then among the pickled attributes under the full name `attribute`.
    """
    if key in given:
        return given[key]
    if init is not None:
        places: list[object] = [init.get(name) for name in within]
        for place in (*places, init):
            if isinstance(place, Mapping) and key in place:
                return cast("Mapping[str, object]", place)[key]
        attributes = init.get(ATTRIBUTES)
        if attribute and isinstance(attributes, Mapping) and attribute in attributes:
            return cast("Mapping[str, object]", attributes)[attribute]
    return default


def number(key: str, value: object, *, whole: bool = False, none: bool = False) -> object:
    """Let `value` through if it is a finite number (or None, where that has a meaning).

    Raises:
        InputError: it is not; names `key`.
    """
    if value is None and none:
        return None
    kinds = int if whole else (int, float)
    if not isinstance(value, kinds) or isinstance(value, bool) or not math.isfinite(value):
        kind = "a whole number" if whole else "a number"
        raise InputError(f"{key} should be {kind}, got {ascii(value)[:40]}")
    return value


def scaled(tensor: Tensor, factor: float) -> Tensor:
    """`tensor` times `factor`, in place; of less than float32, it is widened first."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32)).mul_(factor)


def take(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    """The tensor that must be there.

    Raises:
        InputError: it is missing.
    """
    if name not in tensors:
        raise InputError(f"{name} is missing")
    return tensors[name]


def drawn(seed: int, rows: int, columns: int) -> Tensor:
    """Standard normal numbers, float32 [rows, columns], for what a file leaves out."""
    numbers = np.random.RandomState(seed).randn(rows, columns)
    return torch.as_tensor(numbers, dtype=torch.float32)


def half_precision(init: Values | None) -> tuple[str, ...]:
    """The note on a StyleGAN pickle whose network was trained in float16 in part."""
    attributes = argument(ATTRIBUTES, init, {}, {})
    assert isinstance(attributes, Mapping)
    named = cast("Mapping[str, object]", attributes)
    count = sum(value is True for name, value in named.items() if name.endswith(".use_fp16"))
    count = count or argument("num_fp16_res", init, {}, 0, within=("synthesis_kwargs",))
    if not isinstance(count, int) or count < 1:
        return ()
    return (f"{count} of its blocks were trained in float16; all run in float32 here",)


def check_activations(init: Values | None) -> None:
    """Refuse a StyleGAN pickle with other activations than every published network has.

    Raises:
        InputError: names the layer.
    """
    attributes = argument(ATTRIBUTES, init, {}, {})
    assert isinstance(attributes, Mapping)
    for name, value in cast("Mapping[str, object]", attributes).items():
        if name.endswith(".activation") and value not in ("lrelu", "linear"):
            raise InputError(f"only lrelu is supported; {name} is {ascii(value)[:40]}")


def shape_of(shapes: Shapes, name: str, rank: int) -> tuple[int, ...]:
    """The shape of a tensor that must be there, with `rank` dimensions.

    Raises:
        InputError: it is missing or has another rank.
    """
    shape = shapes.get(name)
    if shape is None:
        raise InputError(f"{name} is missing")
    if len(shape) != rank:
        raise InputError(f"{name} should have {rank} dimensions, got shape {list(shape)}")
    return shape


def count_layers(names: Container[str], pattern: str, start: int = 0) -> int:
    """How many of pattern.format(start), pattern.format(start + 1), ... are among `names`."""
    count = 0
    while pattern.format(start + count) in names:
        count += 1
    return count
