"""Declare nodes as plain functions: annotations give sockets and widgets, docstrings give tooltips.

A node is a function whose first argument is `ctx` and whose other arguments carry one marker each:

    @node("Ganvas_SampleLatents", title="Sample Latents", category="ganvas/sample")
    def sample_latents(ctx: Context, generator: Generator, seed: Seed = 0,
                       count: Annotated[int, Int(1, 4096)] = 1) -> Latents:
        '''Draw W+ latents from seeds.

        Args:
            generator: The model that maps seeds to latents.
            seed: First seed.
            count: How many latents are drawn, from consecutive seeds.

        Returns:
            latents: W+ latents, one per seed.
        '''

A socket that may stay unconnected is written `mask: Mask | None = None`. Several outputs are a
`tuple[Image, Mask]`, a list output is a `list[Image]`, and a node without outputs returns None.
What feeds a `Socket(..., lazy=True)` runs only when the node's `needs` hook asks for it.

`sockets` has the markers, `signature` reads a declaration, and `interface` is what it is read into.
None of them imports torch or ComfyUI.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .interface import Fingerprint, Needs, NodeSpec, Validate
from .signature import build_spec
from .sockets import (
    Autoencoder,
    Bool,
    Boolean,
    Choice,
    Direction,
    Float,
    Generator,
    Image,
    Int,
    Latents,
    Mask,
    ModelFile,
    Restorer,
    Seed,
    Socket,
    String,
    Text,
    Translator,
)

__all__ = [
    "NODES",
    "Autoencoder",
    "Bool",
    "Boolean",
    "Choice",
    "Direction",
    "Float",
    "Generator",
    "Image",
    "Int",
    "Latents",
    "Mask",
    "ModelFile",
    "Restorer",
    "Seed",
    "Socket",
    "String",
    "Text",
    "Translator",
    "build_spec",
    "node",
]

Function = TypeVar("Function", bound=Callable[..., Any])

NODES: dict[str, NodeSpec] = {}


def node(
    id: str,
    *,
    title: str,
    category: str,
    aliases: Sequence[str] = (),
    output_node: bool = False,
    is_input_list: bool = False,
    fingerprint: Fingerprint | None = None,
    validate: Validate | None = None,
    needs: Needs | None = None,
    deprecated: bool = False,
    experimental: bool = False,
) -> Callable[[Function], Function]:
    """Register the decorated function as the node `id` and return it unchanged.

    Raises:
        TypeError: The declaration lacks a marker, a tooltip, a default, or repeats an id.
    """

    def register(function: Function) -> Function:
        if id in NODES:
            raise TypeError(f"node {id}: declared twice ({NODES[id].function.__module__})")
        NODES[id] = build_spec(
            function,
            id=id,
            title=title,
            category=category,
            aliases=tuple(aliases),
            output_node=output_node,
            is_input_list=is_input_list,
            fingerprint=fingerprint,
            validate=validate,
            needs=needs,
            deprecated=deprecated,
            experimental=experimental,
        )
        return function

    return register
