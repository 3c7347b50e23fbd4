"""Nodes that keep latents and directions in files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

from ..core import latent_files
from ..core.editing import Direction as CoreDirection
from ..core.errors import InputError
from ..core.latents import Latents as CoreLatents
from .context import Context, Host
from .files import content_hash, inside, is_file
from .results import check_prefix, numbered
from .spec import Choice, Direction, Generator, Latents, Text, node

Saved = TypeVar("Saved", CoreLatents, CoreDirection)


def _list_saved(host: Host) -> list[str]:
    """Names of the safetensors files that may hold latents or directions.

    Those of the input folder, then those of the output folder as "name [output]", each with the
    folders directly below.
    """
    return _names(host.input_dir) + [f"{name} [output]" for name in _names(host.output_dir)]


def _names(folder: Path) -> list[str]:
    found = [*folder.glob(f"*{latent_files.SUFFIX}"), *folder.glob(f"*/*{latent_files.SUFFIX}")]
    return sorted(file.relative_to(folder).as_posix() for file in found if file.is_file())


def _saved_file(host: Host, name: str, widget: str) -> Path:
    """Return the file that a name of `_list_saved` stands for.

    Raises:
        InputError: There is none inside the folders; the message starts with the widget's name.
    """
    folder = host.output_dir if name.endswith(" [output]") else host.input_dir
    path = inside(folder, name.removesuffix(" [output]"))
    if path is None or not is_file(path) or path.suffix != latent_files.SUFFIX:
        raise InputError(f"{widget}: expected a saved file of {folder}, got {name[:100]!r}")
    return path


def _save(ctx: Context, value: Saved, prefix: str, write: Callable[[Path, Saved], None]) -> None:
    """Write a new numbered file below the output folder."""
    path = numbered(ctx.output_dir, prefix, latent_files.SUFFIX)
    write(path, value)
    ctx.record_file(path)


def _load(
    ctx: Context, name: str, widget: str, read: Callable[[Path], Saved], generator: Any
) -> Saved:
    """Read a file and, where a generator is linked, check that it is the one the file was made for.

    Raises:
        InputError: The file is another one, damaged, or belongs to another generator.
    """
    path = _saved_file(ctx.host, name, widget)
    try:
        found = read(path)
    except InputError as error:
        raise InputError(f"{widget}: {name}: {str(error).removeprefix(f'{path}: ')}") from error
    if generator is not None and generator.sha256 != found.model_hash:
        raise InputError(
            f"generator: {name} belongs to the generator {found.model_hash[:12]}, got "
            f"{generator.sha256[:12]}"
        )
    return found


@node(
    "Ganvas_SaveLatents",
    title="Save Latents",
    category="ganvas/load",
    aliases=("keep faces", "export latents", "safetensors"),
    output_node=True,
    validate=check_prefix,
)
def save_latents(ctx: Context, latents: Latents, filename_prefix: Text = "latents/faces") -> None:
    """Save latents into a safetensors file, which names the generator that they belong to.

    Args:
        latents: The latents to save.
        filename_prefix: Start of the file's name below the output folder; a number follows.
    """
    _save(ctx, latents, filename_prefix, latent_files.save_latents)


@node(
    "Ganvas_LoadLatents",
    title="Load Latents",
    category="ganvas/load",
    aliases=("open latents", "saved faces", "safetensors"),
    fingerprint=content_hash("latents", partial(_saved_file, widget="latents")),
)
def load_latents(
    ctx: Context,
    latents: Annotated[str, Choice(_list_saved)],
    generator: Generator | None = None,
) -> Latents:
    """Load latents that Save Latents wrote.

    Args:
        latents: A file of the input folder, or of the output folder where it was saved.
        generator: The generator that the latents must belong to; without it, Synthesize checks.

    Returns:
        latents: The saved latents.
    """
    return _load(ctx, latents, "latents", latent_files.load_latents, generator)


@node(
    "Ganvas_SaveDirection",
    title="Save Direction",
    category="ganvas/load",
    aliases=("keep direction", "export direction", "attribute", "safetensors"),
    output_node=True,
    validate=check_prefix,
)
def save_direction(
    ctx: Context, direction: Direction, filename_prefix: Text = "directions/direction"
) -> None:
    """Save a direction into a safetensors file, which names the generator that it belongs to.

    Args:
        direction: The direction to save.
        filename_prefix: Start of the file's name below the output folder; a number follows.
    """
    _save(ctx, direction, filename_prefix, latent_files.save_direction)


@node(
    "Ganvas_LoadDirection",
    title="Load Direction",
    category="ganvas/load",
    aliases=("open direction", "saved attribute", "safetensors"),
    fingerprint=content_hash("direction", partial(_saved_file, widget="direction")),
)
def load_direction(
    ctx: Context,
    direction: Annotated[str, Choice(_list_saved)],
    generator: Generator | None = None,
) -> Direction:
    """Load a direction that Save Direction wrote.

    Args:
        direction: A file of the input folder, or of the output folder where it was saved.
        generator: The generator that it must belong to; without it, Apply Direction checks.

    Returns:
        direction: The saved direction.
    """
    return _load(ctx, direction, "direction", latent_files.load_direction, generator)
