"""Finds the networks in what torch.save or pickle stored: bare, wrapped or several of them."""

from __future__ import annotations

from collections.abc import Mapping

from .container import RawNetwork
from .machine import Inert, as_dict
from .names import plain
from .stylegan_pickle import is_module, plain_dict, read_module
from .tensors import LazyTensor

# What published files call their networks, in the order of preference within each name of ours.
_ROLES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("generator_ema", ("g_ema", "G_ema", "generator_ema", "netG_ema", "g_running", "avgG", "Gs")),
    ("generator", ("g", "G", "generator", "netG", "gen")),
    ("discriminator", ("d", "D", "discriminator", "netD", "disc")),
    ("network", ("params_ema", "params-ema", "state_dict_ema", "model_ema", "ema", "ema_model")),
    (
        "network",
        ("params", "state_dict", "model_state_dict", "model", "net", "network", "weights"),
    ),
)
_CONSTANT = "input.input"  # of rosinality's generators
_OPTIMIZER = frozenset({"param_groups", "state"})
_MAX_DEPTH = 4


def find_networks(root: object) -> tuple[dict[str, RawNetwork], dict[str, object]]:
    """The networks of a file's object by our names for them, and the plain values beside them."""
    networks = _find(root, "network", _MAX_DEPTH)
    facts = plain_dict(root)
    entries = as_dict(root)
    if entries is not None:
        if any(_is_optimizer(value) for value in entries.values()) or _is_optimizer(entries):
            facts["optimizer"] = True
        for key in ("args", "opt", "training_set_kwargs"):
            value = entries.get(key)
            if isinstance(value, Inert):
                facts[key] = plain_dict(value.state)
        mean = entries.get("latent_avg")
        if isinstance(mean, LazyTensor):  # belongs to the generators, whose state dicts lack it
            for network in networks.values():
                for name in [name for name in network.tensors if name.endswith(_CONSTANT)]:
                    network.tensors[name.removesuffix(_CONSTANT) + "latent_avg"] = mean
    return networks, facts


def _find(value: object, role: str, depth: int) -> dict[str, RawNetwork]:
    if isinstance(value, Inert):
        if is_module(value):
            return {role: read_module(value)}
        return _find(as_dict(value.state.get("state")), role, depth - 1) if depth else {}
    listed = as_dict(value)
    if listed is None or not depth:
        return {}
    entries = {key: item for key, item in listed.items() if isinstance(key, str)}
    inner = {key: item for key, item in entries.items() if _may_hold_network(item)}
    result: dict[str, RawNetwork] = {}
    for name, keys in _ROLES:
        for key in keys:
            if key in inner:
                within = role if name == "network" and role != "network" else name
                for found, network in _find(inner[key], within, depth - 1).items():
                    free = found if found not in result else f"{found}_raw"
                    result.setdefault(free, network)
    if result:
        return result
    tensors = {key: item for key, item in entries.items() if isinstance(item, LazyTensor)}
    if tensors:
        return _by_prefix(tensors) or {role: RawNetwork(tensors, _arguments(entries))}
    found = {key: _find(item, role, depth - 1) for key, item in inner.items()}
    named = {key: next(iter(networks.values())) for key, networks in found.items() if networks}
    return {role: next(iter(named.values()))} if len(named) == 1 else named


def _by_prefix(tensors: Mapping[str, LazyTensor]) -> dict[str, RawNetwork]:
    """The networks of one state dict that holds a generator and a discriminator, else none.

    Lightning saves so: "G.mapping.fc0.weight", "D.b4.fc.weight". What is of neither is "rest".
    """
    names = {f"{key}.": role for role, keys in _ROLES for key in keys if role != "network"}
    found: dict[str, dict[str, LazyTensor]] = {}
    for name, tensor in tensors.items():
        prefix = name[: name.find(".") + 1]
        inner = found.setdefault(names.get(prefix, "rest"), {})
        inner[name.removeprefix(prefix) if prefix in names else name] = tensor
    if "discriminator" not in found or not any(role.startswith("generator") for role in found):
        return {}
    return {role: RawNetwork(inner) for role, inner in found.items()}


def _arguments(entries: Mapping[str, object]) -> dict[str, object] | None:
    """Plain values between the tensors of a state dict; networks record settings that way."""
    kept = {
        key: plain(value)
        for key, value in entries.items()
        if isinstance(plain(value), (bool, int, float, str))
    }
    return kept or None


def _may_hold_network(value: object) -> bool:
    return isinstance(value, Inert) or (as_dict(value) is not None and not _is_optimizer(value))


def _is_optimizer(value: object) -> bool:
    entries = as_dict(value)
    return entries is not None and entries.keys() >= _OPTIMIZER
