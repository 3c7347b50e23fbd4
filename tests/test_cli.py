"""The command line: exit statuses, one sentence for every mistake, and the work of each command."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from PIL import Image

from ganvas.cli import main
from ganvas.core import checkpoints
from ganvas.core.data import open_dataset
from ganvas.core.images import read_image, save_png
from ganvas.core.models.cyclegan_resnet import CycleGANResNet
from ganvas.core.models.rrdbnet import RRDBNet
from ganvas.core.models.stylegan2 import Generator

ROOT = Path(__file__).resolve().parent.parent
DEMO = "faces-stylegan2-64"
COMMANDS = [
    "run", "editor", "train", "sample", "inspect", "convert", "faces", "prepare", "translate",
    "metrics", "bench",
]  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    network = Generator(
        z_dim=4, w_dim=4, img_resolution=8, channel_base=32, channel_max=4, num_mapping_layers=1
    )
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    checkpoints.save(
        path,
        arch="stylegan2-generator",
        config=asdict(network.config),
        tensors=network.state_dict(),
        training={"preset": "test"},
    )
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_shows_an_example(command, capsys):
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Example: ganvas {command}" in text
    assert main(["--help"]) == 0
    assert f"  {command} " in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [[], ["bogus"], ["inspect"], ["sample", "x", "--psi", "much"], ["faces", "--count", "0"]],
    ids=str,
)
def test_wrong_usage_exits_with_two(arguments, capsys):
    assert main(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "/nowhere/x.safetensors"], "/nowhere/x.safetensors: no such file"),
        (["inspect", "no-such-model"], "model 'no-such-model' was not found"),
        (["sample", "no-such-model"], "model 'no-such-model' was not found"),
        (["sample", "x", "--seeds", "5-1"], "seeds: 5-1 must ascend"),
        (["train"], "expected a preset name"),
        (["train", "stylegan2-faces-61", "--dry-run"], "stylegan2-faces-16"),
        (["run", "/nowhere/workflow.json"], "/nowhere/workflow.json"),
    ],
    ids=str,
)
def test_wrong_input_gets_one_sentence_and_exits_with_two(arguments, message, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("ganvas: ") and message in captured.err
    assert captured.err.count("\n") == 1 and captured.out == ""


def test_debug_shows_the_traceback_wherever_it_stands(capsys):
    for arguments in (["--debug", "inspect", "/nowhere/x"], ["inspect", "/nowhere/x", "--debug"]):
        assert main(arguments) == 2
        assert "Traceback" in capsys.readouterr().err


def test_our_own_failures_exit_with_one_and_one_sentence(monkeypatch, capsys):
    def broken(path, given):
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(checkpoints, "inspect", broken)
    assert main(["inspect", "a/b"]) == 1
    expected = "ganvas: RuntimeError: first line (--debug shows where)\n"
    assert capsys.readouterr().err == expected


def test_interruption_exits_with_130_and_no_traceback(monkeypatch, capsys):
    def stopped(path, given):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "inspect", stopped)
    assert main(["inspect", "a/b"]) == 130
    assert capsys.readouterr().err == "ganvas: stopped\n"


def test_inspect_prints_text_or_json(model, capsys):
    assert main(["inspect", str(model)]) == 0
    assert "stylegan2-generator" in capsys.readouterr().out
    assert main(["inspect", str(model), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["arch"] == "stylegan2-generator"
    assert report["config"]["img_resolution"] == 8


def test_convert_writes_a_model_that_loads_and_says_how_near_it_is(model, tmp_path, capsys):
    state = checkpoints.load(model).generator.state_dict()
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "net.pth")
    target = tmp_path / "net.safetensors"
    assert main(["convert", str(tmp_path / "net.pth"), str(target), "conv_clamp=256"]) == 0
    text = capsys.readouterr().out
    assert "weights bit-equal; outputs differ by at most 0 " in text
    loaded = checkpoints.load(target)
    assert loaded.config["conv_clamp"] == 256 and loaded.training["epoch"] == 3
    for wrong in (["conv_clamp"], ["conv_clamp=x"], ["--dtype", "int4"], ["--network", "D"]):
        out = str(tmp_path / "other.safetensors")
        assert main(["convert", str(tmp_path / "net.pth"), out, *wrong]) == 2
        assert capsys.readouterr().err.count("\n") == 1 and not Path(out).exists()


def test_sample_writes_one_image_per_seed_and_a_sheet(model, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["sample", str(model), "--seeds", "0-2,9", "--device", "cpu", "--sheet"]
    assert main([*arguments, "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out / "sheet.png")
    names = ["seed0000.png", "seed0001.png", "seed0002.png", "seed0009.png", "sheet.png"]
    assert sorted(file.name for file in out.iterdir()) == names
    first = read_image(out / "seed0009.png")
    assert main(["sample", str(model), "--seeds", "9", "--out", str(tmp_path / "again")]) == 0
    assert torch.equal(read_image(tmp_path / "again" / "seed0009.png"), first)


def test_sample_writes_a_walk_through_the_seeds(model, tmp_path, capsys):
    walk = tmp_path / "walks" / "walk.webp"
    assert main(["sample", str(model), "--seeds", "3,5", "--video", str(walk)]) == 0
    assert capsys.readouterr().out.strip() == str(walk)
    with Image.open(walk) as film:
        assert film.n_frames == 48 and film.size == (8, 8)
    for wrong, message in (
        (["--video", str(tmp_path / "walk.gif")], "--video: expected one of .mp4, .webp, .png"),
        (["--video", str(tmp_path / "x.webp"), "--seeds", "3"], "a walk needs at least two"),
    ):
        assert main(["sample", str(model), *wrong]) == 2
        assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["walk.webp"]


def test_prepare_makes_any_images_training_data(tmp_path, capsys):
    for index, size in enumerate([(40, 30), (31, 50), (24, 24)]):
        save_png(tmp_path / "photos" / f"{index}.png", torch.rand(*size, 3))
    (tmp_path / "photos" / "3.png").write_bytes(b"\x89PNG no image")
    arguments = ["prepare", str(tmp_path / "photos"), "--size", "16"]
    out = tmp_path / "photos-16.zip"
    assert main([*arguments, "--out", str(out)]) == 2
    assert "3.png" in capsys.readouterr().err and not out.exists()
    assert main([*arguments, "--out", str(out), "--on-error", "skip"]) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == f"{out}: 3 images of 16 px, 1 skipped"
    assert printed.err.startswith("skipped ") and "3.png" in printed.err
    assert len(open_dataset(out, 16)) == 3


def test_translate_writes_an_image_for_an_image(tmp_path, capsys):
    network = CycleGANResNet(ngf=4, num_blocks=1)
    torch.save(network.state_dict(), tmp_path / "latest_net_G_A.pth")
    save_png(tmp_path / "photos" / "a.png", torch.rand(21, 34, 3))
    arguments = ["translate", str(tmp_path / "photos"), "--model"]
    arguments += [str(tmp_path / "latest_net_G_A.pth"), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    written = Path(capsys.readouterr().out.strip())
    assert written.parent == tmp_path / "out"
    assert read_image(written).shape == (21, 34, 3)


def test_run_executes_a_workflow_and_prints_its_files(tmp_path, capsys):
    save_png(tmp_path / "in" / "a.png", torch.rand(4, 5, 3))
    workflow = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    (tmp_path / "w.json").write_text(json.dumps(workflow))
    arguments = ["run", str(tmp_path / "w.json"), "--input-dir", str(tmp_path / "in")]
    arguments += ["--output-dir", str(tmp_path / "out"), "--set", "2.filename_prefix=copy"]
    assert main(arguments) == 0
    printed = Path(capsys.readouterr().out.strip())
    assert printed.name.startswith("copy")
    assert torch.equal(read_image(printed), read_image(tmp_path / "in" / "a.png"))


def test_train_lists_presets_and_passes_its_arguments_on(monkeypatch, capsys, tmp_path):
    from ganvas import training

    assert main(["train", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(training.PRESETS)

    seen = {}

    class Result:
        outcome = "finished"
        model = tmp_path / "model.safetensors"

    def recorded(preset, data, outdir, overrides, **keywords):
        seen.update(keywords, preset=preset, data=data, outdir=outdir, overrides=overrides)
        return Result()

    monkeypatch.setattr("ganvas.training.loop.train", recorded)
    arguments = ["train", "stylegan2-64", "batch=4", "seed=1", "--data", "d.zip"]
    assert main([*arguments, "--outdir", "o", "--resume", "never", "--dry-run"]) == 0
    assert seen == {
        "preset": "stylegan2-64",
        "data": "d.zip",
        "outdir": Path("o"),
        "overrides": ["batch=4", "seed=1"],
        "resume": None,
        "dry_run": True,
    }
    assert capsys.readouterr().out.strip() == str(Result.model)
    Result.outcome = "interrupted"
    assert main(arguments) == 130


@pytest.mark.parametrize("degrade", [False, True])
def test_faces_writes_a_labelled_archive(tmp_path, capsys, degrade):
    out = tmp_path / "faces.zip"
    arguments = ["faces", "--count", "3", "--size", "16", "--seed", "5", "--out", str(out)]
    assert main([*arguments, *(["--degrade"] if degrade else [])]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    with zipfile.ZipFile(out) as archive:
        labels = json.loads(archive.read("dataset.json"))
        faces = labels["faces"]["images"]
        assert len(faces) == 3
        assert {face["name"] for face in faces} <= set(archive.namelist())
        assert all(("degradation" in face) == degrade for face in faces)


def run_ganvas(tmp_path: Path, *arguments: str) -> subprocess.Popen:
    package = tmp_path / "package"
    package.mkdir()
    (package / "ganvas").symlink_to(ROOT, target_is_directory=True)
    return subprocess.Popen(
        [sys.executable, "-m", "ganvas.cli", *arguments],
        env={**os.environ, "PYTHONPATH": str(package)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts background jobs with Ctrl-C ignored, and children would inherit that.
        preexec_fn=_heed_ctrl_c if os.name == "posix" else None,
    )


def _heed_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_leaves_no_half_file(tmp_path, workers):
    out = tmp_path / "out"
    arguments = ["--count", "1000000", "--workers", workers, "--out", str(out / "f.zip")]
    process = run_ganvas(tmp_path, "faces", *arguments)
    deadline = time.monotonic() + 60
    while not (out.exists() and any(out.iterdir())):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    time.sleep(1)  # let rendering begin
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: every process of the command
    try:
        _, errors = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 130, errors
    assert "Traceback" not in errors and errors.rstrip().endswith("ganvas: stopped")
    assert list(out.iterdir()) == []


def test_a_reader_that_leaves_a_pipe_is_no_error_message(tmp_path, model):
    process = run_ganvas(tmp_path, "inspect", str(model))
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(timeout=60) in (0, 1)
    assert "Traceback" not in errors and "BrokenPipe" not in errors


@pytest.mark.parametrize("command", ["faces", "run"])
def test_a_path_that_cannot_be_written_is_the_users_mistake(tmp_path, capsys, command):
    (tmp_path / "file").write_text("")
    below = str(tmp_path / "file" / "below")
    workflow = {"1": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}}}
    workflow["2"] = {"class_type": "LoadImage", "inputs": {"image": "x.png"}}
    (tmp_path / "w.json").write_text(json.dumps(workflow))
    arguments = {
        "faces": ["faces", "--count", "1", "--size", "16", "--out", f"{below}.zip"],
        "run": ["run", str(tmp_path / "w.json"), "--output-dir", below],
    }
    assert main(arguments[command]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ganvas: ") and "Error" not in error
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["file", "w.json"]


def test_a_terminated_run_cleans_up_as_after_ctrl_c(tmp_path):
    code = "import sys; from ganvas.cli import main; sys.exit(main(sys.argv[1:]))"
    out = tmp_path / "faces.zip"
    source = f"import runpy; runpy.run_path({str(ROOT / 'tests' / 'conftest.py')!r}); {code}"
    arguments = ["faces", "--count", "100000", "--size", "32", "--out", str(out)]
    child = subprocess.Popen([sys.executable, "-c", source, *arguments], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(tmp_path.iterdir()), "the archive was never begun"
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=60) == 130
    assert list(tmp_path.iterdir()) == []


def workflow_file(folder: Path, image: str, prefix: str = "x", title: str = "title") -> str:
    nodes = {
        "1": {"class_type": "LoadImage", "inputs": {"image": image}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": prefix}},
    }
    for node in nodes.values():
        node["_meta"] = {"title": title}
    (folder / "w.json").write_text(json.dumps(nodes))
    return str(folder / "w.json")


@pytest.mark.parametrize("image", ["missing.png", "damaged.png"])
def test_control_characters_of_a_workflow_never_reach_the_terminal(tmp_path, capsys, image):
    (tmp_path / "damaged.png").write_text("not an image")
    workflow = workflow_file(tmp_path, image, title="\x1b[2J\r\x9bm\nganvas: all is well\u202e")
    arguments = ["run", workflow, "--input-dir", str(tmp_path), "--output-dir", str(tmp_path / "o")]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert r"(\x1b[2J\r\x9bm\nganvas: all is well\u202e)" in error
    assert error.count("\n") == 1 and not set("\x1b\r\x9b\u202e") & set(error)


def test_a_run_that_stops_by_itself_says_so_in_one_sentence(monkeypatch, capsys):
    from ganvas.training.distributed import RankLostError
    from ganvas.training.errors import TrainingError

    for kind in (TrainingError, RankLostError):

        def stopped(*_, kind=kind, **__):
            raise kind("train: stopped at kimg 1.00 because loss_g nan")

        monkeypatch.setattr("ganvas.training.loop.train", stopped)
        assert main(["train", "stylegan2-64", "--dry-run"]) == 1
        expected = "ganvas: train: stopped at kimg 1.00 because loss_g nan\n"
        assert capsys.readouterr().err == expected


def check_one_sentence(arguments: list[str], message: str, capsys) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("ganvas: ") and message in captured.err
    assert captured.err.count("\n") == 1 and captured.out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["faces", "--out", "folder.zip"], "expected the name of a file to write, got a folder"),
        (["faces", "--out", "file/x.zip"], "expected a folder to write to, got a file"),
        (["faces", "--out", "file/below/x.zip"], "cannot be made"),
        (["faces", "--out", "x.tar"], "expected the name of a .zip archive to write, got x.tar"),
        (["sample", "MODEL", "--out", "file"], "file: expected a folder to write to, got a file"),
        (["sample", "MODEL", "--out", "file/x"], "file/x: cannot be made, file is a file"),
        (["sample", "MODEL", "--seeds", "0-1999999"], "names more than 1000000 seeds"),
        (["sample", "MODEL", "--seeds", "0-2", "--device", "cuda:\u00b2"], "device: expected auto"),
    ],
    ids=str,
)
def test_a_target_is_checked_before_any_work(
    model, tmp_path, monkeypatch, capsys, arguments, message
):
    def worked(*_, **__):
        pytest.fail("the work was begun")

    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.zip").mkdir()
    monkeypatch.setattr("ganvas.core.data.procedural._render_group", worked)
    monkeypatch.setattr(checkpoints, "load", worked)
    arguments = [str(model) if text == "MODEL" else text for text in arguments]
    check_one_sentence(arguments, message, capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.zip"]


def test_a_sheet_that_no_memory_holds_is_refused(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("ganvas.core.sampling.MAX_PIXELS", 100)
    arguments = ["sample", str(model), "--sheet", "--out", str(tmp_path / "out")]
    check_one_sentence(arguments, "a sheet of 16 images has 1024 pixels", capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "a\0b"], r"expected arguments without null characters, got 'a\x00b'"),
        (["faces", "--out", "a\0b.zip"], "expected arguments without null characters"),
        (["inspect", "pipe"], "expected a model file or the name of a model, got a device, pipe"),
        (["inspect", "./pipe"], "expected a model file, got a device, pipe"),
        (["inspect", "../x/pipe"], "expected a model file, got a device, pipe or socket"),
        (["inspect", "/dev/zero"], "expected a model file, got a device, pipe or socket"),
        (["inspect", "folder"], "expected a model file or the name of a model, got a folder"),
        (["inspect", "no/a\nb\x1b[2J"], r"no/a\nb\x1b[2J: no such file"),
        (["sample", "pipe"], "expected a model file or the name of a model, got a device, pipe"),
        (["run", "pipe"], "pipe: expected a workflow file, got a device, pipe or socket"),
        (["metrics", "swd", "--real", "pipe", "--fake", DEMO], "expected a folder of images or a"),
        (["metrics", "swd", "--real", "folder", "--fake", DEMO], "p.png: expected an image file"),
        (["metrics", "swd", "--real", "", "--fake", DEMO], "expected a path, one of folder:PATH"),
    ],
    ids=str,
)
@pytest.mark.skipif(os.name == "nt", reason="needs named pipes")
def test_what_is_no_file_is_named_and_never_waited_for(
    tmp_path, monkeypatch, capsys, arguments, message
):
    (tmp_path / "x" / "folder").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "x")
    os.mkfifo("pipe")
    os.mkfifo("folder/p.png")
    check_one_sentence(arguments, message, capsys)


def test_inspect_escapes_what_a_file_says_about_itself(model, tmp_path, capsys):
    loaded = checkpoints.load(model)
    assert loaded.generator is not None
    checkpoints.save(
        tmp_path / "evil.safetensors",
        arch=loaded.arch,
        config=loaded.config,
        tensors=loaded.generator.state_dict(),
        training={"preset": "\x1b[2J\nsha256 00"},
    )
    assert main(["inspect", str(tmp_path / "evil.safetensors")]) == 0
    text = capsys.readouterr().out
    assert r"  preset = \x1b[2J\nsha256 00" in text and "\x1b" not in text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("nope", "nope: no such folder or zip archive, expected a path, one of folder:PATH, zip:"),
        ("faces:", "expected values like count=20000,size=64,seed=0, got nothing after"),
        ("", "data set: expected a path, one of folder:PATH, zip:PATH, celeba:PATH"),
    ],
)
def test_training_on_no_data_leaves_no_folder(tmp_path, monkeypatch, capsys, data, message):
    monkeypatch.chdir(tmp_path)
    arguments = ["train", "stylegan2-faces-16", "--data", data, "--outdir", "runs/a"]
    check_one_sentence(arguments, message, capsys)
    assert list(tmp_path.iterdir()) == []


def test_metrics_compare_all_there_is_and_say_how_many(model, tmp_path, capsys):
    for index in range(3):
        save_png(tmp_path / "real" / f"{index}.png", torch.rand(16, 16, 3))
        save_png(tmp_path / "fake" / f"{index}.png", torch.rand(16, 16, 3))
    (tmp_path / "fake" / "2.png").unlink()
    real, fake = ["--real", str(tmp_path / "real")], ["--fake", str(tmp_path / "fake")]
    assert main(["metrics", "diversity", *real, *fake]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["images", "2"]
    file = tmp_path / "new" / "numbers.json"
    assert main(["metrics", "diversity", *real, "--fake", real[1], "--json", str(file)]) == 0
    assert json.loads(file.read_text())["images"] == 3
    assert capsys.readouterr().out.splitlines()[0].split() == ["images", "3"]
    wrong = {
        "expected a count of 2..2 (the images of --fake), got 3": ["diversity", "--count", "3"],
        "expected every name once, got 'swd' twice": ["swd,swd"],
        "expected a seed of 0..4294967295, got -1": ["swd", "--seed", "-1"],
        "psnr needs a restorer as --fake, got images": ["psnr"],
        "expected a count of 2..2 (the images of --fake), got 9999": ["swd", "--count", "9999"],
        "kid needs a file of Inception's weights": ["swd,kid"],
        "gone.pth: expected a file of Inception's weights": ["fid", "--features", "gone.pth"],
        "a resize of tf1, clean, torch, got 'pil'": ["swd", "--resize", "pil"],
    }
    for message, (name, *options) in wrong.items():
        check_one_sentence(["metrics", name, *real, *fake, *options], message, capsys)
    message = "expected RGB images of 16 px like the real ones, got 8 px"
    check_one_sentence(["metrics", "swd", *real, "--fake", str(model)], message, capsys)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("redirection", [">/dev/full", ">&-", ">&- 2>&-", "2>/dev/full"])
def test_streams_that_take_nothing_end_without_a_traceback(tmp_path, model, redirection):
    (tmp_path / "ganvas").symlink_to(ROOT, target_is_directory=True)
    done = subprocess.run(
        ["sh", "-c", f'"$0" -m ganvas.cli inspect "$1" {redirection}', sys.executable, str(model)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    full = redirection == ">/dev/full"
    assert done.returncode == (1 if full else 0)
    assert ("No space left" in done.stderr) == full
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names that are not Unicode")
def test_names_that_are_not_unicode_are_read_written_and_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"\xff.zip")
    process = run_ganvas(tmp_path, "faces", "--count", "1", "--size", "16", "--out", name)
    assert process.communicate(timeout=60) == ("\\udcff.zip\n", "")
    for index in range(2):
        save_png(Path(os.fsdecode(b"real/\xff%d.png" % index)), torch.rand(16, 16, 3))
    assert main(["metrics", "swd", "--real", "real", "--fake", "real"]) == 0


def test_sample_and_inspect_take_what_a_file_does_not_say(model, tmp_path, capsys):
    state = checkpoints.load(model).generator.state_dict()
    file = str(tmp_path / "net.pth")
    torch.save(state, file)
    assert main(["inspect", file, "conv_clamp=256", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"]["conv_clamp"] == 256
    images = []
    for index, given in enumerate([[], ["conv_clamp=0.01"]]):
        out = tmp_path / str(index)
        assert main(["sample", file, *given, "--seeds", "3", "--out", str(out)]) == 0
        images.append(read_image(out / "seed0003.png"))
    assert not torch.equal(*images)
    for command in ("sample", "inspect"):
        capsys.readouterr()
        for wrong in ("conv_clamp", "conv_clamp=x", "fish=3", "conv_clamp=1 conv_clamp=2"):
            assert main([command, file, *wrong.split()]) == 2
            assert capsys.readouterr().err.count("\n") == 1
    assert main(["sample", str(model), "conv_clamp=256"]) == 2
    assert "a ganvas file says everything itself" in capsys.readouterr().err


def test_sample_names_what_is_no_generator(tmp_path, capsys):
    network = RRDBNet(num_feat=4, num_block=1, num_grow_ch=2)
    torch.save({"params_ema": network.state_dict()}, tmp_path / "x4.pth")
    assert main(["sample", str(tmp_path / "x4.pth"), "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert "x4.pth: this is a rrdbnet (ESRGAN's RRDBNet" in message and message.count("\n") == 1
