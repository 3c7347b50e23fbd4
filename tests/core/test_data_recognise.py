"""Folders and archives as they come: what a plain path is taken for, and what is passed over."""

import zipfile
from functools import partial

import numpy as np
import pytest
import torch

from ganvas.cli import main
from ganvas.core.data import open_dataset, open_domains
from ganvas.core.data.prepare import prepare
from ganvas.core.data.recognise import recognise, spec_of
from ganvas.core.errors import InputError

from .image_files import (
    celeba_images,
    celeba_texts,
    encoded,
    ffhq_table,
    idx_bytes,
    pixels,
    tar_bytes,
    write,
)

IMAGE = encoded(pixels(0))


def zip_at(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("files", "path", "kind", "inside"),
    [
        (["celeba/list_attr_celeba.txt", "celeba/img_align_celeba/1.jpg"], "", "celeba", "celeba"),
        (["a/b/img_align_celeba.zip"], "", "celeba", "a/b"),
        (["img_align_celeba/img_align_celeba/1.jpg"], "", "celeba", ""),
        (["img_align_celeba/1.jpg"], "img_align_celeba", "celeba", "img_align_celeba"),
        (["MNIST/raw/train-images-idx3-ubyte", ".DS_Store"], "", "idx", "MNIST/raw"),
        (["thumbnails128x128/00000/0.png", "images1024x1024/00000/0.png"], "", "ffhq", ""),
        (["thumbnails128x128/00000/0.png"], "thumbnails128x128", "ffhq", "thumbnails128x128"),
        (["home/lfw_funneled/Ada/Ada_0001.jpg"], "", "lfw", "home/lfw_funneled"),
        (["CASIA-WebFace/0000045/001.jpg"], "", "casia", "CASIA-WebFace"),
        (["faces_webface_112x112/train.rec"], "", "casia", "faces_webface_112x112"),
        (["data/00000.tar", "data/00001.tar"], "", "wds", "data"),
        (["photos/2024/may/a.jpg"], "", "folder", ""),
        (["cats/1.jpg", "dogs/1.jpg"], "", "folder", ""),
        (["a/prepared/dataset.json", "a/prepared/00000/img.png"], "", "folder", ""),
    ],
)
def test_a_folder_is_known_by_what_is_in_it(tmp_path, files, path, kind, inside):
    root = write(tmp_path / "data", dict.fromkeys(files, b""))
    spec = recognise(root / path)
    assert (spec.kind, spec.path) == (kind, str(root / inside))


def test_texts_are_found_around_the_images(tmp_path):
    celeba = write(tmp_path / "CelebA", {**celeba_images(6), **celeba_texts(6)})
    whole = open_dataset(celeba, 16)
    images = open_dataset(celeba / "img_align_celeba", 16)
    assert torch.equal(images.labels, whole.labels)
    assert images.description.splits == whole.description.splits
    names = {f"thumbnails128x128/00000/{i:05d}.png": encoded(pixels(i)) for i in range(2)}
    table = {"ffhq-dataset-v2.json": ffhq_table(2, ["training", "validation"])}
    ffhq = write(tmp_path / "ffhq", {**names, **table})
    assert open_dataset(ffhq / "thumbnails128x128").description.splits == ("train", "val")
    pairs = {"pairs.txt": "1\nAda\t1\t2\nAda\t1\tBo\t1\n", "pairsDevTest.txt": "0\n"}
    people = {f"lfw/{name}/{name}_000{i}.jpg": IMAGE for name in ("Ada", "Bo") for i in (1, 2)}
    lfw = write(tmp_path / "faces", {**people, **pairs}) / "lfw"
    assert open_dataset(lfw).description.verification.tolist() == [[0, 1, 1], [0, 2, 0]]
    view = open_dataset(f"{lfw},pairs=pairsDevTest.txt").description.verification
    assert view.shape == (0, 3)
    with pytest.raises(InputError, match=r"no file test\.txt, expected one like pairs\.txt"):
        open_dataset(f"{lfw},pairs=test.txt")


def test_celeba_in_one_archive(tmp_path):
    files = {f"img_align_celeba/{name}": data for name, data in celeba_images(6).items()}
    archive = zip_at(tmp_path / "archive.zip", {**files, **celeba_texts(6)})
    dataset = open_dataset(archive, 16)
    assert dataset.labels.shape == (6, 3)
    assert dataset.description.splits == ("train", "val", "test") * 2


