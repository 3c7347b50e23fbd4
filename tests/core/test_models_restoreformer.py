"""RestoreFormer: sizes, hyper-parameters from shapes, codes and where attention asks."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from ganvas.core.checkpoints.published.restoreformer import RESTOREFORMER
from ganvas.core.errors import InputError
from ganvas.core.models.restoreformer import CrossAttention, RestoreFormer
from ganvas.core.models.vqgan import normalize

from .random_networks import (
    assert_batch_independent,
    assert_double_agrees,
    assert_round_trip,
    published_size,
    randomised,
    shapes_of,
)

SMALL = {
    "ch": 32,
    "ch_mult": (1, 2),
    "num_res_blocks": 1,
    "attn_levels": (1,),
    "z_channels": 8,
    "embed_dim": 8,
    "n_embed": 20,
}


def small(**changes):
    return randomised(RestoreFormer(**{**SMALL, **changes}))


def images(count=1, height=8, width=8):
    rng = torch.Generator().manual_seed(5)
    return torch.rand(count, 3, height, width, generator=rng) * 2 - 1


def test_published_size():
    assert published_size(RestoreFormer) == (405, 72_680_003)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"in_channels": 1},
        {"out_channels": 1},
        {"ch": 64},
        {"ch_mult": (2, 1, 4)},
        {"num_res_blocks": 2},
        {"attn_levels": (0, 1)},
        {"attn_levels": ()},
        {"z_channels": 5},
        {"embed_dim": 4},
        {"n_embed": 9},
    ],
    ids=str,
)
def test_round_trip(changes):
    network = small(**changes)
    img = images()[:, : network.config.in_channels]
    assert_round_trip(RESTOREFORMER, network, img)


def test_other_heads_must_be_given():
    network = small(head_size=4)
    assert_round_trip(RESTOREFORMER, network, images(), head_size=4)
    assert not torch.equal(network(images()), small()(images()))


def test_attention_in_float64():
    layer = randomised(CrossAttention(32, heads=4)).double()
    x, y = torch.randn(2, 2, 32, 3, 5, dtype=torch.float64)

    def conv(part, z):
        return part(z).flatten(2).view(2, 4, 8, 15)

    q = conv(layer.q, functional.group_norm(y, 32, layer.norm2.weight, layer.norm2.bias, 1e-6))
    normed = functional.group_norm(x, 32, layer.norm1.weight, layer.norm1.bias, 1e-6)
    weights = torch.einsum("nhcq,nhck->nhqk", q / 8**0.5, conv(layer.k, normed)).softmax(-1)
    attended = torch.einsum("nhqk,nhck->nhcq", weights, conv(layer.v, normed))
    expected = x + layer.proj_out(attended.reshape(2, 32, 3, 5))
    torch.testing.assert_close(layer(x, y), expected, rtol=1e-10, atol=1e-10)


def test_codes_are_the_nearest_entries():
    network = small()
    z = torch.randn(2, 8, 3, 4)
    entries, codes = network.quantize(z)
    distances = torch.cdist(z.permute(0, 2, 3, 1).reshape(-1, 8), network.quantize.embedding.weight)
    assert torch.equal(codes.flatten(), distances.argmin(1))
    row = network.quantize.embedding.weight[codes[1, 2, 3]]
    assert torch.equal(entries[1, :, 2, 3], row)


def test_decoder_asks_the_published_features():
    """Of the encoder's middle: its first block, and its end (measured on the published wiring)."""
    network = small()
    asked = {}
    for name in ("mid.attn_1", "up.1.attn.0"):
        layer = network.decoder.get_submodule(name)
        layer.register_forward_hook(lambda _, args, __, name=name: asked.update({name: args[1]}))
    made = {}
    for name in ("block_1", "block_2"):
        block = network.encoder.mid.get_submodule(name)
        block.register_forward_hook(lambda _, __, out, name=name: made.update({name: out}))
    network(images())
    assert torch.equal(asked["mid.attn_1"], made["block_2"])
    assert torch.equal(asked["up.1.attn.0"], made["block_1"])


def test_sizes_and_samples():
    network = small()
    restored, codes = network.restore(images(2, 6, 10))
    assert restored.shape == (2, 3, 6, 10)
    assert codes.shape == (2, 3, 5)
    assert_batch_independent(network, images(3), atol=1e-4)
    assert_double_agrees(network, images(2), atol=1e-3)


def test_it_differentiates_through_the_codebook():
    network = RestoreFormer(**SMALL)
    network(images()).square().sum().backward()
    grad = network.encoder.conv_in.weight.grad
    assert grad is not None and bool(grad.any())


def test_refusals():
    with pytest.raises(ValueError, match="multiples of 2"):
        small()(images(1, 7, 8))
    with pytest.raises(ValueError, match="attn_levels"):
        small(attn_levels=(2,))
    with pytest.raises(ValueError, match="head_size"):
        small(head_size=7)
    shapes = shapes_of(small().state_dict())
    shapes["decoder.up.0.attn.0.q.weight"] = (32, 32, 1, 1)
    with pytest.raises(InputError, match=r"RestoreFormer\+\+"):
        RESTOREFORMER.infer(shapes, None, {})


def test_normalisation_of_large_images_is_exact():
    norm = randomised(nn.GroupNorm(32, 32, eps=1e-6))
    x = (torch.randn(2, 32, 300, 401) * 1.5 + 3).contiguous(memory_format=torch.channels_last)
    expected = functional.group_norm(x.double(), 32, norm.weight.double(), norm.bias.double(), 1e-6)
    with torch.no_grad():
        y = normalize(x, norm)
    assert float((y - expected).norm() / expected.norm()) < 1e-6
    assert torch.equal(normalize(x.requires_grad_(), norm), norm(x))
