"""Procedural faces as data sets and archives."""

import hashlib
import json
import multiprocessing
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.core.data import open_dataset, write_faces_zip
from ganvas.core.data.procedural import GROUP, FacesSpec, face_seeds
from ganvas.core.errors import InputError
from ganvas.core.faces import LANDMARKS, PARAMETERS, SEGMENTS, render, sample_parameters
from ganvas.core.restoration import DEFAULT, Degradation, degrade, sample_degradations

ROOT = Path(__file__).resolve().parents[2]
SIZE = 16


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("faces") / "faces.zip"
    steps = []
    write_faces_zip(path, 20, SIZE, 7, segmentation=True, progress=lambda *step: steps.append(step))
    assert steps == [(16, 20), (20, 20)]
    return path


def test_an_archive_opens_as_a_data_set(archive):
    dataset = open_dataset(archive)
    assert (len(dataset), dataset.resolution) == (20, SIZE)
    assert dataset.labels is None
    images = dataset.images(range(20)).float()
    assert float(images.std()) > 20 and float(images[0].sub(images[1]).abs().mean()) > 2


def test_records_reproduce_the_images(archive):
    dataset = open_dataset(archive)
    faces = dataset.annotations["faces"]
    names = [row["name"] for row in faces["parameters"]]
    assert names == [p.name for p in PARAMETERS]
    rows = [record["parameters"] for record in faces["images"]]
    params = {name: torch.tensor([row[i] for row in rows]) for i, name in enumerate(names)}
    drawn = sample_parameters([record["identity"] for record in faces["images"]])
    for name in names:
        assert torch.equal(params[name], drawn[name].to(torch.float32)), name
    again = render(params, size=SIZE)
    difference = (again.images * 255).round().int() - dataset.images(range(20)).int()
    assert int(difference.abs().max()) <= 1
    landmarks = torch.tensor([record["landmarks"] for record in faces["images"]])
    assert torch.allclose(landmarks, again.landmarks.float(), atol=1e-3)
    assert landmarks.shape == (20, len(LANDMARKS), 2)
    visibility = torch.tensor([record["visibility"] for record in faces["images"]])
    assert visibility.dtype == torch.bool and torch.equal(visibility, again.visibility)
    pose = torch.tensor([record["pose"] for record in faces["images"]])
    for i, name in enumerate(faces["pose"]):
        assert torch.equal(pose[:, i], params[name])
    assert len({record["identity"] for record in faces["images"]}) == 20


def test_segmentations_are_stored_beside_the_images(archive):
    with zipfile.ZipFile(archive) as stored:
        names = stored.namelist()
        with stored.open("segmentation/00000/img00000003.png") as file:
            segments = np.array(Image.open(file))
    assert names[0] == "00000/img00000000.png" and names[-1] == "dataset.json"
    assert len(names) == 41
    assert segments.shape == (SIZE, SIZE) and segments.max() < len(SEGMENTS)
    assert len(np.unique(segments)) > 2
    with zipfile.ZipFile(archive) as stored:
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in stored.infolist())


def test_a_longer_archive_begins_with_the_same_faces(archive, tmp_path):
    long = open_dataset(write_faces_zip(tmp_path / "long.zip", 36, SIZE, 7))
    assert torch.equal(long.images(range(20)), open_dataset(archive).images(range(20)))


def test_rendering_on_demand_gives_the_archived_faces(archive):
    dataset = open_dataset(f"faces:count=20,size={SIZE},seed=7")
    picked = [19, 3, 3, 17]
    difference = dataset.images(picked).int() - open_dataset(archive).images(picked).int()
    assert int(difference.abs().max()) <= 1
    assert dataset.name == f"faces:count=20,size={SIZE},seed=7"
    assert open_dataset(f"faces:count=20,size={SIZE},seed=8").content_hash != dataset.content_hash


def test_attributes_become_labels(archive, tmp_path):
    spec = f"faces:count=20,size={SIZE},seed=7,attr=glasses+skin_tone"
    rows = [r["parameters"] for r in open_dataset(archive).annotations["faces"]["images"]]
    names = [p.name for p in PARAMETERS]
    expected = [
        [float(row[names.index(n)] > 0.5) for n in ("glasses", "skin_tone")] for row in rows
    ]
    for dataset in (
        open_dataset(spec),
        open_dataset(spec, cache=tmp_path),
        open_dataset(f"zip:{archive},attr=glasses+skin_tone"),
    ):
        assert dataset.labels.tolist() == expected
        assert dataset.description.label_names == ("glasses", "skin_tone")
    assert 0 < sum(row[0] for row in expected) < 20
    plain = open_dataset(archive)
    assert plain.labels is None and plain.description.landmarks.shape == (20, len(LANDMARKS), 2)
    assert plain.description.identities.unique().numel() == 20
    with pytest.raises(InputError, match="attr 'wings' is unknown"):
        open_dataset(f"faces:count=2,size={SIZE},attr=wings")
    with pytest.raises(InputError, match="repeated"):
        open_dataset(f"faces:count=2,size={SIZE},attr=glasses,attr=smile")


