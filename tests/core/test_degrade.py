"""Damage with exact parameters, the resampling beneath it, and the baselines."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganvas.core.metrics import psnr
from ganvas.core.restoration import (
    DEFAULT,
    PRESETS,
    Degradation,
    bicubic,
    degrade,
    hole_boxes,
    median,
    sample_degradations,
)
from ganvas.core.restoration.resample import area_matrix, cubic_matrix, gaussian_matrix, resample


def smooth_images(count, size=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 8, 8, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)


def flat(value, count=1, size=64):
    return torch.full((count, 3, size, size), value)


@pytest.fixture(scope="module")
def images():
    return smooth_images(12)


def test_results_do_not_depend_on_the_batch(images):
    damages = sample_degradations(range(12))
    whole = degrade(images, damages, range(12))
    alone = [degrade(images[i : i + 1], damages[i], [i]) for i in range(12)]
    assert torch.equal(whole, torch.cat(alone))
    order = torch.tensor([7, 3, 3, 0])
    some = degrade(images[order], [damages[i] for i in order], order)
    assert torch.equal(some, whole[order])


def test_results_do_not_depend_on_the_memory_layout(images):
    expected = degrade(images, DEFAULT, range(12))
    strided = images.to(memory_format=torch.channels_last)
    assert torch.equal(degrade(strided, DEFAULT, range(12)), expected)


def test_the_images_given_are_left_alone(images):
    before = images.clone()
    degrade(images, PRESETS["heavy"], range(12))
    degrade(images, Degradation(hole_count=4), range(12))
    assert torch.equal(images, before)


def test_no_damage_returns_the_image(images):
    damaged = degrade(images, PRESETS["none"], range(12))
    assert torch.equal(damaged, images)
    assert damaged.data_ptr() != images.data_ptr()


def test_seeds_change_the_noise_and_nothing_else_changes(images):
    noisy = Degradation(noise_std=0.05)
    same = images[:1].expand(2, -1, -1, -1)
    a, b = degrade(same, noisy, [1, 2])
    assert not torch.equal(a, b)
    blurred = degrade(same, Degradation(blur_sigma=1.0), [1, 2])
    assert torch.equal(blurred[0], blurred[1])


@pytest.mark.parametrize("std", [0.02, 0.05, 0.1])
def test_noise_has_the_stated_deviation(std):
    noise = degrade(flat(0.5, 4), Degradation(noise_std=std), range(4)) - 0.5
    assert float(noise.std()) == pytest.approx(std, rel=0.02)
    assert abs(float(noise.mean())) < 0.02 * std
    assert abs(float(torch.corrcoef(noise.flatten(1))[0, 1])) < 0.05


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.5])
def test_blur_has_the_stated_variance(sigma):
    impulse = torch.zeros(1, 3, 65, 65)
    impulse[..., 32, 32] = 1
    spread = degrade(impulse, Degradation(blur_sigma=sigma), [0])[0, 0].double()
    x = torch.arange(65, dtype=torch.float64) - 32
    assert float(spread.sum()) == pytest.approx(1, abs=1e-5)
    measured = float((spread.sum(0) * x**2).sum())
    # A sampled Gaussian below one pixel is a little narrower than the continuous one.
    assert measured == pytest.approx(sigma**2, rel=0.15 if sigma < 1 else 0.01)


@pytest.mark.parametrize("field", ["blur_sigma", "downscale", "noise_std", "jpeg_quality"])
def test_more_damage_means_less_psnr(images, field):
    steps = {
        "blur_sigma": [0.5, 1.0, 2.0, 4.0],
        "downscale": [2.0, 4.0, 8.0, 16.0],
        "noise_std": [0.01, 0.03, 0.1, 0.3],
        "jpeg_quality": [90, 60, 30, 5],
    }[field]
    values = [
        float(psnr(degrade(images, Degradation(**{field: step}), range(12)), images).mean())
        for step in steps
    ]
    assert values == sorted(values, reverse=True)
    assert values[-1] < values[0] - 3


def test_presets_are_ordered(images):
    light, default, heavy = (
        float(psnr(degrade(images, PRESETS[name], range(12)), images).mean())
        for name in ("light", "default", "heavy")
    )
    assert light > default > heavy


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    value=st.sampled_from([0.0, 51 / 255, 1.0]),
    sigma=st.floats(0, 5),
    factor=st.floats(1, 64),
)
def test_flat_areas_keep_their_value_at_any_size(height, width, value, sigma, factor):
    image = torch.full((1, 3, height, width), value)
    damaged = degrade(image, Degradation(blur_sigma=sigma, downscale=factor), [0])
    assert damaged.shape == image.shape
    assert float((damaged - value).abs().max()) < 1e-5


def test_values_stay_in_range(images):
    extreme = Degradation(noise_std=1.0, downscale=2.0, jpeg_quality=1)
    damaged = degrade(images, extreme, range(12))
    assert float(damaged.min()) >= 0 and float(damaged.max()) <= 1


def test_holes_lie_where_they_are_said_to(images):
    damage = Degradation(hole_count=3, hole_size=0.2)
    damaged = degrade(images, damage, range(12))
    for i in range(12):
        mask = torch.zeros(64, 64, dtype=torch.bool)
        boxes = hole_boxes(damage, i, 64, 64)
        assert len(boxes) == 3
        for box in boxes:
            assert box.top >= 0 and box.top + box.height <= 64
            assert box.left >= 0 and box.left + box.width <= 64
            mask[box.top : box.top + box.height, box.left : box.left + box.width] = True
        assert (damaged[i][:, mask] == 0.5).all()
        assert torch.equal(damaged[i][:, ~mask], images[i][:, ~mask])


def test_hole_sides_average_to_the_stated_size():
    boxes = [b for seed in range(400) for b in hole_boxes(Degradation(hole_count=1), seed, 100, 50)]
    assert sum(b.height for b in boxes) / 400 == pytest.approx(20, rel=0.05)
    assert sum(b.width for b in boxes) / 400 == pytest.approx(10, rel=0.05)
    assert any(b.top > 60 for b in boxes) and any(b.top < 20 for b in boxes)


def test_samples_spread_around_the_strength():
    drawn = sample_degradations(range(3000), DEFAULT, spread=0.5)
    sigma = torch.tensor([d.blur_sigma for d in drawn])
    assert float(sigma.min()) >= 0.5 and float(sigma.max()) <= 1.5
    assert float(sigma.mean()) == pytest.approx(1.0, abs=0.02)
    assert all(1.5 <= d.downscale <= 2.5 for d in drawn)
    assert all(0.02 <= d.noise_std <= 0.06 for d in drawn)
    assert all(25 <= (d.jpeg_quality or 0) <= 75 for d in drawn)
    assert sum(d.hole_count for d in drawn) / 3000 == pytest.approx(0.5, abs=0.05)


def test_samples_depend_on_their_seed_only():
    drawn = sample_degradations(range(50))
    assert sample_degradations([17, 4]) == [drawn[17], drawn[4]]
    assert sample_degradations(torch.arange(50)) == drawn
    assert len(set(drawn)) == 50


def test_samples_leave_absent_damage_absent():
    for damage in sample_degradations(range(20), PRESETS["noise"]):
        assert dataclasses.replace(damage, noise_std=0.12, hole_size=0.2) == PRESETS["noise"]


def test_no_spread_gives_the_strength_itself():
    fixed = dataclasses.replace(DEFAULT, hole_count=0)
    assert set(sample_degradations(range(5), fixed, spread=0)) == {fixed}


@pytest.mark.parametrize(
    "parameters",
    [
        {"blur_sigma": -1},
        {"blur_sigma": float("nan")},
        {"downscale": 0.5},
        {"noise_std": 2},
        {"jpeg_quality": 0},
        {"jpeg_quality": 101},
        {"hole_count": -1},
        {"hole_size": 0},
    ],
    ids=str,
)
def test_impossible_damage_is_refused(parameters):
    with pytest.raises(ValueError, match=next(iter(parameters))):
        Degradation(**parameters)


@pytest.mark.parametrize(
    "batch,seeds,message",
    [
        (torch.zeros(1, 4, 8, 8), [0], "float"),
        (torch.zeros(3, 8, 8), [0, 1, 2], "float"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), [0], "float"),
        (torch.full((1, 3, 8, 8), -0.5), [0], "0..1"),
        (torch.full((1, 3, 8, 8), float("nan")), [0], "0..1"),
        (torch.zeros(2, 3, 8, 8), [0], "2 images"),
    ],
    ids=range(6),
)
def test_unsuitable_batches_are_refused(batch, seeds, message):
    with pytest.raises(ValueError, match=message):
        degrade(batch, DEFAULT, seeds)


def test_an_empty_batch_stays_empty():
    assert degrade(torch.zeros(0, 3, 8, 8), DEFAULT, []).shape == (0, 3, 8, 8)


@pytest.mark.parametrize("size,new_size", [(64, 32), (64, 21), (7, 7), (5, 1), (13, 4)])
def test_area_reduction_keeps_the_mean(size, new_size):
    matrix = area_matrix(size, new_size)
    assert torch.allclose(matrix.sum(1), torch.ones(new_size), atol=1e-6)
    # Each pixel counts alike over the whole result.
    assert torch.allclose(matrix.sum(0), torch.full((size,), new_size / size), atol=1e-6)


def test_area_reduction_by_a_whole_factor_is_pooling(images):
    matrix = area_matrix(64, 16)
    expected = torch.nn.functional.avg_pool2d(images, 4)
    assert torch.allclose(resample(images, matrix, matrix), expected, atol=1e-6)


@pytest.mark.parametrize("size,new_size", [(64, 128), (20, 33), (64, 32), (64, 21)])
def test_cubic_resampling_is_that_of_pil(size, new_size):
    import numpy as np
    from PIL import Image

    line = np.random.default_rng(0).random((1, size), dtype=np.float32)
    wanted = np.array(Image.fromarray(line).resize((new_size, 1), Image.Resampling.BICUBIC))
    ours = torch.from_numpy(line) @ cubic_matrix(size, new_size).T
    # PIL cuts the kernel at the border where we replicate; compare away from it.
    edge = 3 * max(1, new_size // size)
    inside = slice(edge, new_size - edge)
    assert torch.allclose(ours[:, inside], torch.tensor(wanted)[:, inside], atol=2e-6)


def test_gaussian_weights_follow_the_formula():
    row = gaussian_matrix(41, 2.0)[20].double()
    x = torch.arange(41, dtype=torch.float64) - 20
    expected = torch.exp(-(x**2) / 8) * (x.abs() <= 8)
    assert torch.allclose(row, expected / expected.sum(), atol=1e-7)
    assert torch.equal(gaussian_matrix(5, 0), torch.eye(5))


def test_median_matches_a_hand_computed_window():
    image = torch.arange(9.0).view(1, 1, 3, 3) / 9
    image[0, 0, 1, 1] = 1.0
    assert float(median(image)[0, 0, 1, 1]) == pytest.approx(5 / 9)


def test_median_removes_specks_and_keeps_edges():
    step = torch.zeros(1, 3, 16, 16)
    step[..., 8:] = 1
    assert torch.equal(median(step), step)
    specked = step.clone()
    specked[..., 4, 3] = 1
    assert torch.equal(median(specked), step)
    assert torch.equal(median(specked, 5), step)


def test_baselines_remove_noise(images):
    noisy = degrade(images, PRESETS["noise"], range(12))
    damaged = float(psnr(noisy, images).mean())
    assert float(psnr(bicubic(noisy), images).mean()) > damaged + 3
    assert float(psnr(median(noisy), images).mean()) > damaged + 3


def test_bicubic_of_factor_one_is_the_image(images):
    assert torch.allclose(bicubic(images, 1.0), images)


@pytest.mark.parametrize("size", [0, 2, 4, 131])
def test_windows_that_do_not_fit_are_refused(images, size):
    with pytest.raises(ValueError, match="median"):
        median(images, size)


def test_enlarging_factors_are_refused(images):
    with pytest.raises(ValueError, match="factor"):
        bicubic(images, 0.5)
