"""Metrics of features against known answers, other libraries, and their own symmetries."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg
from scipy.spatial import distance
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors

from ganvas.core.metrics import (
    InceptionScore,
    PathSampler,
    Statistics,
    crop_face,
    frechet_distance,
    frechet_from_features,
    inception_score,
    kernel_distance,
    lerp,
    neighbourhoods,
    polynomial_mmd,
    slerp,
    summarise,
)
from ganvas.core.metrics.collect import Collected
from ganvas.core.metrics.distances import squared_distances
from ganvas.core.metrics.extractors import Features

SIZES = [(400, 64), (40, 64), (150, 512)]
"""Many images, and fewer than dimensions, where the covariance is singular."""


def correlated(n, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=generator, dtype=torch.float64) / 8
    x = torch.randn(n, d, generator=generator, dtype=torch.float64) @ mixing
    return x + torch.randn(d, generator=generator, dtype=torch.float64)


def gathered(x):
    statistics = Statistics(x.shape[1])
    statistics.add(x)
    return statistics


def test_statistics_are_mean_and_covariance():
    x = correlated(50, 7)
    statistics = gathered(x)
    assert statistics.count == 50
    assert np.allclose(statistics.mean, x.mean(0), atol=1e-12)
    assert np.allclose(statistics.covariance, np.cov(x.T), atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 60), max_size=6), seed=st.integers(0, 99))
def test_statistics_do_not_depend_on_batches_or_order(cuts, seed):
    x = correlated(60, 5, seed)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(seed))
    merged, other = Statistics(5), Statistics(5)
    for index, part in enumerate(torch.tensor_split(x[order], sorted(cuts))):
        (merged if index % 2 else other).add(part)
    merged.merge(other)
    whole = gathered(x)
    assert merged.count == 60
    assert torch.allclose(merged.mean, whole.mean, rtol=0, atol=1e-12)
    assert torch.allclose(merged.covariance, whole.covariance, rtol=0, atol=1e-12)


def test_ranks_together_have_the_statistics_of_one():
    x = correlated(40, 6)
    ranks = [gathered(part) for part in x.split(15)]

    def reduce(flat):
        flats.append(flat.clone())

    flats: list[torch.Tensor] = []
    for rank in ranks:
        rank.all_reduce(reduce)
    total = torch.stack(flats).sum(0)
    ranks[0].all_reduce(lambda flat: flat.copy_(total))
    assert ranks[0].count == 40
    assert torch.allclose(ranks[0].covariance, gathered(x).covariance, atol=1e-12)


def test_float32_features_far_from_zero_keep_a_positive_covariance():
    # In float32 sums, these features get negative eigenvalues and errors of percents.
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5000, 64, generator=generator) * 0.1 + 5
    covariance = gathered(x).covariance
    assert torch.allclose(covariance, torch.cov(x.T.double()), rtol=1e-9, atol=1e-12)
    assert float(torch.linalg.eigvalsh(covariance).min()) > 0.005


@pytest.mark.parametrize("n,d", SIZES, ids=str)
def test_frechet_of_an_affine_image_follows_the_closed_form(n, d):
    x = correlated(n, d)
    scale, shift = 1.7, torch.linspace(-1, 1, d, dtype=torch.float64)
    y = scale * x + shift
    mean, trace = x.mean(0), float(x.var(0).sum())
    expected = float(((scale - 1) * mean + shift).square().sum()) + (1 - scale) ** 2 * trace
    assert frechet_distance(gathered(x), gathered(y)) == pytest.approx(expected, rel=1e-6)
    assert frechet_from_features(x, y) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n,d", SIZES, ids=str)
def test_frechet_to_itself_is_zero(n, d):
    x = correlated(n, d)
    scale = float(x.var(0).sum())
    assert 0 <= frechet_distance(gathered(x), gathered(x)) < 1e-6 * scale
    assert 0 <= frechet_from_features(x, x) < 1e-9 * scale


@pytest.mark.parametrize("n,m,d", [(500, 400, 16), (30, 20, 48)], ids=str)
def test_both_forms_agree_with_scipy(n, m, d):
    x, y = correlated(n, d, 1), correlated(m, d, 2)
    first, second = np.cov(x.T), np.cov(y.T)
    # The root of a singular product is taken by its eigenvalues, which need no such root.
    roots = np.sqrt(linalg.eigvals(first @ second).astype(complex)).real.sum()
    shift = float((x.mean(0) - y.mean(0)).square().sum())
    expected = shift + np.trace(first) + np.trace(second) - 2 * roots
    assert frechet_distance(gathered(x), gathered(y)) == pytest.approx(expected, rel=1e-5)
    assert frechet_from_features(x, y) == pytest.approx(expected, rel=1e-5)
    if n > d:
        root = linalg.sqrtm(first @ second).real
        plain = shift + np.trace(first + second - 2 * root)
        assert frechet_distance(gathered(x), gathered(y)) == pytest.approx(plain, rel=1e-8)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(2, 40), m=st.integers(2, 40), d=st.integers(1, 12), seed=st.integers(0, 99))
def test_frechet_is_symmetric_never_negative_and_blind_to_order(n, m, d, seed):
    x, y = correlated(n, d, seed), correlated(m, d, seed + 100)
    there = frechet_from_features(x, y)
    assert there >= 0
    assert frechet_from_features(y.flip(0), x.flip(0)) == pytest.approx(there, rel=1e-6, abs=1e-9)
    assert frechet_distance(gathered(x), gathered(y)) == pytest.approx(there, rel=1e-5, abs=1e-6)


def test_kernel_distance_of_constants_is_known():
    # (1/4 + 1)^3 + 1 - 2 = 0.953125: within Y, within X and between them the kernel is constant.
    zeros, halves = torch.zeros(20, 16), torch.full((30, 16), 0.5)
    assert polynomial_mmd(zeros, halves) == pytest.approx(0.953125, abs=1e-12)
    mean, deviation = kernel_distance(zeros, halves, subsets=3)
    assert mean == pytest.approx(0.953125, abs=1e-12) and deviation == 0


def test_kernel_distance_agrees_with_scikit_learn():
    x, y = correlated(25, 9, 1).numpy(), correlated(31, 9, 2).numpy()
    xx, yy, xy = (polynomial_kernel(a, b, degree=3) for a, b in ((x, x), (y, y), (x, y)))
    expected = (xx.sum() - np.trace(xx)) / (25 * 24) + (yy.sum() - np.trace(yy)) / (31 * 30)
    expected -= 2 * xy.mean()
    got = polynomial_mmd(torch.from_numpy(x), torch.from_numpy(y))
    assert got == pytest.approx(expected, rel=1e-10)


def test_kernel_distance_of_gaussians_is_unbiased():
    # E k for x ~ N(a, I), y ~ N(b, I) from the moments of x.y; sampled sets must agree on average.
    d, shift = 8, torch.full((8,), 0.7)
    length = float(shift @ shift)

    def expected_kernel(ab, aa, bb):
        first = ab / d
        second = (ab**2 + aa + bb + d) / d**2
        third = (ab**3 + 3 * ab * aa + 3 * (ab * (bb + d) + 2 * ab)) / d**3
        return third + 3 * second + 3 * first + 1

    true = expected_kernel(0, 0, 0) + expected_kernel(length, length, length)
    true -= 2 * expected_kernel(0, 0, length)
    generator = torch.Generator().manual_seed(3)
    values = torch.tensor(
        [
            polynomial_mmd(
                torch.randn(300, d, generator=generator),
                torch.randn(300, d, generator=generator) + shift,
            )
            for _ in range(40)
        ]
    )
    assert abs(float(values.mean()) - true) < 4 * float(values.std()) / 40**0.5


def test_kernel_distance_repeats_with_its_seed_and_takes_unequal_subsets():
    x, y = correlated(60, 4, 1), correlated(50, 4, 2)
    first = kernel_distance(x, y, subsets=10, seed=1)
    assert first == kernel_distance(x, y, subsets=10, seed=1)
    other = kernel_distance(x, y, subsets=10, seed=2)
    assert other != first and first.deviation > 0


@pytest.mark.parametrize("splits", [1, 10])
def test_inception_score_of_certain_and_of_blind_classifiers(splits):
    classes = 10
    certain = torch.eye(classes).repeat(50, 1) * 1000  # in turn, so that every split is balanced
    mean, deviation = inception_score(certain, splits)
    assert mean == pytest.approx(classes, rel=1e-9)
    assert deviation == pytest.approx(0, abs=1e-9)
    assert inception_score(torch.zeros(500, classes), splits).mean == pytest.approx(1, abs=1e-12)


def test_inception_score_of_a_smoothed_classifier_follows_the_closed_form():
    classes, e = 10, 0.1
    p = torch.eye(classes, dtype=torch.float64) * (1 - e - e / (classes - 1)) + e / (classes - 1)
    entropy = -((1 - e) * math.log(1 - e) + e * math.log(e / (classes - 1)))
    expected = math.exp(math.log(classes) - entropy)
    assert inception_score(p.log(), 1).mean == pytest.approx(expected, rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 37), max_size=5), splits=st.integers(1, 37))
def test_inception_score_does_not_depend_on_batches(cuts, splits):
    logits = torch.randn(37, 5, generator=torch.Generator().manual_seed(0)) * 3
    sums = InceptionScore(5, 37, splits)
    done = 0
    for part in torch.tensor_split(logits, sorted(cuts)):
        sums.add(part, done)
        done += len(part)
    assert sums.result() == pytest.approx(inception_score(logits, splits), rel=1e-9)


def test_inception_score_of_ranks_is_that_of_one():
    logits = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    halves = [InceptionScore(5, 20, 4), InceptionScore(5, 20, 4)]
    for index, half in enumerate(halves):
        half.add(logits[10 * index : 10 * index + 10], 10 * index)
    with pytest.raises(ValueError, match="expected 20 images, got 10"):
        halves[0].result()
    sums: list[torch.Tensor] = []
    halves[1].all_reduce(lambda x: sums.append(x.clone()))
    halves[0].all_reduce(lambda x: x.add_(sums[0]))
    assert halves[0].result() == pytest.approx(inception_score(logits, 4), rel=1e-9)


def test_neighbours_of_equal_and_of_distant_sets():
    x = correlated(60, 6)
    assert neighbourhoods(x, x.clone())[:2] == (1.0, 1.0)
    assert neighbourhoods(x, x.clone()).coverage == 1.0
    assert neighbourhoods(x, x + 1000) == (0.0, 0.0, 0.0, 0.0)


def test_a_collapsed_set_is_precise_and_covers_little():
    x = correlated(200, 6)
    generator = torch.Generator().manual_seed(0)
    collapsed = x[:1] + 1e-3 * torch.randn(200, 6, generator=generator)
    found = neighbourhoods(x, collapsed)
    assert found.precision == 1.0 and found.recall < 0.01 and found.coverage < 0.1


def test_distances_agree_with_scipy_and_are_zero_between_equal_rows():
    x = correlated(70, 33, 1).float() * 10
    y = torch.cat([correlated(50, 33, 2).float(), x[:9], x[3:4] + 1e-4])
    d = squared_distances(x, y).sqrt().numpy()
    assert np.allclose(d, distance.cdist(x.double(), y.double()), rtol=1e-6, atol=1e-6)
    assert (d[range(9), range(50, 59)] == 0).all() and 0 < d[3, 59] < 1e-3


def test_neighbours_agree_with_scikit_learn():
    real, fake = correlated(120, 5, 1).numpy()[:70], correlated(120, 5, 1).numpy()[70:] * 0.9

    def radii(x, k):
        return NearestNeighbors(n_neighbors=k + 1).fit(x).kneighbors(x)[0][:, -1]

    d = np.linalg.norm(fake[:, None] - real[None], axis=2)
    precision = (d <= radii(real, 3)).any(1).mean()
    recall = (d <= radii(fake, 3)[:, None]).any(0).mean()
    density = (d <= radii(real, 5)).sum() / (5 * 50)
    coverage = (d <= radii(real, 5)).any(0).mean()
    found = neighbourhoods(torch.from_numpy(real), torch.from_numpy(fake))
    assert found == pytest.approx((precision, recall, density, coverage), rel=1e-12)
    assert 0 < found.precision < 1 and 0 < found.recall < 1


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99))
def test_neighbours_are_blind_to_order(seed):
    real, fake = correlated(300, 4, seed), correlated(280, 4, seed + 1)
    generator = torch.Generator().manual_seed(seed)
    shuffled = real[torch.randperm(300, generator=generator)], fake.flip(0)
    assert neighbourhoods(*shuffled) == pytest.approx(neighbourhoods(real, fake), rel=1e-12)


def test_path_length_of_a_linear_generator_is_known():
    # For G(w) = A w, E |A (w1 - w0)|^2 = 2 tr(A A^T), wherever on the path.
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(50, 8, generator=generator, dtype=torch.float64)
    w0, w1 = torch.randn(2, 100_000, 8, generator=generator, dtype=torch.float64)
    t = torch.rand(100_000, generator=generator, dtype=torch.float64)
    sampler = PathSampler(lambda w: w @ a.T, lambda x: x)
    mean, error = summarise(sampler.lengths(w0, w1, t))
    expected = 2 * float((a @ a.T).trace())
    assert abs(mean - expected) < 4 * error
    assert error < 0.01 * expected


def test_path_length_on_the_sphere_is_the_angle():
    # With the identity as generator, the speed along a great circle of radius r is r * angle.
    a = torch.tensor([[2.0, 0.0, 0.0]], dtype=torch.float64)
    b = torch.tensor([[0.0, 2.0, 0.0]], dtype=torch.float64)
    sampler = PathSampler(lambda z: z, lambda x: x, space="z")
    for t in (0.0, 0.3, 0.9):
        got = sampler.lengths(a, b, torch.tensor([t], dtype=torch.float64))
        assert float(got) == pytest.approx((2 * math.pi / 2) ** 2, rel=1e-6)


def test_paths_begin_and_end_where_they_should():
    a, b = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for between in (lerp, slerp):
        assert torch.allclose(between(a, b, torch.zeros(5)), a)
        assert torch.allclose(between(a, b, torch.ones(5)), b)
    half = slerp(a, b, torch.full((5,), 0.5, dtype=torch.float64))
    middle = (a.norm(dim=1) + b.norm(dim=1)) / 2
    assert torch.allclose(half.norm(dim=1), middle)
    assert torch.allclose(slerp(a, 2 * a, torch.full((5,), 0.5)), 1.5 * a)


def test_a_cropped_path_length_leaves_the_background_out():
    def generate(w):
        images = torch.zeros(len(w), 1, 20, 20, dtype=torch.float64)
        images[:, :, 0, 0] = w  # background only
        return images

    a, b = torch.zeros(3, 1, dtype=torch.float64), torch.ones(3, 1, dtype=torch.float64)
    t = torch.full((3,), 0.5, dtype=torch.float64)
    whole = PathSampler(generate, lambda x: x.flatten(1)).lengths(a, b, t)
    face = PathSampler(generate, lambda x: x.flatten(1), crop=True).lengths(a, b, t)
    assert whole.tolist() == pytest.approx([1, 1, 1]) and face.tolist() == [0, 0, 0]
    assert crop_face(torch.zeros(1, 3, 20, 20)).shape == (1, 3, 12, 12)
    assert crop_face(torch.zeros(1, 3, 1, 1)).shape == (1, 3, 1, 1)


@pytest.mark.parametrize("n", [30, 90])
@pytest.mark.parametrize("keep", [False, True])
def test_collected_features_give_the_same_distance_in_either_form(n, keep):
    x, y = correlated(n, 64, 1).float(), correlated(n, 64, 2).float()
    sets = []
    for features in (x, y):
        collected = Collected(64, n, keep=keep, classes=4)
        for first in range(0, n, 7):
            part = features[first : first + 7]
            collected.add(Features(part, part[:, :4]), first)
        sets.append(collected)
    assert sets[0].frechet(sets[1]) == pytest.approx(frechet_from_features(x, y), rel=1e-6)
    assert sets[0].score() == pytest.approx(inception_score(x[:, :4]), rel=1e-9)
    if keep or n == 30:
        assert torch.equal(sets[0].features, x)
    else:
        with pytest.raises(ValueError, match="expected 90 kept features"):
            assert sets[0].features is None


NAN = torch.full((9, 3), math.nan)
ZEROS = torch.zeros(9, 3)


@pytest.mark.parametrize(
    "call,message",
    [
        (lambda: Statistics(0), "dims >= 1"),
        (lambda: Statistics(4).add(ZEROS), r"expected \[N, 4\]"),
        (lambda: Statistics(3).add(NAN), "finite"),
        (lambda: Statistics(3).mean, "got none"),
        (lambda: gathered(ZEROS[:1]).covariance, "at least 2 features, got 1"),
        (lambda: Statistics(3).merge(Statistics(4)), "expected dims 3, got 4"),
        (lambda: frechet_distance(Statistics(3), Statistics(4)), "one width, got 3 and 4"),
        (lambda: frechet_from_features(ZEROS, ZEROS[:1]), "N >= 2"),
        (lambda: frechet_from_features(ZEROS, torch.zeros(9, 4)), "one width"),
        (lambda: polynomial_mmd(ZEROS, NAN), "finite"),
        (lambda: kernel_distance(ZEROS[:3], ZEROS), "N >= 4"),
        (lambda: kernel_distance(ZEROS, ZEROS, subsets=0), "subsets >= 1"),
        (lambda: neighbourhoods(ZEROS[:5], ZEROS), "N >= 6"),
        (lambda: neighbourhoods(ZEROS, ZEROS, k_density=0), "k >= 1"),
        (lambda: inception_score(torch.zeros(0, 4)), "expected logits"),
        (lambda: inception_score(NAN), "finite logits"),
        (lambda: InceptionScore(4, 5).add(torch.zeros(6, 4), 0), "images 0..4, got 0..5"),
        (lambda: InceptionScore(0, 5), "classes, total and splits >= 1"),
        (lambda: summarise(torch.zeros(1)), "2 or more"),
        (
            lambda: PathSampler(lambda w: w, lambda x: x).lengths(ZEROS, ZEROS, torch.zeros(3)),
            "one t per path",
        ),
        (lambda: Collected(3, 4).add(Features(ZEROS, None), 0), "at most 4 features"),
        (lambda: Collected(3, 9, classes=2).add(Features(ZEROS, None), 0), "needs logits"),
        (lambda: Collected(3, 9).score(), "no logits"),
    ],
    ids=range(23),
)
def test_unsuitable_features_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
