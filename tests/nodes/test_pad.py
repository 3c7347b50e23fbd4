"""The latent pad: where the handle is, the latents are, and the face shows it."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.core import editing, previews
from ganvas.core.errors import InputError
from ganvas.core.models import stylegan2, stylegan3
from ganvas.nodes import registry
from ganvas.nodes.context import Context
from ganvas.nodes.pad import latent_pad


@pytest.fixture(scope="module")
def model():
    load = registry()["Ganvas_LoadGenerator"].function
    return load(Context(), "faces-stylegan2-64.safetensors")


@pytest.fixture(scope="module")
def parts(model):
    latents = registry()["Ganvas_SampleLatents"].function(Context(), model, seed=3, count=2)
    found = editing.closed_form_directions(model.generator, model.sha256, count=2)
    return latents, found[0], found[1]


def face(ctx: Context) -> Image.Image:
    head, _, data = ctx.ui["ganvas_pad"][-1]["image"].partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        image.load()
    return image


def test_the_middle_changes_nothing_and_shows_the_first_face(model, parts):
    latents, dx, dy = parts
    ctx = Context()
    moved = latent_pad(ctx, model, latents, dx, dy)
    assert torch.equal(moved.ws, latents.ws) and len(moved) == 2
    picture = torch.from_numpy(np.array(face(ctx))).float() / 255
    whole = registry()["Ganvas_Synthesize"].function(Context(), model, latents)[0]
    assert (picture - whole).abs().mean() < 0.03  # JPEG
    assert ctx.ui["ganvas_pad"][-1]["x"] == 0


def test_both_directions_add_up(model, parts):
    latents, dx, dy = parts
    ctx = Context()
    moved = latent_pad(ctx, model, latents, dx, dy, x=1.5, y=-2.0)
    expected = latents.ws.clone()
    expected[:, dx.first_layer : dx.last_layer + 1] += 1.5 * dx.vector
    expected[:, dy.first_layer : dy.last_layer + 1] -= 2.0 * dy.vector
    assert torch.allclose(moved.ws, expected, atol=1e-6)
    shown = ctx.ui["ganvas_pad"][-1]
    assert (shown["x"], shown["y"]) == (1.5, -2.0)


def test_foreign_latents_and_directions_are_refused(model, parts):
    latents, dx, dy = parts
    with pytest.raises(InputError, match="latents: they belong"):
        latent_pad(Context(), model, replace(latents, model_hash="0" * 64), dx, dy)
    with pytest.raises(InputError, match="direction: it belongs"):
        latent_pad(Context(), model, latents, dx, replace(dy, model_hash="0" * 64))


SMALL = {"z_dim": 8, "w_dim": 8, "img_resolution": 32, "channel_base": 256, "channel_max": 16}


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("side", [8, 12, 32, 100])
def test_small_images_fit_and_whole_ones_are_exact(architecture, side):
    torch.manual_seed(0)
    generator = stylegan2.Generator(**SMALL, architecture=architecture).eval()
    ws = torch.randn(2, generator.num_ws, 8)
    images = previews.small_images(generator, ws, side)
    assert images.dtype == torch.float32 and images.min() >= 0 and images.max() <= 1
    if side >= 32:
        with torch.no_grad():
            whole = generator.synthesis(ws)
        assert torch.allclose(images, whole.add(1).div(2).clamp(0, 1), atol=1e-5)
    else:
        expected = 8 if architecture == "skip" else side
        assert images.shape == (2, 3, expected, expected)


def test_a_summing_network_stops_at_the_last_block_that_fits(monkeypatch):
    generator = stylegan2.Generator(**SMALL).eval()
    for size in (16, 32):
        block = generator.synthesis.get_submodule(f"b{size}")
        monkeypatch.setattr(block, "forward", lambda *_: pytest.fail("not needed"))
    assert previews.small_images(generator, torch.randn(1, generator.num_ws, 8), 8).shape[-1] == 8


def test_other_generators_draw_whole_images_which_are_reduced():
    torch.manual_seed(0)
    generator = stylegan3.Generator(
        z_dim=8, w_dim=8, img_resolution=32, channel_base=256, channel_max=16
    ).eval()
    images = previews.small_images(generator, torch.randn(1, generator.num_ws, 8), 16)
    assert images.shape == (1, 3, 16, 16)


def test_a_preview_of_no_pixels_is_refused():
    generator = stylegan2.Generator(**SMALL).eval()
    with pytest.raises(ValueError, match="side"):
        previews.small_images(generator, torch.randn(1, generator.num_ws, 8), 2)
