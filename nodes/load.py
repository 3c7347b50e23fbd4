"""Nodes that read models from files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from ..core import checkpoints
from ..core.checkpoints import file_hash
from ..core.checkpoints.catalog import architecture_of
from ..core.errors import InputError
from ..core.restoration import convention_of
from .context import MODEL_KINDS, Context, Host, architectures
from .spec import Generator, ModelFile, Restorer, node

_USES = {"generator": "Load Generator", "restorer": "Load Restorer"}


def _content_hash(host: Host, values: Mapping[str, Any]) -> str:
    """SHA-256 of the chosen file, so that a file replaced under the same name is read again."""
    name = values.get("model")
    return file_hash(host.find_model(name)) if isinstance(name, str) else ""


def _load(ctx: Context, name: str, kind: str) -> Any:
    """Load a model; refuse one of another kind by saying what it is, before its weights are read.

    Raises:
        InputError: the file does not load, or is of another kind; names the widget and the file.
    """
    path = ctx.find_model(name)
    found = architecture_of(path)
    if found is not None and found.id not in architectures(kind):
        other = next((node for k, node in _USES.items() if found.id in architectures(k)), None)
        hint = f"; {other} takes it" if other else ""
        raise InputError(
            f"model: {name} is a {found.id} ({found.summary}), expected {MODEL_KINDS[kind]}{hint}"
        )
    try:
        model = checkpoints.load(path, device=str(ctx.device))
        if kind == "restorer":
            convention_of(model)
    except InputError as error:
        raise InputError(f"model: {name}: {str(error).removeprefix(f'{path}: ')}") from error
    return model


@node(
    "Ganvas_LoadGenerator",
    title="Load Generator",
    category="ganvas/load",
    aliases=("stylegan", "gan", "checkpoint", "model", "faces", "pkl", "ffhq"),
    fingerprint=_content_hash,
)
def load_generator(ctx: Context, model: Annotated[str, ModelFile("generator")]) -> Generator:
    """Load a generator of faces from a file. Nothing in the file is executed.

    Args:
        model: The demo model, or a file in models/ganvas: .safetensors, .pkl, .pt, .pth or .ckpt.

    Returns:
        generator: The generator, for Sample Latents, Synthesize and Find Directions.
    """
    return _load(ctx, model, "generator")


@node(
    "Ganvas_LoadRestorer",
    title="Load Restorer",
    category="ganvas/load",
    aliases=("restoration", "face restore", "model", "checkpoint", "gfpgan", "codeformer"),
    fingerprint=_content_hash,
)
def load_restorer(ctx: Context, model: Annotated[str, ModelFile("restorer")]) -> Restorer:
    """Load a face restoration model from a file. Nothing in the file is executed.

    Args:
        model: The demo model, or a file in models/ganvas: .safetensors, .pkl, .pt, .pth or .ckpt.

    Returns:
        restorer: The restorer, for Restore Faces.
    """
    return _load(ctx, model, "restorer")