def test_options_may_follow_a_plain_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = {"photos/a.png": encoded(pixels(0, 20, 16)), "photos/b.png": encoded(pixels(1, 24, 40))}
    write(tmp_path, files)
    named = open_dataset("folder:photos,crop=center,size=8")
    assert open_dataset("photos,crop=center,size=8").content_hash == named.content_hash
    assert open_dataset("photos, crop=center", 8).content_hash == named.content_hash
    write(tmp_path, {"my, own=1/a.png": IMAGE, "digits/t10k-images-idx3-ubyte": b""})
    assert recognise("my, own=1").path == "my, own=1"
    assert str(spec_of("digits,split=test")) == "idx:digits,split=test"
    assert str(spec_of("x{0..3}.tar,size=8")) == "wds:x{0..3}.tar,size=8"
    domains = open_domains("domains:photos,photos,crop=center,size=8")
    assert domains.resolution == 8
    with pytest.raises(InputError, match=r"'attrs' is unknown .* as in folder:photos,labels"):
        open_dataset("photos,attrs=x")
    with pytest.raises(InputError, match=r"^photo: no such folder"):
        open_dataset("photo,crop=center")


def test_what_is_no_data_set_says_what_to_do(tmp_path):
    write(tmp_path, {"a.png": IMAGE, "lfw.tgz": b"\x1f\x8b", "x.zip": b"PK"})
    for name, message in (
        ("a.png", "one image, expected a folder of images or a zip archive"),
        ("lfw.tgz", "expected a folder or a zip archive; unpack this one first"),
        ("x.zip", "not a readable zip archive"),
    ):
        with pytest.raises(InputError, match=message):
            open_dataset(tmp_path / name)


@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
def test_files_passed_over_are_counted_and_named(tmp_path, caplog, form):
    strange = [f"{number}.heic" for number in range(6)] + ["c/photo"]
    beside = ["README", "notes.txt", "Thumbs.db", ".DS_Store", "__MACOSX/._a.png", "c/desktop.ini"]
    files = {**dict.fromkeys([*strange, *beside], b"x"), "é.JPG": encoded(pixels(1), "JPEG")}
    if form == "folder":
        data = write(tmp_path / "data", files)
    elif form == "zip":
        data = zip_at(tmp_path / "data.zip", files)
    else:
        data = write(tmp_path, {"data.tar": tar_bytes(files)}) / "data.tar"
    said = f"{data}: passed over, as no images of a kind read here: 7 files (0.heic, 1.heic, "
    for use in (open_dataset, partial(prepare, out=tmp_path / "out.zip", size=8)):
        caplog.clear()
        use(data)
        assert [record.message for record in caplog.records] == [
            said + "2.heic, 3.heic, 4.heic, ...)"
        ]


def test_names_that_would_disturb_a_terminal_are_escaped(tmp_path, caplog, capsys):
    strange = "\x1b[31m\udcff"
    write(tmp_path / "data", {"a.png": IMAGE, f"{strange}.heic": b"x", f"{strange}.png": b"x"})
    assert len(open_dataset(tmp_path / "data", on_error="skip")) == 1
    arguments = ["--out", str(tmp_path / "out.zip"), "--size", "8", "--on-error", "skip"]
    assert main(["prepare", str(tmp_path / "data"), *arguments]) == 0
    said = caplog.text + capsys.readouterr().err
    assert "\x1b" not in said and said.count(r"\x1b[31m\udcff.heic") == 2
    assert r"skipped \x1b[31m\udcff.png: not an image" in said


def test_nothing_is_said_of_what_describes_images(tmp_path, caplog):
    write(tmp_path, {"a.png": IMAGE, "dataset.json": "{}", "notes.txt": "", "LICENSE": ""})
    assert len(open_dataset(tmp_path)) == 1 and caplog.text == ""


