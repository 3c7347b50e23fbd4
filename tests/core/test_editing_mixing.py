"""Style mixing, interpolation, averages, walks, and batches picked from."""

from __future__ import annotations

import pytest
import torch

from ganvas.core.editing import average, interpolate, latent_walk, mix_styles
from ganvas.core.errors import InputError
from ganvas.core.latents import Latents
from ganvas.core.ranges import parse_ranges

HASH = "a" * 64


def latents(count: int, seed: int = 0, model_hash: str = HASH) -> Latents:
    rng = torch.Generator().manual_seed(seed)
    return Latents(torch.randn(count, 5, 3, generator=rng), "W", model_hash)


def test_a_grid_gives_every_face_every_style():
    faces, styles = latents(2), latents(3, seed=1)
    before = faces.ws.clone()
    mixed = mix_styles(faces, styles, first_layer=2, last_layer=3)
    assert len(mixed) == 6 and mixed.space == "W+"
    for k in range(6):
        face, style = faces.ws[k // 3], styles.ws[k % 3]
        assert torch.equal(mixed.ws[k, 2:4], style[2:4])
        assert torch.equal(mixed.ws[k, [0, 1, 4]], face[[0, 1, 4]])
    assert torch.equal(faces.ws, before)


def test_pairs_mix_one_to_one_and_one_to_all():
    faces, styles = latents(3), latents(3, seed=1)
    mixed = mix_styles(faces, styles, first_layer=4, arrangement="pairs", strength=0.25)
    torch.testing.assert_close(mixed.ws[:, 4], faces.ws[:, 4] * 0.75 + styles.ws[:, 4] * 0.25)
    assert torch.equal(mixed.ws[:, :4], faces.ws[:, :4])
    one = mix_styles(faces, styles.first(1), first_layer=0, arrangement="pairs")
    assert torch.equal(one.ws, styles.ws[:1].expand(3, -1, -1))
    with pytest.raises(InputError, match=r"styles: expected 3 latents \(or 1\)"):
        mix_styles(faces, styles.first(2), first_layer=0, arrangement="pairs")


def test_blends_go_from_one_face_to_the_other():
    a, b = latents(2), latents(2, seed=1)
    blend = interpolate(a, b, [0, 0.5, 1, 2])
    assert len(blend) == 8 and blend.space == "W"
    assert torch.equal(blend.ws[0], a.ws[0]) and torch.equal(blend.ws[6], b.ws[1])
    torch.testing.assert_close(blend.ws[5], (a.ws[1] + b.ws[1]) / 2)
    torch.testing.assert_close(blend.ws[3], 2 * b.ws[0] - a.ws[0])
    grid = interpolate(a, b, [0.0, 1.0], "grid")
    assert torch.equal(grid.ws[[2, 3]], torch.stack([a.ws[0], b.ws[1]]))


def test_latents_of_another_generator_are_refused_by_their_socket():
    for refused in (
        lambda: mix_styles(latents(1), latents(1, model_hash="b" * 64), first_layer=0),
        lambda: interpolate(latents(1), latents(1, model_hash="b" * 64), [0.5]),
    ):
        with pytest.raises(
            InputError, match=r"^(styles|latents_b): they belong to .* bbbbbbbbbbbb"
        ):
            refused()


def test_impossible_mixtures_are_refused():
    with pytest.raises(InputError, match="first_layer, last_layer"):
        mix_styles(latents(1), latents(1), first_layer=5)
    with pytest.raises(InputError, match="arrangement: "):
        mix_styles(latents(1), latents(1), first_layer=0, arrangement="ring")
    with pytest.raises(InputError, match="latents_b: 90000 latents"):
        interpolate(latents(300), latents(300), [0.5], "grid")


def test_averages_weigh_as_asked():
    faces = latents(3)
    torch.testing.assert_close(average(faces).ws[0], faces.ws.mean(0))
    torch.testing.assert_close(
        average(faces, [2.0, 0.0, 2.0]).ws[0], (faces.ws[0] + faces.ws[2]) / 2
    )
    with pytest.raises(InputError, match="weights: expected 3 numbers"):
        average(faces, [1.0])
    with pytest.raises(InputError, match=r"weights: .*sum to 0"):
        average(faces, [1.0, -1.0, 0.0])


@pytest.mark.parametrize("motion", ["smooth", "linear", "pause"])
def test_a_walk_passes_every_face_once(motion):
    faces = latents(4)
    round_trip = latent_walk(faces, 5, motion=motion)
    assert len(round_trip) == 20
    torch.testing.assert_close(round_trip.ws[::5], faces.ws)
    one_way = latent_walk(faces, 5, motion=motion, loop=False)
    assert len(one_way) == 16
    torch.testing.assert_close(one_way.ws[::5], faces.ws)
    steps = (round_trip.ws - round_trip.ws.roll(1, 0)).flatten(1).norm(dim=1)
    gaps = (faces.ws - faces.ws.roll(1, 0)).flatten(1).norm(dim=1)
    assert float(steps.min()) > 0 and float(steps.max()) < float(gaps.max()) / 2


def test_a_smooth_walk_has_no_corners_and_a_linear_one_is_straight():
    faces = latents(4)
    fine = 200
    smooth = latent_walk(faces, fine).ws
    speed = (smooth.roll(-1, 0) - smooth) * fine
    jump = (speed - speed.roll(1, 0)).flatten(1).norm(dim=1)
    assert float(jump.max()) < 0.1 * float(speed.flatten(1).norm(dim=1).max())
    linear = latent_walk(faces, 4, motion="linear").ws
    torch.testing.assert_close(linear[1], faces.ws[0] * 0.75 + faces.ws[1] * 0.25)
    pause = latent_walk(faces, 10, motion="pause").ws
    first, middle = pause[1] - pause[0], pause[6] - pause[5]
    assert float(first.norm()) < 0.3 * float(middle.norm())


def test_walks_that_lead_nowhere_are_refused():
    with pytest.raises(InputError, match="latents: a walk needs at least two"):
        latent_walk(latents(1), 5)
    with pytest.raises(InputError, match="frames: "):
        latent_walk(latents(2), 0)
    with pytest.raises(InputError, match="motion: "):
        latent_walk(latents(2), 5, motion="jump")


def test_batches_are_picked_from_in_the_order_given():
    faces = latents(6)
    picked = faces.pick(parse_ranges("4, 0-2,4", name="indices", highest=5, most=9))
    assert torch.equal(picked.ws, faces.ws[[4, 0, 1, 2, 4]])


@pytest.mark.parametrize(
    "text", ["", "6", "-1", "1.5", "3-1", "0-5,0-5", "a", "1,,2", "99999999999"]
)
def test_indices_outside_the_batch_are_refused(text):
    with pytest.raises(InputError, match=r"^indices: "):
        parse_ranges(text, name="indices", highest=5, most=9)
