"""What a node's annotations say of its inputs and outputs: sockets, widgets and their limits.

This module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from ..core.seeds import MAX_SEED
from .context import Host

if TYPE_CHECKING:
    from torch import Tensor
else:
    Tensor = Any

Options = tuple[str, ...] | Callable[[Host], Sequence[str]]


@dataclass(frozen=True)
class Socket:
    """A value that only a link can bring; `type` is the socket's name in workflow files.

    What feeds a `lazy` socket runs only when the node's `needs` hook names it; None arrives else.
    """

    type: str
    lazy: bool = False


@dataclass(frozen=True)
class Int:
    """An integer widget in `minimum..maximum`; `seed` adds the control-after-generate selector."""

    minimum: int
    maximum: int
    step: int = 1
    slider: bool = False
    seed: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Float:
    """A number widget in `minimum..maximum`."""

    minimum: float
    maximum: float
    step: float = 0.01
    slider: bool = False
    optional: bool = False


@dataclass(frozen=True)
class String:
    """A text widget."""

    multiline: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Boolean:
    """An on/off widget."""

    optional: bool = False


@dataclass(frozen=True)
class Choice:
    """A list to choose from: fixed names, or a function of the host (files found on this machine).

    With `image_upload` the widget names a file of the input folder; existence is then the node's
    `validate` hook to check, and the list of options is only what the editor offers.
    """

    options: Options
    image_upload: bool = False
    optional: bool = False


@dataclass(frozen=True)
class ModelFile:
    """A list of the model files that this machine holds, those of one kind first.

    `kind` is one of `model_kinds.MODEL_KINDS`. The other files are listed too: whoever chooses one
    is told what it is and why it does not fit.
    """

    kind: str
    optional: bool = False

    def options(self, host: Host) -> Sequence[str]:
        """Return the names to choose from."""
        return host.list_models(self.kind)


WidgetMarker = Int | Float | String | Boolean | Choice | ModelFile
Marker = Socket | WidgetMarker

Image = Annotated[Tensor, Socket("IMAGE")]
Mask = Annotated[Tensor, Socket("MASK")]
Generator = Annotated[Any, Socket("GANVAS_GENERATOR")]
Latents = Annotated[Any, Socket("GANVAS_LATENTS")]
Direction = Annotated[Any, Socket("GANVAS_DIRECTION")]
Restorer = Annotated[Any, Socket("GANVAS_RESTORER")]
Translator = Annotated[Any, Socket("GANVAS_TRANSLATOR")]
Autoencoder = Annotated[Any, Socket("GANVAS_AUTOENCODER")]
Seed = Annotated[int, Int(0, MAX_SEED, seed=True)]
Text = Annotated[str, String()]
Bool = Annotated[bool, Boolean()]