def test_a_place_of_other_files_only_names_them(tmp_path):
    write(tmp_path, {"a.heic": b"x", "notes.txt": b""})
    with pytest.raises(InputError, match=r"no images found \(.*\); there are only 1 file \(a.heic"):
        open_dataset(tmp_path)


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path):
    write(tmp_path, {"photos/a.png": IMAGE, "data/own/b.png": IMAGE})
    data = tmp_path / "data"
    (data / "linked").symlink_to(tmp_path / "photos")
    (data / "own" / "back").symlink_to(data)
    (data / "own" / "around").symlink_to(tmp_path)
    (tmp_path / "photos" / "there").symlink_to(data / "own")
    assert list(open_dataset(data).source.names) == [
        "linked/a.png", "linked/there/b.png", "own/b.png"
    ]  # fmt: skip
    (data / "broken.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"broken\.png: expected an image file, got nothing there"):
        open_dataset(data)


def test_gif_is_an_image_and_an_animation_is_refused(tmp_path):
    image = pixels(3).copy()
    image[..., 1:] = image[..., :1]  # greys fit a palette exactly
    write(tmp_path / "gif", {"a.gif": encoded(image, "GIF")})
    assert torch.equal(open_dataset(tmp_path / "gif")[0].permute(1, 2, 0), torch.from_numpy(image))
    from PIL import Image

    frames = encoded(image, "GIF", save_all=True, append_images=[Image.fromarray(pixels(4))])
    write(tmp_path / "gif", {"b.gif": frames})
    message = r"b\.gif: animated or of several pages, `ganvas prepare --first-frame` takes"
    for use in (open_dataset, partial(prepare, out=tmp_path / "out.zip", size=8)):
        with pytest.raises(InputError, match=message):
            use(tmp_path / "gif")
    assert prepare(tmp_path / "gif", tmp_path / "out.zip", 8, first_frame=True).count == 2


def test_transparency_is_found_before_training(tmp_path):
    from PIL import Image

    write(tmp_path, {"a.png": IMAGE})
    Image.new("RGBA", (16, 16), (9, 9, 9, 255)).save(tmp_path / "b.png")
    assert len(open_dataset(tmp_path)) == 2
    Image.new("RGBA", (16, 16), (9, 9, 9, 100)).save(tmp_path / "c.png")
    with pytest.raises(InputError, match=r"c\.png: partly transparent, `ganvas prepare`"):
        open_dataset(tmp_path)


def test_folders_of_one_name_are_no_classes(tmp_path):
    write(tmp_path, {"cat/images/a.png": IMAGE, "dog/images/a.png": IMAGE})
    with pytest.raises(InputError, match="two classes or more, all images lie in a folder named"):
        open_dataset(f"folder:{tmp_path},labels=folders")


def test_a_file_of_digits_is_of_the_split_that_it_is_named_for(tmp_path):
    digits = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    for split in ("train", "test"):
        for letters in ("letters", "digits"):
            write(tmp_path, {f"emnist-{letters}-{split}-images-idx3-ubyte": idx_bytes(digits)})
    one = tmp_path / "emnist-digits-test-images-idx3-ubyte"
    dataset = open_dataset(one)
    assert set(dataset.description.splits) == {"test"}
    assert torch.equal(dataset[1][0], torch.from_numpy(digits[1].T))  # EMNIST lies on its side
    with pytest.raises(InputError, match="expected a file of split=train, got one of test"):
        open_dataset(f"{one},split=train")
    with pytest.raises(InputError, match=r"one train file of images, got 2; .* like idx:.*digits"):
        open_dataset(tmp_path)
    with pytest.raises(InputError, match="expected a train file like train-images"):
        open_dataset(f"idx:{write(tmp_path / 'empty', {'a': b''})}")


def test_labels_may_be_left_out(tmp_path):
    labels = '{"labels": [["a.png", 1]]}'
    write(tmp_path, {"a.png": IMAGE, "dataset.json": labels})
    assert open_dataset(f"{tmp_path},attr=none").labels is None
    (tmp_path / "dataset.json").unlink()
    assert open_dataset(f"{tmp_path},attr=none").labels is None


def test_pairs_for_verification_survive_preparation(tmp_path):
    people = {f"{name}/{name}_000{i}.jpg": IMAGE for name in ("Ada", "Bo") for i in (1, 2)}
    lfw = write(tmp_path / "lfw", {**people, "pairs.txt": "1\nAda\t1\t2\nAda\t2\tBo\t1\n"})
    prepare(f"lfw:{lfw}", tmp_path / "out", 8)
    prepared = open_dataset(tmp_path / "out")
    assert prepared.description.verification.tolist() == [[0, 1, 1], [1, 2, 0]]
    (tmp_path / "out/00000/img00000000.png").unlink()
    left = open_dataset(tmp_path / "out").description.verification
    assert left.tolist() == [[0, 1, 0]]
    text = (tmp_path / "out/dataset.json").read_text()
    (tmp_path / "out/dataset.json").write_text(text.replace(",1]]", ",2]]").replace(",0]]", ",2]]"))
    with pytest.raises(InputError, match=r"verification must be a list of \[name, name, 0 or 1\]"):
        open_dataset(tmp_path / "out")


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_labels_are_found_where_a_whole_folder_was_packed(tmp_path, caplog, form):
    labels = '{"labels": [["0/a.png", [1, 2]], ["0/b.png", [3, 4]]], "label_names": ["x", "y"]}'
    files = {f"mine/0/{name}.png": encoded(pixels(i)) for i, name in enumerate("ab")}
    files["mine/dataset.json"] = labels
    make = zip_at if form == "zip" else write
    path = make(tmp_path / "data.zip", files)
    assert open_dataset(path).labels.tolist() == [[1, 2], [3, 4]]
    chosen = open_dataset(f"{path},attr=y")
    assert chosen.labels.tolist() == [[2], [4]] and torch.equal(chosen[1], open_dataset(path)[1])
    assert caplog.text == ""
    more = make(tmp_path / "more.zip", {**files, "other/c.png": IMAGE})
    assert open_dataset(more).labels is None
    assert "mine/dataset.json is not read, it does not lie above all images" in caplog.text
