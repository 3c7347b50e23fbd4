"""Directions fitted to labels and scores, principal directions, and sums of directions."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneOut, cross_val_predict

import ganvas
from ganvas.core.editing import (
    Direction,
    apply_direction,
    combine_directions,
    fit_direction,
    parse_targets,
    principal_directions,
    project_out,
)
from ganvas.core.editing.fit import PENALTIES
from ganvas.core.errors import InputError
from ganvas.core.latents import Latents, sample_latents, seeded_z, synthesize

from .small_stylegan2 import small_generator

HASH = "a" * 64
NUM_WS, W_DIM = 6, 10
DEMO = Path(ganvas.__file__).parent / "core" / "demo_models" / "faces-stylegan2-64.safetensors"


def random_latents(count: int, seed: int = 0) -> Latents:
    w = torch.randn(count, 1, W_DIM, generator=torch.Generator().manual_seed(seed))
    return Latents(w.expand(-1, NUM_WS, -1).clone(), "W", HASH)


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=0))


def test_a_score_that_is_linear_in_w_is_found():
    latents, truth = random_latents(60), torch.linspace(-1, 1, W_DIM)
    noise = 0.2 * torch.randn(60, generator=torch.Generator().manual_seed(1))
    scores = 3 + latents.ws[:, 0] @ truth + noise
    fit = fit_direction(latents, scores.tolist())
    assert fit.kind == "scores" and fit.count == 60 and fit.quality > 0.9
    assert cosine(fit.direction.vector, truth) > 0.98
    x = latents.ws[:, 0] - latents.ws[:, 0].mean(0)
    spread = (x @ (fit.direction.vector / fit.direction.vector.norm())).std()
    assert float(fit.direction.vector.norm()) == pytest.approx(float(spread), rel=1e-4)
    unit = fit_direction(latents, scores.tolist(), scale="unit").direction
    assert float(unit.vector.norm()) == pytest.approx(1, rel=1e-5)


def test_two_groups_are_told_apart_also_when_one_is_small():
    latents, truth = random_latents(80, seed=2), torch.arange(W_DIM).float() - 4
    side = latents.ws[:, 0] @ truth
    labels = (side > side.quantile(0.8)).float()
    fit = fit_direction(latents, labels.tolist(), name="group")
    assert fit.kind == "labels" and fit.quality > 0.8 and "80 labels" in str(fit)
    assert fit.direction.name == "group" and fit.direction.value == fit.quality
    assert cosine(fit.direction.vector, truth) > 0.85
    swapped = fit_direction(latents, (1 - labels).tolist()).direction
    torch.testing.assert_close(swapped.vector, -fit.direction.vector)


def test_labels_that_mean_nothing_are_not_foretold():
    latents = random_latents(60, seed=3)
    rng = torch.Generator().manual_seed(4)
    labels = (torch.rand(60, generator=rng) > 0.5).float()
    assert fit_direction(latents, labels.tolist()).quality < 0.65
    noise = torch.randn(60, generator=rng)
    assert fit_direction(latents, noise.tolist()).quality < 0.15


def test_the_fit_is_the_ridge_whose_left_out_error_is_least():
    latents = random_latents(25, seed=5)
    rng = torch.Generator().manual_seed(6)
    scores = (latents.ws[:, 0, 0] + torch.randn(25, generator=rng)).double().numpy()
    x = latents.ws[:, 0].double().numpy()
    largest = np.linalg.svd(x - x.mean(0), compute_uv=False)[0] ** 2
    # One target for each penalty, so that every left-out latent is fitted to once.
    model = Ridge(alpha=largest * np.array(PENALTIES))
    targets = np.tile(scores[:, None], len(PENALTIES))
    foretold = cross_val_predict(model, x, targets, cv=LeaveOneOut())
    slopes = model.fit(x, targets).coef_
    u, s, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    errors = []
    for k, penalty in enumerate(PENALTIES):
        # Left-out residuals of the closed form keep the mean of all latents and all scores.
        hat = u @ np.diag(s**2 / (s**2 + penalty * largest)) @ u.T + 1 / len(x)
        errors.append(np.mean(((scores - hat @ scores) / (1 - np.diag(hat))) ** 2))
        assert errors[-1] == pytest.approx(np.mean((scores - foretold[:, k]) ** 2), rel=0.05)
    best = torch.from_numpy(slopes[int(np.argmin(errors))])
    fit = fit_direction(latents, scores.tolist())
    assert cosine(fit.direction.vector, best) == pytest.approx(1, abs=1e-6)
    of_the_mean = np.mean(((scores - scores.mean()) * 25 / 24) ** 2)
    assert fit.quality == pytest.approx(1 - min(errors) / of_the_mean, abs=1e-6)


def test_unknown_targets_are_left_out():
    latents = random_latents(20)
    scores = (latents.ws[:, 0, 3] * 2).tolist()
    known = latents.pick([*range(5), *range(8, 20)])
    with_gaps = fit_direction(latents, [*scores[:5], *[math.nan] * 3, *scores[8:]])
    without = fit_direction(known, scores[:5] + scores[8:])
    assert with_gaps.count == 17
    torch.testing.assert_close(with_gaps.direction.vector, without.direction.vector)


def test_targets_are_read_from_text():
    assert parse_targets("1, 0\n2.5; -3") == [1, 0, 2.5, -3]
    assert math.isnan(parse_targets("1 ?")[1])
    for bad in ("yes", "nan", "inf", "1 2x"):
        with pytest.raises(InputError, match="targets: expected a number"):
            parse_targets(bad)


@pytest.mark.parametrize(
    "targets,options,message",
    [
        ([1, 0] * 4, {}, "targets: expected 10 numbers, one for each latent, got 8"),
        ([math.nan] * 5 + [1.0, 0, 1, 0, 1], {}, "at least 6 known numbers, got 5"),
        ([3.0] * 10, {}, "targets: all of them are 3"),
        ([1.0] + [0.0] * 9, {}, "at least 2 latents of either label"),
        ([1.0, 2, 3] + [0.0] * 7, {"kind": "labels"}, "two different labels"),
        ([1.0, 0] * 5, {"kind": "guess"}, "kind: "),
        ([1.0, 0] * 5, {"scale": "long"}, "scale: "),
        ([1.0, 0] * 5, {"first_layer": 6}, "first_layer, last_layer: "),
    ],
)
def test_what_cannot_be_fitted_is_refused(targets, options, message):
    with pytest.raises(InputError, match=message):
        fit_direction(random_latents(10), targets, **options)


def test_equal_latents_are_refused():
    same = random_latents(1).pick([0] * 10)
    with pytest.raises(InputError, match="latents: all of them are the same"):
        fit_direction(same, [1.0, 0] * 5)


def test_a_fit_to_rendered_faces_moves_what_was_scored():
    """Scores measured on the demo generator's procedural faces: how bright the background is."""
    model = ganvas.load(DEMO)

    def brightness(latents: Latents) -> torch.Tensor:
        images = synthesize(model.generator, latents, model.sha256, chunk=32)
        return images[:, :, :12, :8].mean(dim=(1, 2, 3))

    seen = sample_latents(model.generator, model.sha256, seed=0, count=96)
    fit = fit_direction(seen, brightness(seen).tolist())
    assert fit.quality > 0.4
    new = sample_latents(model.generator, model.sha256, seed=500, count=8, truncation_psi=0.7)
    moved = brightness(apply_direction(new, fit.direction, (-2.0, 0.0, 2.0))).view(8, 3)
    assert bool((moved[:, 2] > moved[:, 0]).all())
    assert float((moved[:, 2] - moved[:, 0]).mean()) > 0.3


