"""Every published family through the one door: recognised by its tensors, rebuilt, same outputs."""

import pytest
import torch

import ganvas
from ganvas.core.checkpoints.published import FAMILIES
from ganvas.core.checkpoints.registry import ARCHITECTURES
from ganvas.core.errors import InputError

from .random_networks import randomised

# Small networks, with every size other than the published one; and images that they take.
NETWORKS = {
    "rrdbnet": ({"num_feat": 16, "num_grow_ch": 8, "num_block": 2, "scale": 2}, (3, 12, 10)),
    "srvgg": ({"num_feat": 16, "num_conv": 3, "scale": 3}, (3, 9, 11)),
    "gfpgan": ({"out_size": 32, "narrow": 0.125, "num_style_feat": 64}, (3, 32, 32)),
    "restoreformer": (
        {"ch": 32, "ch_mult": [1, 2], "attn_levels": [1], "n_embed": 32},
        (3, 32, 32),
    ),
    "pix2pix-unet": ({"num_downs": 5, "ngf": 8, "norm": "instance"}, (3, 32, 32)),
    "cyclegan-resnet": ({"ngf": 8, "num_blocks": 3}, (3, 20, 24)),
    "patchgan": ({"ndf": 8, "num_layers": 2, "in_channels": 6}, (6, 40, 36)),
}
PUBLISHED = (*NETWORKS, "codeformer", "stylegan3-generator")


def build(arch):
    config, shape = NETWORKS[arch]
    torch.manual_seed(0)
    network = randomised(ARCHITECTURES[arch](config))
    return network, torch.rand(2, *shape)


def loaded(model):
    return (
        model.discriminator if ARCHITECTURES[model.arch].role == "discriminator" else model.network
    )


@pytest.mark.parametrize("arch", PUBLISHED)
def test_only_its_own_family_takes_a_published_network(arch):
    config = {"img_resolution": 256} if arch == "stylegan3-generator" else {}
    with torch.device("meta"):
        network = ARCHITECTURES[arch](config)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert [family.id for family in FAMILIES if family.detect(shapes)] == [arch]


@pytest.mark.parametrize("wrapping", [None, "params_ema", "state_dict"])
@pytest.mark.parametrize("arch", NETWORKS)
def test_a_file_loads_and_computes_what_the_network_computed(arch, wrapping, tmp_path):
    network, img = build(arch)
    tensors = network.state_dict()
    file = tmp_path / "model.pth"
    torch.save(tensors if wrapping is None else {wrapping: tensors}, file)
    model = ganvas.load(file)
    assert model.arch == arch
    assert torch.equal(loaded(model)(img), network(img))


@pytest.mark.parametrize("arch", NETWORKS)
def test_a_file_that_lacks_a_tensor_is_refused(arch, tmp_path):
    network, _ = build(arch)
    tensors = network.state_dict()
    del tensors[list(tensors)[len(tensors) // 2]]
    file = tmp_path / "model.pth"
    torch.save(tensors, file)
    with pytest.raises(InputError):
        ganvas.load(file)
