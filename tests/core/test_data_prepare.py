"""`ganvas prepare`: any images to training data of one size."""

import hashlib
import io
import json
import math
import os
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ganvas.core.data import open_dataset, write_faces_zip
from ganvas.core.data.geometry import Square, cut, eyes_and_mouth, face_square
from ganvas.core.data.given_labels import parse_csv, parse_json
from ganvas.core.data.prepare import prepare
from ganvas.core.errors import InputError

from .image_files import celeba_images, celeba_texts, deep_png, encoded, pixels, write


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def photos(tmp_path):
    """Photographs of several sizes and kinds, with one file that is no image."""
    deep = np.repeat(np.arange(0, 65536, 4096, dtype=np.uint16)[None], 16, 0)
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {
        "a.png": encoded(pixels(0, 40, 24)),
        "b/c.jpg": encoded(pixels(1, 24, 40), "JPEG", quality=95),
        "b/d.png": encoded(Image.fromarray(deep)),
        "cmyk.jpg": encoded(Image.fromarray(pixels(2)).convert("CMYK"), "JPEG", quality=95),
        "turned.jpg": encoded(pixels(3, 40, 24), "JPEG", quality=95, exif=exif),
        "clear.png": encoded(Image.new("RGBA", (16, 16), (0, 0, 0, 128))),
        "palette.png": encoded(Image.fromarray(pixels(4)).quantize(16)),
        "grey.webp": encoded(Image.fromarray(pixels(5)).convert("L"), "WEBP", lossless=True),
        "readme.txt": b"no image",
    }
    return write(tmp_path / "photos", files)


@pytest.mark.parametrize("out", ["out.zip", "out"])
def test_photographs_of_all_kinds_become_training_data(photos, tmp_path, out):
    done = prepare(photos, tmp_path / out, 16)
    assert (done.count, done.enlarged, done.skipped) == (8, 0, [])
    dataset = open_dataset(tmp_path / out)
    assert (len(dataset), dataset.resolution) == (8, 16)
    records = dataset.annotations["ganvas"]["images"]
    order = [record["source"] for record in records]
    assert order == sorted(order)
    image = {name: dataset[i].permute(1, 2, 0).numpy().astype(int) for i, name in enumerate(order)}
    middle = Image.fromarray(pixels(0, 40, 24)[:, 8:32]).resize((16, 16), Image.Resampling.LANCZOS)
    assert np.abs(image["a.png"] - np.array(middle)).max() <= 2
    assert image["b/d.png"][0, :, 0].tolist() == [round(i * 4096 * 255 / 65535) for i in range(16)]
    assert np.abs(image["cmyk.jpg"] - pixels(2)).mean() < 4
    assert np.abs(image["clear.png"] - 127).max() <= 1  # half black on white
    upright = np.rot90(pixels(3, 40, 24), 3)[8:32]
    reduced = np.array(Image.fromarray(upright).resize((16, 16), Image.Resampling.LANCZOS))
    assert np.abs(image["turned.jpg"] - reduced).mean() < 4
    assert sorted(tmp_path.iterdir()) == sorted([photos, tmp_path / out])


@pytest.mark.parametrize("out", ["out.zip", "out"])
def test_bytes_do_not_depend_on_the_workers(photos, tmp_path, out):
    first, second = tmp_path / "one" / out, tmp_path / "many" / out
    steps = []
    prepare(photos, first, 16, progress=lambda *step: steps.append(step))
    prepare(photos, second, 16, workers=5)
    assert steps == [(i, 8) for i in range(1, 9)]
    if out == "out":
        first, second = first / "dataset.json", second / "dataset.json"
        pictures = sorted((tmp_path / "one").rglob("*.png"))
        assert len(pictures) == 8
        for path in pictures:
            other = tmp_path / "many" / path.relative_to(tmp_path / "one")
            assert path.read_bytes() == other.read_bytes()
    assert digest(first) == digest(second)


