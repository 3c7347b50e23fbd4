"""Compare Images: numbers, the difference, and the two images that the slider shows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.core.errors import InputError
from ganvas.core.metrics import psnr, ssim
from ganvas.nodes.compare import compare_images
from ganvas.nodes.context import Context


@pytest.fixture
def ctx(host):
    return Context(host, node_id="4:7")


def pair(count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    a = torch.rand(count, 16, 20, 3)
    return a, (a + 0.1 * torch.randn_like(a)).clamp(0, 1)


def test_numbers_and_difference_are_those_of_the_pairs(ctx):
    a, b = pair()
    difference, ratio, similarity = compare_images(ctx, a, b, gain=2)
    x, y = a.permute(0, 3, 1, 2), b.permute(0, 3, 1, 2)
    assert ratio == pytest.approx(psnr(x, y).mean().item())
    assert similarity == pytest.approx(ssim(x, y).mean().item())
    assert torch.allclose(difference, (a - b).abs().mul(2).clamp(0, 1), atol=1e-6)
    scores = ctx.ui["ganvas_scores"]
    assert [s["psnr"] for s in scores] == pytest.approx(psnr(x, y).tolist())


def test_the_slider_gets_both_images_as_files(ctx, host):
    a, b = pair()
    compare_images(ctx, a, b)
    for key, images in (("a_images", a), ("b_images", b)):
        assert len(ctx.ui[key]) == 2
        for shown, image in zip(ctx.ui[key], images, strict=True):
            assert shown["type"] == "temp"
            with Image.open(host.temp_dir / shown["filename"]) as file:
                pixels = torch.from_numpy(np.array(file)) / 255
            assert (pixels - image).abs().max() < 0.01
    assert "images" not in ctx.ui  # the editor would show them a second time


def test_equal_images_are_infinitely_close(ctx):
    a, _ = pair()
    difference, ratio, similarity = compare_images(ctx, a, a)
    assert math.isinf(ratio) and similarity == pytest.approx(1) and not difference.any()
    assert ctx.ui["ganvas_scores"][0]["psnr"] is None


def test_a_single_image_is_compared_with_all(ctx):
    a, b = pair(3)
    difference, _, _ = compare_images(ctx, a[:1], b)
    assert len(difference) == 3 and len(ctx.ui["a_images"]) == 3


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 16, 21, 3), "image_b: expected images of 20 x 16 pixels as image_a, got 21 x 16"),
        ((3, 16, 20, 3), "image_b: expected 2 images as image_a, or one, got 3"),
    ],
)
def test_pairs_that_do_not_fit_are_refused(ctx, host, shape, message):
    with pytest.raises(InputError, match=message):
        compare_images(ctx, pair()[0], torch.rand(shape))
    assert not list(host.temp_dir.iterdir())


def test_images_below_the_window_of_ssim_are_refused(ctx):
    with pytest.raises(
        InputError, match="image_a: expected sides of at least 11 pixels, got 8 x 9"
    ):
        compare_images(ctx, torch.rand(1, 9, 8, 3), torch.rand(1, 9, 8, 3))
