"""Which architecture a raw network is, under which names, and with which config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ..errors import InputError
from .containers import Container, LazyTensor, RawNetwork
from .containers.names import R3GAN
from .identify import identify_tensors
from .published import PublishedFamily, detect
from .registry import Architecture, architecture

# Prefixes that training wrappers put before every name, or before those of the network proper.
_PREFIXES = (
    *("module.", "_orig_mod.", "netG.", "vqvae."),
    *("generator.", "g_ema.", "G_ema.", "decoder.", "model."),
)
_MAX_WRAPPERS = 2
_INSEPARABLE = "ecd0."  # GPEN's encoder, without which its generator draws nothing
_PREFERENCE = ("generator_ema", "generator", "network", "network_raw")
_MAX_NAME = 60


@dataclass(frozen=True)
class Recognised:
    """A network whose architecture is known; `tensors` are under the published names, unread."""

    name: str
    architecture: Architecture
    family: PublishedFamily
    config: dict[str, object]
    tensors: dict[str, LazyTensor]
    notes: tuple[str, ...]


def recognise(name: str, raw: RawNetwork, given: Mapping[str, object]) -> Recognised | None:
    """Find the family of a raw network and infer its config; None when no family knows it.

    Raises:
        InputError: the family is known, but the shapes contradict each other, or the config needs
            what neither file nor user says.
    """
    found = _spelling(raw.tensors)
    if found is None:
        return None
    family, tensors, prefix = found
    known = {key: value for key, value in given.items() if key in family.given}
    shapes = {key: tensor.shape for key, tensor in tensors.items()}
    try:
        config = family.infer(shapes, raw.init, known)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"its shapes do not describe a {family.id}") from error
    notes = family.notes(shapes, raw.init)
    others = len(raw.tensors) - len(tensors)
    if others:
        notes = (f"{others} tensors whose names lack {prefix} are not of it: left out", *notes)
    return Recognised(name, architecture(family.id), family, config, tensors, notes)


def choose(
    container: Container, wanted: str | None, given: Mapping[str, object]
) -> list[Recognised]:
    """The networks to load: the `wanted` one alone, else the best generator and what goes with it.

    Raises:
        InputError: there is no such network, or none is known (the message says what it seems).
    """
    if wanted is not None:
        raw = container.networks.get(wanted)
        if raw is None:
            raise InputError(f"there is no network {wanted!r}, only {_list(container.networks)}")
        found = recognise(wanted, raw, given)
        if found is None:
            raise InputError(_unknown({wanted: raw}))
        return _checked([found], given)
    order = [name for name in _PREFERENCE if name in container.networks]
    order += [name for name in container.networks if name not in _PREFERENCE]
    for name in order:
        first = recognise(name, container.networks[name], given)
        if first is not None:
            break
    else:
        raise InputError(_unknown(container.networks))
    second = container.networks.get("discriminator")
    if second is None or first.name == "discriminator":
        return _checked([first], given)
    try:
        partner, reason = recognise("discriminator", second, given), "of no known architecture"
    except InputError as error:
        if given:
            raise  # it may be what was given that is wrong
        partner, reason = None, str(error)
    if partner is not None:
        return _checked([first, partner], given)
    note = f"the file's discriminator is left out: {reason}"
    return _checked([replace(first, notes=(*first.notes, note))], given)


def _checked(found: list[Recognised], given: Mapping[str, object]) -> list[Recognised]:
    """Refuse what the user gave and none of the networks takes."""
    accepted = sorted({key for network in found for key in network.family.given})
    for key in given:
        if key not in accepted:
            known = ", ".join(accepted) or "nothing"
            raise InputError(
                f"{ascii(key[:_MAX_NAME])[1:-1]} cannot be given for a "
                f"{found[0].architecture.id}; accepted: {known}"
            )
    return found


def _spelling(
    tensors: Mapping[str, LazyTensor],
) -> tuple[PublishedFamily, dict[str, LazyTensor], str] | None:
    """The family that knows the tensors, as they are or without a wrapper's prefix; the prefix."""
    candidates = [("", dict(tensors))]
    whole = any(name.startswith(_INSEPARABLE) for name in tensors)
    for _ in range(0 if whole else _MAX_WRAPPERS):
        before, last = candidates[-1]
        for prefix in _PREFIXES:
            inner = {n[len(prefix) :]: t for n, t in last.items() if n.startswith(prefix)}
            if inner:
                candidates.append((before + prefix, inner))
    for prefix, candidate in candidates:
        family = detect({name: tensor.shape for name, tensor in candidate.items()})
        if family is not None:
            return family, candidate, prefix
    return None


def _unknown(networks: Mapping[str, RawNetwork]) -> str:
    names = [name for network in networks.values() for name in network.tensors]
    kind = identify_tensors(names)
    if kind is not None:
        return f"this seems to be {kind}, which ganvas does not use"
    classes = {network.class_name for network in networks.values() if network.class_name}
    if any(name.startswith(R3GAN) for name in classes):
        return "this is a pickle of R3GAN's own program, whose tensors ganvas cannot place"
    if classes:
        return f"networks of class {_list(sorted(classes))} are of an architecture not known here"
    if not names:
        return "this file holds no tensors"
    return f"no known architecture has tensors such as {_list(names)}"


def _list(names: Iterable[str]) -> str:
    listed = list(names)
    shown = ", ".join(ascii(name[:_MAX_NAME])[1:-1] for name in listed[:4])
    return shown if len(listed) <= 4 else f"{shown}, ..."
