"""Loading model files: ganvas's own, and published ones of every supported container and family.

No code from a file is ever run. A ganvas file says itself what it is (`saving.py` has the format);
a published one is recognised by the names and shapes of its tensors.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from ..devices import open_device
from ..errors import InputError
from .building import build, read_tensors
from .containers import SAFETENSORS, Container, LazyTensor, read_container
from .finding import resolve_model
from .header import parse_object
from .published import Values
from .published.family import same_tensors
from .recognise import choose
from .registry import Architecture, architecture
from .saving import FORMAT, save

__all__ = ["FORMAT", "Model", "Part", "describe", "file_hash", "load", "save"]

_CHUNK = 1 << 20
_MAX_FACT = 4000


@dataclass
class Model:
    """A loaded model file.

    Exactly the fields that the file has are set among `generator` (StyleGAN calling convention),
    `discriminator` and `network` (anything else); an autoencoder's decoder is also a generator.
    Modules are float32, in evaluation mode, without gradients; call `.requires_grad_()` to train
    them. Images are [N, C, H, W] in `image_range`, channels in `channel_order`. `sha256` is the
    hash of the file.

    Attributes:
        format: kind of file, in words.
        networks: names of all networks in the file, of which `load` takes one by `network=`.
        dtypes: how many tensors the file holds of each dtype.
        convention: how the first network is called.
        licence: what is known of the weights' licence; empty where nothing is.
        notes: sentences on what loading decided or made up that the file leaves open.
    """

    arch: str
    config: dict[str, object]
    metadata: dict[str, str]
    sha256: str
    path: Path
    generator: nn.Module | None = None
    discriminator: nn.Module | None = None
    network: nn.Module | None = None
    image_range: tuple[float, float] = (-1.0, 1.0)
    channel_order: str = "RGB"
    format: str = SAFETENSORS
    networks: tuple[str, ...] = ()
    dtypes: dict[str, int] = field(default_factory=dict[str, int])
    convention: str = ""
    licence: str = ""
    notes: tuple[str, ...] = ()

    @property
    def training(self) -> dict[str, object]:
        """What the file says about its training run; empty when it says nothing."""
        return parse_object(self.metadata.get("ganvas.training", "{}"), "ganvas.training")

    @property
    def resolution(self) -> int | None:
        """Height and width of the images, None for a network that takes any size."""
        for key in ("img_resolution", "out_size", "img_size"):
            size = self.config.get(key)
            if isinstance(size, int):
                return size
        return None


@dataclass(frozen=True)
class Part:
    """One network of a file, known but not yet read."""

    name: str
    architecture: Architecture
    config: dict[str, object]
    tensors: dict[str, LazyTensor]
    translate: Callable[[Mapping[str, Tensor], Values], dict[str, Tensor]] = same_tensors
    notes: tuple[str, ...] = ()

    def build(self) -> nn.Module:
        """Read the tensors and build the network around them.

        Raises:
            InputError: they are not in the file, not finite, or do not fit.
        """
        tensors = read_tensors(
            self.tensors, lambda read: self.translate(read, self.config), self.architecture.id
        )
        return build(self.architecture, self.config, tensors)


def load(
    path: str | os.PathLike[str],
    device: str | torch.device = "cpu",
    *,
    network: str | None = None,
    **given: object,
) -> Model:
    """Load a model file onto `device`: a ganvas `.safetensors`, or a published checkpoint.

    Args:
        path: safetensors, a file of torch.save, or a StyleGAN pickle; or the name of a model at
            hand, such as "faces-stylegan2-64" (see `finding.find_model`).
        device: where the modules go.
        network: which network of a file with several, such as "generator", "generator_ema" or
            "discriminator"; by default the averaged generator, and the discriminator where there
            is one.
        given: what the file does not say, such as conv_clamp=256.

    Raises:
        InputError: the file is missing, damaged, of another kind, of an unknown architecture, holds
            weights that do not fit or are not finite; it has no such `network`; something `given`
            is not taken; or `device` is not available.
    """
    return load_model(path, device, network, given)


def load_model(
    path: str | os.PathLike[str],
    device: str | torch.device,
    network: str | None,
    given: Mapping[str, object],
) -> Model:
    """`load` with everything given as it is; see there."""
    file = resolve_model(path)
    target = open_device(device)
    with read_container(file) as container:
        try:
            metadata, parts = describe(container, network, given)
            modules = {part.architecture.role: part.build().to(target) for part in parts}
        except InputError as error:
            raise InputError(f"{file}: {error}") from error
        first = parts[0].architecture
        if first.decoder:
            modules["generator"] = modules[first.role].get_submodule(first.decoder)
        return Model(
            arch=first.id,
            config=parts[0].config,
            metadata=metadata,
            sha256=file_hash(file),
            path=file,
            generator=modules.get("generator"),
            discriminator=modules.get("discriminator"),
            network=modules.get("network"),
            image_range=first.image_range,
            channel_order=first.channel_order,
            format=container.format,
            networks=tuple(container.networks),
            dtypes=dtypes_of(container),
            convention=first.convention,
            licence=licence_of(metadata, first),
            notes=notes_of(parts),
        )


def describe(
    container: Container, network: str | None, given: Mapping[str, object]
) -> tuple[dict[str, str], list[Part]]:
    """The metadata of a file, and the networks that `load` would build, the first one first.

    Raises:
        InputError: as `load`, for all but the weights.
    """
    if container.format == SAFETENSORS and "ganvas.format" in container.facts:
        metadata = {key: str(value) for key, value in container.facts.items()}
        part = _own(metadata, container, network)
        if given:
            raise InputError(f"a ganvas file says everything itself; {next(iter(given))} was given")
        return metadata, [part]
    parts = [
        Part(
            found.name,
            found.architecture,
            found.config,
            found.tensors,
            found.family.translate,
            found.notes,
        )
        for found in choose(container, network, given)
    ]
    return _metadata(container), parts


def licence_of(metadata: Mapping[str, str], first: Architecture | None) -> str:
    """What a file says of its own licence, else what is known of all weights of its kind."""
    told = metadata.get("licence")
    if not told:
        told = parse_object(metadata.get("ganvas.training", "{}"), "ganvas.training").get("licence")
    if isinstance(told, str) and told:
        return told
    return "" if first is None else first.licence


def notes_of(parts: Sequence[Part]) -> tuple[str, ...]:
    """The notes of all networks, each behind the network's name where there are several."""
    if len(parts) == 1:
        return parts[0].notes
    return tuple(f"{part.name}: {note}" for part in parts for note in part.notes)


