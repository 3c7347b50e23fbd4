"""The layer list of StyleGAN3 against scipy's filters and the published layer names."""

import pytest
import torch
from scipy import signal, special

from ganvas.kernels.filtered_lrelu import filtered_lrelu
from ganvas.kernels.filtered_lrelu.geometry import layer_geometry

NAMES_T_256 = (
    "L0_36_512 L1_36_512 L2_36_512 L3_52_512 L4_52_512 L5_84_512 L6_84_512 L7_148_512 L8_148_512 "
    "L9_148_362 L10_276_256 L11_276_181 L12_276_128 L13_256_128 L14_256_3"
)


def test_names_are_the_published_ones():
    assert " ".join(layer.name for layer in layer_geometry(256)) == NAMES_T_256


@pytest.mark.parametrize("radial", [False, True])
@pytest.mark.parametrize("resolution", [32, 64, 256, 1024])
def test_every_layer_yields_its_size(resolution, radial):
    layers = layer_geometry(resolution, radial=radial)
    assert len(layers) == 15 and layers[-1].is_torgb and layers[-1].out_channels == 3
    for before, layer in zip(layers[:1] + layers[:-1], layers, strict=True):
        assert (layer.in_channels, layer.in_size) == (before.out_channels, before.out_size)
        with torch.device("meta"):
            x = torch.zeros(1, 2, layer.conv_size, layer.conv_size)
        filters = (layer.up_filter(), layer.down_filter())
        y = filtered_lrelu(
            x,
            *(f if f is None else f.to("meta") for f in filters),
            up=layer.up,
            down=layer.down,
            padding=layer.padding,
        )
        assert y.shape[2:] == (layer.out_size, layer.out_size)


@pytest.mark.parametrize("radial", [False, True])
def test_filters_are_scipys(radial):
    for layer in layer_geometry(256, radial=radial)[:-1]:
        up = signal.firwin(
            layer.up_taps,
            layer.in_cutoff,
            width=2 * layer.in_half_width,
            fs=layer.in_rate * layer.up,
        )
        torch.testing.assert_close(layer.up_filter(), torch.from_numpy(up).float())
        rate = layer.out_rate * layer.down
        down = layer.down_filter()
        assert (down.ndim == 2) == (radial and layer.index < 12)
        if down.ndim == 1:
            expected = signal.firwin(
                layer.down_taps, layer.out_cutoff, width=2 * layer.out_half_width, fs=rate
            )
        else:
            expected = jinc(layer.down_taps, layer.out_cutoff, 2 * layer.out_half_width, rate)
        torch.testing.assert_close(down, torch.as_tensor(expected).float())
        torch.testing.assert_close(down.sum(), torch.tensor(1.0))
        assert torch.equal(down, down.flip(0))


def jinc(taps, cutoff, width, rate):
    t = (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / rate
    r = torch.hypot(t[:, None], t[None, :]).numpy()
    beta = signal.kaiser_beta(signal.kaiser_atten(taps, width / (rate / 2)))
    window = signal.windows.kaiser(taps, beta)
    f = special.j1(2 * cutoff * torch.pi * r) / (torch.pi * r) * window[:, None] * window
    return f / f.sum()


@pytest.mark.parametrize("resolution", [0, 16, 48])
def test_rejects_resolutions(resolution):
    with pytest.raises(ValueError, match="layer_geometry: expected a resolution"):
        layer_geometry(resolution)