def test_sixteen_bit_colour_keeps_its_upper_bits(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (8, 8, 3), dtype=np.uint16)
    write(tmp_path / "in", {"a.png": deep_png(deep)})
    prepare(tmp_path / "in", tmp_path / "out.zip", 8)
    image = open_dataset(tmp_path / "out.zip")[0].permute(1, 2, 0).numpy()
    assert np.abs(image.astype(int) - deep / 257).max() <= 1


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_known_range_are_refused(tmp_path, mode):
    write(tmp_path / "in", {"a.tif": encoded(Image.new(mode, (8, 8), 70000), "TIFF")})
    with pytest.raises(InputError, match="have no known range"):
        prepare(tmp_path / "in", tmp_path / "out.zip", 8)


def test_animations_are_refused_or_give_their_first_image(tmp_path):
    frames = [Image.fromarray(pixels(i)) for i in range(2)]
    data = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    write(tmp_path / "in", {"a.png": data})
    with pytest.raises(InputError, match="animated"):
        prepare(tmp_path / "in", tmp_path / "out.zip", 16)
    prepare(tmp_path / "in", tmp_path / "out.zip", 16, first_frame=True)
    image = open_dataset(tmp_path / "out.zip")[0].permute(1, 2, 0).numpy()
    assert np.array_equal(image, pixels(0))


def test_unreadable_images_stop_or_are_skipped_and_listed(photos, tmp_path):
    write(photos, {"b/bad.png": encoded(pixels(0))[:200], "bad2.jpg": b"hello"})
    with pytest.raises(InputError, match=r"photos: b/bad\.png: damaged"):
        prepare(photos, tmp_path / "out.zip", 16)
    assert not (tmp_path / "out.zip").exists()
    done = prepare(photos, tmp_path / "out.zip", 16, on_error="skip")
    assert done.count == 8 and [name for name, _ in done.skipped] == ["b/bad.png", "bad2.jpg"]
    facts = open_dataset(tmp_path / "out.zip").annotations["ganvas"]
    assert facts["skipped"] == ["b/bad.png", "bad2.jpg"]
    assert str(tmp_path) not in json.dumps(facts)
    write(tmp_path / "none", {"a.png": b"x"})
    with pytest.raises(InputError, match="none of 1 images is readable"):
        prepare(tmp_path / "none", tmp_path / "none.zip", 16, on_error="skip")
    assert not (tmp_path / "none.zip").exists()


@pytest.mark.parametrize("out", ["out.zip", "out"])
@pytest.mark.parametrize("workers", [1, 3])
def test_an_interrupted_run_leaves_nothing(photos, tmp_path, out, workers):
    def stop(done, total):
        raise KeyboardInterrupt

    before = sorted(tmp_path.iterdir())
    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        prepare(photos, tmp_path / out, 16, progress=stop, workers=workers)
    assert sorted(tmp_path.iterdir()) == before and threading.active_count() == threads


def test_small_images_are_enlarged_and_counted(photos, tmp_path):
    assert prepare(photos, tmp_path / "out.zip", 20).enlarged == 5


def test_celeba_is_prepared_with_everything_known(tmp_path):
    write(tmp_path / "CelebA", {**celeba_images(6), **celeba_texts(6)})
    prepare(f"celeba:{tmp_path / 'CelebA'},attr=Smiling+Male", tmp_path / "out.zip", 64)
    ours, theirs = open_dataset(tmp_path / "out.zip"), open_dataset(tmp_path / "CelebA", 64)
    assert torch.equal(ours.images(range(6)), theirs.images(range(6)))
    a, b = ours.description, theirs.description
    assert torch.equal(ours.labels, theirs.labels[:, :2]) and a.label_names == b.label_names[:2]
    assert torch.allclose(a.landmarks, b.landmarks, atol=1e-3)
    assert a.landmark_names == b.landmark_names
    assert a.splits == b.splits and a.identity_names == b.identity_names
    assert torch.equal(a.identities, b.identities)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return write_faces_zip(tmp_path_factory.mktemp("faces") / "faces.zip", 6, 32, 3)


