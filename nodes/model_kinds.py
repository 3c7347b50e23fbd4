"""The kinds of models that nodes load, one row each; imports torch, so it is imported on use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..core.autoencoding import AUTOENCODERS, autoencoder_of
from ..core.checkpoints import ARCHITECTURES, Model
from ..core.restoration import RESTORERS, convention_of
from ..core.translation import TRANSLATORS, translator_of


@dataclass(frozen=True)
class ModelKind:
    """What a node that loads models takes.

    Attributes:
        phrase: What such a model is called in a sentence.
        node: Title of the node.
        architectures: Ids of the architectures of this kind.
        check: Raises InputError for a model of such an architecture that cannot serve after all.
    """

    phrase: str
    node: str
    architectures: tuple[str, ...]
    check: Callable[[Model], object] | None = None


GENERATORS = tuple(id for id, entry in ARCHITECTURES.items() if entry.role == "generator")

MODEL_KINDS = {
    "generator": ModelKind("a generator", "Load Generator", GENERATORS),
    "restorer": ModelKind("a restoration model", "Load Restorer", RESTORERS, convention_of),
    "translator": ModelKind(
        "an image translation model", "Load Translator", TRANSLATORS, translator_of
    ),
    "autoencoder": ModelKind("an autoencoder", "Load Autoencoder", AUTOENCODERS, autoencoder_of),
}