def test_another_seed_gives_other_faces(archive):
    assert not set(face_seeds(7, range(100))) & set(face_seeds(8, range(100)))
    other = open_dataset(f"faces:count=1,size={SIZE},seed=8")[0].float()
    assert float((other - open_dataset(archive)[0].float()).abs().mean()) > 2


def test_bytes_do_not_depend_on_threads_or_workers(archive, tmp_path, monkeypatch):
    # Worker processes import the package by name, wherever the checkout lies.
    (tmp_path / "ganvas").symlink_to(ROOT, target_is_directory=True)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path)]))
    workers = write_faces_zip(tmp_path / "w.zip", 20, SIZE, 7, workers=2, segmentation=True)
    assert digest(workers) == digest(archive)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        threaded = write_faces_zip(tmp_path / "t.zip", 20, SIZE, 7, segmentation=True)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert digest(threaded) == digest(archive)
    assert not multiprocessing.active_children()


def test_an_interrupted_archive_leaves_nothing(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_faces_zip(tmp_path / "faces.zip", 40, SIZE, 0, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_finished_archive_survives_an_interrupted_rewrite(tmp_path):
    path = write_faces_zip(tmp_path / "faces.zip", 2, SIZE, 0)
    before = digest(path)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_faces_zip(path, 40, SIZE, 1, progress=stop)
    assert digest(path) == before and list(tmp_path.iterdir()) == [path]


def test_labels_are_the_parameters_when_asked_for(tmp_path):
    dataset = open_dataset(write_faces_zip(tmp_path / "faces.zip", 3, SIZE, 0, labels=True))
    rows = [record["parameters"] for record in dataset.annotations["faces"]["images"]]
    assert dataset.labels is not None
    assert torch.equal(dataset.labels, torch.tensor(rows))


def test_damaged_faces_come_with_their_exact_damage(tmp_path):
    clean = open_dataset(write_faces_zip(tmp_path / "clean.zip", 4, 32, 0))
    bad = open_dataset(write_faces_zip(tmp_path / "bad.zip", 4, 32, 0, degradation=DEFAULT))
    records = bad.annotations["faces"]["images"]
    damages = [Degradation(**record["degradation"]) for record in records]
    seeds = [record["identity"] for record in records]
    assert damages == sample_degradations(seeds, DEFAULT)
    # The archive holds the damage of the unrounded render, so JPEG blocks may differ a little.
    again = degrade(clean.images(range(4)).float() / 255, damages, seeds)
    error = (again * 255 - bad.images(range(4)).float()).abs()
    assert float(error.mean()) < 1.5
    plain = (clean.images(range(4)).float() - bad.images(range(4)).float()).abs()
    assert float(plain.mean()) > 3 * float(error.mean())


def test_a_cache_is_rendered_once(tmp_path):
    spec = f"faces:count=3,size={SIZE},seed=2"
    first = open_dataset(spec, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    written = path.stat().st_mtime_ns
    second = open_dataset(spec, 8, cache=tmp_path)
    assert path.stat().st_mtime_ns == written
    assert first.content_hash == second.content_hash and second[0].shape == (3, 8, 8)
    assert int((first[2].int() - open_dataset(spec)[2].int()).abs().max()) <= 1


def test_specs_are_read_with_defaults():
    assert FacesSpec.parse("faces:seed=0") == FacesSpec(20_000, 64, 0)
    assert FacesSpec.parse("faces: size = 32 , count=5") == FacesSpec(5, 32, 0)
    spec = FacesSpec(12, 32, 9)
    assert FacesSpec.parse(str(spec)) == spec


@pytest.mark.parametrize(
    "text",
    [
        "faces:",
        "faces:count=3,",
        "faces:,count=3",
        "faces:count=0",
        "faces:size=4",
        "faces:size=4096",
        "faces:seed=-1",
        "faces:count=ten",
        "faces:count",
        "faces:number=3",
        "faces:count=3,count=4",
    ],
)
def test_bad_specs_are_one_sentence(text):
    with pytest.raises(InputError, match=r"faces.*(must|expected)"):
        open_dataset(text)


def test_impossible_numbers_of_workers_are_refused(tmp_path):
    with pytest.raises(InputError, match="workers"):
        write_faces_zip(tmp_path / "faces.zip", 1, SIZE, 0, workers=0)


def test_annotations_are_plain_json(archive):
    with zipfile.ZipFile(archive) as stored:
        content = json.loads(stored.read("dataset.json"))
    assert content["labels"] is None
    assert content["faces"]["landmarks"] == list(LANDMARKS)
    assert content["faces"]["segments"] == list(SEGMENTS)
    assert GROUP == 16


def test_a_misspelt_attribute_is_named_before_faces_are_rendered(tmp_path):
    with pytest.raises(InputError, match=r"attr 'smyle' is unknown, did you mean smile\?"):
        open_dataset("faces:count=20000,size=16,attr=glasses+smyle", cache=tmp_path)
    assert list(tmp_path.iterdir()) == []