def test_procedural_faces_are_aligned_by_their_landmarks(faces, tmp_path):
    prepare(faces, tmp_path / "out.zip", 64, align="landmarks", crop="face")
    known = open_dataset(tmp_path / "out.zip").description
    places = {name: known.landmarks[:, i] for i, name in enumerate(known.landmark_names)}
    left, right = places["left_eye"], places["right_eye"]
    mouth = (places["mouth_left"] + places["mouth_right"]) / 2
    eyes = (left + right) / 2
    # The centre lies a tenth of the way from the eyes to the mouth.
    assert torch.allclose(eyes + 0.1 * (mouth - eyes), torch.full((6, 2), 32.0), atol=0.01)
    side = torch.maximum(4 * (right - left).norm(dim=1), 3.6 * (mouth - eyes).norm(dim=1))
    assert torch.allclose(side, torch.full((6,), 64.0), atol=0.02)
    assert known.identities.unique().numel() == 6


def test_a_crop_that_needs_landmarks_is_refused_without(photos, tmp_path):
    for choice in ({"crop": "face"}, {"align": "landmarks"}):
        with pytest.raises(InputError, match="faces are not detected here"):
            prepare(photos, tmp_path / "out.zip", 16, **choice)


@pytest.mark.parametrize(
    "choice,message",
    [
        ({"crop": "middle"}, "crop must be one of center, celeba, face"),
        ({"crop": "celeba"}, r"a\.png: crop celeba: expected an image of 178x218, got 40x24"),
        ({"align": "eyes"}, "align must be landmarks"),
        ({"align": "landmarks", "crop": "center"}, "align must be landmarks, with crop face"),
        ({"filter_name": "nearest"}, "filter must be lanczos or box"),
        ({"workers": 0}, "workers must lie"),
        ({"on_error": "ignore"}, "on-error must be stop or skip"),
        ({"size": 0}, "size must lie"),
        ({"labels": "missing.csv"}, "nothing there"),
    ],
)
def test_wrong_choices_are_one_sentence(photos, tmp_path, choice, message):
    with pytest.raises(InputError, match=message):
        prepare(photos, tmp_path / "out.zip", **{"size": 16, **choice})
    assert not (tmp_path / "out.zip").exists()


def test_destinations_that_cannot_be_written_are_refused(photos, tmp_path):
    for out in (photos, tmp_path / "out.tar", photos / "a.png" / "x"):
        with pytest.raises(InputError, match=r"empty folder|expected|cannot be made"):
            prepare(photos, out, 16)


@pytest.mark.parametrize(
    "source,message",
    [
        ("faces:count=3", "`ganvas faces` writes"),
        ("idx:x", "arrays need no preparation"),
        ("pairs:x", "prepared one by one"),
        ("folder:x,size=3", "give size as an option of its own, --size"),
        ("", "got no name"),
    ],
)
def test_sources_that_need_no_preparation_are_refused(tmp_path, source, message):
    with pytest.raises(InputError, match=message):
        prepare(source, tmp_path / "out.zip", 16)


CSV = "file,label\na.png,{}\nb/c.jpg,{}\n"


