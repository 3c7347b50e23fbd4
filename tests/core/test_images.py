"""Image files and tensors: exact values, upright pictures, and refusals in one sentence."""

import json
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.core.errors import InputError
from ganvas.core.images import contact_sheet, read_image, save_png, to_uint8


def ramp(height: int, width: int, channels: int) -> torch.Tensor:
    count = height * width * channels
    return (torch.arange(count) * 7 % 256).to(torch.uint8).reshape(height, width, channels)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_png_keeps_every_pixel(tmp_path, channels):
    pixels = ramp(5, 3, channels)
    path = tmp_path / "a.png"
    save_png(path, pixels.float() / 255)
    mode = "RGBA" if channels == 4 else "RGB"
    read = read_image(path, mode=mode)
    assert read.dtype == torch.float32
    expected = pixels.expand(-1, -1, 3) if channels == 1 else pixels
    torch.testing.assert_close(read, expected.float() / 255, rtol=0, atol=0)


def test_text_is_kept_in_the_png(tmp_path):
    path = tmp_path / "a.png"
    text = {"workflow": json.dumps({"name": "Gesicht"}), "note": "\u9762\u5b54"}
    save_png(path, ramp(2, 2, 3), text)
    with Image.open(path) as image:
        assert image.text == text


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_upright(tmp_path, orientation):
    upright = np.zeros((8, 16, 3), np.uint8)
    upright[:4, :8] = 255  # the top left quarter is white
    stored = [
        upright,
        upright[:, ::-1],
        upright[::-1, ::-1],
        upright[::-1],
        upright.transpose(1, 0, 2),
        np.rot90(upright),
        np.rot90(upright, 2).transpose(1, 0, 2),
        np.rot90(upright, -1),
    ][orientation - 1]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.png"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    read = read_image(path)
    assert torch.equal(read, torch.from_numpy(upright).float() / 255)


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.array([[0, 32768, 65535]], np.uint16)).save(path)
    read = read_image(path)
    expected = torch.tensor([0.0, 32768 / 65535, 1.0])
    torch.testing.assert_close(read[0, :, 0], expected)
    assert read.shape == (1, 3, 3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_common_mode_becomes_rgb_or_rgba(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr") else "a.png")
    Image.new("RGB", (4, 3), (255, 255, 255)).convert(mode).save(path)
    assert torch.equal(read_image(path), torch.ones(3, 4, 3))
    assert torch.equal(read_image(path, mode="RGBA"), torch.ones(3, 4, 4))


def test_palette_transparency_becomes_alpha(tmp_path):
    path = tmp_path / "a.png"
    image = Image.fromarray(np.array([[0, 1]], np.uint8), mode="P")
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.save(path, transparency=0)
    read = read_image(path, mode="RGBA")
    assert read[0].tolist() == [[1, 0, 0, 0], [0, 1, 0, 1]]


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


def test_enormous_images_are_refused_before_they_are_decoded(tmp_path):
    path = tmp_path / "bomb.png"
    data = struct.pack(">I", 100) + b"IDAT" + bytes(100)
    path.write_bytes(png_header(60000, 60000) + data)
    with pytest.raises(InputError, match=r"bomb\.png: .*pixels"):
        read_image(path)
    save_png(path, torch.zeros(11, 10, 3))
    with pytest.raises(InputError, match="10 x 11 pixels, at most 100 accepted"):
        read_image(path, max_pixels=100)


def test_animations_are_refused(tmp_path):
    path = tmp_path / "a.gif"
    frames = [Image.new("L", (4, 4), value) for value in (0, 128, 255)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="expected a still image, got 3 frames"):
        read_image(path)


def test_damaged_files_are_refused(tmp_path):
    whole = tmp_path / "whole.png"
    save_png(whole, torch.rand(32, 32, 3))
    data = whole.read_bytes()
    path = tmp_path / "part.png"
    for size in range(0, len(data) - 12, 37):
        path.write_bytes(data[:size])
        with pytest.raises(InputError, match=r"part\.png"):
            read_image(path)


def test_files_that_are_no_images_are_refused(tmp_path):
    (tmp_path / "a.png").write_text("not an image")
    with pytest.raises(InputError, match="not an image"):
        read_image(tmp_path / "a.png")
    with pytest.raises(InputError, match="got a folder"):
        read_image(tmp_path)
    with pytest.raises(InputError, match="nothing there"):
        read_image(tmp_path / "missing.png")
    (tmp_path / "a.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(InputError, match="not an image"):  # decoding it would run Ghostscript
        read_image(tmp_path / "a.eps")


def test_rounding_is_to_the_nearest_and_limited():
    values = torch.tensor([-0.1, 0.0, 0.4 / 255, 0.6 / 255, 0.5, 254.6 / 255, 1.0, 1.2])
    assert to_uint8(values).tolist() == [0, 0, 0, 1, 128, 255, 255, 255]
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(every.float() / 255), every)
    assert torch.equal(to_uint8(every), every)
    assert to_uint8(torch.tensor([0.5], dtype=torch.bfloat16)).tolist() == [128]


@pytest.mark.parametrize("bad", [torch.tensor([float("nan")]), torch.tensor([3])])
def test_values_without_a_meaning_are_refused(bad):
    with pytest.raises(ValueError, match="to_uint8"):
        to_uint8(bad)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 2), (0, 4, 3), (1, 4, 4, 3)])
def test_only_single_images_are_saved(tmp_path, shape):
    with pytest.raises(ValueError, match="save_png: expected"):
        save_png(tmp_path / "a.png", torch.zeros(shape))
    assert list(tmp_path.iterdir()) == []


def test_a_sheet_holds_every_image_where_it_belongs():
    images = torch.arange(5.0).reshape(5, 1, 1, 1).expand(5, 3, 2, 4) / 10
    sheet = contact_sheet(images, columns=3, gap=1, background=0.9)
    assert sheet.shape == (3, 2 * 3 - 1, 3 * 5 - 1)
    for index in range(5):
        top, left = index // 3 * 3, index % 3 * 5
        assert torch.equal(sheet[:, top : top + 2, left : left + 4], images[index])
    assert bool((sheet[:, 2] == 0.9).all()) and bool((sheet[:, :, 4] == 0.9).all())
    assert bool((sheet[:, 3:, 10:] == 0.9).all())


def test_a_sheet_is_square_by_default_and_never_wider_than_its_images():
    images = torch.zeros(4, 3, 2, 2)
    assert contact_sheet(images, gap=0).shape == (3, 4, 4)
    assert contact_sheet(images, columns=9, gap=0).shape == (3, 2, 8)
    for wrong in ({"columns": 0}, {"gap": -1}):
        with pytest.raises(ValueError, match="contact_sheet"):
            contact_sheet(images, **wrong)
    with pytest.raises(ValueError, match="contact_sheet"):
        contact_sheet(images[:0])
