"""Ground truth of procedural faces: landmarks on their segments, framing, one-parameter edits."""

import pytest
import torch
from torch import Tensor

from ganvas.core.faces import LANDMARKS, SEGMENTS, Faces, render, sample_parameters

SIZE = 96
COUNT = 8
BARE = {
    "glasses": 0.0,
    "beard": 0.0,
    "moustache": 0.0,
    "fringe": 0.0,
    "eye_open": 0.9,
    "mouth_open": 0.0,
}


def _people(**changes: float) -> dict[str, Tensor]:
    params = sample_parameters(range(50, 50 + COUNT))
    for name, value in {**BARE, **changes}.items():
        params[name] = torch.full((COUNT,), value)
    return params


@pytest.fixture(scope="module")
def calm() -> Faces:
    return render(_people(smile=0.0), SIZE)


def _segments_at(faces: Faces, landmark: str, reach: int) -> tuple[list[set[str]], list[bool]]:
    """Names of the classes within `reach` pixels of a landmark, and whether it is visible."""
    i, found = LANDMARKS.index(landmark), []
    for n in range(COUNT):
        x, y = (int(v) for v in faces.landmarks[n, i].floor())
        patch = faces.segmentation[n, y - reach : y + reach + 1, x - reach : x + reach + 1]
        found.append({SEGMENTS[int(number)] for number in patch.unique()})
    return found, faces.visibility[:, i].tolist()


@pytest.mark.parametrize(
    "landmark,segment,reach",
    [
        ("left_eye", "eye", 0),
        ("right_eye", "eye", 0),
        ("nose_tip", "skin", 0),
        ("chin", "skin", 0),
        ("left_brow", "brow", 1),
        ("right_brow", "brow", 1),
        ("lip_top", "lips", 1),
        ("lip_bottom", "lips", 1),
    ],
)
def test_visible_landmarks_lie_on_their_segment(
    calm: Faces, landmark: str, segment: str, reach: int
):
    found, visible = _segments_at(calm, landmark, reach)
    assert sum(visible) >= COUNT - 1
    assert all(segment in names for names, seen in zip(found, visible, strict=True) if seen)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_eyes_segment_surrounds_the_eye_landmarks(calm: Faces, side: str):
    outer, middle, inner = (
        LANDMARKS.index(f"{side}_eye{part}") for part in ("_outer", "", "_inner")
    )
    for n in range(COUNT):
        centre = calm.landmarks[n, middle]
        half = float((calm.landmarks[n, outer] - calm.landmarks[n, inner]).norm()) / 2
        y, x = (calm.segmentation[n] == SEGMENTS.index("eye")).nonzero().unbind(-1)
        places = torch.stack([x, y], -1) + 0.5
        near = places[(places - centre).norm(dim=-1) < 1.6 * half]
        assert len(near) > 10
        assert float((near.mean(0) - centre).norm()) < 0.45 * half
        assert float((near[:, 0] - centre[0]).abs().max()) < 1.15 * half + 1


def test_eyes_lie_at_their_canonical_place_whatever_the_pose():
    left, right = LANDMARKS.index("left_eye"), LANDMARKS.index("right_eye")
    params = sample_parameters(range(64))
    places = (
        torch.cat(
            [
                render({k: v[i : i + 32] for k, v in params.items()}, 16, 1).landmarks
                for i in (0, 32)
            ]
        )
        / 16
    )
    middle, across = (places[:, left] + places[:, right]) / 2, places[:, right] - places[:, left]
    assert float((middle[:, 1] - 0.45).abs().max()) < 0.01
    assert float((middle[:, 0] - 0.5).abs().max()) < 0.05
    assert float((across[:, 1] / across[:, 0]).abs().max()) < 0.08
    assert 0.25 < float(across.norm(dim=-1).median()) < 0.3