@pytest.mark.parametrize(
    "text,labels,names",
    [
        (CSV.format("dog", "cat"), [[0, 1], [1, 0]], ("cat", "dog")),
        (CSV.format(0, 2), [[1, 0, 0], [0, 0, 1]], None),
        (CSV.format(0.5, 2), [[0.5], [2]], ("label",)),
        ("file,x,y\nc.jpg,0,1\na.png,-1,3\n", [[-1, 3], [0, 1]], ("x", "y")),
        ('{"labels": [["a.png", 1], ["c.jpg", 0]]}', [[0, 1], [1, 0]], None),
        ('{"a.png": [1, 2], "b/c.jpg": [3, 4]}', [[1, 2], [3, 4]], None),
        ('{"a.png": "u", "c.jpg": "u"}', [[1], [1]], ("u",)),
    ],
    ids=range(7),
)
def test_labels_come_from_a_file(tmp_path, text, labels, names):
    write(tmp_path / "in", {"a.png": encoded(pixels(0)), "b/c.jpg": encoded(pixels(1), "JPEG")})
    file = tmp_path / ("labels.json" if text[0] == "{" else "labels.csv")
    file.write_text(text)
    prepare(tmp_path / "in", tmp_path / "out.zip", 8, labels=file)
    dataset = open_dataset(tmp_path / "out.zip")
    assert dataset.labels.tolist() == labels
    assert dataset.description.label_names == names


@pytest.mark.parametrize(
    "text,message",
    [
        ("", "expected a line of headings"),
        ("file", "expected a line of headings"),
        ("file,x\n", "expected a line of headings"),
        ("file,x\na,1\na,2\n", "a name is listed twice"),
        ("file,x\na,1,2\n", "line 2: expected 2 columns"),
        ("file,x,y\na,1,z\n", "line 2: expected finite numbers, got 'z'"),
        ("file,x,y\na,1,nan\n", "line 2: expected finite numbers, got 'nan'"),
        ("file,x\na,0.5\nb,O.7\n", "line 3: expected finite numbers, got 'O.7'"),
        ("file,x\na,cat\nb,\n", "b has an empty label"),
        ('file,x\n"a,1\n', "not readable CSV"),
    ],
    ids=range(10),
)
def test_bad_csv_is_refused(text, message):
    with pytest.raises(InputError, match=rf"^labels\.csv: {message}"):
        parse_csv(text.splitlines(), "labels.csv")


