"""The Ganvas nodes, run through the engine on small untrained models."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from numpy.random import RandomState

from ganvas.core import checkpoints
from ganvas.core.errors import InputError, Interrupted
from ganvas.nodes import registry
from ganvas.nodes.context import Context, Host
from ganvas.nodes.engine import GraphError

from .small_models import SIZE, call, faces, graph, run, save_generator, save_restorer


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_generator(folder / "tiny.safetensors", seed=0)
    save_generator(folder / "other.safetensors", seed=1)
    save_generator(folder / "classes.safetensors", seed=2, c_dim=3)
    save_restorer(folder / "unet.safetensors")
    return folder


@pytest.fixture
def host(models, tmp_path) -> Host:
    return Host(tmp_path / "in", tmp_path / "out", tmp_path / "temp", (models,))


def test_samples_become_one_image_each(host):
    (image,) = run(host, faces(count=5, chunk_size=2), ("draw", 0))
    assert image.shape == (5, SIZE, SIZE, 3) and image.dtype == torch.float32
    assert float(image.min()) >= 0 and float(image.max()) <= 1
    assert len({image[i].numpy().tobytes() for i in range(5)}) == 5


def test_the_node_draws_what_the_generator_itself_draws(host, models):
    (image,) = run(host, faces(count=3), ("draw", 0))
    model = checkpoints.load(models / "tiny.safetensors")
    z = torch.cat([torch.from_numpy(RandomState(k).randn(1, 8)).float() for k in range(3)])
    expected = model.generator(z, truncation_psi=0.7).add(1).div(2).clamp(0, 1)
    torch.testing.assert_close(image, expected.permute(0, 2, 3, 1))


def test_progress_and_previews_come_per_chunk(host):
    seen = []
    run(
        host,
        faces(count=5, chunk_size=2),
        ("draw", 0),
        events=lambda kind, data: seen.append((kind, data)),
    )
    steps = [d["value"] for k, d in seen if k == "progress" and d["node"] == "draw"]
    previews = [d["image"] for k, d in seen if k == "preview" and d["node"] == "draw"]
    assert steps == [2, 4, 5] and [len(p) for p in previews] == [2, 2, 1]
    assert all(float(p.min()) >= 0 and float(p.max()) <= 1 for p in previews)


@pytest.mark.parametrize("node", ["draw", "damage", "restore"])
def test_long_nodes_stop_when_interrupted(host, node):
    prompt = {
        **faces(count=40, chunk_size=4),
        **graph(
            damage=("DegradeImage", {"image": ("draw", 0)}),
            unet=("LoadRestorer", {"model": "unet.safetensors"}),
            restore=(
                "RestoreFaces",
                {"restorer": ("unet", 0), "image": ("damage", 0), "chunk_size": 4},
            ),
        ),
    }
    steps = []

    def events(kind: str, data: dict[str, Any]) -> None:
        if kind == "progress" and data["node"] == node:
            steps.append(data["value"])

    with pytest.raises(Interrupted):
        run(host, prompt, ("restore", 0), events=events, interrupted=lambda: len(steps) >= 2)
    assert len(steps) == 2


def test_latents_of_another_model_are_refused_by_name(host):
    prompt = faces()
    prompt["second"] = {
        "class_type": "Ganvas_LoadGenerator",
        "inputs": {"model": "other.safetensors"},
    }
    prompt["draw"]["inputs"]["generator"] = ["second", 0]
    with pytest.raises(InputError, match=r"latents: they belong to the generator"):
        run(host, prompt, ("draw", 0))


def test_a_file_of_another_architecture_is_refused(host, models):
    with pytest.raises(
        InputError, match=r"model: unet\.safetensors is a restore-unet \(.*; Load R"
    ):
        run(host, faces("unet.safetensors"), ("draw", 0))
    with pytest.raises(InputError, match=r"^model: tiny\.safetensors is a stylegan2-g.*Load Gen"):
        registry()["Ganvas_LoadRestorer"].function(Context(host), model="tiny.safetensors")
    with pytest.raises(GraphError, match=r"model.*nothing\.pkl"):
        run(host, faces("nothing.pkl"), ("draw", 0))


def test_a_model_replaced_under_its_name_is_read_again(host, models, tmp_path):
    spec = registry()["Ganvas_LoadGenerator"]
    assert spec.fingerprint is not None
    first = spec.fingerprint(host, {"model": "tiny.safetensors"})
    assert first == checkpoints.load(models / "tiny.safetensors").sha256
    assert first != spec.fingerprint(host, {"model": "other.safetensors"})


def test_classes_are_chosen_by_index(host):
    images = []
    for index in (0, 2):
        prompt = faces("classes.safetensors", count=1)
        prompt["sample"]["inputs"]["class_index"] = index
        images += run(host, prompt, ("draw", 0))
    assert not torch.equal(images[0], images[1])
    with pytest.raises(InputError, match=r"class_index: expected 0\.\.2, got -1"):
        run(host, faces("classes.safetensors"), ("draw", 0))


def edits(strengths: str, **apply: Any) -> dict[str, Any]:
    return {
        **faces(count=2),
        **graph(
            find=("FindDirections", {"generator": ("load", 0), "count": 3, "index": 1}),
            apply=(
                "ApplyDirection",
                {
                    "latents": ("sample", 0),
                    "direction": ("find", 0),
                    "strengths": strengths,
                    **apply,
                },
            ),
            edited=("Synthesize", {"generator": ("load", 0), "latents": ("apply", 0)}),
        ),
    }


def test_edits_give_one_row_per_face_with_the_original_at_zero(host):
    (image,) = run(host, edits("-3, 0, 3"), ("edited", 0))
    (original,) = run(host, faces(count=2), ("draw", 0))
    assert image.shape[0] == 6
    torch.testing.assert_close(image[1], original[0])
    torch.testing.assert_close(image[4], original[1])
    for k in (0, 2, 3, 5):
        assert float((image[k] - original[k // 3]).abs().mean()) > 1e-3


def test_a_limit_edits_only_the_first_latents(host):
    (latents,) = run(host, edits("1, 2", limit=1), ("apply", 0))
    assert len(latents) == 2


def test_bad_strengths_and_indices_name_their_widget(host):
    with pytest.raises(InputError, match="strengths: expected"):
        run(host, edits("much"), ("edited", 0))
    prompt = edits("1")
    prompt["find"]["inputs"]["index"] = 3
    with pytest.raises(InputError, match=r"index: expected 0\.\.2 for 3 directions, got 3"):
        run(host, prompt, ("edited", 0))


def test_what_follows_the_list_of_directions_runs_once_for_each(host):
    prompt = edits("2", limit=1)
    prompt["apply"]["inputs"]["direction"] = ["find", 1]
    images = run(host, prompt, ("edited", 0))
    assert len(images) == 3 and not torch.equal(images[0], images[1])
    (chosen,) = run(host, edits("2", limit=1), ("edited", 0))
    assert torch.equal(chosen, images[1])


@pytest.mark.parametrize("shape", [(1, 16, 16, 3), (3, 13, 22, 3), (2, 9, 9, 4), (2, 8, 12, 1)])
def test_damage_and_restoration_keep_batch_and_size(models, shape):
    image = torch.rand(shape)
    before = image.clone()
    damaged = call("DegradeImage", image=image, preset="heavy", seed=4)
    restorer = checkpoints.load(models / "unet.safetensors")
    restored = call("RestoreFaces", restorer=restorer, image=damaged, chunk_size=2)
    for result in (damaged, restored):
        assert result.shape == (*shape[:3], 3) and result.dtype == torch.float32
        assert float(result.min()) >= 0 and float(result.max()) <= 1
    assert torch.equal(image, before)


def test_damage_depends_on_the_image_and_its_seed_only():
    image = torch.rand(3, 16, 16, 3)
    whole = call("DegradeImage", image=image, preset="heavy", seed=10)
    assert torch.equal(whole[2:], call("DegradeImage", image=image[2:], preset="heavy", seed=12))
    assert not torch.equal(whole, call("DegradeImage", image=image, preset="heavy", seed=11))
    last = call("DegradeImage", image=image, preset="noise", seed=2**32 - 1)
    assert torch.equal(last[1:2], call("DegradeImage", image=image[1:2], preset="noise", seed=0))


def test_presets_ignore_the_numbers_and_custom_uses_them():
    image = torch.rand(1, 16, 16, 3)
    nothing = {"blur": 0.0, "downscale": 1.0, "noise": 0.0, "jpeg": 0, "holes": 0}
    assert torch.equal(call("DegradeImage", image=image, preset="custom", **nothing), image)
    assert not torch.equal(call("DegradeImage", image=image, preset="blur", **nothing), image)
    holes = call("DegradeImage", image=image, preset="custom", **{**nothing, "holes": 1})
    changed = (holes != image).any(dim=3)[0]
    assert changed.any() and not changed.all()
    assert torch.equal(holes[0][changed], torch.full_like(holes[0][changed], 0.5))


def test_restoration_strength_zero_gives_the_input_back(models):
    restorer = checkpoints.load(models / "unet.safetensors")
    image = torch.rand(2, 16, 20, 3)
    same = call("RestoreFaces", restorer=restorer, image=image, strength=0.0)
    torch.testing.assert_close(same, image, atol=1e-6, rtol=0)
    changed = call("RestoreFaces", restorer=restorer, image=image, strength=1.0)
    assert float((changed - image).abs().mean()) > 1e-3


def test_a_sheet_holds_every_section(models):
    a, b = torch.full((4, 8, 8, 3), 0.25), torch.full((2, 8, 8, 3), 0.75)
    sheet = call(
        "ContactSheet",
        image=a,
        image_c=b,
        columns=4,
        gap=2,
        scale=3,
        labels="A\nB",
        scale_method="nearest",
    )
    assert sheet.shape == (1, 2 + 2 * (28 + 24 + 2), 2 + 4 * (24 + 2), 3)
    cells = sheet[0, :, 2:26, 0]  # the first column of cells, with both labels
    assert torch.equal(cells[30:54], torch.full((24, 24), 0.25))
    assert torch.equal(cells[84:108], torch.full((24, 24), 0.75))
    assert float(cells[2:30].max()) > 0.5 and float(cells[56:84].max()) > 0.5
    bare = call("ContactSheet", image=a, columns=0, gap=0)
    assert bare.shape == (1, 8, 32, 3)


NO_IMAGES = {
    "empty": torch.zeros(0, 8, 8, 3),
    "without batch": torch.zeros(8, 8, 3),
    "NaN": torch.full((1, 4, 4, 3), float("nan")),
    "two channels": torch.zeros(1, 4, 4, 2),
}


@pytest.mark.parametrize("name", ["DegradeImage", "RestoreFaces", "ContactSheet"])
@pytest.mark.parametrize("bad", NO_IMAGES)
def test_what_is_no_image_is_refused_by_the_sockets_name(name, bad):
    inputs = {"restorer": SimpleNamespace(network=None)} if name == "RestoreFaces" else {}
    with pytest.raises(InputError, match=r"^image: "):
        call(name, image=NO_IMAGES[bad], **inputs)


def test_the_other_sockets_of_a_sheet_are_named_too():
    good = torch.zeros(1, 4, 4, 3)
    with pytest.raises(InputError, match=r"^image_c: "):
        call("ContactSheet", image=good, image_c=torch.zeros(4, 4))
