"""Known answers and behaviour of the metrics that need no network."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from ganvas.core.data.counter import torch_seeds
from ganvas.core.metrics import (
    laplacian_pyramid,
    nearest_neighbours,
    pairwise_diversity,
    psnr,
    sliced_wasserstein,
    ssim,
    swd,
)
from ganvas.core.metrics.swd import enlarge
from ganvas.core.restoration import Degradation, degrade


def textured(count, size=32, seed=0):
    """Images with structure at several scales, in 0.1..0.9."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(count, 3, size, size)
    for coarse in (4, 8, 16, size):
        layer = torch.randn(count, 3, coarse, coarse, generator=generator)
        total += torch.nn.functional.interpolate(layer, size=size, mode="bilinear") / coarse
    return (0.5 + total).clamp(0.1, 0.9)


@pytest.fixture(scope="module")
def real():
    return textured(96, seed=1)


@pytest.fixture(scope="module")
def more_real():
    return textured(96, seed=2)


def test_psnr_follows_the_closed_form():
    a = torch.full((3, 3, 8, 8), 0.5)
    b = a + torch.tensor([0.1, 0.01, 0.001]).view(3, 1, 1, 1)
    assert psnr(a, b).tolist() == pytest.approx([20, 40, 60], abs=1e-3)
    one = torch.zeros(1, 1, 10, 10, dtype=torch.uint8)
    other = one.clone()
    other[0, 0, 0, 0] = 255
    assert float(psnr(one, other)) == pytest.approx(20)


def test_equal_images_have_infinite_psnr_and_unit_ssim(real):
    assert torch.isinf(psnr(real, real)).all()
    assert torch.allclose(ssim(real, real), torch.ones(96, dtype=torch.float64), atol=1e-12)


def test_ssim_of_flat_images_follows_the_closed_form():
    x, y = 0.25, 0.75
    expected = (2 * x * y + 1e-4) / (x * x + y * y + 1e-4)
    value = ssim(torch.full((1, 3, 16, 16), x), torch.full((1, 3, 16, 16), y))
    assert float(value) == pytest.approx(expected, abs=1e-7)


def test_ssim_of_one_window_follows_the_formula():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(2, 11, 11, generator=generator, dtype=torch.float64)
    taps = torch.exp(-((torch.arange(11, dtype=torch.float64) - 5) ** 2) / (2 * 1.5**2))
    weights = torch.outer(taps, taps) / taps.sum() ** 2
    mx, my = (weights * x).sum(), (weights * y).sum()
    vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
    cov = (weights * (x - mx) * (y - my)).sum()
    expected = ((2 * mx * my + 1e-4) * (2 * cov + 9e-4)) / (
        (mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)
    )
    assert float(ssim(x[None, None], y[None, None])) == pytest.approx(float(expected), abs=1e-12)


