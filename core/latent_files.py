"""Latents and directions in files: safetensors with the generator's hash in the metadata.

`ganvas.format` is "1", `ganvas.kind` "latents" or "direction", `ganvas.model` the SHA-256 of the
generator's file. Latents hold the tensor `ws` and `ganvas.space`; a direction holds the tensor
`vector` and `ganvas.direction`, a JSON object.
"""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path

import safetensors
import torch
from torch import Tensor

from .checkpoints.header import parse_object, read_header
from .checkpoints.saving import FORMAT, is_finite, write_tensors
from .editing import Direction
from .errors import InputError
from .latents import Latents

SUFFIX = ".safetensors"
MAX_NUMBERS = 2**28
"""Numbers in one file (1 GB as float32); more than that is no batch of latents."""


def save_latents(path: str | os.PathLike[str], latents: Latents) -> None:
    """Write latents, whole or not at all; the same latents always give the same bytes."""
    metadata = _metadata("latents", latents.model_hash) | {"ganvas.space": latents.space}
    write_tensors(path, {"ws": latents.ws}, metadata)


def load_latents(path: str | os.PathLike[str]) -> Latents:
    """Read latents.

    Raises:
        InputError: not a file of latents, or a damaged one; the message names the file.
    """
    file = Path(path)
    metadata, ws = _read(file, "latents", "ws", (3,))
    space = metadata.get("ganvas.space", "")
    if space not in ("W", "W+"):
        raise InputError(f"{file}: expected latents of the space W or W+, got {space[:20]!r}")
    return Latents(ws, space, metadata["ganvas.model"])


def save_direction(path: str | os.PathLike[str], direction: Direction) -> None:
    """Write a direction, whole or not at all; the same direction always gives the same bytes."""
    about = {
        "first_layer": direction.first_layer,
        "last_layer": direction.last_layer,
        "name": direction.name,
        "value": direction.value,
    }
    metadata = _metadata("direction", direction.model_hash)
    metadata["ganvas.direction"] = json.dumps(about, sort_keys=True, allow_nan=False)
    write_tensors(path, {"vector": direction.vector}, metadata)


def load_direction(path: str | os.PathLike[str]) -> Direction:
    """Read a direction.

    Raises:
        InputError: not a file of a direction, or a damaged one; the message names the file.
    """
    file = Path(path)
    metadata, vector = _read(file, "direction", "vector", (1, 2))
    about = parse_object(metadata.get("ganvas.direction", ""), f"{file}: ganvas.direction")
    first, last = about.get("first_layer"), about.get("last_layer")
    name, value = about.get("name"), about.get("value")
    if (
        not (isinstance(first, int) and isinstance(last, int) and 0 <= first <= last)
        or not isinstance(name, str)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or (vector.ndim == 2 and len(vector) != last - first + 1)
    ):
        raise InputError(f"{file}: its layers, name or value do not describe a direction")
    return Direction(vector, first, last, metadata["ganvas.model"], name, float(value))


def _metadata(kind: str, model_hash: str) -> dict[str, str]:
    return {"ganvas.format": FORMAT, "ganvas.kind": kind, "ganvas.model": model_hash}


def _read(
    file: Path, kind: str, name: str, ranks: tuple[int, ...]
) -> tuple[dict[str, str], Tensor]:
    """Read the one tensor of a file of ours, checking everything that the header says first."""
    header = read_header(file)
    found = header.metadata.get("ganvas.kind")
    if found != kind:
        if found in ("latents", "direction"):
            got = f"a file of {'latents' if found == 'latents' else 'a direction'}"
        else:
            got = "a model" if "ganvas.arch" in header.metadata else "another safetensors file"
        raise InputError(f"{file}: expected saved {kind}, got {got}")
    if header.metadata.get("ganvas.format") != FORMAT:
        raise InputError(f"{file}: written by a newer ganvas, expected format {FORMAT}")
    if not re.fullmatch(r"[0-9a-f]{64}", header.metadata.get("ganvas.model", "")):
        raise InputError(f"{file}: it does not say which generator it belongs to")
    info = header.tensors.get(name)
    if info is None or len(header.tensors) != 1 or info.dtype not in ("F32", "F16", "BF16", "F64"):
        raise InputError(f"{file}: expected one tensor of real numbers called {name}")
    if len(info.shape) not in ranks or not 1 <= info.count <= MAX_NUMBERS:
        raise InputError(f"{file}: {name} has an unexpected shape, {list(info.shape)}")
    with safetensors.safe_open(file, framework="pt", device="cpu") as opened:
        values = opened.get_tensor(name).to(torch.float32)
    if not is_finite(values):
        raise InputError(f"{file}: {name} holds NaN or infinite numbers")
    return header.metadata, values