def test_an_unaligned_camera_shows_roll():
    params = _people(roll=15.0, yaw=0.0, pitch=0.0)
    left, right = LANDMARKS.index("left_eye"), LANDMARKS.index("right_eye")

    def slope(faces: Faces) -> Tensor:
        d = faces.landmarks[:, right] - faces.landmarks[:, left]
        return torch.rad2deg(torch.atan2(-d[:, 1], d[:, 0]))

    assert float((slope(render(params, 16, 1, align=False)) - 15).abs().max()) < 0.5
    assert float(slope(render(params, 16, 1)).abs().max()) < 0.5


def test_the_far_side_of_a_turned_head_is_not_visible():
    faces = render(_people(yaw=55.0, pitch=0.0), SIZE, 1)
    near, far = LANDMARKS.index("left_eye_outer"), LANDMARKS.index("right_eye_outer")
    assert int(faces.visibility[:, far].sum()) == 0
    assert int(faces.visibility[:, near].sum()) >= COUNT - 2


def _change(a: Faces, b: Faces) -> Tensor:
    return (a.images - b.images).abs().mean(1)


def _eye_region(faces: Faces) -> Tensor:
    """Boxes from brow to lower lid around both eyes, [N, S, S]."""
    y, x = torch.meshgrid(torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="ij")
    region = torch.zeros(COUNT, SIZE, SIZE, dtype=torch.bool)
    for side in ("left", "right"):
        outer, middle, inner, brow = (
            faces.landmarks[:, LANDMARKS.index(f"{side}_{part}"), :, None, None]
            for part in ("eye_outer", "eye", "eye_inner", "brow")
        )
        reach = (outer - inner)[:, 0].abs() * 0.65
        region |= (
            ((x - middle[:, 0]).abs() < reach) & (y > brow[:, 1] - 2) & (y < middle[:, 1] + reach)
        )
    return region


def test_smile_changes_the_mouth_and_not_the_eyes(calm: Faces):
    smiling = render(_people(smile=0.9), SIZE)
    change, eyes = _change(calm, smiling), _eye_region(calm)
    assert float(change.mean()) > 0.002
    assert float((change * eyes).sum() / change.sum()) < 0.1
    mouth = calm.landmarks[:, LANDMARKS.index("mouth_left"), 1] - 0.2 * SIZE
    below = torch.arange(SIZE)[None, :, None] > mouth[:, None, None]
    assert float((change * below).sum() / change.sum()) > 0.8
    eye = LANDMARKS.index("left_eye")
    torch.testing.assert_close(smiling.landmarks[:, eye], calm.landmarks[:, eye], rtol=0, atol=0.5)


def test_squint_changes_the_eyes_and_not_the_mouth(calm: Faces):
    squinting = render(_people(smile=0.0, squint=1.0), SIZE)
    relaxed = render(_people(smile=0.0, squint=0.0), SIZE)
    change = _change(relaxed, squinting)
    assert float((change * _eye_region(calm)).sum() / change.sum()) > 0.6


def test_grey_changes_hair_only():
    dark = render(_people(grey=0.0, baldness=0.0), SIZE)
    white = render(_people(grey=1.0, baldness=0.0), SIZE)
    assert torch.equal(dark.segmentation, white.segmentation)
    hair = torch.zeros_like(dark.segmentation, dtype=torch.bool)
    for name in ("hair", "brow", "beard"):
        hair |= dark.segmentation == SEGMENTS.index(name)
    edge = torch.nn.functional.max_pool2d(hair[:, None].float(), 5, 1, 2)[:, 0] > 0
    change = _change(dark, white)
    assert float((change * hair).sum() / change.sum()) > 0.9
    assert float((change * edge).sum() / change.sum()) > 0.99


def test_glasses_and_beard_are_segmented():
    faces = render(_people(glasses=1.0, beard=1.0, moustache=1.0, yaw=0.0), SIZE)
    for name in ("glasses", "beard"):
        assert int((faces.segmentation == SEGMENTS.index(name)).flatten(1).any(1).sum()) == COUNT
