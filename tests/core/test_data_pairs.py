"""Pairs for pix2pix and two domains for CycleGAN."""

import numpy as np
import pytest
import torch

from ganvas.core.data import open_dataset, open_domains, split_pair
from ganvas.core.errors import InputError

from .image_files import encoded, pixels, write


def tensor(image):
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)


@pytest.fixture(params=["folders", "halves"])
def pairs(request, tmp_path):
    """Three pairs whose inputs are pixels(i) and whose targets are pixels(100 + i)."""
    if request.param == "folders":
        files = {f"train/A/{i}.png": encoded(pixels(i)) for i in range(3)}
        files |= {f"train/B/{i}.bmp": encoded(pixels(100 + i), "BMP") for i in range(3)}
    else:
        both = [np.concatenate([pixels(i), pixels(100 + i)], axis=1) for i in range(3)]
        files = {f"{i}.png": encoded(image) for i, image in enumerate(both)}
    return write(tmp_path / "pairs", files)


def test_pairs_are_images_of_six_channels(pairs):
    dataset = open_dataset(f"pairs:{pairs}")
    assert (len(dataset), dataset.resolution, dataset.channels) == (3, 16, 6)
    first, second = split_pair(dataset.images([2, 0]))
    assert torch.equal(first, torch.stack([tensor(pixels(2)), tensor(pixels(0))]))
    assert torch.equal(second, torch.stack([tensor(pixels(102)), tensor(pixels(100))]))
    turned = open_dataset(f"pairs:{pairs},order=BA")
    assert torch.equal(turned[1][:3], dataset[1][3:]) and torch.equal(turned[1][3:], dataset[1][:3])
    assert turned.content_hash != dataset.content_hash
    small = open_dataset(f"pairs:{pairs}", 8)
    assert small[0].shape == (6, 8, 8)
    assert open_dataset(f"pairs:{pairs},size=12").resolution == 12


def test_a_pair_is_skipped_as_a_whole(pairs):
    bad = next(path for path in sorted(pairs.rglob("*")) if path.name.startswith("1."))
    bad.write_bytes(encoded(pixels(0))[:100])
    with pytest.raises(InputError, match=r"1\.png"):
        open_dataset(f"pairs:{pairs}").images([0, 1, 2])
    dataset = open_dataset(f"pairs:{pairs},on_error=skip")
    assert len(dataset) == 2
    first, second = split_pair(dataset.images([0, 1]))
    assert torch.equal(first[1], tensor(pixels(2)))
    assert torch.equal(second[1], tensor(pixels(102)))
    assert dataset.skipped and all("1.png" in name for name, _ in dataset.skipped)


@pytest.mark.parametrize(
    "files,message",
    [
        ({"A/1.png": 16, "B/2.png": 16}, "1 images lack a partner in B, as A/1.png"),
        ({"A/1.png": 16, "B/1.png": 16, "B/2.png": 16}, "lack a partner in A, as B/2.png"),
        ({"A/1.png": 16, "B/1.png": 8}, "images of A have 16 px, those of B 8 px"),
        ({"A/1.png": 16}, "lack a partner"),
        ({"1.png": 16}, "two square images side by side"),
        ({}, "no images found"),
    ],
)
def test_what_does_not_pair_is_refused(tmp_path, files, message):
    root = write(tmp_path / "x", {name: encoded(pixels(0, side)) for name, side in files.items()})
    root.mkdir(exist_ok=True)
    with pytest.raises(InputError, match=message):
        open_dataset(f"pairs:{root}")


def test_grey_pairs_and_wrong_orders_are_refused(pairs):
    for option, message in (
        ("channels=1", "given out in colour"),
        ("order=AA", "order must be one of AB, BA"),
    ):
        with pytest.raises(InputError, match=message):
            open_dataset(f"pairs:{pairs},{option}")


@pytest.mark.parametrize("batch", [torch.zeros(2, 3, 4, 4), torch.zeros(6, 4, 4)])
def test_only_pairs_are_split(batch):
    with pytest.raises(ValueError, match="expected"):
        split_pair(batch)


def test_two_domains_of_their_own_lengths(tmp_path):
    write(tmp_path, {f"trainA/{i}.png": encoded(pixels(i)) for i in range(3)})
    write(tmp_path, {f"trainB/{i}.png": encoded(pixels(50 + i)) for i in range(2)})
    for name in (f"domains:{tmp_path}", f"domains:{tmp_path}/trainA, {tmp_path}/trainB"):
        domains = open_domains(name, 8)
        assert (len(domains.a), len(domains.b), domains.resolution) == (3, 2, 8)
    one = open_domains(f"domains:{tmp_path},size=12,channels=1")
    assert one.a[0].shape == one.b[0].shape == (1, 12, 12)
    assert one.content_hash != domains.content_hash


def test_what_is_no_two_domains_is_refused(tmp_path):
    write(tmp_path, {"a/1.png": encoded(pixels(0)), "b/1.png": encoded(pixels(1, 8))})
    a, b = tmp_path / "a", tmp_path / "b"
    for name, message in (
        (f"domains:{a}", "expected two paths"),
        (f"domains:{a},{b},{a}", "expected two paths"),
        (f"domains:{a},", "expected two paths"),
        (f"domains:{a},{b}", "the domains differ, 16 px with 3 channels and 8 px"),
        (str(a), "expected two domains"),
    ):
        with pytest.raises(InputError, match=message):
            open_domains(name)
    with pytest.raises(InputError, match="which only image translation"):
        open_dataset(f"domains:{a},{b}")
