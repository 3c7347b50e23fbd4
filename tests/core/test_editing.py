"""Latents from seeds, closed-form directions, edits, contact sheets and restoration in chunks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ganvas.core.chunks import in_chunks
from ganvas.core.editing import (
    Direction,
    apply_direction,
    closed_form_directions,
    parse_strengths,
    style_weights,
)
from ganvas.core.errors import InputError
from ganvas.core.latents import Latents, sample_latents, seeded_z, synthesize
from ganvas.core.models.stylegan2 import Generator
from ganvas.core.restoration.apply import restore
from ganvas.core.sheets import Section, labelled_sheet

from .small_stylegan2 import small_generator

HASH = "a" * 64


@pytest.fixture(scope="module")
def generator() -> Generator:
    return small_generator()


def test_a_seed_draws_the_published_z():
    z = seeded_z(7, 3, 12)
    for k in range(3):
        expected = np.random.RandomState(7 + k).randn(1, 12).astype(np.float32)
        assert np.array_equal(z[k : k + 1].numpy(), expected)
    assert seeded_z(2**32 - 1, 1, 4).shape == (1, 4)


@pytest.mark.parametrize("seed,count", [(-1, 1), (2**32, 1), (2**32 - 1, 2), (0, 0)])
def test_seeds_outside_the_range_are_refused(seed, count):
    with pytest.raises(InputError, match="seeds"):
        seeded_z(seed, count, 4)


def test_a_seed_gives_the_same_latent_in_any_batch(generator):
    batch = sample_latents(generator, HASH, seed=5, count=4, truncation_psi=0.7)
    alone = sample_latents(generator, HASH, seed=7, count=1, truncation_psi=0.7)
    torch.testing.assert_close(batch.ws[2:3], alone.ws)
    assert (batch.space, batch.model_hash, len(batch)) == ("W", HASH, 4)


def test_truncation_pulls_towards_the_average_up_to_its_cutoff(generator):
    average = generator.mapping.w_avg.expand(1, generator.num_ws, -1)
    zero = sample_latents(generator, HASH, seed=0, count=1, truncation_psi=0.0)
    torch.testing.assert_close(zero.ws, average)
    full = sample_latents(generator, HASH, seed=0, count=1)
    part = sample_latents(generator, HASH, seed=0, count=1, truncation_psi=0.0, truncation_cutoff=2)
    torch.testing.assert_close(part.ws[:, :2], average[:, :2])
    torch.testing.assert_close(part.ws[:, 2:], full.ws[:, 2:])
    assert part.space == "W+"


def test_classes_must_fit_the_generator(generator):
    conditional = small_generator(c_dim=3)
    ws = [sample_latents(conditional, HASH, seed=0, count=1, class_index=k).ws for k in range(3)]
    assert not torch.equal(ws[0], ws[1]) and not torch.equal(ws[1], ws[2])
    for net, index in ((conditional, -1), (conditional, 3), (generator, 0)):
        with pytest.raises(InputError, match="class_index"):
            sample_latents(net, HASH, seed=0, count=1, class_index=index)


@pytest.mark.parametrize("mode", ["const", "random", "none"])
def test_chunks_do_not_change_images(generator, mode):
    latents = sample_latents(generator, HASH, seed=0, count=5)
    options = {"noise_mode": mode, "noise_seed": 3}
    whole = synthesize(generator, latents, HASH, chunk=5, **options)
    seen = []
    parts = synthesize(
        generator,
        latents,
        HASH,
        chunk=2,
        **options,
        report=lambda done, total, x: seen.append((done, total, len(x))),
    )
    torch.testing.assert_close(whole, parts, atol=1e-5, rtol=1e-5)
    assert whole.shape == (5, 3, 16, 16) and seen == [(2, 5, 2), (4, 5, 2), (5, 5, 1)]


def test_noise_modes_and_seeds_differ(generator):
    latents = sample_latents(generator, HASH, seed=0, count=1)

    def draw(mode, seed=0):
        return synthesize(generator, latents, HASH, noise_mode=mode, noise_seed=seed)

    assert torch.equal(draw("const", 1), draw("const", 2))
    assert torch.equal(draw("random", 1), draw("random", 1))
    assert not torch.equal(draw("random", 1), draw("random", 2))
    assert not torch.equal(draw("none"), draw("const"))


def test_latents_of_another_generator_are_refused(generator):
    latents = sample_latents(generator, HASH, seed=0, count=1)
    with pytest.raises(InputError, match=r"latents: .*aaaaaaaaaaaa.*bbbbbbbbbbbb"):
        synthesize(generator, latents, "b" * 64)
    shorter = Latents(latents.ws[:, :3], "W+", HASH)
    with pytest.raises(InputError, match="latents"):
        synthesize(generator, shorter, HASH)
    with pytest.raises(InputError, match="noise_mode"):
        synthesize(generator, latents, HASH, noise_mode="loud")


def test_style_weights_reproduce_what_the_affine_layers_compute(generator):
    weights = style_weights(generator)
    assert len(weights) == generator.num_ws
    w = torch.randn(2, 16, dtype=torch.float64)
    affines = [
        generator.synthesis.b4.conv1.affine,
        generator.synthesis.b8.conv0.affine,
        generator.synthesis.b8.conv1.affine,
        generator.synthesis.b16.conv0.affine,
        generator.synthesis.b16.conv1.affine,
        generator.synthesis.b16.torgb.affine,
    ]
    for affine, weight in zip(affines, weights, strict=True):
        change = (affine(w[:1].float()) - affine(w[1:].float())).double()
        torch.testing.assert_close(change, (w[:1] - w[1:]) @ weight.T, atol=1e-5, rtol=1e-4)


def test_directions_are_the_right_singular_vectors_of_the_stacked_weights(generator):
    found = closed_form_directions(generator, HASH, count=16, scale="unit")
    stacked = torch.cat(style_weights(generator)).numpy()
    _, singular, rows = np.linalg.svd(stacked)
    values = np.array([d.value for d in found])
    np.testing.assert_allclose(values, singular**2, rtol=1e-9)
    vectors = torch.stack([d.vector for d in found]).double().numpy()
    np.testing.assert_allclose(np.abs((vectors * rows).sum(1)), 1, atol=1e-6)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(16), atol=1e-6)
    assert all(float(d.vector[d.vector.abs().argmax()]) > 0 for d in found)


def test_no_direction_changes_the_styles_more_than_the_first(generator):
    first, last = 1, 3
    found = closed_form_directions(
        generator, HASH, count=2, first_layer=first, last_layer=last, scale="unit"
    )
    a = torch.cat(style_weights(generator)[first : last + 1])
    best = (a @ found[0].vector.double()).norm()
    others = torch.nn.functional.normalize(torch.randn(500, 16, dtype=torch.float64))
    assert best > (others @ a.T).norm(dim=1).max()
    assert (found[0].first_layer, found[0].last_layer) == (1, 3)


def test_spread_makes_one_step_one_standard_deviation(generator):
    unit = closed_form_directions(generator, HASH, count=3, scale="unit")
    spread = closed_form_directions(generator, HASH, count=3)
    w = sample_latents(generator, HASH, seed=10_000, count=4096).ws[:, 0]
    for u, s in zip(unit, spread, strict=True):
        length = s.vector.norm()
        torch.testing.assert_close(s.vector / length, u.vector)
        assert float(length) == pytest.approx(float((w @ u.vector).std()), rel=0.12)


@pytest.mark.parametrize(
    "options,name",
    [
        ({"count": 0}, "count"),
        ({"count": 17}, "count"),
        ({"first_layer": 6}, "layer"),
        ({"first_layer": 3, "last_layer": 2}, "layer"),
        ({"scale": "loud"}, "scale"),
    ],
    ids=str,
)
def test_impossible_requests_are_refused(generator, options, name):
    with pytest.raises(InputError, match=name):
        closed_form_directions(generator, HASH, **{"count": 1, **options})


def test_edits_are_sample_major_and_touch_only_their_layers():
    ws = torch.randn(2, 6, 16)
    latents = Latents(ws.clone(), "W", HASH)
    direction = Direction(torch.randn(16), 1, 3, HASH)
    edited = apply_direction(latents, direction, [-2.0, 0.0, 3.0])
    assert edited.ws.shape == (6, 6, 16) and edited.space == "W+"
    for n in range(2):
        for s, strength in enumerate((-2.0, 0.0, 3.0)):
            row = edited.ws[n * 3 + s]
            torch.testing.assert_close(row[1:4], ws[n, 1:4] + strength * direction.vector)
            assert torch.equal(row[0], ws[n, 0]) and torch.equal(row[4:], ws[n, 4:])
    assert torch.equal(latents.ws, ws)
    narrow = apply_direction(latents, direction, [1.0], first_layer=2, last_layer=2)
    changed = (narrow.ws != ws).any(dim=2)
    assert changed.tolist() == [[False, False, True, False, False, False]] * 2


def test_edits_refuse_a_direction_of_another_model():
    latents = Latents(torch.randn(1, 6, 16), "W", HASH)
    with pytest.raises(InputError, match="direction"):
        apply_direction(latents, Direction(torch.randn(16), 0, 5, "b" * 64), [1.0])
    with pytest.raises(InputError, match="direction"):
        apply_direction(latents, Direction(torch.randn(8), 0, 5, HASH), [1.0])
    with pytest.raises(InputError, match="layer"):
        apply_direction(latents, Direction(torch.randn(16), 0, 9, HASH), [1.0])


@pytest.mark.parametrize(
    "text,values",
    [("-3, 0, 3", (-3, 0, 3)), ("1.5", (1.5,)), ("1 2\n3;4", (1, 2, 3, 4)), ("1e-1,", (0.1,))],
)
def test_strengths_are_read_from_text(text, values):
    assert parse_strengths(text) == values


@pytest.mark.parametrize("text", ["", " , ", "1, two", "nan", "inf", "1 " * 257])
def test_other_strengths_are_refused(text):
    with pytest.raises(InputError, match="strengths"):
        parse_strengths(text)


def test_values_that_are_no_latents_are_refused():
    for ws in (torch.zeros(0, 2, 3), torch.zeros(2, 3), torch.zeros(1, 2, 3, dtype=torch.int64)):
        with pytest.raises(ValueError, match="ws"):
            Latents(ws, "W", HASH)
    with pytest.raises(ValueError, match="space"):
        Latents(torch.zeros(1, 2, 3), "Z", HASH)
    with pytest.raises(ValueError, match="layers"):
        Direction(torch.zeros(4), 3, 2, HASH)


def test_chunks_cover_every_sample_once():
    result = in_chunks(lambda start, stop: torch.arange(start, stop), 7, 3)
    assert result.tolist() == list(range(7))
    with pytest.raises(ValueError, match="chunk"):
        in_chunks(lambda start, stop: torch.arange(start, stop), 7, 0)


def test_restoration_blends_by_strength():
    network = nn.Conv2d(3, 3, 1)
    images = torch.rand(3, 3, 5, 9) * 2 - 1
    before = images.clone()
    full = restore(network, images, chunk=2)
    assert torch.equal(restore(network, images, strength=0.0), images)
    torch.testing.assert_close(full, network(images).detach())
    half = restore(network, images, strength=0.5, chunk=1)
    torch.testing.assert_close(half, (full + images) / 2)
    assert torch.equal(images, before)


def test_a_sheet_puts_every_pixel_where_it_belongs():
    images = torch.rand(3, 3, 4, 5)
    sheet = labelled_sheet(
        [Section("", images)], columns=2, gap=1, scale=2, method="nearest", background=0.0
    )
    assert sheet.shape == (3, 2 * 9 + 1, 2 * 11 + 1)
    big = images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(sheet[:, 1:9, 1:11], big[0])
    assert torch.equal(sheet[:, 1:9, 12:22], big[1])
    assert torch.equal(sheet[:, 10:18, 1:11], big[2])
    assert sheet[:, 10:18, 12:22].abs().max() == 0  # the empty cell
    assert sheet[:, 0].abs().max() == 0 and sheet[:, :, 11].abs().max() == 0


def test_labels_are_drawn_and_small_images_are_centred():
    large, small = torch.ones(2, 3, 8, 8), torch.ones(1, 1, 4, 6)
    plain = labelled_sheet(
        [Section("", large), Section("", small)], columns=2, gap=0, background=0.0
    )
    assert plain.shape == (3, 16, 16)
    assert plain[0, 8:, :8].sum() == 24 and plain[0, 10:14, 1:7].min() == 1
    labelled = labelled_sheet([Section("Faces", large)], columns=2, gap=0, background=0.0)
    strip = labelled[:, :-8]
    assert strip.shape[1] == 28 and strip.max() > 0.5 and (strip > 0.2).float().mean() < 0.9


@pytest.mark.parametrize(
    "change,name",
    [({"scale": 200}, "image"), ({"method": "magic"}, "scale_method")],
    ids=str,
)
def test_sheets_that_cannot_be_made_are_refused(change, name):
    images = torch.zeros(1, 3, 1, 1).expand(9000, 3, 1, 1)
    with pytest.raises(InputError, match=name):
        labelled_sheet([Section("", images)], **{"columns": 100, **change})
    with pytest.raises(InputError, match="image"):
        labelled_sheet([], columns=1)
