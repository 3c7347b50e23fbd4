"""Training of the network that reads faces: its labels are exact, its runs repeat."""

import json
import math

import pytest
import torch

from ganvas.core.checkpoints import load
from ganvas.core.data import open_dataset, write_faces_zip
from ganvas.core.errors import InputError
from ganvas.core.faces import LANDMARKS, render, sample_parameters
from ganvas.core.images import save_png
from ganvas.core.models.face_features import FaceFeatures
from ganvas.core.restoration import Degradation
from ganvas.training import face_features
from ganvas.training.face_features import (
    DAMAGE,
    MIRRORED,
    Settings,
    damage_values,
    draw_damage,
    main,
    read_labels,
    read_quality,
    train,
)

SIZE, COUNT = 32, 16


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_faces_zip(tmp_path_factory.mktemp("faces") / "faces.zip", COUNT, SIZE, 0)


@pytest.fixture(scope="module")
def data(archive):
    return open_dataset(archive)


def test_labels_are_those_of_the_renderer(data):
    labels = read_labels(data)
    assert labels.values.shape == labels.weights.shape == (COUNT, len(labels.names))
    assert "texture" not in labels.names and "background_hue" not in labels.names
    column = {name: labels.values[:, i] for i, name in enumerate(labels.names)}
    records = data.annotations["faces"]["images"]
    names = [p["name"] for p in data.annotations["faces"]["parameters"]]
    for i, record in enumerate(records):
        known = dict(zip(names, record["parameters"], strict=True))
        assert float(column["yaw"][i]) == pytest.approx(known["yaw"])
        hue = known["cloth_saturation"] * math.cos(2 * math.pi * known["cloth_hue"])
        assert float(column["cloth_hue.cos"][i]) == pytest.approx(hue, abs=1e-5)
        assert float(column["chin.y"][i]) == pytest.approx(record["landmarks"][13][1])
    visible = labels.weights[:, labels.names.index("left_brow.x")]
    assert visible.tolist() == [float(record["visibility"][14]) for record in records]


def test_mirrored_labels_are_those_of_mirrored_faces(data):
    labels = read_labels(data).mirrored(SIZE)
    seeds = [record["identity"] for record in data.annotations["faces"]["images"]]
    parameters = sample_parameters(seeds)
    mirrored = {name: -x if name in MIRRORED else x for name, x in parameters.items()}
    faces = render(mirrored, size=SIZE)
    for index, name in enumerate(LANDMARKS):
        for axis, letter in enumerate("xy"):
            got = labels.values[:, labels.names.index(f"{name}.{letter}")]
            assert torch.allclose(got, faces.landmarks[:, index, axis], atol=1e-3)
    yaw = labels.values[:, labels.names.index("yaw")]
    assert torch.allclose(yaw, mirrored["yaw"], atol=1e-4)
    assert torch.equal(labels.mirrored(SIZE).weights, read_labels(data).weights)


def test_damage_is_drawn_by_number_and_known():
    drawn = draw_damage(0, range(400), 0.5)
    assert drawn[7:9] == draw_damage(0, [7, 8], 0.5)
    clean = sum(damage == Degradation() for damage in drawn) / 400
    assert clean == pytest.approx(0.5 + 0.5 / 16, abs=0.08)
    values = damage_values(drawn)
    assert values.shape == (400, len(DAMAGE)) and (values >= 0).all()
    known = damage_values([Degradation(blur_sigma=1.5, downscale=4, jpeg_quality=40)])
    assert known[0].tolist() == pytest.approx([1.5, 2, 0, 0.6])


@pytest.fixture(scope="module")
def trained(data):
    losses = []
    network, names = train(
        data, Settings(steps=12, batch=8), lambda step, loss: losses.append(loss)
    )
    return network, names, losses


def test_a_run_learns_and_repeats(data, trained):
    network, names, losses = trained
    assert len(losses) == 12 and losses[-1] < losses[0]
    assert len(names) == network.config.num_outputs and not network.training
    again, _ = train(data, Settings(steps=12, batch=8))
    other, _ = train(data, Settings(steps=12, batch=8, seed=1))
    image = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again(image), network(image))
    assert not torch.allclose(other(image), network(image))


def test_quality_is_the_explained_variance(data, trained):
    network, names, _ = trained
    quality = read_quality(network, data, Settings())
    assert tuple(quality) == names
    assert all(value <= 1 for value in quality.values())


def test_a_run_becomes_a_model_file(data, trained, tmp_path):
    network, names, _ = trained
    path = tmp_path / "net.safetensors"
    face_features.write(path, network, names, {"yaw": 0.5}, {"preset": "face-features"})
    model = load(path)
    assert isinstance(model.network, FaceFeatures) and model.network.config == network.config
    assert model.training["outputs"] == list(names) and model.training["r2"] == {"yaw": 0.5}
    image = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(
        model.network.features(image), network.features(image), rtol=0.02, atol=0.02
    )


def test_the_command_writes_a_model_and_refuses_images_without_labels(archive, tmp_path, capsys):
    out = tmp_path / "net.safetensors"
    main([str(out), "--data", str(archive), "--real", str(archive), "--steps", "2"])
    assert "yaw" in json.loads(capsys.readouterr().out)
    assert load(out).arch == "face-features"
    save_png(tmp_path / "plain" / "a.png", torch.rand(16, 16, 3))
    with pytest.raises(SystemExit) as stop:
        main([str(out), "--data", str(archive), "--real", str(tmp_path / "plain")])
    assert stop.value.code == 2
    assert "exact, got images without them" in capsys.readouterr().err
    with pytest.raises(InputError, match="expected an archive by `ganvas faces`"):
        read_labels(open_dataset(tmp_path / "plain"))


@pytest.mark.parametrize(
    "options,message",
    [
        ({"img_resolution": 30}, "halvings of 30 px"),
        ({"channels": ()}, "halvings of 64 px"),
        ({"channels": (8, 0)}, "sizes >= 1"),
        ({"feature_dim": 0}, "sizes >= 1"),
    ],
    ids=str,
)
def test_impossible_networks_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        FaceFeatures(**options)


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"expected img \[N, 3, 16, 16\], got \(1, 3, 8, 8\)"):
        FaceFeatures(img_resolution=16, channels=(4,)).features(torch.zeros(1, 3, 8, 8))
