"""Damaged and hostile files: every parser gives a valid result or one InputError, nothing else."""

import gzip
import io
import json
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ganvas.core.data import open_dataset
from ganvas.core.data.celeba import parse_headed, parse_single
from ganvas.core.data.decode import Conversion, decode_rgb, jpeg_size, png_size, probe
from ganvas.core.data.description import describe, parse_object
from ganvas.core.data.ffhq import parse_table
from ganvas.core.data.identities import parse_pairs
from ganvas.core.data.idx import parse_idx
from ganvas.core.data.recordio import parse_index as parse_record_index
from ganvas.core.data.shards import parse_index
from ganvas.core.data.spec import parse_spec
from ganvas.core.data.tables import text_lines
from ganvas.core.data.tar import members
from ganvas.core.errors import InputError

from .image_files import (
    celeba_texts,
    encoded,
    ffhq_table,
    idx_bytes,
    pixels,
    record_bytes,
    tar_bytes,
    write,
)

FUZZ = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
MAX_MEMORY = 64 * 1024 * 1024


@st.composite
def damaged(draw, whole):
    """A file with some bytes replaced, a piece removed, repeated or added, or cut off."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.integers(0, 12))
        action = draw(st.sampled_from(["flip", "set", "insert", "remove", "repeat", "cut"]))
        if action == "flip" and data:
            data[place] ^= draw(st.integers(1, 255))
        elif action == "set":
            data[place : place + length] = draw(st.binary(min_size=length, max_size=length))
        elif action == "insert":
            data[place:place] = draw(st.binary(max_size=12))
        elif action == "remove":
            del data[place : place + length]
        elif action == "repeat":
            data[place:place] = data[place : place + length]
        elif action == "cut":
            del data[place:]
    return bytes(data)


def result(function):
    """What a parser gives, or None for an InputError, within bounded memory."""
    tracemalloc.start()
    try:
        return function()
    except InputError as error:
        assert str(error) and "\n" not in str(error)
        return None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MAX_MEMORY


DIGITS = np.arange(3 * 5 * 5).reshape(3, 5, 5)


@FUZZ
@given(damaged(idx_bytes(DIGITS)) | damaged(idx_bytes(DIGITS, packed=True)))
@example(b"\0\0\x08\x03" + b"\xff" * 12)
@example(gzip.compress(b"\0\0\x08\x03" + b"\0\0\x04\0" * 3))
def test_idx(data):
    array = result(lambda: parse_idx(data, "x", 3))
    if array is not None:
        assert array.ndim == 3 and array.dtype == np.uint8


TAR = tar_bytes({"a/0.png": b"12345", "a/0.cls": b"3", "é" * 120 + ".png": b"x" * 700})


@FUZZ
@given(data=damaged(TAR) | damaged(TAR[:2048]))
def test_tar(tmp_path, data):
    path = tmp_path / "a.tar"
    path.write_bytes(data)
    found = result(lambda: list(members(path)))
    for member in found or []:
        assert 0 <= member.offset <= member.offset + member.length <= len(data)


def test_tar_members_agree_with_the_standard_library(tmp_path):
    import tarfile

    path = tmp_path / "a.tar"
    path.write_bytes(TAR)
    with tarfile.open(path) as archive:
        expected = [(m.name, m.offset_data, m.size) for m in archive.getmembers()]
    assert [member[:3] for member in members(path)] == expected


STATE = [["a.tar", 4096, 1]]
INDEX = json.dumps(
    {"format": 1, "shards": STATE, "members": [[["0.png", 512, 100, 7], ["1.png", 1024, 5, 8]]]}
).encode()


@FUZZ
@given(damaged(INDEX))
@example(INDEX.replace(b"512", b"-512"))
@example(INDEX.replace(b"[[[", b"[[1,["))
def test_shard_index(data):
    found = result(lambda: parse_index(data, STATE))
    for member in found[0] if found else []:
        assert member.offset >= 0 and member.offset + member.length <= 4096


TEXTS = {name: text.encode() for name, text in celeba_texts(4).items()}


@FUZZ
@given(
    st.sampled_from(sorted(TEXTS)).flatmap(
        lambda name: st.tuples(st.just(name), damaged(TEXTS[name]))
    )
)
@example(("list_attr_celeba.txt", "²\na b\nx 1 2\n".encode()))
def test_celeba_texts(case):
    name, data = case
    parse = parse_headed if "attr" in name or "landmarks" in name else parse_single
    table = result(lambda: parse(text_lines(data, name), name))
    if table is not None:
        assert len(table.rows) <= len(table.values) and np.isfinite(table.values).all()


LFW_PAIRS = b"1\t2\na\t1\t2\nb\t1\t2\na\t1\tb\t1\nb\t2\ta\t2\n"
ROWS = {f"{name}_{i:04d}": 2 * j + i - 1 for j, name in enumerate("ab") for i in (1, 2)}


@FUZZ
@given(damaged(LFW_PAIRS))
def test_lfw_pairs(data):
    table = result(lambda: parse_pairs(text_lines(data, "x"), ROWS, "x"))
    if table is not None:
        assert table.shape[1] == 3 and (table >= 0).all() and (table[:, :2] < 4).all()


FFHQ = ffhq_table(2, ["training", "validation"]).encode()


@FUZZ
@given(damaged(FFHQ) | damaged(FFHQ[:200]))
def test_ffhq_table(data):
    known = result(lambda: parse_table(data, [0, 1], "x"))
    if known is not None:
        assert known.landmarks.shape == (2, 68, 2) and torch.isfinite(known.landmarks).all()


NAMES = ["a.png", "b.png"]
ANNOTATIONS = json.dumps(
    {
        "labels": [["a.png", [0.5, 1]], ["b.png", [2, 3]]],
        "label_names": ["x", "y"],
        "ganvas": {
            "landmarks": ["eye"],
            "images": [
                {"name": name, "identity": "p", "split": "train", "landmarks": [[1.5, 2]]}
                for name in NAMES
            ],
        },
    }
).encode()


def check_description(known):
    if known is None:
        return
    for table in (known.labels, known.landmarks, known.identities):
        assert table is None or (len(table) == 2 and torch.isfinite(table.double()).all())
    assert known.splits is None or len(known.splits) == 2


@FUZZ
@given(damaged(ANNOTATIONS))
def test_dataset_json(data):
    check_description(result(lambda: describe(parse_object(data, "x"), NAMES, "x")))


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(NAMES)
KEYS = [
    "labels",
    "label_names",
    "ganvas",
    "faces",
    "images",
    "name",
    "identity",
    "split",
    "landmarks",
    "verification",
]
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=6,
)


@FUZZ
@given(
    st.dictionaries(st.sampled_from(KEYS), VALUES), st.dictionaries(st.sampled_from(KEYS), VALUES)
)
def test_dataset_json_of_any_structure(content, record):
    content["ganvas"] = {**record, "images": [{**record, "name": name} for name in NAMES]}
    data = json.dumps(content).encode()
    check_description(result(lambda: describe(parse_object(data, "x"), NAMES, "x")))


BODY, RECORD_INDEX = record_bytes(
    [([4.0, 6.0], b""), (7, encoded(pixels(0, 8))), ([3.0, 0.0], encoded(pixels(1, 8)))]
)


@FUZZ
@given(
    body=st.just(BODY) | damaged(BODY),
    index=st.just(RECORD_INDEX.encode()) | damaged(RECORD_INDEX.encode()),
)
def test_records(tmp_path, body, index):
    write(tmp_path, {"train.rec": body, "train.idx": index})

    def read():
        dataset = open_dataset(f"casia:{tmp_path}/train.rec")
        return dataset.images(range(len(dataset)))

    images = result(read)
    assert images is None or images.shape[1:] == (3, 8, 8)


def test_record_offsets_are_inside_the_file():
    assert parse_record_index(["1\t5", "0\t2"], 6, "x") == [(0, 2), (1, 5)]
    for lines in (["0\t6"], ["0\t-1"], ["0"], ["0\t1", "0\t2"], ["a\tb"]):
        assert result(lambda lines=lines: parse_record_index(lines, 6, "x")) is None


def zip_bytes():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(2):
            archive.writestr(f"{i}.png", encoded(pixels(i, 8)))
        archive.writestr("dataset.json", json.dumps({"labels": [["0.png", 0], ["1.png", 1]]}))
    return buffer.getvalue()


ZIP = zip_bytes()


@FUZZ
@given(data=damaged(ZIP) | damaged(ZIP[-300:]).map(lambda tail: ZIP[:-300] + tail))
def test_zip_archives(tmp_path, data):
    (tmp_path / "a.zip").write_bytes(data)

    def read():
        dataset = open_dataset(tmp_path / "a.zip")
        return dataset.images(range(len(dataset)))

    images = result(read)
    assert images is None or images.shape[1] == 3


PICTURES = [
    encoded(pixels(0, 8)),
    encoded(pixels(1, 8), "JPEG"),
    encoded(pixels(2, 8), "JPEG", progressive=True),
    encoded(pixels(3, 8), "WEBP"),
    encoded(pixels(4, 8), "TIFF"),
    encoded(pixels(5, 8), "BMP"),
]


@FUZZ
@given(st.sampled_from(PICTURES).flatmap(damaged))
def test_images(data):
    size = result(lambda: probe(data, "x"))
    image = result(lambda: decode_rgb(data, "x"))
    if image is not None:
        assert image.dtype == np.uint8 and image.shape == (size[1], size[0], 3)
    prepared = result(lambda: decode_rgb(data, "x", Conversion(first_frame=True)))
    assert prepared is None or (prepared.dtype == np.uint8 and prepared.shape[2] == 3)


@pytest.mark.parametrize("number", range(len(PICTURES)))
def test_quick_sizes_agree_with_decoding(number):
    data = PICTURES[number]
    quick = png_size(data) or jpeg_size(data)
    assert (quick == (8, 8)) == (number < 3)
    assert probe(data, "x") == (8, 8) and decode_rgb(data, "x").shape == (8, 8, 3)


@FUZZ
@given(st.text(max_size=60) | st.from_regex(r"(celeba|idx|pairs):[a-z,=]{0,20}", fullmatch=True))
def test_specs(text):
    spec = result(lambda: parse_spec(text))
    assert spec is None or (spec.path and text.lower().lstrip().startswith(spec.kind))