def test_principal_directions_are_those_of_sklearn():
    net = small_generator()
    found = principal_directions(net, HASH, count=4, samples=500)
    z = seeded_z(0, 500, net.config.z_dim)
    w = net.mapping(z, None)[:, 0].double().numpy()
    pca = PCA(n_components=4).fit(w)
    for k, direction in enumerate(found):
        expected = torch.from_numpy(pca.components_[k]) * math.sqrt(pca.explained_variance_[k])
        sign = torch.sign(expected @ direction.vector.double())
        torch.testing.assert_close(direction.vector.double(), sign * expected, rtol=1e-4, atol=1e-6)
        assert direction.value == pytest.approx(pca.explained_variance_ratio_[k], rel=1e-6)
        assert float(direction.vector[direction.vector.abs().argmax()]) > 0
    assert (found[0].first_layer, found[0].last_layer) == (0, net.num_ws - 1)


def test_principal_directions_need_samples_and_a_w():
    net = small_generator()
    seen = []
    principal_directions(net, HASH, count=1, samples=1500, report=lambda *a: seen.append(a[:2]))
    assert seen == [(1024, 1500), (1500, 1500)]
    with pytest.raises(InputError, match="samples: expected more than"):
        principal_directions(net, HASH, count=1, samples=net.config.w_dim)
    with pytest.raises(InputError, match="count: "):
        principal_directions(net, HASH, count=net.config.w_dim + 1)