@pytest.mark.parametrize(
    "content,message",
    [
        ({"a": True}, "labels must be lists of finite numbers"),
        ({"a": [1], "b": [1, 2]}, "labels must all be class numbers, or lists of one length"),
        ({"a": -1}, "class numbers are negative or too large"),
        ({"a": "cat", "b": ""}, "b has an empty label"),
        ({"labels": 5}, r"labels must be \[name, label\] pairs"),
        ([], "expected a JSON object, got list"),
    ],
    ids=range(6),
)
def test_bad_json_is_refused_by_the_files_own_name(content, message):
    with pytest.raises(InputError, match=rf"^labels\.json: {message}$"):
        parse_json(json.dumps(content).encode(), "labels.json")


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet='ab.,-1e9n"\n ', max_size=60) | st.text(max_size=40))
def test_any_text_is_labels_or_one_sentence(text):
    for read in (lambda: parse_csv(text.splitlines(), "x"), lambda: parse_json(text.encode(), "x")):
        try:
            given_labels = read()
        except InputError:
            continue
        table = given_labels.of(list(given_labels.values), "x")
        assert table.ndim == 2 and torch.isfinite(table).all()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**12) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["labels", "a", "label_names"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(JSON)
def test_any_json_is_labels_or_one_sentence(content):
    try:
        given_labels = parse_json(json.dumps(content).encode(), "x")
        table = given_labels.of(list(given_labels.values), "x")
    except InputError:
        return
    assert table.ndim == 2 and torch.isfinite(table).all()


def test_a_turned_square_shows_the_turned_picture():
    # A gradient along (cos, sin) becomes a gradient along x when the square turns with it.
    height = width = 200
    y, x = np.mgrid[0:height, 0:width] + 0.5
    angle = math.radians(25)
    along = (x - 100) * math.cos(angle) + (y - 100) * math.sin(angle)
    image = np.repeat((128 + along).clip(0, 255).astype(np.uint8)[..., None], 3, 2)
    half = (40 * math.cos(angle), 40 * math.sin(angle))
    for filter_name in ("lanczos", "box"):
        small = cut(image, Square((100, 100), half), 20, filter_name)[..., 0].astype(float)
        expected = 128 - 0.5 + (np.arange(20) + 0.5 - 10) * 4
        assert np.abs(small - expected).max() < 1.1


def test_points_move_with_the_pixels():
    # A white dot is found where its moved point says, turned or not, inside or beside the border.
    for angle in (0.0, 0.3, -1.2):
        image = np.zeros((120, 100, 3), np.uint8)
        image[58:63, 38:43] = 255  # around (40.5, 60.5)
        half = (55 * math.cos(angle), 55 * math.sin(angle))
        square = Square((45.0, 62.0), half)
        small = cut(image, square, 44)[..., 0].astype(float)
        y, x = np.mgrid[0:44, 0:44] + 0.5
        ((px, py),) = square.to_result(np.array([[40.5, 60.5]], np.float32), 44)
        near = np.hypot(x - px, y - py) < 6
        weight = small * near
        assert weight.sum() > 255
        assert (weight * x).sum() / weight.sum() == pytest.approx(px, abs=0.15)
        assert (weight * y).sum() / weight.sum() == pytest.approx(py, abs=0.15)


def test_reduction_does_not_alias():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255  # the finest detail there is must become even grey
    for angle in (0.0, 0.02):
        half = (100 * math.cos(angle), 100 * math.sin(angle))
        # A box of 6.25 pixels holds half a pixel too much of one colour, by its definition.
        for filter_name, ripple in (("lanczos", 8), ("box", 255 * 0.5 / 6.25 + 1)):
            small = cut(stripes, Square((128, 128), half), 32, filter_name).astype(int)
            assert np.abs(small - 127.5).max() < ripple


def test_faces_near_the_border_are_filled_with_their_mirror_image():
    image = np.full((40, 40, 3), 200, np.uint8)
    assert (cut(image, Square((5, 5), (20, 0)), 16) == 200).all()
    assert (cut(image, Square((5, 5), (16, 12)), 16) == 200).all()
    with pytest.raises(InputError, match="does not fit an image of 40x40"):
        cut(image, Square((-5, 5), (20, 0)), 16)
    with pytest.raises(InputError, match="does not fit"):
        cut(image, Square((5, 5), (2000, 0)), 16)


def test_landmarks_of_every_scheme_give_eyes_and_mouth():
    five = np.array([[10, 20], [30, 20], [20, 30], [12, 40], [28, 40]], np.float32)
    points = eyes_and_mouth(five, None)
    assert points == [(10, 20), (30, 20), (12, 40), (28, 40)]
    full = np.zeros((68, 2), np.float32)
    full[36:42], full[42:48], full[48], full[54] = five[0], five[1], five[3], five[4]
    assert eyes_and_mouth(full, None) == points
    named = eyes_and_mouth(five, ("left_eye", "right_eye", "nose_tip", "mouth_left", "mouth_right"))
    assert named == points
    with pytest.raises(InputError, match="got 3 others"):
        eyes_and_mouth(five[:3], None)
    assert face_square(points) == face_square(points, upright=True)
    with pytest.raises(InputError, match="one place"):
        face_square([(1.0, 1.0)] * 4)


def test_a_name_that_is_no_text_is_kept_readable(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    try:
        with open(os.fsencode(folder) + b"/\xff.png", "wb") as file:
            file.write(encoded(pixels(0)))
    except OSError:
        pytest.skip("this file system has only names that are text")
    prepare(folder, tmp_path / "out.zip", 8)
    (record,) = open_dataset(tmp_path / "out.zip").annotations["ganvas"]["images"]
    assert record["source"] == "\\udcff.png"


def test_images_are_plain_png(photos, tmp_path):
    prepare(photos, tmp_path / "out", 16)
    for path in (tmp_path / "out").rglob("*.png"):
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (16, 16))
