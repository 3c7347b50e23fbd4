"""Nodes that read models from files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from ..core import checkpoints
from ..core.checkpoints import file_hash
from ..core.errors import InputError
from .context import Context, Host
from .spec import Generator, ModelFile, Restorer, node


def _content_hash(host: Host, values: Mapping[str, Any]) -> str:
    """SHA-256 of the chosen file, so that a file replaced under the same name is read again."""
    name = values.get("model")
    return file_hash(host.find_model(name)) if isinstance(name, str) else ""


def _load(ctx: Context, name: str, role: str) -> Any:
    """Load a model and refuse one that is not a `role` ("generator" or "network")."""
    model = checkpoints.load(ctx.find_model(name), device=str(ctx.device))
    if getattr(model, role) is None:
        raise InputError(f"model: {name} is a {model.arch}, which has no {role}")
    return model


@node(
    "Ganvas_LoadGenerator",
    title="Load Generator",
    category="ganvas/load",
    aliases=("stylegan", "gan", "checkpoint", "model", "faces"),
    fingerprint=_content_hash,
)
def load_generator(
    ctx: Context, model: Annotated[str, ModelFile("stylegan2-generator")]
) -> Generator:
    """Load a generator of faces from a file. Nothing in the file is executed.

    Args:
        model: Model file: the demo model that ships with ganvas, or a file in models/ganvas.

    Returns:
        generator: The generator, for Sample Latents, Synthesize and Find Directions.
    """
    return _load(ctx, model, "generator")


@node(
    "Ganvas_LoadRestorer",
    title="Load Restorer",
    category="ganvas/load",
    aliases=("restoration", "face restore", "model", "checkpoint"),
    fingerprint=_content_hash,
)
def load_restorer(ctx: Context, model: Annotated[str, ModelFile("restore-unet")]) -> Restorer:
    """Load a face restoration model from a file. Nothing in the file is executed.

    Args:
        model: Model file: the demo model that ships with ganvas, or a file in models/ganvas.

    Returns:
        restorer: The restorer, for Restore Faces.
    """
    return _load(ctx, model, "network")
