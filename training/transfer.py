"""Starting a run from another one: equal tensors are copied, what is new begins neutral.

With the small `stylegan2-faces-*` presets this is how resolution grows: every block of the smaller
networks exists in the larger ones under the same name. The new toRGB layers begin at zero, so that
the larger generator's first images are the smaller one's, up-sampled. A conditional StyleGAN2 may
start from one without labels (`label_transfer`).
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from ..core.errors import InputError
from . import snapshot
from .label_transfer import add_labels
from .system import System

_TORGB = re.compile(r"(.*\.b\d+\.torgb)\.weight$")


def initialise(system: System, path: Path) -> str:
    """Copy what fits into a fresh system; of several ranks, rank 0 reads and the others copy it.

    Args:
        system: its networks and averages.
        path: a run folder or training state (all of them), or a model file (those that
            `System.weights_of` says).

    Returns:
        One sentence on what was copied.

    Raises:
        InputError: no such file, or nothing in it fits; on every rank.
    """
    said = system.ranks.from_main(lambda: _initialise(system, path))
    for module in (system.networks | system.averages).values():
        for tensor in module.state_dict().values():
            system.ranks.copy_from_main_(tensor)
    return said


def _initialise(system: System, path: Path) -> str:
    """`initialise` on one rank."""
    networks = system.networks | system.averages
    sources = _sources(system, path)
    counts = []
    for name, module in networks.items():
        tensors = sources.get(name)
        if tensors is None:
            continue
        own = module.state_dict()
        copied = _copy(own, tensors)
        add_labels(module, tensors, system.feed)
        if name != "D":
            _silence_new_torgb(own, copied)
        else:
            _continue_discriminator(own, tensors, copied)
        counts.append(f"{len(copied)} of {len(own)} tensors of {name}")
        if name == next(iter(networks)) and not copied:
            raise InputError(f"train: init={path} shares no tensor of equal name and shape")
    if not counts:
        raise InputError(f"train: init={path} holds none of the networks {', '.join(networks)}")
    return f"copied {', '.join(counts)} from {path}"


def _sources(system: System, path: Path) -> dict[str, dict[str, Tensor]]:
    """State dicts by network."""
    names = [*system.networks, *system.averages]
    if path.is_dir() or snapshot.is_state(path):
        tensors = snapshot.read(snapshot.find_state(path)).tensors
        return {
            name: {
                key.removeprefix(f"{name}."): value
                for key, value in tensors.items()
                if key.startswith(f"{name}.")
            }
            for name in names
        }
    return system.weights_of(path)


def _copy(own: dict[str, Tensor], tensors: dict[str, Tensor]) -> set[str]:
    """Copy tensors of equal name and shape in place; gives their names."""
    fits = {name for name in own if name in tensors and own[name].shape == tensors[name].shape}
    for name in fits:
        own[name].copy_(tensors[name])
    return fits


def _silence_new_torgb(own: dict[str, Tensor], copied: set[str]) -> None:
    """Weights and biases of toRGB layers that did not exist before become 0."""
    if not any(_TORGB.match(name) for name in copied):
        return
    for name in own:
        match = _TORGB.match(name)
        if match and name not in copied:
            own[name].zero_()
            own[f"{match[1]}.bias"].zero_()


def _continue_discriminator(
    own: dict[str, Tensor], tensors: dict[str, Tensor], copied: set[str]
) -> None:
    """Let one new block in front pass on what the old first layer would have seen.

    The old network began with `fromrgb` at half the resolution. In the new residual block the 1x1
    skip is fitted, by least squares over the colour cube, to give that layer's output, and the
    other path begins at 0; without this the copied blocks would see noise and be unlearnt.
    """
    old = [name for name in tensors if name.endswith(".fromrgb.weight")]
    new = [name for name in own if name.endswith(".fromrgb.weight")]
    if len(old) != 1 or len(new) != 1 or old == new:
        return
    old_block, new_block = old[0].split(".")[0], new[0].split(".")[0]
    skip = f"{new_block}.skip.weight"
    grown = int(new_block[1:]) == 2 * int(old_block[1:])
    if not grown or skip not in own or own[skip].shape[0] != tensors[old[0]].shape[0]:
        return
    axis = torch.linspace(-1, 1, 9, dtype=torch.float64)
    colours = torch.cartesian_prod(axis, axis, axis)
    source = _fromrgb(colours, own[new[0]], own[new[0].replace("weight", "bias")])
    target = _fromrgb(colours, tensors[old[0]], tensors[old[0].replace("weight", "bias")])
    # Block output: sqrt(.5) (skip / sqrt(fan-in)) x; conv1's half is 0.
    wanted = torch.linalg.lstsq(source, target).solution.T * 2**0.5 * source.shape[1] ** 0.5
    own[skip].copy_(wanted[:, :, None, None])
    own[f"{new_block}.conv1.weight"].zero_()
    own[f"{new_block}.conv1.bias"].zero_()


def _fromrgb(colours: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A fromRGB layer on single colours [n, 3] -> [n, C]: 1x1, weight / sqrt(3), leaky ReLU."""
    kernel = weight.detach().double().cpu()[:, :, 0, 0] / weight.shape[1] ** 0.5
    y = colours @ kernel.T + bias.detach().double().cpu()
    return functional.leaky_relu(y, 0.2) * 2**0.5