def test_ssim_of_a_negative_is_negative(real):
    sharp = real - real.mean(dim=(2, 3), keepdim=True)
    assert float(ssim((0.5 + sharp).clamp(0, 1), (0.5 - sharp).clamp(0, 1)).mean()) < 0


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_fidelity_is_symmetric_and_falls_with_damage(real, metric):
    some = real[:8]
    for field, steps in (("blur_sigma", [0.5, 1.0, 2.0]), ("noise_std", [0.02, 0.05, 0.1])):
        damaged = [degrade(some, Degradation(**{field: step}), range(8)) for step in steps]
        values = torch.stack([metric(image, some) for image in damaged])
        assert (values[1:] < values[:-1]).all()
        assert torch.allclose(metric(damaged[0], some), metric(some, damaged[0]))


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_fidelity_of_bytes_and_floats_agree(metric):
    a = torch.randint(0, 256, (2, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    b = (a + 3).clamp(0, 255)
    as_bytes = metric(a.to(torch.uint8), b.to(torch.uint8))
    as_floats = metric(a.to(torch.float64) / 255, b.to(torch.float64) / 255)
    assert torch.allclose(as_bytes, as_floats)
    assert as_bytes.dtype == torch.float64


@pytest.mark.parametrize(
    "a,b,message",
    [
        (torch.zeros(1, 3, 16, 16), torch.zeros(2, 3, 16, 16), "one shape"),
        (torch.zeros(3, 16, 16), torch.zeros(3, 16, 16), "N, C, H, W"),
        (torch.zeros(0, 3, 16, 16), torch.zeros(0, 3, 16, 16), "N, C, H, W"),
        (torch.zeros(1, 3, 16, 16), torch.full((1, 3, 16, 16), -1.0), "0..1"),
        (torch.zeros(1, 3, 16, 16), torch.full((1, 3, 16, 16), 255.0), "0..1"),
        (torch.zeros(1, 3, 16, 16), torch.full((1, 3, 16, 16), math.nan), "0..1"),
        (torch.zeros(1, 3, 16, 16).int(), torch.zeros(1, 3, 16, 16).int(), "uint8 or float"),
    ],
    ids=range(7),
)
@pytest.mark.parametrize("metric", [psnr, ssim, sliced_wasserstein])
def test_unsuitable_batches_are_refused(metric, a, b, message):
    with pytest.raises(ValueError, match=message):
        metric(a, b)


def test_ssim_needs_a_whole_window():
    with pytest.raises(ValueError, match="11 px"):
        ssim(torch.zeros(1, 3, 10, 32), torch.zeros(1, 3, 10, 32))


@pytest.mark.parametrize("size,sides", [(64, [64, 32, 16]), (32, [32, 16]), (16, [16]), (9, [9])])
def test_pyramids_collapse_to_the_image(size, sides):
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    levels = laplacian_pyramid(images)
    assert [level.shape[-1] for level in levels] == sides
    total = levels[-1]
    for level in reversed(levels[:-1]):
        total = enlarge(total) + level
    assert torch.allclose(total, images, atol=1e-5)


def test_pyramids_smooth_as_scipy_does():
    images = torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    expected = images.double().numpy()
    for axis in (2, 3):
        expected = ndimage.correlate1d(
            expected, np.array([1, 4, 6, 4, 1]) / 16, axis, mode="mirror"
        )
    assert np.allclose(swd._smooth(images), expected, atol=1e-6)


def test_distances_along_directions_are_those_of_scipy():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 40, 6, generator=generator)
    rng = torch.Generator().manual_seed(torch_seeds(5, swd._STREAM_DIRECTIONS)[0])
    axes = torch.randn(6, 33, generator=rng)
    axes = axes / axes.norm(dim=0)
    expected = [stats.wasserstein_distance((a @ axis).numpy(), (b + 1) @ axis) for axis in axes.T]
    assert swd._distance(a, b + 1, 33, 5) == pytest.approx(np.mean(expected), rel=1e-5)


def test_flat_images_have_empty_bands():
    *bands, rest = laplacian_pyramid(torch.full((1, 3, 64, 64), 0.3))
    for band in bands:
        assert float(band[..., 2:-2, 2:-2].abs().max()) < 1e-6
    assert torch.allclose(rest, torch.full((1, 3, 16, 16), 0.3), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 3, 48, 48), (1, 3, 40, 40), (1, 3, 32, 16)], ids=str)
def test_sizes_without_a_pyramid_are_refused(shape):
    with pytest.raises(ValueError, match="laplacian_pyramid"):
        laplacian_pyramid(torch.zeros(shape))


def test_swd_of_identical_sets_is_zero(real):
    result = sliced_wasserstein(real, real.clone())
    assert result == {"32": 0.0, "16": 0.0, "mean": 0.0}


def test_swd_names_every_level():
    images = textured(4, 64)
    result = sliced_wasserstein(images, textured(4, 64, seed=5))
    assert list(result) == ["64", "32", "16", "mean"]
    assert result["mean"] == pytest.approx((result["64"] + result["32"] + result["16"]) / 3)


def test_swd_repeats_with_its_seed_and_varies_with_another(real, more_real):
    first = sliced_wasserstein(real, more_real, seed=1)
    assert first == sliced_wasserstein(real, more_real, seed=1)
    other = sliced_wasserstein(real, more_real, seed=2)
    assert other != first
    assert other["mean"] == pytest.approx(first["mean"], rel=0.3)


def test_swd_is_symmetric_when_each_set_is_normalised(real, more_real):
    there, back = sliced_wasserstein(real, more_real), sliced_wasserstein(more_real, real)
    assert there["mean"] == pytest.approx(back["mean"], rel=1e-6)


def test_swd_of_a_shuffled_set_is_only_sampling_noise(real, more_real):
    order = torch.randperm(96, generator=torch.Generator().manual_seed(0))
    shuffled = sliced_wasserstein(real[order], real)["mean"]
    blurred = degrade(real, Degradation(blur_sigma=4.0), range(96))
    assert 0 < shuffled < 0.3 * sliced_wasserstein(blurred, real)["mean"]
    assert shuffled < 1.2 * sliced_wasserstein(more_real, real)["mean"]


def test_swd_of_a_constant_shift_follows_the_closed_form():
    # Every patch moves by c / deviation in all D entries; the mean of |<v, u>| over unit
    # directions u is |v| Gamma(D/2) / (sqrt(pi) Gamma((D+1)/2)).
    images = textured(64, 16, seed=3) * 0.8
    shift = 0.05
    result = sliced_wasserstein(
        images + shift, images, normalise="reference", directions=2048, patches=64
    )
    windows = images.double().unfold(2, 7, 1).unfold(3, 7, 1)
    deviation = windows.std(dim=(0, 2, 3, 4, 5), correction=0)
    length = float((shift / deviation).square().sum().mul(49).sqrt())
    d = 3 * 49
    mean_cosine = math.exp(math.lgamma(d / 2) - math.lgamma((d + 1) / 2)) / math.sqrt(math.pi)
    # 2 % is the sampling error of the directions and of the patches' deviation.
    assert result["16"] == pytest.approx(1e3 * length * mean_cosine, rel=0.02)


