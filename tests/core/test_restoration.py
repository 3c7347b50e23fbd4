"""Running restorers: sizes, enlargement, detail above a network's size, blending, chunks."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from ganvas.core.models.gfpgan import GFPGAN
from ganvas.core.restoration.apply import restore
from ganvas.core.restoration.networks import Convention, enlarged


class Network(nn.Module):
    """Any function of images, which keeps what it was given."""

    def __init__(self, function=lambda x: x) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.function = function

    def forward(self, img):
        self.seen = img
        return self.function(img)


def noise(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def pattern(size):
    """A fine pattern that only a network of `size` pixels can have made."""
    line = torch.arange(size) % 2 * 2.0 - 1
    return (line[:, None] * line).expand(1, 3, size, size)


@pytest.mark.parametrize("height", [16, 12])
def test_a_face_keeps_every_pixel_that_its_network_makes(height):
    """A network of 64 px on faces of 16: at 4 times the size its own pixels come out untouched."""
    network = Network(lambda x: pattern(64).expand(len(x), -1, -1, -1))
    result = restore(network, noise(2, 3, height, 16), convention=Convention(size=64), scale=4)
    top = (16 - height) // 2 * 4
    expected = pattern(64)[:, :, top : top + 4 * height].expand(2, -1, -1, -1)
    assert torch.equal(result, expected)
    small = restore(network, noise(2, 3, height, 16), convention=Convention(size=64))
    assert small.shape == (2, 3, height, 16)
    torch.testing.assert_close(small, torch.zeros_like(small), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [1, 2])
def test_no_result_is_blurrier_than_its_input(scale):
    """A face four times as large as its network keeps the detail that the network cannot see."""
    images = noise(1, 3, 64, 48)
    network = Network()
    result = restore(network, images, convention=Convention(size=16), scale=scale)
    assert network.seen.shape == (1, 3, 16, 16)
    torch.testing.assert_close(result, enlarged(images, scale), rtol=0, atol=1e-5)
    lighter = restore(Network(lambda x: x + 0.25), images, convention=Convention(size=16))
    torch.testing.assert_close(lighter, images + 0.25, rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_super_resolution_comes_out_at_the_wanted_size(scale):
    quadruple = Network(lambda x: functional.interpolate(x, scale_factor=4, mode="nearest"))
    images = noise(2, 3, 9, 7)
    result = restore(quadruple, images, convention=Convention(0.0, 1.0), scale=scale)
    assert float(quadruple.seen.min()) >= 0 and float(quadruple.seen.max()) <= 1
    expected = functional.interpolate(images, scale_factor=float(scale), mode="nearest")
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)


def test_the_input_is_enlarged_for_the_blend():
    images = noise(1, 3, 8, 8)
    network = Network(lambda x: torch.zeros(len(x), 3, 32, 32))
    wide = enlarged(images, 4)
    for strength in (0.0, 0.25, 1.0):
        result = restore(
            network, images, convention=Convention(size=32), strength=strength, scale=4
        )
        torch.testing.assert_close(result, wide * (1 - strength), rtol=0, atol=1e-6)
    torch.testing.assert_close(wide.mean(), images.mean(), rtol=0, atol=0.02)


def test_gfpgan_at_its_own_size_is_the_networks_own_result():
    torch.manual_seed(0)
    network = GFPGAN(out_size=32, num_style_feat=8, narrow=1 / 64).eval().requires_grad_(False)
    images = noise(3, 3, 8, 8)
    result = restore(network, images, convention=Convention(size=32), scale=4, chunk=2)
    expected = network(enlarged(images, 4).clamp(-1, 1))
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)


def test_refusals():
    images = noise(1, 3, 8, 8)
    for keywords, word in (({"scale": 0}, "scale"), ({"strength": 2.0}, "strength")):
        with pytest.raises(ValueError, match=word):
            restore(Network(), images, **keywords)
    with pytest.raises(ValueError, match="images"):
        restore(Network(), images[0])
