"""`run_file`: reading workflows, setting values, batches, and what stays on the disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image as PillowImage

from ganvas.core.errors import InputError, Interrupted
from ganvas.core.images import read_image, save_png
from ganvas.nodes import registry
from ganvas.nodes.engine import NodeFailedError, read_workflow, run_file


def entry(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


COPY = {
    "1": entry("LoadImage", image="a.png"),
    "2": entry("SaveImage", images=["1", 0], filename_prefix="copy"),
}
COPY_UI = {
    "nodes": [
        {
            "id": 1,
            "type": "LoadImage",
            "title": "Source",
            "inputs": [],
            "outputs": [{"name": "IMAGE", "type": "IMAGE"}, {"name": "MASK", "type": "MASK"}],
            "widgets_values": ["a.png", "image"],
        },
        {
            "id": 2,
            "type": "SaveImage",
            "inputs": [{"name": "images", "type": "IMAGE", "link": 1}],
            "outputs": [],
            "widgets_values": ["copy"],
        },
    ],
    "links": [[1, 1, 0, 2, 0, "IMAGE"]],
}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A working folder with input/a.png, input/b.png and both forms of the copying workflow."""
    monkeypatch.chdir(tmp_path)
    generator = torch.Generator().manual_seed(0)
    for name in ("a", "b"):
        save_png(tmp_path / "input" / f"{name}.png", torch.rand(6, 5, 3, generator=generator))
    (tmp_path / "api.json").write_text(json.dumps(COPY))
    (tmp_path / "ui.json").write_text(json.dumps(COPY_UI))
    return tmp_path


def run(path: Any, *sets: str, **options: Any) -> Any:
    return run_file(path, list(sets), device="cpu", registry=registry(), **options)


