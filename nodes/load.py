"""Nodes that read models from files."""

from __future__ import annotations

from typing import Annotated, Any

from ..core import checkpoints
from ..core.checkpoints import Architecture
from ..core.checkpoints.catalog import architecture_of
from ..core.errors import InputError
from .context import Context
from .files import content_hash
from .model_kinds import MODEL_KINDS, ModelKind
from .spec import Autoencoder, Generator, ModelFile, Restorer, String, Translator, node

_hash_model = content_hash("model", lambda host, name: host.find_model(name))


def _load(ctx: Context, name: str, given: str, kind: str, network: str = "") -> Any:
    """Load a model; refuse one of another kind by saying what it is, before its weights are read.

    Args:
        ctx: The node's context.
        name: Name of the model file.
        given: The widget of that name, KEY=VALUE between commas.
        kind: One of `MODEL_KINDS`.
        network: Which network of a file with several; empty for the first.

    Raises:
        InputError: The file does not load, or is of another kind; names the widget and the file.
    """
    wanted = MODEL_KINDS[kind]
    path = ctx.find_model(name)
    try:
        known = checkpoints.parse_given(checkpoints.split_given(given))
    except InputError as error:
        raise InputError(f"given: {error}") from error
    found = architecture_of(path)
    if found is not None:
        _check_kind(name, found, wanted)
    try:
        model = checkpoints.load_model(path, str(ctx.device), network or None, known)
    except InputError as error:
        raise InputError(f"model: {name}: {str(error).removeprefix(f'{path}: ')}") from error
    _check_kind(name, checkpoints.ARCHITECTURES[model.arch], wanted)
    try:
        if wanted.check:
            wanted.check(model)
    except InputError as error:
        raise InputError(f"model: {name}: {error}") from error
    return model


def _check_kind(name: str, found: Architecture, wanted: ModelKind) -> None:
    """Refuse a model of another kind than a node loads.

    Raises:
        InputError: It is; says what it is, and which node takes it.
    """
    if found.id in wanted.architectures:
        return
    others = [kind.node for kind in MODEL_KINDS.values() if found.id in kind.architectures]
    hint = f"; {others[0]} takes it" if others else ""
    raise InputError(
        f"model: {name} is a {found.id} ({found.summary}), expected {wanted.phrase}{hint}"
    )


@node(
    "Ganvas_LoadGenerator",
    title="Load Generator",
    category="ganvas/load",
    aliases=("stylegan", "gan", "checkpoint", "model", "faces", "pkl", "ffhq"),
    fingerprint=_hash_model,
)
def load_generator(
    ctx: Context,
    model: Annotated[str, ModelFile("generator")],
    given: Annotated[str, String(optional=True)] = "",
) -> Generator:
    """Load a generator of faces from a file. Nothing in the file is executed.

    Args:
        model: The demo model, or a file in models/ganvas: .safetensors, .pkl, .pt, .pth or .ckpt.
        given: What the file itself does not say, as KEY=VALUE such as conv_clamp=256; several
            between commas.

    Returns:
        generator: The generator, for Sample Latents, Synthesize and Find Directions.
    """
    return _load(ctx, model, given, "generator")


@node(
    "Ganvas_LoadRestorer",
    title="Load Restorer",
    category="ganvas/load",
    aliases=("restoration", "face restore", "model", "checkpoint", "gfpgan", "codeformer"),
    fingerprint=_hash_model,
)
def load_restorer(
    ctx: Context,
    model: Annotated[str, ModelFile("restorer")],
    given: Annotated[str, String(optional=True)] = "",
) -> Restorer:
    """Load a face restoration model from a file. Nothing in the file is executed.

    Args:
        model: The demo model, or a file in models/ganvas: .safetensors, .pkl, .pt, .pth or .ckpt.
        given: What the file itself does not say, as KEY=VALUE such as num_heads=8; several
            between commas.

    Returns:
        restorer: The restorer, for Restore Faces.
    """
    return _load(ctx, model, given, "restorer")


@node(
    "Ganvas_LoadTranslator",
    title="Load Translator",
    category="ganvas/load",
    aliases=("pix2pix", "cyclegan", "image to image", "model", "checkpoint"),
    fingerprint=_hash_model,
)
def load_translator(
    ctx: Context,
    model: Annotated[str, ModelFile("translator")],
    network: Annotated[str, String(optional=True)] = "",
    given: Annotated[str, String(optional=True)] = "",
) -> Translator:
    """Load an image translation model from a file. Nothing in the file is executed.

    Args:
        model: A file in models/ganvas: .safetensors, .pkl, .pt, .pth or .ckpt.
        network: Which network of a file with several, such as B_to_A; empty for the first.
        given: What the file itself does not say, as KEY=VALUE such as use_dropout=false; several
            between commas.

    Returns:
        translator: The model, for Translate Image.
    """
    return _load(ctx, model, given, "translator", network.strip())


@node(
    "Ganvas_LoadAutoencoder",
    title="Load Autoencoder",
    category="ganvas/load",
    aliases=("vae", "variational autoencoder", "model", "checkpoint"),
    fingerprint=_hash_model,
)
def load_autoencoder(ctx: Context, model: Annotated[str, ModelFile("autoencoder")]) -> Autoencoder:
    """Load an autoencoder from a file. Nothing in the file is executed.

    Args:
        model: A file in models/ganvas, as training with vae-64, cvae-64 or vae-gan-64 writes it.

    Returns:
        autoencoder: The autoencoder, for Autoencode.
    """
    return _load(ctx, model, "", "autoencoder")
