"""Folders and zip archives of images as data sets."""

import io
import json
import pickle
import zipfile
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.core.data import ImageDataset, open_dataset
from ganvas.core.data.dataset import area_downsample
from ganvas.core.data.decode import jpeg_size
from ganvas.core.data.sources import EncodedSource, Layout, Reading
from ganvas.core.data.stores import ZipStore
from ganvas.core.errors import InputError

from .image_files import deep_png, encoded, write


def pixels(number, size=16):
    return np.random.default_rng(number).integers(0, 256, (size, size, 3), dtype=np.uint8)


def zip_of(path, files, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.fixture(params=["folder", "zip"])
def store(request, tmp_path):
    """A function that stores named files as a folder or as an archive, and gives its path."""

    def stored(files):
        if request.param == "zip":
            return zip_of(tmp_path / "images.zip", files)
        return write(tmp_path / "images", files)

    return stored


def test_images_come_out_as_they_went_in(store):
    path = store({f"a{i % 2}/img{i}.png": encoded(pixels(i)) for i in range(5)})
    dataset = open_dataset(path)
    assert (len(dataset), dataset.resolution, dataset.name) == (5, 16, "images")
    assert dataset.labels is None
    order = [0, 2, 4, 1, 3]  # by path
    for place, number in enumerate(order):
        expected = torch.from_numpy(pixels(number)).permute(2, 0, 1)
        assert dataset[place].dtype == torch.uint8
        assert torch.equal(dataset[place], expected)
    assert torch.equal(dataset[-1], dataset[4])
    batch = dataset.images(torch.tensor([3, 3, 0]))
    assert torch.equal(batch, torch.stack([dataset[3], dataset[3], dataset[0]]))
    assert dataset.images([]).shape == (0, 3, 16, 16)


def test_batches_do_not_share_memory_with_the_cache(store):
    dataset = open_dataset(store({"0.png": encoded(pixels(0))}))
    dataset.images([0]).zero_()
    dataset[0].zero_()
    assert int(dataset[0].max()) > 0


def test_uncached_reading_gives_the_same(store):
    path = store({f"{i}.png": encoded(pixels(i)) for i in range(4)})
    cached, plain = open_dataset(path), open_dataset(path, cache_bytes=0)
    assert torch.equal(cached.images([2, 0, 2]), plain.images([2, 0, 2]))


@pytest.mark.parametrize("index", [5, -6])
def test_indices_outside_are_refused(store, index):
    dataset = open_dataset(store({f"{i}.png": encoded(pixels(i)) for i in range(5)}))
    with pytest.raises(IndexError):
        dataset[index]
    with pytest.raises(IndexError):
        dataset.images([index])


def test_a_dataset_survives_pickling(store):
    dataset = open_dataset(store({f"{i}.png": encoded(pixels(i)) for i in range(3)}))
    before = dataset.images([0, 1, 2])
    again = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(again.images([0, 1, 2]), before)
    loader = torch.utils.data.DataLoader(dataset, batch_size=3, num_workers=1)
    assert torch.equal(next(iter(loader)), before)


def test_class_labels_become_one_hot(store):
    labels = {"labels": [["b.png", 2], ["a.png", 0]]}
    text = json.dumps(labels).encode()
    dataset = open_dataset(
        store({"a.png": encoded(pixels(0)), "b.png": encoded(pixels(1)), "dataset.json": text})
    )
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [[1, 0, 0], [0, 0, 1]]


def test_vector_labels_are_kept(store):
    labels = json.dumps({"labels": [["a.png", [0.5, -1]], ["b.png", [2, 3]]]}).encode()
    files = {"a.png": encoded(pixels(0)), "b.png": encoded(pixels(1)), "dataset.json": labels}
    dataset = open_dataset(store(files))
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [[0.5, -1], [2, 3]]


@pytest.mark.parametrize(
    "text,message",
    [
        ('{"labels": [["b.png", 1]]}', "no label for 1 of 1"),
        ('{"labels": [["a.png", "cat"]]}', "class numbers"),
        ('{"labels": [["a.png", -1]]}', "negative"),
        ('{"labels": [["a.png", 999999999999]]}', "too large"),
        ('{"labels": [["a.png", [NaN]]]}', "finite"),
        ('{"labels": 3}', "pairs"),
        ("[]", "JSON object"),
        ("{", "not readable JSON"),
        ("[" * 100000, "not readable JSON"),
    ],
    ids=range(9),
)
def test_bad_labels_are_one_sentence(store, text, message):
    with pytest.raises(InputError, match=message):
        open_dataset(store({"a.png": encoded(pixels(0)), "dataset.json": text.encode()}))


def test_mixed_sizes_are_one_error_with_an_example(store):
    path = store(
        {"a.png": encoded(pixels(0)), "b.png": encoded(pixels(1)), "c.png": encoded(pixels(2, 8))}
    )
    with pytest.raises(InputError, match=r"2 of 3 are 16x16, but c\.png is 8x8"):
        open_dataset(path)


def test_oblong_images_are_refused(store):
    with pytest.raises(InputError, match="square, these are 16x8"):
        open_dataset(store({"a.png": encoded(pixels(0)[:8])}))


def test_empty_data_is_refused(store):
    with pytest.raises(InputError, match="no images found"):
        open_dataset(store({"readme.txt": b"nothing"}))


def test_nothing_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder or zip"):
        open_dataset(tmp_path / "missing")


def test_hidden_files_and_segmentations_are_left_out(store):
    names = ["a.png", ".b.png", "__MACOSX/._a.png", "segmentation/a.png"]
    path = store({name: encoded(pixels(0)) for name in names})
    assert len(open_dataset(path)) == 1


@pytest.mark.parametrize(
    "make,message",
    [
        (lambda: encoded(Image.new("I;16", (16, 16))), "16-bit"),
        (lambda: encoded(Image.new("CMYK", (16, 16)), "JPEG"), "CMYK"),
        (
            lambda: encoded(pixels(0), save_all=True, append_images=[Image.fromarray(pixels(1))]),
            "anim",
        ),
        (lambda: encoded(Image.new("RGBA", (16, 16), (9, 9, 9, 100))), "transparent"),
        (lambda: encoded(pixels(0))[:300], r"bad\.png: damaged"),
        (lambda: b"\x89PNG\r\n\x1a\n", r"bad\.png: "),
        (lambda: b"hello", "not an image"),
        (lambda: b"", "not an image"),
    ],
    ids=["16-bit", "cmyk", "animated", "transparent", "truncated", "header", "text", "empty"],
)
def test_unusable_images_are_named(store, make, message):
    path = store({"good.png": encoded(pixels(0)), "sub/bad.png": make()})
    with pytest.raises(InputError, match=message) as caught:
        open_dataset(path).images([0, 1])
    assert "sub/bad.png" in str(caught.value)


def test_16_bit_rgb_png_is_refused(store):
    # PIL itself would read it as 8-bit without a word.
    with pytest.raises(InputError, match="16-bit"):
        open_dataset(store({"a.png": deep_png(np.zeros((16, 16, 3), np.uint16))}))


def test_opaque_alpha_and_grey_are_read_as_rgb(store):
    rgba = np.dstack([pixels(0), np.full((16, 16), 255, np.uint8)])
    dataset = open_dataset(store({"a.png": encoded(rgba), "b.png": encoded(pixels(1)[..., 0])}))
    assert torch.equal(dataset[0], torch.from_numpy(pixels(0)).permute(2, 0, 1))
    assert torch.equal(dataset[1], torch.from_numpy(pixels(1)[..., 0]).expand(3, -1, -1))


@pytest.mark.parametrize("format,suffix", [("JPEG", "jpg"), ("PNG", "png")])
def test_exif_orientation_is_applied(store, format, suffix):
    image = Image.new("RGB", (16, 16))
    image.paste((255, 255, 255), (0, 0, 8, 16))  # the left half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: the left side becomes the top
    data = encoded(image, format, exif=exif)
    upright = open_dataset(store({f"a.{suffix}": data}))[0].float().mean(0)
    assert float(upright[:8].mean()) > 250 and float(upright[8:].mean()) < 5


def test_lower_resolutions_are_block_means(store):
    path = store({f"{i}.png": encoded(pixels(i)) for i in range(3)})
    full, small = open_dataset(path), open_dataset(path, 4)
    exact = torch.nn.functional.avg_pool2d(full.images([0, 1, 2]).double(), 4)
    assert small[0].shape == (3, 4, 4)
    assert torch.equal(small.images([0, 1, 2]), (exact + 0.5).floor().to(torch.uint8))
    assert full.content_hash == small.content_hash


def test_block_means_in_two_stages_differ_by_rounding_only():
    x = torch.from_numpy(np.stack([pixels(i, 64) for i in range(4)])).permute(0, 3, 1, 2)
    once, twice = area_downsample(x, 16), area_downsample(area_downsample(x, 32), 16)
    assert int((once.int() - twice.int()).abs().max()) <= 1


@pytest.mark.parametrize("resolution", [0, -4, 5, 12, 32])
def test_other_resolutions_are_refused(store, resolution):
    with pytest.raises(InputError, match="power of two"):
        open_dataset(store({"a.png": encoded(pixels(0))}), resolution)


def test_content_hash_follows_the_content_not_the_place(tmp_path):
    files = {f"{i}.png": encoded(pixels(i)) for i in range(3)}
    a = open_dataset(zip_of(tmp_path / "a.zip", files))
    reordered = dict(reversed(files.items()))
    b = open_dataset(zip_of(tmp_path / "b.zip", reordered, zipfile.ZIP_DEFLATED))
    changed = open_dataset(zip_of(tmp_path / "c.zip", {**files, "1.png": encoded(pixels(9))}))
    renamed = open_dataset(zip_of(tmp_path / "d.zip", {f"x{k}": v for k, v in files.items()}))
    assert a.content_hash == b.content_hash
    assert len({a.content_hash, changed.content_hash, renamed.content_hash}) == 3


def test_archives_that_declare_too_much_are_refused(tmp_path, monkeypatch):
    path = zip_of(tmp_path / "a.zip", {"a.png": encoded(pixels(0))})
    monkeypatch.setattr("ganvas.core.data.stores.MAX_ENTRY_BYTES", 100)
    with pytest.raises(InputError, match=r"a\.png: declares \d+ bytes, more than 100"):
        open_dataset(path)


def test_impossible_compression_is_refused(tmp_path):
    path = zip_of(tmp_path / "a.zip", {"a.png": bytes(200_000)}, zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (250_000_000).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match="impossible compression"):
        open_dataset(path)


@pytest.mark.parametrize("side", [8193, 60000])
def test_images_that_declare_too_many_pixels_are_refused(store, side):
    data = bytearray(encoded(pixels(0)))
    data[16:24] = side.to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")  # of the header, which is then valid
    with pytest.raises(
        InputError, match=r"a\.png: .*(at most|more than the) 67108864( pixels)? accepted"
    ):
        open_dataset(store({"a.png": bytes(data)}))


def test_damaged_archives_are_refused(tmp_path):
    path = zip_of(tmp_path / "a.zip", {f"{i}.png": encoded(pixels(i)) for i in range(3)})
    whole = path.read_bytes()
    for keep in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:keep])
        with pytest.raises(InputError, match="not a readable zip"):
            open_dataset(path)


