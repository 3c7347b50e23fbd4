"""LoadImage, SaveImage and PreviewImage, and the conversions between image layouts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from ganvas.core.errors import InputError
from ganvas.core.images import read_image, save_png
from ganvas.nodes.builtin import load_image, preview_image, save_image
from ganvas.nodes.context import Context, Host
from ganvas.nodes.convert import (
    check_image,
    image_to_model,
    image_to_unit,
    model_to_image,
    unit_to_image,
)
from ganvas.nodes.files import input_file, list_images, output_name
from ganvas.nodes.spec import NODES


@pytest.fixture
def ctx(host: Host) -> Context:
    return Context(host, node_id="7", prompt={"7": {}}, workflow=None)


def test_the_declarations_match_comfyui():
    load, save, preview = (NODES[id] for id in ("LoadImage", "SaveImage", "PreviewImage"))
    assert [item.name for item in load.inputs] == ["image"]
    assert [item.type for item in load.outputs] == ["IMAGE", "MASK"]
    assert [(item.name, item.type) for item in save.inputs] == [
        ("images", "IMAGE"),
        ("filename_prefix", "STRING"),
    ]
    assert [item.name for item in preview.inputs] == ["images"]
    assert save.output_node and preview.output_node and not load.output_node


def test_load_image_gives_pixels_and_inverted_alpha(ctx):
    pixels = torch.rand(4, 5, 4)
    save_png(ctx.input_dir / "a.png", pixels)
    image, mask = load_image(ctx, "a.png")
    assert image.shape == (1, 4, 5, 3) and mask.shape == (1, 4, 5)
    assert torch.allclose(image[0], pixels[..., :3], atol=0.5 / 255 + 1e-6)
    assert torch.allclose(mask[0], 1 - pixels[..., 3], atol=0.5 / 255 + 1e-6)


def test_an_opaque_image_has_comfyuis_empty_mask(ctx):
    save_png(ctx.input_dir / "a.png", torch.rand(4, 5, 3))
    _, mask = load_image(ctx, "a.png")
    assert mask.shape == (1, 64, 64) and not mask.any()


def test_save_image_counts_on_and_reports_its_files(ctx):
    images = torch.rand(2, 4, 5, 3)
    for _ in range(2):
        save_image(ctx, images, "set/face")
    names = [f"face_0000{n}_.png" for n in (1, 2, 3, 4)]
    assert [path.name for path in ctx.saved] == names
    assert ctx.ui["images"][0] == {"filename": names[0], "type": "output", "subfolder": "set"}
    assert torch.equal(read_image(ctx.saved[0]), read_image(ctx.saved[2]))
    assert torch.allclose(read_image(ctx.saved[1]), images[1], atol=0.5 / 255 + 1e-6)


def test_saving_reports_each_finished_file_and_hidden_subfolders(host, monkeypatch):
    ctx, seen = Context(host), []
    monkeypatch.setattr(ctx, "progress", lambda done, total: seen.append((done, total)))
    save_image(ctx, torch.rand(2, 2, 2, 3), ".set/face")
    assert seen == [(1, 2), (2, 2)]
    assert ctx.ui["images"][0]["subfolder"] == ".set"


def test_counting_starts_after_the_highest_number_and_ignores_other_names(ctx):
    for name in ("face_00041_.png", "face_x_.png", "facet_00099_.png"):
        (ctx.output_dir / name).write_bytes(b"")
    save_image(ctx, torch.rand(1, 2, 2, 3), "face")
    assert ctx.saved[0].name == "face_00042_.png"


def test_preview_image_writes_below_the_temporary_folder_only(ctx):
    preview_image(ctx, torch.rand(1, 2, 2, 3))
    assert ctx.saved == [] and not list(ctx.output_dir.iterdir())
    (shown,) = ctx.ui["images"]
    assert shown["type"] == "temp" and (ctx.temp_dir / shown["filename"]).is_file()


def test_images_keep_their_prompt_and_values_are_rounded(ctx):
    save_image(ctx, torch.full((1, 1, 1, 3), 0.5), "grey")
    with PillowImage.open(ctx.saved[0]) as file:
        assert file.info["prompt"] == '{"7": {}}' and "workflow" not in file.info
        assert np.asarray(file).tolist() == [[[128, 128, 128]]]


@pytest.mark.parametrize(
    "prefix",
    ["", "../x", "a/../../x", "/etc/x", "a//b", "a/", "x\0y", "a:b", "x" * 300, "..", "\\x"],
)
def test_prefixes_that_leave_the_folder_are_refused(ctx, prefix):
    with pytest.raises(InputError, match="file name"):
        save_image(ctx, torch.rand(1, 2, 2, 3), prefix)
    assert not list(ctx.output_dir.iterdir())


def test_links_out_of_the_folders_are_not_followed(host, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    save_png(outside / "secret.png", torch.rand(2, 2, 3))
    (host.input_dir / "link.png").symlink_to(outside / "secret.png")
    (host.output_dir / "link").symlink_to(outside)
    with pytest.raises(InputError, match="lies outside"):
        input_file(host, "link.png")
    with pytest.raises(InputError, match="lies outside"):
        output_name(host.output_dir, "link/x")


@pytest.mark.parametrize(
    "name", ["", "no.png", "../a.png", "\0", "x" * 5000, "/", ".", "a.png [temp]"]
)
def test_names_that_are_no_input_file_are_refused(host, name):
    save_png(host.input_dir / "a.png", torch.rand(2, 2, 3))
    with pytest.raises(InputError):
        input_file(host, name)


def test_annotated_and_granted_names_are_found(host, tmp_path):
    save_png(host.output_dir / "made.png", torch.rand(2, 2, 3))
    assert input_file(host, "made.png [output]") == host.output_dir / "made.png"
    granted = Host(host.input_dir, host.output_dir, host.temp_dir, files={"p.png": Path("/p.png")})
    assert input_file(granted, "p.png") == Path("/p.png")
    assert list_images(granted) == ["p.png"]


def test_image_and_model_layouts_are_inverse_to_each_other():
    image = torch.rand(2, 3, 4, 3)
    before = image.clone()
    x = image_to_model(image)
    assert x.shape == (2, 3, 3, 4) and x.is_contiguous()
    assert torch.allclose(x[1, 2], image[1, ..., 2] * 2 - 1)
    assert torch.allclose(model_to_image(x), image, atol=1e-6)
    assert torch.equal(unit_to_image(image_to_unit(image)), image)
    assert torch.equal(image, before)


def test_alpha_is_dropped_and_grey_repeated():
    image = torch.rand(1, 2, 2, 4)
    assert torch.equal(image_to_unit(image), image_to_unit(image[..., :3]))
    grey = torch.rand(1, 2, 2, 1)
    assert torch.equal(image_to_unit(grey)[:, 1:2], grey.permute(0, 3, 1, 2))
    assert image_to_unit(grey).shape == (1, 3, 2, 2)
    assert torch.equal(unit_to_image(grey.permute(0, 3, 1, 2)), grey.expand(1, 2, 2, 3))


def test_model_output_is_limited_to_the_range_of_images():
    assert model_to_image(torch.tensor([-3.0, 0.0, 3.0]).reshape(1, 3, 1, 1)).tolist() == [
        [[[0.0, 0.5, 1.0]]]
    ]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.rand(2, 2, 3), "expected an image batch"),
        (torch.rand(1, 2, 2, 2), "expected an image batch"),
        (torch.zeros(1, 2, 2, 3, dtype=torch.uint8), "as floats"),
        (torch.zeros(0, 2, 2, 3), "is empty"),
        (torch.full((1, 2, 2, 3), math.nan), "NaN"),
    ],
    ids=["rank", "channels", "integers", "empty", "nan"],
)
def test_what_is_no_image_is_refused_naming_the_socket(image, message):
    with pytest.raises(InputError, match=f"photo: .*{message}"):
        image_to_model(image, name="photo")


def test_enormous_batches_are_refused_before_they_are_copied():
    image = torch.zeros(1, 1, 1, 3).expand(1, 20_000, 20_000, 3)
    with pytest.raises(InputError, match="more than the limit"):
        check_image(image)