def files_in(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


@pytest.mark.parametrize("name", ["api.json", "ui.json"])
def test_both_formats_write_the_same_pixels(folder, name):
    outputs = run(name)
    assert [path.name for path in outputs.files] == ["copy_00001_.png"]
    assert torch.equal(read_image(outputs.files[0]), read_image("input/a.png"))


def test_a_repeated_run_writes_the_same_bytes_beside_the_first(folder):
    first, second = run("api.json").files[0], run("api.json").files[0]
    assert first != second
    assert first.read_bytes() == second.read_bytes()


def test_saved_images_carry_a_workflow_that_runs_again(folder):
    (saved,) = run("ui.json").files
    text = PillowImage.open(saved).info
    assert json.loads(text["workflow"]) == COPY_UI
    assert json.loads(text["prompt"])["1"]["inputs"] == {"image": "a.png"}
    (again,) = run(saved).files
    assert again.read_bytes() == saved.read_bytes()
    (plain,) = run("ui.json", metadata=False).files
    assert PillowImage.open(plain).info == {}


def test_a_changed_value_is_what_the_image_records(folder):
    (saved,) = run("ui.json", "1.image=b.png").files
    text = PillowImage.open(saved).info
    assert "workflow" not in text
    assert json.loads(text["prompt"])["1"]["inputs"] == {"image": "b.png"}
    assert torch.equal(read_image(saved), read_image("input/b.png"))


@pytest.mark.parametrize("name", ["1.image", "Source.image", "LoadImage.image", "source.image"])
def test_set_finds_nodes_by_id_title_and_class(folder, name):
    (saved,) = run("ui.json", f"{name}=b.png").files
    assert torch.equal(read_image(saved), read_image("input/b.png"))


def test_set_takes_a_path_and_records_only_its_name(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "photo.png"
    save_png(elsewhere, torch.ones(4, 4, 3))
    (saved,) = run("api.json", f"1.image={elsewhere}").files
    assert torch.equal(read_image(saved), torch.ones(4, 4, 3))
    prompt = PillowImage.open(saved).info["prompt"]
    assert str(elsewhere.parent) not in prompt and '"photo.png"' in prompt


def test_a_workflow_cannot_name_files_outside_the_input_folder(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "photo.png"
    save_png(elsewhere, torch.ones(4, 4, 3))
    (folder / "bad.json").write_text(
        json.dumps({**COPY, "1": entry("LoadImage", image=str(elsewhere))})
    )
    with pytest.raises(InputError, match=r"input image.*lies outside"):
        run("bad.json")
    (folder / "bad.json").write_text(
        json.dumps({**COPY, "1": entry("LoadImage", image="../ui.json")})
    )
    with pytest.raises(InputError, match=r"input image.*lies outside"):
        run("bad.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1.image", "expected NODE.INPUT=VALUE"),
        ("image=b.png", "expected NODE.INPUT=VALUE"),
        ("LodImage.image=b.png", "no node 'LodImage' .nearest: loadimage"),
        ("1.imge=b.png", "no input 'imge' .nearest: image"),
        ("2.images=3", "takes a link to a IMAGE output"),
        ("1.image=c.png", "no image 'c.png'"),
        ("2.filename_prefix=../x", "input filename_prefix"),
    ],
)
def test_wrong_settings_are_refused_before_anything_runs(folder, text, message):
    with pytest.raises(InputError, match=message):
        run("api.json", text)
    assert not (folder / "output").exists()


def test_an_ambiguous_name_is_refused_with_the_ids(folder):
    workflow = {**COPY, "3": entry("SaveImage", images=["1", 0], filename_prefix="other")}
    (folder / "two.json").write_text(json.dumps(workflow))
    with pytest.raises(InputError, match="'SaveImage' means 2 nodes, use an id: 2, 3"):
        run("two.json", "SaveImage.filename_prefix=x")


@pytest.mark.parametrize(
    ("text", "name"), [("2024", "2024"), ("1e3", "1e3"), ("true", "true"), ('"quoted"', "quoted")]
)
def test_text_widgets_take_what_looks_like_json_as_text(folder, text, name):
    (saved,) = run("api.json", f"2.filename_prefix={text}").files
    assert saved.name == f"{name}_00001_.png"


def test_set_keeps_files_of_one_name_in_two_folders_apart(folder):
    workflow = {
        **COPY,
        "3": entry("LoadImage", image="b.png"),
        "4": entry("SaveImage", images=["3", 0], filename_prefix="second"),
    }
    (folder / "two.json").write_text(json.dumps(workflow))
    for index in range(2):
        save_png(folder / f"set{index}" / "same.png", torch.full((3, 3, 3), float(index)))
    files = run("two.json", "1.image=set0/same.png", "3.image=set1/same.png").files
    means = {path.name: float(read_image(path).mean()) for path in files}
    assert means == {"copy_00001_.png": 0.0, "second_00001_.png": 1.0}


def test_a_file_name_may_come_through_a_link(folder):
    workflow = {
        "3": entry("PrimitiveString", value="b.png"),
        "4": entry("ComfySwitchNode", switch=True, on_true=["3", 0], on_false=["3", 0]),
        **COPY,
        "1": entry("LoadImage", image=["4", 0]),
    }
    (folder / "linked.json").write_text(json.dumps(workflow))
    (path,) = run("linked.json").files
    assert torch.equal(read_image(path), read_image("input/b.png"))


def test_batch_over_runs_once_for_each_file_in_order(folder):
    events = []
    outputs = run("api.json", batch_over="input/*.png", events=lambda *e: events.append(e))
    assert [path.name for path in outputs.files] == ["copy_00001_.png", "copy_00002_.png"]
    for path, source in zip(outputs.files, ("a", "b"), strict=True):
        assert torch.equal(read_image(path), read_image(f"input/{source}.png"))
    items = [data for kind, data in events if kind == "batch_item"]
    assert [(item["index"], item["total"]) for item in items] == [(0, 2), (1, 2)]


def test_batch_over_keeps_files_of_one_name_in_several_folders_apart(folder):
    for index in range(2):
        save_png(folder / f"set{index}" / "same.png", torch.full((3, 3, 3), float(index)))
    outputs = run("api.json", batch_over="set*/same.png")
    assert [float(read_image(path).mean()) for path in outputs.files] == [0.0, 1.0]


def test_batch_over_needs_files_and_one_free_input(folder):
    with pytest.raises(InputError, match="no file matches"):
        run("api.json", batch_over="nothing/*.png")
    with pytest.raises(InputError, match="got none"):
        run("api.json", "1.image=a.png", batch_over="input/*.png")
    workflow = {
        **COPY,
        "3": entry("LoadImage", image="b.png"),
        "4": entry("PreviewImage", images=["3", 0]),
    }
    (folder / "two.json").write_text(json.dumps(workflow))
    with pytest.raises(InputError, match=r"1\.image, 3\.image"):
        run("two.json", batch_over="input/*.png")
    assert len(run("two.json", "3.image=b.png", batch_over="input/*.png").files) == 2


def test_batch_over_names_a_workflow_that_loads_no_image(folder):
    workflow = {"1": entry("PrimitiveInt", value=1), "2": entry("PreviewAny", source=["1", 0])}
    (folder / "imageless.json").write_text(json.dumps(workflow))
    with pytest.raises(InputError, match=r"with a Load Image node .*, got one that loads no image"):
        run("imageless.json", batch_over="input/*.png")


def test_a_damaged_file_of_a_batch_is_named(folder):
    (folder / "input" / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    with pytest.raises(InputError, match=r"c\.png: node 1 \(Load Image\)"):
        run("api.json", batch_over="input/*.png")
    assert files_in(folder / "output") == ["copy_00001_.png", "copy_00002_.png"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full")], ids=str)
def test_a_stop_while_saving_leaves_no_partial_file(folder, monkeypatch, error):
    def save(self: Any, path: Any, **options: Any) -> None:
        Path(path).write_bytes(b"half")
        raise error

    monkeypatch.setattr(PillowImage.Image, "save", save)
    with pytest.raises((KeyboardInterrupt, NodeFailedError)):
        run("api.json")
    assert files_in(folder / "output") == []


def test_interruption_is_passed_on(folder):
    with pytest.raises(Interrupted):
        run("api.json", interrupted=lambda: True)
    assert not (folder / "output").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected a workflow file, got nothing there"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("9" * 5000, "not JSON"),
        (b"\xff\xfe\xff", "not JSON"),
        ("[1, 2]", "got neither"),
        ("{}", "got neither"),
        (b"\x89PNG\r\n\x1a\n", "not a readable PNG"),
    ],
    ids=["missing", "unfinished", "deep", "digits", "binary", "list", "empty", "png"],
)
def test_what_is_no_workflow_is_refused(folder, content, message):
    path = folder / "wrong.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        read_workflow(path, registry())


def test_an_image_without_a_workflow_and_a_folder_are_refused(folder):
    with pytest.raises(InputError, match="carries no workflow"):
        run("input/a.png")
    with pytest.raises(InputError, match="got a folder"):
        run("input")


def test_the_output_folder_and_device_are_checked(folder):
    with pytest.raises(InputError, match="expected a folder to write to, got a file"):
        run("api.json", output_dir="api.json")
    with pytest.raises(InputError, match="device"):
        run_file("api.json", device="gpu", registry=registry())