def test_a_flipped_byte_is_found_by_the_checksum(tmp_path):
    path = zip_of(tmp_path / "a.zip", {"a.png": encoded(pixels(0))})
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.png"):
        open_dataset(path)[0]


def test_a_file_that_changes_underfoot_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(pixels(0)))
    dataset = open_dataset(tmp_path)
    (tmp_path / "a.png").write_bytes(encoded(pixels(0, 8)))
    with pytest.raises(InputError, match="changed since"):
        dataset[0]


def test_sources_close_and_open_again(tmp_path):
    store = ZipStore(zip_of(tmp_path / "a.zip", {"a.png": encoded(pixels(0))}))
    source = EncodedSource(Layout(store, store.names), Reading())
    dataset = ImageDataset(source, cache_bytes=0)
    before = dataset[0]
    store.close()
    assert torch.equal(dataset[0], before)


@pytest.fixture
def partly_bad(store):
    """Four images, one cut off, one no image at all."""
    files = {f"{i}.png": encoded(pixels(i)) for i in range(4)}
    files["1.png"] = files["1.png"][:300]
    files["2.png"] = b"no image"
    labels = {"labels": [[f"{i}.png", i] for i in range(4)]}
    return store({**files, "dataset.json": json.dumps(labels).encode()})


def test_unreadable_images_are_skipped_by_choice_only(partly_bad, caplog):
    with pytest.raises(InputError, match=r"2\.png: not an image"):
        open_dataset(partly_bad)
    dataset = open_dataset(partly_bad, on_error="skip")
    assert [name for name, _ in dataset.skipped] == ["1.png", "2.png"]
    assert torch.equal(dataset[1], torch.from_numpy(pixels(3)).permute(2, 0, 1))
    assert dataset.labels.tolist() == [[1, 0, 0, 0], [0, 0, 0, 1]]
    assert "2 of 4 images are skipped" in caplog.text and "2.png: not an image" in caplog.text
    kind = "zip" if partly_bad.suffix == ".zip" else "folder"
    assert open_dataset(f"{kind}:{partly_bad},on_error=skip").skipped == dataset.skipped


