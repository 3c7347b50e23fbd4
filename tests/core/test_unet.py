"""The restoration U-Net and its patch discriminator."""

import json
from dataclasses import asdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganvas.core.models.patchgan import PatchDiscriminator, PatchDiscriminatorConfig
from ganvas.core.models.unet import RestorationUNet, RestorationUNetConfig, pad_to_multiple


def trained_like(network):
    """Give the zero-initialised layers weights, so that every path counts."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


def small_unet(**changes):
    return RestorationUNet(**{"base_channels": 4, "channel_max": 8, "num_levels": 3, **changes})


def test_it_starts_as_the_identity():
    img = torch.randn(2, 3, 16, 16)
    assert torch.equal(small_unet()(img), img)


@given(height=st.integers(1, 21), width=st.integers(1, 21))
@settings(max_examples=15, deadline=None)
def test_any_size_keeps_its_size(height, width):
    img = torch.randn(1, 3, height, width)
    with torch.no_grad():
        restored = trained_like(small_unet())(img)
    assert restored.shape == img.shape
    assert bool(restored.isfinite().all())


def test_padding_reflects_and_repeats_edges_of_tiny_images():
    row = torch.tensor([1.0, 2, 3, 4, 5]).reshape(1, 1, 1, 5).expand(1, 1, 4, 5)
    assert pad_to_multiple(row, 4)[0, 0, 0].tolist() == [1, 2, 3, 4, 5, 4, 3, 2]
    dot = torch.full((1, 1, 1, 1), 7.0)
    assert torch.equal(pad_to_multiple(dot, 4), torch.full((1, 1, 4, 4), 7.0))
    assert pad_to_multiple(row, 1) is row


def test_a_sample_does_not_depend_on_its_batch():
    network = trained_like(small_unet())
    img = torch.randn(8, 3, 18, 13)
    with torch.no_grad():
        torch.testing.assert_close(network(img)[3:4], network(img[3:4]), rtol=0, atol=1e-5)


def test_the_bottom_level_sees_far():
    network = trained_like(small_unet(num_levels=4))
    img = torch.randn(1, 3, 64, 64, requires_grad=True)
    network(img)[0, 0, 32, 32].backward()
    assert img.grad is not None
    touched = img.grad.abs().sum(dim=(0, 1)).nonzero()
    assert int(touched.max() - touched.min()) > 40


def test_default_size_fits_the_package():
    parameters = sum(p.numel() for p in RestorationUNet().parameters())
    assert 1_000_000 < parameters < 1_500_000


def test_it_learns_to_remove_a_constant():
    torch.manual_seed(0)
    network = small_unet()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    clean = torch.randn(4, 3, 8, 8)
    first = last = 0.0
    for step in range(30):
        loss = (network(clean + 0.5) - clean).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first, last = (float(loss), last) if step == 0 else (first, float(loss))
    assert first == pytest.approx(0.25)
    assert last < 0.05


def test_patch_logits_are_a_map():
    network = PatchDiscriminator(base_channels=4, channel_max=8)
    assert network(torch.randn(2, 3, 64, 40)).shape == (2, 1, 8, 5)


def test_a_logit_sees_the_patch_that_the_config_names():
    network = trained_like(PatchDiscriminator(base_channels=4, channel_max=8))
    img = torch.randn(1, 3, 128, 128, requires_grad=True)
    network(img)[0, 0, 8, 8].backward()
    assert img.grad is not None
    rows = img.grad.abs().sum(dim=(0, 1, 3)).nonzero()
    assert int(rows.max() - rows.min()) + 1 == 54


def test_patch_discriminator_allows_r1():
    network = PatchDiscriminator(base_channels=4, channel_max=8)
    img = torch.randn(2, 3, 16, 16, requires_grad=True)
    (g,) = torch.autograd.grad(network(img).sum(), img, create_graph=True)
    g.square().sum().backward()
    weight = network.get_parameter("layers.0.weight")
    assert weight.grad is not None
    assert float(weight.grad.abs().max()) > 0


@pytest.mark.parametrize(
    "network,config,changes",
    [
        (
            RestorationUNet,
            RestorationUNetConfig,
            {"img_channels": 1, "base_channels": 4, "channel_max": 8, "num_levels": 2},
        ),
        (
            PatchDiscriminator,
            PatchDiscriminatorConfig,
            {"img_channels": 6, "base_channels": 4, "channel_max": 8, "num_layers": 2},
        ),
    ],
)
def test_configs_round_trip_for_every_field(network, config, changes):
    defaults = asdict(network().config)
    assert set(changes) == set(defaults)
    assert all(defaults[key] != value for key, value in changes.items())
    built = network(**json.loads(json.dumps(changes)))
    assert built.config == config(**changes)
    again = network.from_config(built.config)
    again.load_state_dict(built.state_dict())
    img = torch.randn(1, changes["img_channels"], 9, 12)
    assert torch.equal(again(img), built(img))


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match=r"RestorationUNet: expected sizes >= 1.*'base_channels'"):
        RestorationUNet(base_channels=0)
    with pytest.raises(ValueError, match="expected num_levels <= 12, got 13"):
        RestorationUNet(num_levels=13)
    with pytest.raises(ValueError, match=r"img \[N, 3, H, W\], got \(1, 1, 8, 8\)"):
        small_unet()(torch.zeros(1, 1, 8, 8))
    with pytest.raises(ValueError, match=r"got \(1, 3, 0, 8\)"):
        small_unet()(torch.zeros(1, 3, 0, 8))
    with pytest.raises(ValueError, match="PatchDiscriminator: expected sizes >= 1"):
        PatchDiscriminator(num_layers=0)
    with pytest.raises(ValueError, match="with H, W >= 8"):
        PatchDiscriminator()(torch.zeros(1, 3, 64, 7))
