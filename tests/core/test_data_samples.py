"""Samples of WebDataset shards: their classes in `.cls` or under a key of `.json`."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from ganvas.core.data import open_dataset
from ganvas.core.errors import InputError

from .image_files import encoded, pixels, tar_bytes, write


def shard(folder, records, stem="{}"):
    """A shard of images with these contents of their .json."""
    files = {}
    for number, record in enumerate(records):
        name = stem.format(number)
        files[f"{name}.jpg"] = encoded(pixels(number), "JPEG")
        files[f"{name}.JSON"] = record if isinstance(record, bytes) else json.dumps(record)
        files[f"{name}.txt"] = b"a caption"
    files = {name: data.encode() if isinstance(data, str) else data for name, data in files.items()}
    return write(folder, {"a.tar": tar_bytes(files)}) / "a.tar"


@pytest.mark.parametrize(
    ("values", "classes", "names"),
    [([2, 0, 2], [2, 0, 2], ("0", "1", "2")), (["dog", "cat", "dog"], [1, 0, 1], ("cat", "dog"))],
)
def test_classes_stand_under_a_key(tmp_path, values, classes, names):
    records = [{"kind": value, "caption": "x"} for value in values]
    path = shard(tmp_path, records, "some/folder.x/{}")
    dataset = open_dataset(f"wds:{path},label=kind")
    assert dataset.labels.argmax(1).tolist() == classes
    assert dataset.description.label_names == names
    plain = open_dataset(path)
    assert plain.labels is None and plain.content_hash != dataset.content_hash
    by_caption = open_dataset(f"{path},label=caption")
    assert by_caption.labels.shape == (3, 1)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([{"label": 1}, {"other": 1}], "label=label is not there, expected one of other"),
        ([{"label": 1}, {"label": "x"}], "classes must be all numbers or all texts"),
        ([{"label": True}], "expected a class number or a text under label"),
        ([{"label": -1}], "expected a class number or a text under label"),
        ([{"label": None}], "expected a class number or a text under label"),
        ([b"[1]"], "expected a JSON object, got list"),
        ([b"{"], "not readable JSON"),
    ],
)
def test_what_is_no_class_is_refused_by_name(tmp_path, records, message):
    with pytest.raises(InputError, match=message):
        open_dataset(f"wds:{shard(tmp_path, records)},label=label")


def test_a_sample_without_its_json_is_named(tmp_path):
    path = write(tmp_path, {"a.tar": tar_bytes({"7.jpg": encoded(pixels(0), "JPEG")})}) / "a.tar"
    with pytest.raises(InputError, match=r"1 samples lack a \.json, as a\.tar:7"):
        open_dataset(f"wds:{path},label=label")


def test_an_index_is_shared_by_all_that_open_the_shards_at_once(tmp_path):
    path = shard(tmp_path / "data", [{"kind": i % 2} for i in range(20)])
    cache, together = tmp_path / "cache", Barrier(4)

    def opened(_):
        together.wait()
        return open_dataset(f"{path},label=kind", cache=cache).content_hash

    with ThreadPoolExecutor(4) as pool:
        hashes = set(pool.map(opened, range(4)))
        assert len(hashes) == 1 and len(list(cache.iterdir())) == 1
        shard(tmp_path / "data", [{"kind": i % 2} for i in range(21)])
        changed = set(pool.map(opened, range(4)))
    assert len(changed) == 1 and changed.isdisjoint(hashes) and len(list(cache.iterdir())) == 1
    assert len(open_dataset(path, cache=cache)) == 21