def test_skipped_images_count_in_the_content_hash(tmp_path, partly_bad):
    skipping = open_dataset(partly_bad, on_error="skip")
    good = {f"{i}.png": encoded(pixels(i)) for i in (0, 3)}
    without = open_dataset(zip_of(tmp_path / "good.zip", good))
    assert skipping.content_hash != without.content_hash
    whole = zip_of(tmp_path / "whole.zip", {f"{i}.png": encoded(pixels(i)) for i in range(3)})
    assert open_dataset(whole, on_error="skip").content_hash == open_dataset(whole).content_hash


def test_what_was_skipped_is_remembered(partly_bad, tmp_path, monkeypatch):
    cache, steps = tmp_path / "cache", []
    first = open_dataset(
        partly_bad, on_error="skip", cache=cache, progress=lambda *step: steps.append(step)
    )
    assert steps == [(3, 3)]
    second = open_dataset(
        partly_bad, on_error="skip", cache=cache, progress=lambda *step: steps.append(step)
    )
    assert steps == [(3, 3)]  # nothing was decoded again
    assert first.skipped == second.skipped and first.content_hash == second.content_hash
    (memory,) = cache.iterdir()
    memory.write_text("[]")
    with pytest.raises(InputError, match="delete it"):
        open_dataset(partly_bad, on_error="skip", cache=cache)