def direction(seed: int, first: int = 0, last: int = NUM_WS - 1, **fields) -> Direction:
    vector = torch.randn(W_DIM, generator=torch.Generator().manual_seed(seed))
    return Direction(vector, first, last, HASH, f"d{seed}", **fields)


def test_a_sum_does_what_both_do():
    latents = random_latents(3)
    a, b = direction(1), direction(2, 2, 4)
    both = combine_directions([a, b], [2.0, -0.5])
    one_by_one = apply_direction(apply_direction(latents, a, [2.0]), b, [-0.5])
    together = apply_direction(latents, both, [1.0])
    torch.testing.assert_close(together.ws, one_by_one.ws)
    assert both.vector.shape == (NUM_WS, W_DIM) and both.name == "2 d1 + -0.5 d2"
    same_layers = combine_directions([a, direction(3)], [1.0, 1.0])
    assert same_layers.vector.shape == (W_DIM,)


def test_a_direction_by_layer_can_be_applied_to_some_of_its_layers_only():
    both = combine_directions([direction(1, 1, 3), direction(2, 2, 4)], [1.0, 1.0])
    latents = random_latents(2)
    part = apply_direction(latents, both, [1.0], first_layer=2, last_layer=3)
    torch.testing.assert_close(part.ws[:, 2:4], latents.ws[:, 2:4] + both.rows[1:3])
    assert torch.equal(part.ws[:, :2], latents.ws[:, :2])
    with pytest.raises(InputError, match=r"layers within 1\.\.4, got 0, 4"):
        apply_direction(latents, both, [1.0], first_layer=0)


def test_what_is_projected_out_is_gone_and_the_rest_is_kept():
    a, b, c = direction(1), direction(2), direction(3)
    oblique = Direction(b.vector + 0.1 * c.vector, 0, NUM_WS - 1, HASH)
    for others in ([b], [b, oblique], [b, c, b]):
        rest = project_out(a, others)
        for other in others:
            assert abs(cosine(rest.rows[0], other.vector)) < 1e-5
        basis = torch.stack([each.vector for each in others]).double()
        expected = a.vector.double() - basis.T @ torch.linalg.pinv(basis.T, rtol=1e-6) @ (
            a.vector.double()
        )
        torch.testing.assert_close(rest.vector.double(), expected, rtol=1e-4, atol=1e-5)
    assert project_out(a, [b]).name == "d1 without d2"


def test_projecting_out_touches_shared_layers_only():
    rest = project_out(direction(1), [direction(2, 0, 2)])
    assert abs(cosine(rest.rows[1], direction(2).vector)) < 1e-5
    torch.testing.assert_close(rest.rows[3:], direction(1).rows[3:])


def test_sums_and_rests_that_are_nothing_or_mixed_are_refused():
    a, twice = direction(1), Direction(2 * direction(1).vector, 0, NUM_WS - 1, HASH)
    foreign = Direction(torch.ones(W_DIM), 0, 1, "b" * 64)
    with pytest.raises(InputError, match="weights: the directions cancel"):
        combine_directions([a, twice], [-2.0, 1.0])
    with pytest.raises(InputError, match="direction: nothing is left"):
        project_out(a, [twice])
    for function in (
        lambda: combine_directions([a, foreign], [1, 1]),
        lambda: project_out(a, [foreign]),
    ):
        with pytest.raises(InputError, match=r"^direction_b: it belongs to the generator bbbb"):
            function()
    wider = Direction(torch.ones(W_DIM + 1), 0, 1, HASH)
    for function in (
        lambda: combine_directions([a, wider], [1, 1]),
        lambda: project_out(a, [wider]),
    ):
        with pytest.raises(InputError, match=r"^direction_b: expected 10 numbers in each layer"):
            function()


def test_a_direction_has_one_vector_or_one_for_each_layer():
    with pytest.raises(ValueError, match=r"\[w_dim\] or \[3, w_dim\]"):
        Direction(torch.zeros(2, 4), 1, 3, HASH)
    with pytest.raises(ValueError, match="floating point"):
        Direction(torch.zeros(4, dtype=torch.int64), 1, 3, HASH)
