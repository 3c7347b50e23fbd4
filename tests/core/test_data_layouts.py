"""Published data sets behind `open_dataset`: what their files say is what comes out."""

import json
import pickle
import zipfile

import numpy as np
import pytest
import torch

from ganvas.core.data import open_dataset
from ganvas.core.data.geometry import cut, whole
from ganvas.core.data.recognise import recognise
from ganvas.core.data.shards import expand_braces
from ganvas.core.errors import InputError

from .image_files import (
    MAGIC,
    celeba_images,
    celeba_texts,
    encoded,
    ffhq_table,
    idx_bytes,
    pixels,
    record_bytes,
    tar_bytes,
    write,
)


def expected(image):
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)


@pytest.fixture(scope="module")
def celeba(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "CelebA"
    return write(root, {**celeba_images(6), **celeba_texts(6)})


def test_celeba_gives_all_that_its_files_say(celeba):
    dataset = open_dataset(f"celeba:{celeba}", 64)
    known = dataset.description
    assert (len(dataset), dataset.resolution, dataset.channels) == (6, 64, 3)
    assert known.label_names == ("Smiling", "Male", "Young")
    assert dataset.labels.tolist() == [[i % 2, i // 2 % 2, 1] for i in range(6)]
    assert known.splits == ("train", "val", "test") * 2
    assert known.identity_names == ("10", "11", "12")
    assert known.identities.tolist() == [0, 0, 1, 1, 2, 2]
    # The left eye at (60 + i, 110) of the picture, seen in its middle 148 pixels at 64.
    scale = 64 / 148
    for i in range(6):
        eye = known.landmarks[i, known.landmark_names.index("left_eye")]
        assert eye.tolist() == pytest.approx([(60 + i - 15) * scale, (110 - 35) * scale], abs=1e-3)


def test_celeba_shows_the_middle_of_each_image(celeba):
    dataset = open_dataset(celeba)  # recognised
    assert dataset.resolution == 148
    middle = pixels(0, 178, 218)[35:183, 15:163].astype(int)
    assert np.abs(dataset[0].permute(1, 2, 0).numpy().astype(int) - middle).mean() < 3
    small = open_dataset(f"celeba:{celeba}", 32)
    assert float((small[0].float() - torch.from_numpy(middle).float().mean((0, 1))[:, None, None]
                  ).mean().abs()) < 3  # fmt: skip


def test_celeba_splits_and_attributes(celeba):
    dataset = open_dataset(f"celeba:{celeba},split=val,attr=male+smiling,size=32")
    assert dataset.description.splits == ("val", "val")
    assert dataset.description.label_names == ("Male", "Smiling")
    assert dataset.labels.tolist() == [[0, 1], [0, 0]]
    whole_set = open_dataset(f"celeba:{celeba},attr=none,size=32")
    assert whole_set.labels is None
    assert torch.equal(dataset.images([0, 1]), whole_set.images([1, 4]))
    assert dataset.content_hash != whole_set.content_hash


def test_celeba_in_a_zip_beside_its_texts(celeba, tmp_path):
    write(tmp_path, celeba_texts(6))
    with zipfile.ZipFile(tmp_path / "img_align_celeba.zip", "w") as archive:
        for name, data in celeba_images(6).items():
            archive.writestr(name, data)
    dataset = open_dataset(tmp_path / "img_align_celeba.zip", 32)
    other = open_dataset(celeba, 32)
    assert torch.equal(dataset.images(range(6)), other.images(range(6)))
    assert torch.equal(dataset.labels, other.labels)


def test_faces_of_celeba_are_cut_and_levelled_by_landmarks(celeba):
    for crop in ("face", "align"):
        dataset = open_dataset(f"celeba:{celeba},crop={crop}", 64)
        known = dataset.description
        left = known.landmarks[:, known.landmark_names.index("left_eye")]
        right = known.landmarks[:, known.landmark_names.index("right_eye")]
        assert torch.allclose(left[:, 0] + right[:, 0], torch.full((6,), 64.0), atol=2)
        assert dataset.images([0]).shape == (1, 3, 64, 64)
    assert torch.allclose(left[:, 1], right[:, 1], atol=1.5)


def test_celeba_of_another_size_is_taken_as_it_is(tmp_path):
    images = {f"img_align_celeba/{i + 1:06d}.png": encoded(pixels(i, 32)) for i in range(6)}
    dataset = open_dataset(write(tmp_path, {**images, **celeba_texts(6)}))
    assert torch.equal(dataset[2], expected(pixels(2, 32)))
    assert dataset.labels.shape == (6, 3) and dataset.description.landmarks is None
    with pytest.raises(InputError, match=r"png: crop celeba: expected an image of 178x218"):
        open_dataset(f"celeba:{tmp_path},crop=celeba", 16)


def test_a_prepared_folder_is_what_its_dataset_json_says(tmp_path):
    labels = json.dumps({"labels": [["00000/a.png", 1]]})
    write(tmp_path / "lfw-64", {"00000/a.png": encoded(pixels(0)), "dataset.json": labels})
    dataset = open_dataset(tmp_path / "lfw-64")
    assert dataset.labels.tolist() == [[0, 1]] and dataset.description.identities is None


def test_a_folder_of_images_is_no_lfw_whatever_its_name(tmp_path):
    write(tmp_path / "lfw_mine", {"a.png": encoded(pixels(0))})
    assert len(open_dataset(tmp_path / "lfw_mine")) == 1


@pytest.mark.parametrize("choice", [{"channels": 2}, {"on_error": "ignore"}])
def test_choices_of_callers_are_checked_too(tmp_path, choice):
    write(tmp_path, {"a.png": encoded(pixels(0))})
    with pytest.raises(InputError, match="must be"):
        open_dataset(tmp_path, **choice)


def test_faces_that_cannot_be_cut_are_named_or_skipped(tmp_path):
    texts = celeba_texts(3)
    lines = texts["list_landmarks_align_celeba.txt"].splitlines()
    lines[3] = "000002.jpg" + " 50" * 10  # eyes and mouth in one place
    lines[4] = "000003.jpg " + " ".join(str(int(v) + 900) for v in lines[4].split()[1:])
    texts["list_landmarks_align_celeba.txt"] = "\n".join(lines)
    write(tmp_path, {**celeba_images(3), **texts})
    with pytest.raises(
        InputError, match=r"000002\.jpg: landmarks: eyes and mouth lie in one place"
    ):
        open_dataset(f"celeba:{tmp_path},crop=face", 16)
    dataset = open_dataset(f"celeba:{tmp_path},crop=face,on_error=skip", 16)
    assert len(dataset) == 1
    assert [name.rpartition("/")[2] for name, _ in dataset.skipped] == ["000002.jpg", "000003.jpg"]
    assert "does not fit an image of 178x218" in dataset.skipped[1][1]


def test_a_home_folder_is_found_behind_a_kind(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write(tmp_path / "photos", {"a.png": encoded(pixels(0))})
    assert len(open_dataset("folder:~/photos")) == 1


def test_celeba_as_it_is_downloaded(celeba, tmp_path):
    texts = celeba_texts(6)
    write(tmp_path, {f"Anno/{name}": text for name, text in texts.items() if "eval" not in name})
    write(tmp_path, {"Eval/list_eval_partition.txt": texts["list_eval_partition.txt"]})
    (tmp_path / "Img").mkdir()
    with zipfile.ZipFile(tmp_path / "Img" / "img_align_celeba.zip", "w") as archive:
        for name, data in celeba_images(6).items():
            archive.writestr(name, data)
    dataset, other = open_dataset(tmp_path, 32), open_dataset(celeba, 32)
    assert dataset.content_hash == other.content_hash
    assert dataset.description.splits == other.description.splits
    assert torch.equal(dataset.labels, other.labels)


@pytest.mark.parametrize(
    "options,message",
    [
        ("splt=train", "'splt' is unknown or repeated, expected keys of split, attr, crop"),
        ("split=train,split=val", "repeated"),
        ("split=dev", "split must be one of train, val, test, all"),
        ("attr=Smilling", "attr 'Smilling' is unknown, did you mean Smiling?"),
        ("attr=Male+Male", "twice"),
        ("size=big", "size must be a whole number of 1..8192"),
        ("size=0", "size must be"),
        ("channels=2", "channels must be one of 1, 3"),
        ("crop=middle", "crop must be one of"),
        ("on_error=ignore", "on_error must be one of skip, stop"),
        ("crop=face", "needs a size"),
    ],
)
def test_wrong_choices_are_one_sentence_with_the_valid_ones(celeba, options, message):
    with pytest.raises(InputError) as caught:
        open_dataset(f"celeba:{celeba},{options}")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_choices_that_need_a_missing_file_say_so(tmp_path):
    write(tmp_path, celeba_images(1))
    assert open_dataset(f"celeba:{tmp_path}", 16).labels is None
    for options, file in (("attr=Male", "list_attr"), ("split=val", "list_eval_partition")):
        with pytest.raises(InputError, match=file):
            open_dataset(f"celeba:{tmp_path},{options}", 16)
    with pytest.raises(InputError, match="no landmarks are known; faces are not detected here"):
        open_dataset(f"celeba:{tmp_path},crop=face", 16)


def test_ffhq_with_its_table(tmp_path):
    images = {f"images1024x1024/00000/{i:05d}.png": encoded(pixels(i, 32)) for i in range(3)}
    thumbnails = {f"thumbnails128x128/00000/{i:05d}.png": encoded(pixels(9)) for i in range(3)}
    table = ffhq_table(3, ["training", "training", "validation"])
    write(tmp_path, {**images, **thumbnails, "ffhq-dataset-v2.json": table})
    dataset = open_dataset(tmp_path)
    assert (len(dataset), dataset.resolution) == (3, 32)
    assert torch.equal(dataset[1], expected(pixels(1, 32)))
    assert dataset.description.splits == ("train", "train", "val")
    # Landmark 10 of image 2 lies at (82, 40) of 1024 pixels.
    assert dataset.description.landmarks[2, 10].tolist() == [82 / 32, 40 / 32]
    smaller = open_dataset(f"ffhq:{tmp_path},split=train,size=8")
    assert len(smaller) == 2
    assert smaller.description.landmarks[1, 10].tolist() == pytest.approx([81 / 128, 40 / 128])


def test_ffhq_without_its_table_is_a_folder(tmp_path):
    write(tmp_path, {f"00000/{i:05d}.png": encoded(pixels(i)) for i in range(2)})
    assert recognise(tmp_path).kind == "folder"
    assert len(open_dataset(f"ffhq:{tmp_path}")) == 2
    with pytest.raises(InputError, match=r"split needs the file ffhq-dataset-v2\.json"):
        open_dataset(f"ffhq:{tmp_path},split=val")


LFW = {"Ada_Lovelace": 2, "Bo_Li": 1, "Cy_Twombly": 3}
PAIRS = """1\t2
Ada_Lovelace\t1\t2
Cy_Twombly\t1\t3
Ada_Lovelace\t2\tBo_Li\t1
Bo_Li\t1\tCy_Twombly\t2
"""


@pytest.fixture(scope="module")
def lfw(tmp_path_factory):
    files = {
        f"{name}/{name}_{i:04d}.jpg": encoded(pixels(i), "JPEG")
        for name, count in LFW.items()
        for i in range(1, count + 1)
    }
    return write(tmp_path_factory.mktemp("lfw"), {**files, "pairs.txt": PAIRS})


def test_lfw_gives_persons_and_pairs(lfw):
    dataset = open_dataset(lfw)
    known = dataset.description
    assert known.identity_names == tuple(LFW)
    assert known.identities.tolist() == [0, 0, 1, 2, 2, 2]
    assert known.verification.tolist() == [[0, 1, 1], [3, 5, 1], [1, 2, 0], [2, 4, 0]]
    many = open_dataset(f"lfw:{lfw},min_images=2")
    assert many.description.identity_names == ("Ada_Lovelace", "Cy_Twombly")
    assert many.description.identities.tolist() == [0, 0, 1, 1, 1]
    assert many.description.verification.tolist() == [[0, 1, 1], [2, 4, 1]]
    with pytest.raises(InputError, match="nobody has 4 images, at most 3"):
        open_dataset(f"lfw:{lfw},min_images=4")


def test_casia_folders_are_persons(tmp_path):
    names = ["0000045/001.jpg", "0000045/002.jpg", "0000099/001.jpg"]
    write(tmp_path, {name: encoded(pixels(i), "JPEG") for i, name in enumerate(names)})
    dataset = open_dataset(tmp_path, 8)
    assert dataset.description.identities.tolist() == [0, 0, 1]
    assert dataset.description.identity_names == ("0000045", "0000099")


def test_casia_records_are_images_with_persons(tmp_path):
    images = [encoded(pixels(i)) for i in range(3)]
    # The magic number inside an image, as PNG text, makes the writer cut the record in two.
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add(b"maGc", b"xyz" + MAGIC + b"abcd")
    images[1] = encoded(pixels(1), pnginfo=text)
    records = [([4.0, 6.0], b""), (7, images[0]), ([3.0, 0.0], images[1]), (7, images[2])]
    body, index = record_bytes(records)
    write(tmp_path, {"train.rec": body, "train.idx": index})
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 3
    assert dataset.description.identity_names == ("3", "7")
    assert dataset.description.identities.tolist() == [1, 0, 1]
    for i in range(3):
        assert torch.equal(dataset[i], expected(pixels(i)))
    assert len(open_dataset(f"casia:{tmp_path}/train.rec,min_images=2")) == 2


@pytest.mark.parametrize("packed", [False, True])
def test_mnist_in_grey_and_colour(tmp_path, packed):
    digits = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    ending = ".gz" if packed else ""
    files = {
        f"train-images-idx3-ubyte{ending}": idx_bytes(digits, packed),
        f"train-labels-idx1-ubyte{ending}": idx_bytes(np.array([3, 0, 2, 3, 1]), packed),
        f"t10k-images-idx3-ubyte{ending}": idx_bytes(digits[:2] // 2, packed),
    }
    dataset = open_dataset(write(tmp_path, files))
    assert (len(dataset), dataset.resolution, dataset.channels) == (5, 28, 3)
    assert torch.equal(dataset[4], torch.from_numpy(digits[4]).expand(3, -1, -1))
    assert dataset.labels.argmax(1).tolist() == [3, 0, 2, 3, 1] and dataset.labels.shape == (5, 4)
    grey = open_dataset(f"idx:{tmp_path},channels=1,pad=2", 32)
    assert grey.images([1, 4]).shape == (2, 1, 32, 32)
    assert torch.equal(grey[4][0, 2:30, 2:30], torch.from_numpy(digits[4]))
    assert int(grey[4].sum()) == int(digits[4].sum())
    assert open_dataset(f"idx:{tmp_path}", 16, channels=1)[0].shape == (1, 16, 16)
    test = open_dataset(f"idx:{tmp_path},split=test")
    assert len(test) == 2 and test.labels is None
    assert len({d.content_hash for d in (dataset, grey, test)}) == 3


def test_a_grey_version_of_colour_images(tmp_path):
    write(tmp_path, {"a.png": encoded(pixels(0))})
    grey = open_dataset(f"folder:{tmp_path},channels=1")
    from PIL import Image

    luma = np.array(Image.fromarray(pixels(0)).convert("L")).astype(int)
    assert grey.channels == 1 and grey[0].shape == (1, 16, 16)
    assert np.abs(grey[0][0].numpy().astype(int) - luma).max() <= 1
    with pytest.raises(InputError, match="expected channels=3"):
        open_dataset(f"folder:{tmp_path},channels=1", channels=3)


@pytest.mark.parametrize("form", ["pax", "gnu", "ustar"])
def test_shards_are_read_at_random(tmp_path, form):
    import tarfile

    formats = {"pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT, "ustar": tarfile.USTAR_FORMAT}
    folder = "x" * 40 + "/" + "y" * 60 if form == "ustar" else "é" * 130
    count = 0
    for shard in range(2):
        files = {}
        for _ in range(3):
            files[f"{folder}/{count:04d}.png"] = encoded(pixels(count))
            files[f"{folder}/{count:04d}.cls"] = str(count % 4).encode()
            files[f"{folder}/{count:04d}.json"] = b"{}"
            count += 1
        data = tar_bytes(files, format=formats[form])
        write(tmp_path, {f"train-{shard:03d}.tar": data})
    cache = tmp_path / "cache"
    dataset = open_dataset(f"wds:{tmp_path}/train-{{000..001}}.tar", cache=cache)
    assert len(dataset) == 6
    for i in (5, 0, 3):
        assert torch.equal(dataset[i], expected(pixels(i)))
    assert dataset.labels.argmax(1).tolist() == [0, 1, 2, 3, 0, 1]
    again = open_dataset(tmp_path, cache=cache)  # a folder of shards
    assert again.content_hash == dataset.content_hash
    assert open_dataset(tmp_path).content_hash == dataset.content_hash  # without an index
    assert len(list(cache.iterdir())) == 1


def test_an_index_follows_its_shards(tmp_path):
    write(tmp_path, {"a.tar": tar_bytes({"0.png": encoded(pixels(0))})})
    cache = tmp_path / "cache"
    assert len(open_dataset(f"wds:{tmp_path}/a.tar", cache=cache)) == 1
    (index,) = cache.iterdir()
    stored = index.read_text()
    write(tmp_path, {"a.tar": tar_bytes({f"{i}.png": encoded(pixels(i)) for i in range(2)})})
    assert len(open_dataset(f"wds:{tmp_path}/a.tar", cache=cache)) == 2
    assert index.read_text() != stored
    index.write_text("{")  # a damaged index is made anew
    assert len(open_dataset(f"wds:{tmp_path}/a.tar", cache=cache)) == 2
    assert index.read_text() != "{"


def test_shards_of_one_name_in_two_folders(tmp_path):
    for i in range(2):
        write(tmp_path, {f"{i}/a.tar": tar_bytes({"0.png": encoded(pixels(i))})})
    dataset = open_dataset(f"wds:{tmp_path}/{{0,1}}/a.tar")
    assert torch.equal(dataset[1], expected(pixels(1)))
    (tmp_path / "moved").mkdir()
    for i in range(2):
        (tmp_path / str(i)).rename(tmp_path / "moved" / str(i))
    moved = open_dataset(f"wds:{tmp_path}/moved/{{0,1}}/a.tar")
    assert moved.content_hash == dataset.content_hash


def test_columns_of_labels_are_chosen_by_name(tmp_path):
    labels = {"labels": [["a.png", [1, 2, 3]], ["b.png", [4, 5, 6]]], "label_names": list("xyz")}
    files = {"a.png": encoded(pixels(0)), "b.png": encoded(pixels(1))}
    write(tmp_path, {**files, "dataset.json": json.dumps(labels)})
    dataset = open_dataset(f"folder:{tmp_path},attr=z+x")
    assert dataset.labels.tolist() == [[3, 1], [6, 4]]
    assert dataset.description.label_names == ("z", "x")
    assert dataset.content_hash != open_dataset(tmp_path).content_hash
    assert open_dataset(f"folder:{tmp_path},attr=none").labels is None
    with pytest.raises(InputError, match="attr 'w' is unknown, expected of x, y, z"):
        open_dataset(f"folder:{tmp_path},attr=w")
    with pytest.raises(InputError, match="got both"):
        open_dataset(f"folder:{tmp_path},attr=x,labels=folders")
    (tmp_path / "dataset.json").unlink()
    with pytest.raises(InputError, match="attr needs labels"):
        open_dataset(f"folder:{tmp_path},attr=x")


def test_every_layout_may_be_handed_to_workers(celeba, lfw, tmp_path):
    write(tmp_path, {"a.tar": tar_bytes({"0.png": encoded(pixels(0))})})
    write(tmp_path, {"train-images-idx3-ubyte": idx_bytes(np.zeros((2, 8, 8)))})
    body, index = record_bytes([(1, encoded(pixels(0)))])
    write(tmp_path, {"r.rec": body, "r.idx": index})
    for spec in (
        f"celeba:{celeba},size=16",
        f"lfw:{lfw}",
        f"wds:{tmp_path}/a.tar",
        f"idx:{tmp_path}/train-images-idx3-ubyte",
        f"casia:{tmp_path}/r.rec",
    ):
        dataset = open_dataset(spec, cache_bytes=0)
        again = pickle.loads(pickle.dumps(dataset))
        assert torch.equal(again[0], dataset[0]) and again.content_hash == dataset.content_hash


def test_braces_stand_for_names():
    assert expand_braces("a-{08..11}.tar") == ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]
    assert expand_braces("{x,y}{1..2}") == ["x1", "x2", "y1", "y2"]
    assert expand_braces("plain.tar") == ["plain.tar"]
    for pattern, message in (
        ("{3..1}", "growing range"),
        ("{0..999999999}", "growing range"),
        ("{0..999}{0..999}", "more than 100000 shards"),
    ):
        with pytest.raises(InputError, match=message):
            expand_braces(pattern)


@pytest.mark.parametrize(
    "files,message",
    [
        ({"0.png": b"1", "0.jpg": b"2"}, "two images"),
        ({"0.png": b"1", "1.png": b"2", "1.cls": b"0"}, "1 samples lack a .cls"),
        ({"0.png": b"1", "0.cls": b"cat"}, "expected a class number"),
    ],
)
def test_samples_that_do_not_add_up_are_refused(tmp_path, files, message):
    write(tmp_path, {"a.tar": tar_bytes(files)})
    with pytest.raises(InputError, match=message):
        open_dataset(tmp_path / "a.tar")


def test_compressed_and_cut_shards_are_refused(tmp_path):
    import gzip

    whole_file = tar_bytes({f"{i}.png": encoded(pixels(i)) for i in range(3)})
    for data in (whole_file[:700], whole_file[:-10240], b"", gzip.compress(whole_file)):
        write(tmp_path, {"a.tar": data})
        with pytest.raises(InputError, match=r"cut off|compressed"):
            open_dataset(tmp_path / "a.tar")


def test_folders_may_be_classes(tmp_path):
    names = ["cats/1.png", "dogs/1.png", "cats/2.png"]
    write(tmp_path, {name: encoded(pixels(i)) for i, name in enumerate(names)})
    dataset = open_dataset(f"folder:{tmp_path},labels=folders")
    assert dataset.description.label_names == ("cats", "dogs")
    assert dataset.labels.tolist() == [[1, 0], [1, 0], [0, 1]]
    assert open_dataset(tmp_path).labels is None
    write(tmp_path, {"top.png": encoded(pixels(0))})
    with pytest.raises(InputError, match=r"top\.png lies in none"):
        open_dataset(f"folder:{tmp_path},labels=folders")


def test_mixed_sizes_are_cut_when_asked_for(tmp_path):
    write(tmp_path, {"a.png": encoded(pixels(0, 20, 16)), "b.png": encoded(pixels(1, 24, 40))})
    with pytest.raises(InputError, match="`ganvas prepare` brings them to one size"):
        open_dataset(tmp_path)
    dataset = open_dataset(f"folder:{tmp_path},crop=center", 8)
    image = pixels(1, 24, 40)
    assert torch.equal(dataset[1], expected(cut(image, whole(24, 40), 8)))
    with pytest.raises(InputError, match="must be square"):
        open_dataset(f"folder:{tmp_path},size=8")


def test_any_side_is_a_resolution(tmp_path):
    write(tmp_path, {"a.png": encoded(pixels(0, 48))})
    assert open_dataset(tmp_path).resolution == 48
    assert open_dataset(tmp_path, 12)[0].shape == (3, 12, 12)
    with pytest.raises(InputError, match="power of two"):
        open_dataset(tmp_path, 32)
    assert open_dataset(f"folder:{tmp_path},size=32", 32)[0].shape == (3, 32, 32)


@pytest.mark.parametrize(
    "spec", ["nowhere:here", "celeba", "celeba:", "celeba: ", "wds:x{1..2}.tar"]
)
def test_names_of_nothing_are_one_sentence(spec):
    with pytest.raises(InputError, match="expected"):
        open_dataset(spec)


def test_paths_may_hold_commas_and_colons(tmp_path):
    root = write(tmp_path / "my, photos: 2", {"a.png": encoded(pixels(0))})
    assert len(open_dataset(root)) == 1
    assert len(open_dataset(str(root))) == 1
    assert open_dataset(f"folder:{root},size=8").resolution == 8