def test_a_face_is_tried_again_once_its_landmarks_are_mended(store, tmp_path):
    def opened(second):
        places = ["left_eye", "right_eye", "mouth_left", "mouth_right"]
        marks = [[[5, 6], [11, 6], [6, 11], [10, 11]], second]
        records = [{"name": f"{i}.png", "landmarks": own} for i, own in enumerate(marks)]
        text = json.dumps({"ganvas": {"landmarks": places, "images": records}}).encode()
        path = store({**{f"{i}.png": encoded(pixels(i)) for i in range(2)}, "dataset.json": text})
        kind = "zip" if path.suffix == ".zip" else "folder"
        return open_dataset(f"{kind}:{path},crop=face,on_error=skip", 8, cache=tmp_path / "cache")

    assert [name for name, _ in opened([[8, 8]] * 4).skipped] == ["1.png"]
    assert opened([[5, 6], [11, 6], [6, 11], [10, 11]]).skipped == []


def test_nothing_readable_is_refused(store):
    with pytest.raises(InputError, match="none of 1 images is readable"):
        open_dataset(store({"a.png": b"x"}), on_error="skip")


def test_a_phones_picture_with_previews_is_one_picture(store):
    photograph = Image.fromarray(pixels(0))
    data = encoded(photograph, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    dataset = open_dataset(store({"a.jpg": data}))
    with Image.open(io.BytesIO(encoded(photograph, "JPEG"))) as expected:
        assert torch.equal(dataset[0], torch.from_numpy(np.array(expected)).permute(2, 0, 1))


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_sizes_of_jpegs_are_read_without_decoding(options, mode):
    image = Image.fromarray(pixels(0)[:, :9]).convert(mode)
    data = encoded(image, "JPEG", **options)
    assert jpeg_size(data) == (9, 16)
    with_data = Image.Exif()
    with_data[0x0112] = 1
    assert jpeg_size(encoded(image, "JPEG", exif=with_data)) is None
    assert jpeg_size(encoded(image.convert("CMYK"), "JPEG")) is None
    assert jpeg_size(data[:8]) is None


def test_opening_decodes_nothing(store, monkeypatch):
    path = store({"a.png": encoded(pixels(0)), "b.jpg": encoded(pixels(1), "JPEG")})

    def decoded(*arguments):
        raise AssertionError("an image was decoded")

    monkeypatch.setattr("ganvas.core.data.sources.decode_rgb", decoded)
    monkeypatch.setattr("ganvas.core.data.sources.probe", decoded)
    assert len(open_dataset(path)) == 2
