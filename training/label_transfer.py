"""Starting a conditional StyleGAN2 from weights that know no labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..core.models.mapping import MappingNetwork
from .feed import Feed
from .labels import column_labels

_EMBEDDING = "mapping.embed.weight"
_FIRST = "mapping.fc0.weight"
_LOGITS = "b4.out"
_FITTED_LABELS = 1000


def add_labels(module: nn.Module, tensors: dict[str, Tensor], feed: Feed) -> None:
    """Let a network that takes labels begin much as one without them was, in place.

    The mapping network keeps its weights of z. Beside them stand random ones of the labels, so
    that what it computes from both is distributed as before, and each class has a part of it. The
    discriminator, which projects features on a label's embedding, gives an image the logit that it
    gave without labels, whatever its label; by least squares where the data have more labels than
    the embedding has features.

    Args:
        module: generator or discriminator, whose tensors of equal name and shape are copied
            already. Any other network, and one without labels, stays as it is.
        tensors: state dict that the run starts from; one with labels changes nothing.
        feed: the data with their labels.
    """
    own = module.state_dict()
    if _EMBEDDING not in own or _EMBEDDING in tensors:
        return
    if _FIRST in own and _FIRST in tensors:
        z_dim = own[_FIRST].shape[1] - own[_EMBEDDING].shape[0]
        if tensors[_FIRST].shape == (own[_FIRST].shape[0], z_dim):
            own[_FIRST][:, :z_dim].copy_(tensors[_FIRST])
    weight, labels = f"{_LOGITS}.weight", column_labels(feed, _FITTED_LABELS)
    if labels is None or weight not in own or weight not in tensors:
        return
    if tensors[weight].shape == (1, own[weight].shape[1]):
        share = _equal_products(module, labels.to(own[weight].device))  # [cmap_dim, 1]
        for name in (weight, f"{_LOGITS}.bias"):
            old = tensors[name].double().cpu().reshape(1, -1)
            own[name].copy_((share @ old).reshape(own[name].shape))


@torch.no_grad()
def _equal_products(module: nn.Module, labels: Tensor) -> Tensor:
    """The shortest x [cmap_dim, 1] with cmap x / sqrt(cmap_dim) = 1 for each label's cmap."""
    mapping = module.get_submodule("mapping")
    assert isinstance(mapping, MappingNetwork)
    cmap = mapping(None, labels).double().cpu()  # [K, cmap_dim]
    return torch.linalg.pinv(cmap, rtol=1e-3).sum(dim=1, keepdim=True) * cmap.shape[1] ** 0.5
