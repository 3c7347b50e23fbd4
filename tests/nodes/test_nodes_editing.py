"""Nodes that mix, walk, pick, fit, combine, keep and animate, on small untrained models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ganvas.core import animation, checkpoints
from ganvas.core.errors import InputError, Interrupted
from ganvas.nodes import registry
from ganvas.nodes.context import Context, Host
from ganvas.nodes.engine import GraphError, run_workflow

from .small_models import SIZE, call, faces, graph, run, save_generator

OURS = registry()


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_generator(folder / "tiny.safetensors", seed=0)
    save_generator(folder / "other.safetensors", seed=1)
    return folder


@pytest.fixture
def host(models, tmp_path) -> Host:
    return Host(tmp_path / "in", tmp_path / "out", tmp_path / "temp", (models,))


@pytest.fixture(scope="module")
def generator(models) -> Any:
    return checkpoints.load(models / "tiny.safetensors")


@pytest.fixture(scope="module")
def latents(generator) -> Any:
    return call("SampleLatents", generator=generator, count=12)


@pytest.fixture(scope="module")
def direction(generator) -> Any:
    return call("FindDirections", generator=generator, index=0, count=2)[0]


def foreign(models: Path) -> tuple[Any, Any]:
    """Latents and a direction of the other generator."""
    model = checkpoints.load(models / "other.safetensors")
    found, _ = call("FindDirections", generator=model)
    return call("SampleLatents", generator=model, count=2), found


def test_latents_stay_as_they_are_and_batches_add_up(latents, direction):
    before = latents.ws.clone()
    two, three = latents.first(2), latents.pick([3, 4, 5])
    assert len(call("MixStyles", latents=two, styles=three)) == 6
    assert len(call("Interpolate", latents=two, latents_b=two)) == 10
    assert len(call("Average", latents=three)) == 1
    assert len(call("LatentWalk", latents=three, frames=5)) == 15
    assert len(call("LatentWalk", latents=three, frames=5, loop=False)) == 11
    picked = call("PickLatents", latents=latents, indices="11, 0-1")
    assert torch.equal(picked.ws, latents.ws[[11, 0, 1]])
    call("CombineDirections", direction=direction, direction_b=direction)
    assert torch.equal(latents.ws, before)


def test_images_are_picked_as_latents_are():
    image = torch.rand(5, 4, 6, 3)
    picked = call("PickImages", image=image, indices="4,4,1")
    assert torch.equal(picked, image[[4, 4, 1]])
    picked.zero_()
    assert float(image.min()) >= 0 and float(image[4].max()) > 0


@pytest.mark.parametrize(
    "name,inputs,message",
    [
        ("MixStyles", {"styles": "foreign"}, "^styles: "),
        ("MixStyles", {"styles": "own", "first_layer": 60}, "^first_layer, last_layer: "),
        ("Interpolate", {"latents_b": "foreign"}, "^latents_b: "),
        ("Interpolate", {"latents_b": "own", "amounts": "half"}, "^amounts: "),
        ("Average", {"weights": "1, 2"}, "^weights: "),
        ("Average", {"weights": "equal"}, "^weights: "),
        ("LatentWalk", {"latents": "one"}, "^latents: "),
        ("PickLatents", {"indices": "12"}, "^indices: 12 must ascend within 0..11"),
        ("PickLatents", {"indices": ""}, "^indices: "),
        ("FitDirection", {"targets": "1 0"}, "^targets: expected 12 numbers"),
        ("FitDirection", {"targets": ""}, "^targets: "),
        ("ApplyDirection", {"direction": "foreign"}, "^direction: it belongs to the generator"),
    ],
)
def test_bad_input_names_its_socket(name, inputs, message, latents, models):
    other, found = foreign(models)
    values = {
        "foreign": found if "direction" in inputs else other,
        "own": latents,
        "one": latents.first(1),
    }
    resolved = {key: values.get(value, value) for key, value in inputs.items()}
    with pytest.raises(InputError, match=message):
        call(name, **{"latents": latents, **resolved})


def test_directions_of_different_generators_do_not_mix(direction, models):
    _, found = foreign(models)
    for name in ("CombineDirections", "ProjectOut"):
        with pytest.raises(InputError, match=r"^direction_b: it belongs to the generator"):
            call(name, direction=direction, direction_b=found)


def test_ganspace_finds_other_directions_with_progress(host):
    def prompt(method: str) -> dict[str, Any]:
        return {
            **faces(),
            **graph(
                find=(
                    "FindDirections",
                    {"generator": ("load", 0), "count": 3, "method": method, "samples": 2500},
                )
            ),
        }

    (sefa,) = run(host, prompt("sefa"), ("find", 0))
    steps = []

    def events(kind: str, data: dict[str, Any]) -> None:
        if kind == "progress" and data["node"] == "find":
            steps.append(data["value"])

    (found,) = run(host, prompt("ganspace"), ("find", 0), events=events)
    assert steps == [1024, 2048, 2500] and found.name == "ganspace-0"
    assert not torch.allclose(found.vector, sefa.vector)
    with pytest.raises(Interrupted):
        run(host, prompt("ganspace"), ("find", 0), interrupted=lambda: True)


def test_a_fitted_direction_moves_its_score_and_says_how_good_it_is(latents):
    score = latents.ws[:, 0, 2]
    targets = " ".join(f"{value:.4f}" for value in score.tolist())
    found, text = call("FitDirection", latents=latents, targets=targets, **{"name": "second"})
    moved = call("ApplyDirection", latents=latents, direction=found, strengths="1")
    assert bool((moved.ws[:, 0, 2] > score).all())
    assert text.startswith("second: fitted to 12 scores; explains ")
    labels = " ".join("1" if value > score.median() else "0" for value in score)
    assert "12 labels" in call("FitDirection", latents=latents, targets=labels)[1]


def test_what_is_projected_out_moves_no_more(latents, direction, generator):
    other = call("FindDirections", generator=generator, index=1, count=2)[0]
    both = call("CombineDirections", direction=direction, direction_b=other, weight_b=0.5)
    rest = call("ProjectOut", direction=both, direction_b=other)
    torch.testing.assert_close(rest.vector, direction.vector, atol=1e-5, rtol=1e-4)
    with pytest.raises(InputError, match=r"^direction: nothing is left"):
        call("ProjectOut", direction=other, direction_b=direction, direction_c=other)


def keeping(save: str, load: str, socket: str, source: tuple[str, int]) -> dict[str, Any]:
    """A graph that saves a value; and the values of the node that loads it again."""
    return {
        **faces(count=3),
        **graph(find=("FindDirections", {"generator": ("load", 0)})),
        "save": {
            "class_type": f"Ganvas_{save}",
            "inputs": {socket: list(source), "filename_prefix": "kept/a"},
        },
    }


@pytest.mark.parametrize(
    "kind,socket,source", [("Latents", "latents", "sample"), ("Direction", "direction", "find")]
)
def test_what_is_saved_comes_back(kind, socket, source, host):
    prompt = keeping(f"Save{kind}", f"Load{kind}", socket, (source, 0))
    (path,) = run_workflow(prompt, host).files
    assert path == host.output_dir / "kept" / "a_00001_.safetensors"
    (kept,) = run(host, prompt, (source, 0))
    again = {
        **faces(),
        "open": {
            "class_type": f"Ganvas_Load{kind}",
            "inputs": {socket: "kept/a_00001_.safetensors [output]", "generator": ["load", 0]},
        },
    }
    (back,) = run(host, again, ("open", 0))
    tensor = "ws" if kind == "Latents" else "vector"
    assert torch.equal(getattr(back, tensor), getattr(kept, tensor))
    again["load"]["inputs"]["model"] = "other.safetensors"
    with pytest.raises(InputError, match=r"generator: kept/a_00001_\.safetensors \[output\] belo"):
        run(host, again, ("open", 0))


def test_saved_files_are_listed_hashed_and_kept_inside_the_folders(host, latents, tmp_path):
    spec = OURS["Ganvas_LoadLatents"]
    item = spec.input("latents")
    assert item is not None and item.list_options(host) == ()
    for folder in (host.input_dir, host.output_dir):
        folder.mkdir()
    ctx = Context(host)
    OURS["Ganvas_SaveLatents"].function(ctx, latents, "a")
    (host.output_dir / "a_00001_.safetensors").rename(host.input_dir / "b.safetensors")
    OURS["Ganvas_SaveLatents"].function(ctx, latents.first(1), "deep/c")
    names = ["b.safetensors", "deep/c_00001_.safetensors [output]"]
    assert list(item.list_options(host)) == names
    assert spec.fingerprint is not None
    hashes = {spec.fingerprint(host, {"latents": name}) for name in names}
    assert len(hashes) == 2
    (tmp_path / "secret.safetensors").write_bytes(b"x")
    for name in ("../secret.safetensors", "/etc/passwd", "", "b.safetensors [output]"):
        with pytest.raises(InputError, match=r"^latents: "):
            spec.function(ctx, latents=name)
    (host.input_dir / "bad.safetensors").write_bytes(b"not a file of tensors")
    with pytest.raises(InputError, match=r"^latents: bad\.safetensors: "):
        spec.function(ctx, latents="bad.safetensors")


@pytest.mark.parametrize("node", ["SaveLatents", "SaveDirection", "SaveVideo"])
def test_prefixes_that_leave_the_output_folder_are_refused_before_the_run(node, host):
    socket, source = {
        "SaveLatents": ("latents", "sample"),
        "SaveDirection": ("direction", "find"),
        "SaveVideo": ("image", "draw"),
    }[node]
    prompt = keeping(node, "", socket, (source, 0))
    prompt["save"]["inputs"]["filename_prefix"] = "../a"
    if node == "SaveVideo":
        prompt["save"]["inputs"] |= {"fps": 8, "format": "webp", "quality": 80, "ping_pong": False}
    with pytest.raises(GraphError, match="filename_prefix"):
        run_workflow(prompt, host)


def video(host: Host, image: torch.Tensor, **inputs: Any) -> tuple[Context, str]:
    workflow = {"nodes": []}
    ctx = Context(host, node_id="1", prompt={"1": {}}, workflow=workflow)
    spec = OURS["Ganvas_SaveVideo"]
    values = {item.name: item.default for item in spec.widgets} | inputs
    return ctx, spec.function(ctx, image=image, **values)


@pytest.mark.parametrize("format", ["webp", "png"])
def test_a_video_moves_in_the_editor_and_carries_its_workflow(host, format):
    image = torch.rand(4, SIZE, SIZE, 3)
    ctx, text = video(host, image, format=format, fps=10.0)
    name = f"ganvas_00001_.{format}"
    assert ctx.ui["images"] == [{"filename": name, "type": "output", "subfolder": "video"}]
    assert ctx.ui["animated"] == [True] and ctx.ui["text"] == [text]
    assert text == f"{name}: 4 frames, 0.4 s at 10 fps"
    (path,) = ctx.saved
    with Image.open(path) as film:
        assert film.n_frames == 4
        kept = film.info if format == "png" else dict.fromkeys(film.getexif().values())
    assert "workflow" in kept or 'workflow:{"nodes": []}' in kept
    ctx, _ = video(host, image, format=format)
    assert ctx.saved[0].name == f"ganvas_00002_.{format}"


def test_metadata_is_left_out_where_the_host_says_so(host):
    plain = Host(host.input_dir, host.output_dir, host.temp_dir, metadata=False)
    ctx, _ = video(plain, torch.rand(2, 8, 8, 3), format="webp")
    with Image.open(ctx.saved[0]) as film:
        assert not film.getexif()


def test_ping_pong_goes_there_and_back(host):
    image = torch.linspace(0, 1, 4)[:, None, None, None].expand(4, 8, 8, 3)
    ctx, text = video(host, image, format="png", ping_pong=True)
    with Image.open(ctx.saved[0]) as film:
        greys = []
        for index in range(film.n_frames):
            film.seek(index)
            greys.append(film.convert("L").getpixel((4, 4)))
    assert greys == [0, 85, 170, 255, 170, 85] and "6 frames" in text


def test_auto_says_why_it_is_no_mp4(host, monkeypatch):
    monkeypatch.setattr(animation, "has_av", lambda: False)
    ctx, text = video(host, torch.rand(2, 8, 8, 3))
    assert ctx.saved[0].suffix == ".webp" and "PyAV is missing (pip install" in text
    spec = OURS["Ganvas_SaveVideo"]
    assert spec.validate is not None
    assert "PyAV is missing" in spec.validate(host, {"format": "mp4"})["format"]
    with pytest.raises(InputError, match=r"^format: .*PyAV"):
        video(host, torch.rand(2, 8, 8, 3), format="mp4")


def test_a_video_reports_progress_and_stops_whole(host):
    steps = []

    class Watched(Context):
        def progress(self, done: int, total: int, preview: Any = None) -> None:
            steps.append((done, total))
            if done == 3:
                raise Interrupted("stopped")

    spec = OURS["Ganvas_SaveVideo"]
    values = {item.name: item.default for item in spec.widgets} | {"format": "webp"}
    with pytest.raises(Interrupted):
        spec.function(Watched(host), image=torch.rand(6, 8, 8, 3), **values)
    assert steps == [(0, 6), (1, 6), (2, 6), (3, 6)]
    assert list((host.output_dir / "video").iterdir()) == []


@pytest.mark.parametrize("name", ["SaveVideo", "PickImages"])
def test_what_is_no_image_is_refused_by_its_socket(name, host):
    spec = OURS[f"Ganvas_{name}"]
    values = {item.name: item.default for item in spec.widgets}
    for bad in (torch.zeros(0, 4, 4, 3), torch.zeros(4, 4, 3), torch.zeros(1, 4, 4, 2)):
        with pytest.raises(InputError, match=r"^image: "):
            spec.function(Context(host), image=bad, **values)


def test_any_value_is_shown_as_text():
    for value, text in (("words", "words"), (0.5, "0.5"), ([1, 2], "[1, 2]")):
        ctx = Context()
        OURS["PreviewAny"].function(ctx, source=value)
        assert ctx.ui == {"text": [text]}


@pytest.mark.parametrize("left_out", [("method",), ("method", "samples")])
def test_workflows_older_than_a_widget_still_run(host, left_out):
    prompt = {**faces(), **graph(find=("FindDirections", {"generator": ("load", 0)}))}
    (new,) = run(host, prompt, ("find", 0))
    for name in left_out:
        del prompt["find"]["inputs"][name]
    (old,) = run(host, prompt, ("find", 0))
    assert torch.equal(old.vector, new.vector)


def test_numbers_stand_in_the_corner_of_each_image():
    image = torch.full((3, 32, 32, 3), 0.5)
    plain = call("ContactSheet", image=image, columns=3, gap=2)
    numbered = call("ContactSheet", image=image, columns=3, gap=2, numbers=True)
    assert plain.shape == numbered.shape
    changed = (plain != numbered).any(dim=3)[0]
    for k in range(3):
        cell = changed[2:34, 2 + 34 * k : 34 + 34 * k]
        assert cell[:5, :5].any() and not cell[16:, 16:].any()
    tags = [numbered[0, 2:12, 2 + 34 * k : 12 + 34 * k] for k in range(3)]
    assert not torch.equal(tags[0], tags[1]) and not torch.equal(tags[1], tags[2])


def test_a_prompt_is_kept_as_text_in_the_webp(host):
    ctx, _ = video(host, torch.rand(2, 8, 8, 3), format="webp")
    with Image.open(ctx.saved[0]) as film:
        texts = list(film.getexif().values())
    (prompt,) = [text for text in texts if str(text).startswith("prompt:")]
    assert json.loads(prompt.removeprefix("prompt:")) == {"1": {}}