def dtypes_of(container: Container) -> dict[str, int]:
    """How many tensors of a file there are of each dtype, the most frequent first."""
    tensors = (t for network in container.networks.values() for t in network.tensors.values())
    return dict(Counter(tensor.dtype for tensor in tensors).most_common())


def file_hash(file: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _own(metadata: Mapping[str, str], container: Container, network: str | None) -> Part:
    """One network of a ganvas file, by its metadata: `network`, or the first."""
    if metadata["ganvas.format"] != FORMAT:
        raise InputError(
            f"ganvas format {metadata['ganvas.format'][:20]!a}, expected {FORMAT}; "
            "a newer ganvas may be needed"
        )
    for key in ("ganvas.arch", "ganvas.config"):
        if key not in metadata:
            raise InputError(f"metadata {key} is missing")
    config = parse_object(metadata["ganvas.config"], "ganvas.config")
    parse_object(metadata.get("ganvas.training", "{}"), "ganvas.training")
    notes = (metadata["notes"],) if metadata.get("notes") else ()
    arch = architecture(metadata["ganvas.arch"])
    names = list(container.networks)
    only = names == ["network"]
    if network not in (None, *names) and not (only and network == arch.role):
        known = f"a {arch.role}" if only else ", ".join(names)
        raise InputError(f"there is no network {network!r}, only {known}")
    name = network if network in names else names[0]
    return Part(name, arch, config, container.networks[name].tensors, notes=notes)


def _metadata(container: Container) -> dict[str, str]:
    """The plain values of a published file as texts; training facts also as `ganvas.training`."""
    metadata: dict[str, str] = {}
    for key, value in container.facts.items():
        text = value if isinstance(value, str) else _json(value)
        if text is not None and len(text) <= _MAX_FACT and not key.startswith("ganvas."):
            metadata[key] = text
    facts = {key: value for key, value in container.facts.items() if key in metadata}
    if container.format != SAFETENSORS and facts:
        metadata["ganvas.training"] = json.dumps(facts, sort_keys=True)
    return metadata


def _json(value: object) -> str | None:
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError):
        return None
