"""CodeFormer: sizes, hyper-parameters from shapes, fidelity, and the transformer written out."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from ganvas.core.checkpoints.published.codeformer import CODEFORMER
from ganvas.core.errors import InputError
from ganvas.core.models.codeformer import (
    COLOUR,
    INPAINT,
    RESTORE,
    CodeFormer,
    CodeFormerConfig,
    FeatureFusion,
    default_usage,
)

from .random_networks import (
    assert_batch_independent,
    assert_double_agrees,
    assert_round_trip,
    published_size,
    randomised,
    shapes_of,
)

SMALL = {
    "img_resolution": 16,
    "channels": 32,
    "channel_multipliers": (1, 1, 2),
    "num_res_blocks": 1,
    "attn_levels": (2,),
    "embed_dim": 8,
    "codebook_size": 20,
    "transformer_dim": 16,
    "num_layers": 2,
    "connect_resolutions": (4, 8),
}


def small(**changes):
    return randomised(CodeFormer(**{**SMALL, **changes}))


def images(count=1, size=16):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(5)) * 2 - 1


def test_published_sizes():
    assert published_size(CodeFormer) == (515, 94_112_707)
    colour = published_size(lambda: CodeFormer(connect_resolutions=(32, 64, 128)))
    assert colour[0] == 515 - 18


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"img_resolution": 32, "connect_resolutions": (8, 32)},
        {"channels": 64},
        {"channel_multipliers": (1, 2, 4)},
        {"num_res_blocks": 2},
        {"attn_levels": (1, 2)},
        {"attn_levels": ()},
        {"embed_dim": 5},
        {"codebook_size": 9},
        {"transformer_dim": 24},
        {"num_layers": 1},
        {"connect_resolutions": ()},
        {"connect_resolutions": (8,)},
    ],
    ids=str,
)
def test_round_trip(changes):
    network = small(**changes)
    assert_round_trip(CODEFORMER, network, images(size=network.config.img_resolution))


def test_other_heads_must_be_given():
    assert_round_trip(CODEFORMER, small(num_heads=4), images(), num_heads=4)


def test_published_blocks():
    """Taps of the published size: the encoder's features and where the generator takes them."""
    with torch.device("meta"):
        network = CodeFormer()
    assert network.encoder.taps == {2: 512, 5: 256, 8: 128, 11: 64, 14: 32, 18: 16}
    assert network.generator.taps == {4: 16, 9: 32, 12: 64, 15: 128, 18: 256, 21: 512}


def test_transformer_is_the_plain_one():
    """`nn.MultiheadAttention` has the same parameters, and positions enter queries and keys."""
    network = small().double()
    layer = network.ft_layers[0]
    attention = nn.MultiheadAttention(16, 8, batch_first=True).double()
    attention.load_state_dict(layer.self_attn.state_dict())
    x, position = torch.randn(2, 9, 16, dtype=torch.float64), torch.randn(9, 16).double()
    y = layer.norm1(x)
    expected = x + attention(y + position, y + position, y, need_weights=False)[0]
    y = layer.linear1(layer.norm2(expected))
    gelu = 0.5 * y * (1 + torch.erf(y / 2**0.5))
    expected = expected + layer.linear2(gelu)
    torch.testing.assert_close(layer(x, position), expected, rtol=1e-10, atol=1e-10)


def test_codes_are_the_likeliest():
    network = small()
    z = torch.randn(2, 8, 4, 4)
    x = network.feat_emb(z.permute(0, 2, 3, 1).reshape(2, 16, 8))
    for layer in network.ft_layers:
        x = layer(x, network.position_emb)
    scores = network.idx_pred_layer(x).view(2, 4, 4, 20)
    torch.testing.assert_close(network.predict(z), scores)
    _, codes = network.restore(images(2))
    assert codes.shape == (2, 4, 4) and codes.dtype == torch.int64


def test_fusion_in_float64():
    layer = randomised(FeatureFusion(32)).double()
    encoded, decoded = torch.randn(2, 1, 32, 4, 4, dtype=torch.float64)
    both = layer.encode_enc(torch.cat([encoded, decoded], dim=1))
    scale, shift = (
        part[2](functional.leaky_relu(part[0](both), 0.2)) for part in (layer.scale, layer.shift)
    )
    expected = decoded + 0.3 * (decoded * scale + shift)
    torch.testing.assert_close(layer(encoded, decoded, 0.3), expected, rtol=1e-10, atol=1e-10)


def test_fidelity_and_colours():
    network, img = small(), images()
    restored, codes = network.restore(img, w=0.0)
    faithful, same_codes = network.restore(img, w=1.0)
    assert torch.equal(codes, same_codes)
    assert not torch.allclose(restored, faithful)
    assert not torch.allclose(restored, network(img, w=0.0, adain=not INPAINT.adain))
    unconnected = small(connect_resolutions=())
    assert torch.equal(unconnected(img, w=0.0), unconnected(img, w=1.0))


def test_adain_gives_the_statistics_of_the_input():
    network = small()
    network.position_emb.mul_(100)  # so that codes differ
    seen = []
    network.encoder.register_forward_hook(lambda _, __, out: seen.append(out))
    network.generator.register_forward_hook(lambda _, args, __: seen.append(args[0]))
    network(images(), adain=True)
    z, x = seen
    for statistic in (torch.mean, torch.std):
        torch.testing.assert_close(statistic(x, (2, 3)), statistic(z, (2, 3)), rtol=1e-2, atol=1e-3)


def test_variants():
    def usage(**changes):
        with torch.device("meta"):
            return default_usage(CodeFormer(**changes).config)

    assert usage() == RESTORE
    assert usage(connect_resolutions=(32, 64, 128)) == COLOUR
    assert usage(connect_resolutions=(32, 64, 128), codebook_size=512) == INPAINT
    network = small()
    assert isinstance(network.config, CodeFormerConfig)
    expected = network(images(), w=INPAINT.w, adain=INPAINT.adain)
    assert torch.equal(network(images()), expected)


def test_samples_and_dtypes():
    assert_batch_independent(small(), images(3), atol=1e-4)
    assert_double_agrees(small(), images(2), atol=1e-3)


def test_refusals():
    with pytest.raises(ValueError, match=r"expected img \[N, 3, 16, 16\]"):
        small()(images(size=8))
    for changes in (
        {"img_resolution": 18},
        {"attn_levels": (3,)},
        {"num_heads": 3},
        {"connect_resolutions": (5,)},
    ):
        with pytest.raises(ValueError, match=next(iter(changes))):
            small(**changes)
    shapes = shapes_of(small().state_dict())
    shapes["encoder.blocks.1.conv2.weight"] = (33, 32, 3, 3)
    with pytest.raises(InputError, match="not those of a CodeFormer"):
        CODEFORMER.infer(shapes, None, {})