def test_swd_is_blind_to_shift_and_contrast_as_published(real, more_real):
    plain = sliced_wasserstein(real, more_real)
    changed = sliced_wasserstein(real * 0.5 + 0.2, more_real)
    assert changed["mean"] == pytest.approx(plain["mean"], rel=1e-3)
    seen = sliced_wasserstein(real * 0.5 + 0.2, more_real, normalise="reference")
    assert seen["mean"] > 5 * plain["mean"]


@pytest.mark.parametrize("field,steps", [("blur_sigma", [0.6, 1.2]), ("noise_std", [0.05, 0.15])])
def test_swd_grows_with_damage(real, more_real, field, steps):
    values = [sliced_wasserstein(real, more_real)["32"]]
    for step in steps:
        damaged = degrade(real, Degradation(**{field: step}), range(96))
        values.append(sliced_wasserstein(damaged, more_real)["32"])
    assert values == sorted(values)
    assert values[-1] > 2 * values[0]


def test_swd_of_bytes_and_floats_agree(real, more_real):
    a, b = ((x * 255).round().to(torch.uint8) for x in (real, more_real))
    as_bytes = sliced_wasserstein(a, b)
    assert as_bytes == pytest.approx(sliced_wasserstein(a.float() / 255, b.float() / 255))


@pytest.mark.parametrize(
    "options", [{"normalise": "none"}, {"patches": 0}, {"directions": 0}], ids=str
)
def test_swd_refuses_impossible_options(real, options):
    with pytest.raises(ValueError, match="sliced_wasserstein"):
        sliced_wasserstein(real, real, **options)


def test_swd_refuses_images_below_a_patch():
    with pytest.raises(ValueError, match=">= 7"):
        sliced_wasserstein(torch.zeros(2, 3, 6, 6), torch.zeros(2, 3, 6, 6))


@settings(max_examples=20, deadline=None)
@given(n=st.integers(2, 9), seed=st.integers(0, 99))
def test_diversity_is_the_rms_over_all_pairs(n, seed):
    images = torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    flat = images.flatten(1).double()
    squares = [(flat[i] - flat[j]).square().mean() for i in range(n) for j in range(i)]
    expected = math.sqrt(sum(squares) / len(squares))
    result = pairwise_diversity(images)
    assert result.rms_full == pytest.approx(expected, rel=1e-6)
    assert result.rms_small == pytest.approx(expected, rel=1e-6)


def test_black_and_white_halves_have_a_known_diversity():
    images = torch.cat([torch.zeros(5, 3, 32, 32), torch.ones(5, 3, 32, 32)])
    result = pairwise_diversity(images)
    assert result.rms_full == pytest.approx(math.sqrt(25 / 45))
    assert result.duplicates == 1.0


def test_a_collapsed_set_is_seen(real):
    collapsed = (real[:4].repeat(24, 1, 1, 1) + 0.001 * textured(96, seed=9)).clamp(0, 1)
    healthy, poor = pairwise_diversity(real, real), pairwise_diversity(collapsed, real)
    assert healthy.ratio_small == pytest.approx(1) and healthy.ratio_full == pytest.approx(1)
    assert healthy.duplicates == 0.0
    assert poor.duplicates == 1.0
    single = pairwise_diversity(real[:1].repeat(8, 1, 1, 1), real)
    assert (single.rms_full, single.ratio_small) == (0.0, 0.0)


def test_diversity_falls_with_contrast(real):
    ratio = pairwise_diversity(0.5 + 0.25 * (real - 0.5), real).ratio_full
    assert ratio == pytest.approx(0.25)


def test_diversity_ignores_the_order(real):
    flipped = pairwise_diversity(real.flip(0))
    assert flipped == pytest.approx((*pairwise_diversity(real)[:3], None, None))


def test_neighbours_are_found(real, more_real):
    indices, distances = nearest_neighbours(real[10:14], real)
    assert indices.tolist() == [10, 11, 12, 13] and float(distances.max()) == 0
    own, apart = nearest_neighbours(torch.cat([real, real[3:4]]))
    assert int(own[96]) == 3 and int(own[3]) == 96
    assert float(apart[3]) == 0 and float(apart[4]) > 0
    _, fresh = nearest_neighbours(more_real, real)
    assert float(fresh.min()) > 0.01


def test_neighbours_of_another_size_are_compared_at_16_px(real):
    smaller = torch.nn.functional.avg_pool2d(real[5:7], 2)
    indices, distances = nearest_neighbours(smaller, real)
    assert indices.tolist() == [5, 6] and float(distances.max()) < 1e-6


def test_one_image_has_no_diversity():
    with pytest.raises(ValueError, match="two images"):
        pairwise_diversity(torch.zeros(1, 3, 16, 16))
    with pytest.raises(ValueError, match="nearest_neighbours"):
        nearest_neighbours(torch.zeros(1, 3, 16, 16))
