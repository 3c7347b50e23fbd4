"""Procedural faces: sampling by seed, batch independence, sizes and refusals."""

import json

import pytest
import torch

from ganvas.core.faces import (
    IDENTITY,
    LANDMARKS,
    PARAMETERS,
    POSE,
    SEGMENTS,
    Faces,
    default_parameters,
    face_labels,
    render,
    sample_parameters,
)

SIZE = 32


@pytest.fixture(scope="module")
def batch() -> Faces:
    return render(sample_parameters(range(6)), SIZE)


def test_a_faces_parameters_depend_on_its_own_seed_only():
    together = sample_parameters([5, 123456789012, 0, 7])
    alone = sample_parameters([7])
    assert list(together) == [p.name for p in PARAMETERS]
    for name, column in together.items():
        assert column.dtype == torch.float32
        assert torch.equal(column[3:], alone[name])


def test_seeds_may_be_a_tensor_or_a_list():
    listed, tensor = sample_parameters([3, 4]), sample_parameters(torch.tensor([3, 4]))
    assert all(torch.equal(listed[name], tensor[name]) for name in listed)


def test_sampled_parameters_lie_in_their_ranges_and_differ_between_seeds():
    params = sample_parameters(range(2000))
    for p in PARAMETERS:
        assert float(params[p.name].min()) >= p.low
        assert float(params[p.name].max()) <= p.high
        assert float(params[p.name].std()) > 0.01 * (p.high - p.low)


def test_sampled_poses_are_moderate():
    params = sample_parameters(range(4000))
    assert 11 < float(params["yaw"].std()) < 13
    assert float(params["yaw"].abs().max()) <= 35
    assert 5 < float(params["pitch"].std()) < 7
    assert abs(float(params["yaw"].mean())) < 1


def test_independent_parameters_are_uncorrelated():
    params = sample_parameters(range(4000))
    names = ("head_width", "jaw_width", "eye_size", "skin_tone", "yaw", "pitch", "texture", "key")
    correlation = torch.corrcoef(torch.stack([params[n] for n in names]))
    assert float((correlation - torch.eye(len(names))).abs().max()) < 0.07


def test_one_identity_keeps_its_parameters_in_different_pictures():
    params = sample_parameters([1, 2, 3], identities=[9, 9, 10])
    for name in IDENTITY:
        assert params[name][0] == params[name][1]
    assert params["head_width"][0] != params["head_width"][2]
    for name in POSE:
        assert params[name][0] != params[name][1]
    same = sample_parameters([9], identities=[9])
    assert all(torch.equal(v, sample_parameters([9])[k]) for k, v in same.items())


def test_shapes_types_and_ranges_of_a_render(batch: Faces):
    assert batch.images.shape == (6, 3, SIZE, SIZE)
    assert batch.images.dtype == torch.float32
    assert float(batch.images.min()) >= 0
    assert float(batch.images.max()) <= 1
    assert float(batch.images.std()) > 0.1
    assert batch.segmentation.shape == (6, SIZE, SIZE)
    assert batch.segmentation.dtype == torch.uint8
    assert int(batch.segmentation.max()) < len(SEGMENTS)
    assert batch.landmarks.shape == (6, len(LANDMARKS), 2)
    assert batch.visibility.shape == (6, len(LANDMARKS))
    assert batch.visibility.dtype == torch.bool


@pytest.mark.parametrize("seeds", [[3], [5, 2]], ids=str)
def test_a_face_is_the_same_in_any_batch(batch: Faces, seeds: list[int]):
    other = render(sample_parameters(seeds), SIZE)
    torch.testing.assert_close(other.images, batch.images[seeds], rtol=0, atol=1e-6)
    torch.testing.assert_close(other.landmarks, batch.landmarks[seeds], rtol=0, atol=1e-4)
    assert torch.equal(other.segmentation, batch.segmentation[seeds])
    assert torch.equal(other.visibility, batch.visibility[seeds])


def test_different_seeds_give_different_faces(batch: Faces):
    apart = torch.cdist(batch.images.flatten(1), batch.images.flatten(1))
    assert float(apart[~torch.eye(6, dtype=torch.bool)].min()) > 3


def test_rendering_leaves_its_parameters_alone():
    params = sample_parameters([8])
    before = {name: column.clone() for name, column in params.items()}
    render(params, 16, supersample=1)
    assert all(torch.equal(params[name], before[name]) for name in before)


@pytest.mark.parametrize("size,supersample", [(17, 1), (16, 3), (128, 1)])
def test_other_sizes_show_the_same_face(size: int, supersample: int):
    params = sample_parameters([4])
    small = render(params, 16, supersample=2)
    faces = render(params, size, supersample=supersample)
    assert faces.images.shape[-1] == size
    shrunk = torch.nn.functional.interpolate(faces.images, 16, mode="area")
    assert float((shrunk - small.images).abs().mean()) < 0.06
    torch.testing.assert_close(faces.landmarks / size, small.landmarks / 16, rtol=0, atol=0.01)


@pytest.mark.parametrize("p", [p for p in PARAMETERS if p.group == "pose"], ids=lambda p: p.name)
def test_the_whole_range_of_a_pose_renders(p):
    params = default_parameters(2)
    params[p.name] = torch.tensor([p.low, p.high])
    faces = render(params, 16, supersample=1)
    assert bool(torch.isfinite(faces.images).all())
    assert bool(torch.isfinite(faces.landmarks).all())
    assert bool((faces.segmentation == SEGMENTS.index("skin")).flatten(1).any(1).all())


def test_labels_are_exact_and_json_able():
    params = sample_parameters([1, 2])
    labels = json.loads(json.dumps(face_labels(params)))
    assert len(labels) == 2
    assert all(labels[1][name] == float(column[1]) for name, column in params.items())


def _without_yaw(params):
    return {name: column for name, column in params.items() if name != "yaw"}


@pytest.mark.parametrize(
    "change,message",
    [
        (_without_yaw, "yaw"),
        (lambda p: {**p, "nose": p["yaw"]}, "nose"),
        (lambda p: {**p, "smile": torch.tensor([1.5])}, "smile"),
        (lambda p: {**p, "smile": torch.tensor([float("nan")])}, "smile"),
        (lambda p: {**p, "smile": torch.zeros(2)}, "smile"),
    ],
    ids=["missing", "unknown", "out of range", "nan", "length"],
)
def test_render_refuses_wrong_parameters(change, message: str):
    with pytest.raises(ValueError, match=message):
        render(change(default_parameters()), 16)


def test_render_refuses_wrong_sizes():
    with pytest.raises(ValueError, match="size"):
        render(default_parameters(), 0)
    with pytest.raises(ValueError, match="supersample"):
        render(default_parameters(), 16, supersample=0)


def test_sampling_refuses_wrong_seeds():
    with pytest.raises(ValueError, match="seeds"):
        sample_parameters(torch.rand(3))
    with pytest.raises(ValueError, match="identities"):
        sample_parameters([1, 2], identities=[1])
