"""What is wrong with a run's settings or data is said in one sentence, before anything is made."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganvas.cli import main
from ganvas.core.data import procedural
from ganvas.training import board, loop

from .image_sets import smooth_images, write_domains, write_images, write_pairs

SMALL = ["resolution=16", "batch=4"]
NARROW = ["channel_base=32", "channel_max=4", "z_dim=8", "w_dim=8", "mapping_layers=1"]
_TRANSLATION = ["d_layers=1", "heldout=2"]
FITTING = {"pix2pix-64": _TRANSLATION, "cyclegan-64": _TRANSLATION}
"""What lets presets of 64 px take `SMALL`."""


@pytest.fixture(autouse=True)
def work(monkeypatch, tmp_path):
    """A folder to work in."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def no_network(monkeypatch):
    """Building a network is a failure of the test."""

    def build(*args):
        pytest.fail("a network was built")

    monkeypatch.setattr(loop, "build", build)


def refused(capsys, *arguments: str) -> str:
    """The sentence with which `ganvas train` refuses arguments; it leaves no folder."""
    before = sorted(Path.cwd().rglob("*"))
    assert main(["train", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("ganvas: ") and said.err.count("\n") == 1, said.err
    assert sorted(Path.cwd().rglob("*")) == before
    return said.err


def images(folder: str, count: int = 8, size: int = 16) -> str:
    return str(write_images(Path(folder), smooth_images(count, 0, size)))


def on(data: str, preset: str, *settings: str) -> list[str]:
    return [preset, *SMALL, *settings, "--data", data, "--outdir", "runs/a"]


@pytest.mark.parametrize(
    "preset",
    [["cgan-64"], ["cvae-64", "heldout=2"], ["stackgan-64"], ["dcgan-64", "conditional=true"]],
    ids=lambda preset: preset[0],
)
def test_labels_are_missing(capsys, preset):
    said = refused(capsys, *on(images("data"), *preset))
    assert "learns from labels, and the data have none" in said


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        (["cgan-64"], "learns from labels, and the data have none"),
        (["pix2pix-64"], "this preset learns from pairs"),
        (["dcgan-64", "resolution=64"], "16"),
        (["vae-64", "resolution=16", "heldout=8"], "has 8 images, more than 8 are needed"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_dry_run_refuses_data_that_the_run_would_refuse(capsys, preset, expected):
    said = refused(
        capsys, *preset[:1], "resolution=16", *preset[1:], "--dry-run", "--data", images("data")
    )
    assert expected in said


def test_a_dry_run_renders_no_faces(capsys, monkeypatch):
    sizes = []
    render = procedural.render
    monkeypatch.setattr(
        procedural, "render", lambda faces, size: sizes.append(size) or render(faces, size=size)
    )
    data = "faces:count=20000,size=16,attr=glasses+smile"
    settings = ["resolution=16", "channel_base=64"]
    assert main(["train", "cgan-64", *settings, "--dry-run", "--data", data]) == 0
    assert set(sizes) <= {32}  # two faces tell which renderer it is


def test_labels_of_two_domains_are_not_asked_for(capsys):
    said = refused(capsys, *on(write_pairs(Path("data")), "cgan-64"))
    assert "this preset learns from single images" in said


def odd_image(kind: str, path: Path) -> None:
    """An image that training does not read."""
    pixels = smooth_images(1, 3)[0]
    if kind == "16-bit":
        Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(path.with_suffix(".png"))
    elif kind == "CMYK":
        Image.fromarray(pixels).convert("CMYK").save(path.with_suffix(".jpg"))
    elif kind == "animated":
        frames = [Image.fromarray(np.roll(pixels, shift, axis=0)) for shift in range(2)]
        frames[0].save(path.with_suffix(".webp"), save_all=True, append_images=frames[1:])
    elif kind == "of another size":
        Image.fromarray(pixels).resize((32, 32)).save(path.with_suffix(".png"))
    elif kind == "not square":
        Image.fromarray(pixels[:8]).save(path.with_suffix(".png"))
    else:
        path.with_suffix(".png").write_bytes(b"\x89PNG\r\n\x1a\nno image at all")


ODD = {
    "16-bit": "16-bit images are not supported, `ganvas prepare` converts it",
    "CMYK": "colour mode CMYK is not supported, `ganvas prepare` converts it",
    "animated": "animated or of several pages, `ganvas prepare --first-frame` takes its",
    "of another size": "32",
    "not square": "16x8",
    "damaged": "image",
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("place", ["first", "last"])
def test_an_image_that_is_not_read_is_named(capsys, no_network, kind, place):
    data = images("data")
    odd_image(kind, Path(data) / ("0" if place == "first" else "zzz"))
    said = refused(capsys, *on(data, "stylegan2-faces-16"))
    assert ODD[kind] in said
    assert ("zzz" if place == "last" else "0") in said


def pairs(folder: str) -> str:
    return write_pairs(Path(folder))


def domains(folder: str) -> str:
    return write_domains(Path(folder))


@pytest.mark.parametrize(
    ("preset", "data", "came"),
    [
        ("pix2pix-64", images, "the data are single images"),
        ("pix2pix-64", domains, "the data are two domains"),
        ("cyclegan-64", images, "the data are single images"),
        ("cyclegan-64", pairs, "the data are pairs"),
        ("vae-64", pairs, "the data are pairs"),
        ("dcgan-64", domains, "the data are two domains"),
    ],
)
def test_data_of_another_kind_are_refused(capsys, no_network, preset, data, came):
    said = refused(capsys, *on(data("data"), preset, *FITTING.get(preset, [])))
    assert came in said and "this preset learns from" in said and "--data" in said


@pytest.mark.parametrize("data", ["data", "zip:data.zip", "domains:data,data", "pairs:data"])
def test_no_image_at_all(capsys, no_network, data):
    Path("data").mkdir()
    with zipfile.ZipFile("data.zip", "w") as archive:
        archive.writestr("dataset.json", json.dumps({"labels": []}))
    preset = {"dom": "cyclegan-64", "pai": "pix2pix-64"}.get(data[:3], "dcgan-64")
    said = refused(capsys, *on(data, preset, *FITTING.get(preset, [])))
    assert "no images" in said or "no image" in said


@pytest.mark.parametrize("options", ["folder:data,channels=1", "domains:data,data,channels=1"])
def test_grey_images_are_refused(capsys, no_network, options):
    images("data")
    preset = "cyclegan-64" if options.startswith("domains") else "dcgan-64"
    said = refused(capsys, *on(options, preset, *FITTING.get(preset, [])))
    assert "expected channels=3, got 1" in said


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["resolution=48"], "resolution must be a power of two, got 48"),
        (["resolution=4"], "resolution: input should be greater than or equal to 8, got '4'"),
        (["resolution=32"], "images of 16 px cannot serve 32 px"),
        (["heldout=8"], "the data set has 8 images, more than 8 are needed"),
        (["heldout=99"], "the data set has 8 images, more than 99 are needed"),
        (["batchsize=8"], "unknown setting 'batchsize'; did you mean batch, "),
        (["r1_gama=1"], "did you mean r1_gamma"),
        (["batch=6"], "batch must be a multiple of 4 (4 images to a group"),
        (["batch=8", "grad_accum=4"], "batch must be a multiple of 16"),
        (["batch=0"], "batch: input should be greater than or equal to 2, got '0'"),
        (["total_kimg=0"], "total_kimg: input should be greater than 0"),
        (["device=cuda:99"], "cuda:99 is not available"),
        (["init=nowhere"], "nowhere"),
        (["init=picture.png"], "picture.png"),
        (["init=data"], "data"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_setting_that_does_not_fit_is_named(capsys, settings, expected):
    data = images("data")
    Image.new("RGB", (8, 8)).save("picture.png")
    said = refused(capsys, *on(data, "stylegan2-faces-16", *NARROW, *settings))
    assert expected in said


def test_a_file_of_another_system_starts_nothing(capsys, tmp_path):
    data = images("data")
    other = [*on(data, "mlp-gan", "hidden=4", "d_hidden=4", "z_dim=4", "total_kimg=0.004")]
    other[other.index("runs/a")] = str(tmp_path / "other")
    assert main(["train", *other, "watch_images=0", "report=false", "threads=1"]) == 0
    capsys.readouterr()
    for file in ("", "model.safetensors"):
        init = f"init={tmp_path / 'other' / file}"
        said = refused(capsys, *on(data, "stylegan2-faces-16", *NARROW, init))
        assert "shares no tensor of equal name and shape" in said
    resumed = ["--resume", str(tmp_path / "other")]
    said = refused(capsys, *on(data, "stylegan2-faces-16", *NARROW), *resumed)
    assert "the run to continue is mlp-gan, not stylegan2-faces-16" in said
    for changed, expected in (
        ("batch=8", "has batch=4 (now 8); repeat its settings"),
        ("hidden=8", "the state belongs to other networks"),
    ):
        said = refused(capsys, *other, changed)
        assert expected in said
    assert "already holds a run" in refused(capsys, *other, "--resume", "never")
    assert "no snapshot to continue from" in refused(capsys, *other, "--resume", data)
    there, here = tmp_path / "other", str(shutil.copytree(tmp_path / "other", "copy"))
    elsewhere = [here if text == str(there) else text for text in other]
    said = refused(capsys, *elsewhere, "--resume", str(there))
    assert "copy already holds a run, which" in said


@pytest.mark.parametrize(
    ("preset", "arguments", "expected"),
    [
        ("dcgan-64", [], "--data is missing; this preset learns from single images, as in --data"),
        ("pix2pix-64", [], "--data is missing; this preset learns from pairs of images, as in"),
        ("cyclegan-64", ["--outdir", "runs/a"], "--data is missing; this preset learns from two"),
        ("dcgan-64", ["--data", "data"], "--outdir is missing, the folder of the run"),
        ("dcgan-64", ["--data", "data", "--outdir", "file/a"], "file is a file"),
        ("dcgan-64", ["--data", "data", "--outdir", "file"], "expected a folder to write to"),
        ("dcgan-46", ["--data", "data", "--outdir", "runs/a"], "did you mean dcgan-64"),
    ],
)
def test_what_is_missing_is_named(capsys, no_network, preset, arguments, expected):
    images("data")
    Path("file").write_text("x")
    assert expected in refused(capsys, preset, *arguments)


def test_tensorboard_is_asked_for_before_anything_is_made(capsys, no_network, monkeypatch):
    monkeypatch.setattr(board, "find_spec", lambda name: None)
    said = refused(capsys, *on(images("data"), "dcgan-64", "tensorboard=true"))
    assert "tensorboard=true needs TensorBoard" in said


def test_a_damaged_state_is_refused(capsys, no_network):
    data = images("data")
    Path("runs/a").mkdir(parents=True)
    Path("runs/a/latest.json").write_text("{")
    assert "latest.json is damaged" in refused(capsys, *on(data, "dcgan-64"))
    pointer = {"step": 1, "images": 4, "model": "m.safetensors", "state": "s.safetensors"}
    Path("runs/a/latest.json").write_text(json.dumps(pointer))
    assert "s.safetensors does not exist" in refused(capsys, *on(data, "dcgan-64"))
    Path("runs/a/s.safetensors").write_bytes(b"garbage")
    assert "not a readable training state" in refused(capsys, *on(data, "dcgan-64"))
