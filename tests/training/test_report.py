"""What a run leaves for people: report.html, TensorBoard events, the best snapshot."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from ganvas.core.errors import InputError
from ganvas.core.metrics.extractors import load_face_extractor
from ganvas.training import html, train
from ganvas.training.report import Headline, _duration, best_snapshot, read_log

from .image_sets import write_domains
from .small_runs import settings_of

PRESET = "stylegan2-faces-16"


CAPTIONS = html.Captions()


@pytest.fixture(scope="module")
def run(tmp_path_factory, images_zip):
    """A finished run of two snapshots, interrupted after the first, and what it said."""
    from .conftest import TINY

    folder = tmp_path_factory.mktemp("report") / "run"
    said: list[str] = []
    settings = [*TINY, "watch_images=256", "swd_images=8", "fd_images=12", "report=true"]
    for length in ("total_kimg=0.024", "total_kimg=0.048"):
        train(PRESET, images_zip, folder, [*settings, length], say=said.append)
    return folder, said


def test_the_report_shows_everything_and_loads_nothing(run):
    folder, _ = run
    page = (folder / html.REPORT).read_text(encoding="utf-8")
    assert not re.search(r"(?:src|href)=['\"](?!data:|#)", page)
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert titles == [
        "Samples", "Metrics", "Variety of the samples", "Losses and regularisers",
        "Discriminator", "Cost", "Nearest training images", "Data",
    ]  # fmt: skip
    assert page.count("<img ") == 4  # two grids of samples, neighbours, reals
    charts = re.findall(r"aria-label='(.*?)'", page)
    for title in ("loss_d", "loss_g", "logits: mean", "logits_real: logits over the run"):
        assert charts.count(title) == 1
    assert "logits: shares in the last line" in charts and "peak memory, GiB" in charts
    assert page.count(">kimg</text>") == len(charts) - 1  # all but the last line's histogram
    assert "best swd_mean" in page and "<td>resolution</td><td>8</td>" in page


def test_the_report_says_how_its_numbers_were_measured(run):
    page = (run[0] / html.REPORT).read_text(encoding="utf-8")
    watched = "n 20 samples, 20 of 20 training images, pixels reduced to 8 px by means."
    assert f"diversity, modes: {watched}" in page  # not 256
    assert "swd: n 8 samples, 8 of 20 training images, pixels at 8 px, not resized." in page
    found = re.search(r"fd_faces: n 12 samples, .*?, resize clean, features ([0-9a-f]{8})\.", page)
    assert found and found[1] == load_face_extractor().weights


def test_the_report_of_a_continued_run_holds_its_whole_history(run):
    page = (run[0] / html.REPORT).read_text(encoding="utf-8")
    points = re.search(r"aria-label='loss_d'.*?points='(.*?)'", page)
    assert points and len(points[1].split()) == 6  # ticks, three of each part


def test_the_report_is_a_function_of_the_run(run):
    folder, _ = run
    before = (folder / html.REPORT).read_bytes()
    given = (folder, PRESET, Headline("swd_mean", False), {}, CAPTIONS)
    first = html.write_report(*given).read_bytes()
    assert first == html.write_report(*given).read_bytes() and len(before) > len(first)


def test_a_map_of_logits_begins_where_they_were_first_counted(run, tmp_path):
    """Logs of earlier versions have no histograms for some systems."""
    folder, _ = run
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    log = read_log(folder)
    for line in log:
        if line["kimg"] < 0.03:
            line.pop("histograms", None)
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    given = (tmp_path, PRESET, Headline("swd_mean", False), {}, CAPTIONS)
    page = html.write_report(*given).read_text()
    chart = re.search(r"aria-label='logits_real: logits over the run'.*?</svg>", page)
    assert chart and ">0.025</text>" in chart[0] and ">0.01</text>" not in chart[0]


def test_large_grids_are_embedded_as_jpeg(run, tmp_path):
    folder, _ = run
    for name in ("config.json", "log.jsonl"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "samples-0000000048.png")
    given = (tmp_path, PRESET, Headline("swd_mean", False), {}, CAPTIONS)
    page = html.write_report(*given).read_text()
    (data,) = re.findall(r"src='data:image/jpeg;base64,(.*?)'", page)
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.format == "JPEG" and image.size == (512, 512)
    assert len(data) < (tmp_path / "samples-0000000048.png").stat().st_size


def test_time_left_is_told_in_units_that_fit():
    told = [_duration(seconds) for seconds in (0.4, 61, 3599, 3660, 360_000)]
    assert told == ["0 s", "61 s", "1 h 00 min", "1 h 01 min", "100 h 00 min"]


def test_rows_of_a_grid_are_named(tmp_path):
    settings = [*settings_of("cyclegan-64"), "report=true", "total_kimg=0.004"]
    data = write_domains(tmp_path / "domains")
    train("cyclegan-64", data, tmp_path / "run", settings, say=str)
    page = (tmp_path / "run" / html.REPORT).read_text(encoding="utf-8")
    rows = re.search(r"<div class='rows'>(.*?)</div>", page)
    named = re.findall(r"<span>(.*?)</span>", rows[1]) if rows else []
    assert named == ["A", "A to B", "back to A", "B", "B to A", "back to B"]
    assert "rows of the first and of the second domain in turn" in page
    assert "held-out images" in page and "d_a: mean" in page and "d_b: mean" in page


def test_names_and_alarms_are_escaped(run, tmp_path):
    folder, _ = run
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    line = {"event": "alarm", "images": 1, "kimg": 0.001, "text": "<script>alert(1)</script>"}
    (tmp_path / "log.jsonl").write_text(json.dumps(line) + "\n")
    texts = html.Captions("<s>", ("<em>",), "<b>", ("<u>",))
    given = (tmp_path, "<b>", Headline("x", True), {"<i>": "<u>"}, texts)
    page = html.write_report(*given).read_text()
    assert not any(tag in page for tag in ("<script>", "<b>", "<i>", "<u>", "<s>", "<em>"))


DAMAGED = [
    '{"event": "tick", "im',
    "7",
    "[]",
    '{"images": 8}',
    '{"event": 1, "images": 8, "kimg": 1}',
]


def test_a_damaged_log_is_read_as_far_as_it_goes(run, tmp_path, images_zip, tiny):
    folder, _ = run
    good = (folder / "log.jsonl").read_bytes()
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"\xff\xfe\x00\n" + "\n".join(DAMAGED).encode() + b"\n" + good)
    assert read_log(tmp_path) == read_log(folder)
    train(PRESET, images_zip, tmp_path, [*tiny, "total_kimg=0.008", "report=true"], say=str)
    assert (tmp_path / html.REPORT).exists()
    assert {line["images"] for line in read_log(tmp_path)} == {8}


def test_progress_names_the_best_snapshot(run):
    folder, said = run
    log = read_log(folder)
    best = best_snapshot(log, Headline("swd_mean", higher_is_better=False))
    worst = best_snapshot(log, Headline("swd_mean", higher_is_better=True))
    assert best is not None and worst is not None and best["swd_mean"] < worst["swd_mean"]
    assert f"(best swd_mean {best['swd_mean']:.4g} at kimg {best['kimg']:g})" in said[-1]
    assert best_snapshot(log, Headline("fid", higher_is_better=False)) is None


def test_tensorboard_events_continue_with_the_run(tmp_path, images_zip, tiny):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs ganvas[train]"
    )
    settings = [*tiny, "tensorboard=true"]
    train(PRESET, images_zip, tmp_path, [*settings, "total_kimg=0.024"], say=str)
    train(PRESET, images_zip, tmp_path, [*settings, "total_kimg=0.048"], say=str)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    logged = {
        line["images"]: line["loss_d"] for line in read_log(tmp_path) if line["event"] == "tick"
    }
    written = {event.step: event.value for event in events.Scalars("loss_d")}
    assert written == pytest.approx(logged, rel=1e-6)


def test_tensorboard_is_asked_for_before_anything_is_made(tmp_path, images_zip, tiny, monkeypatch):
    from ganvas.training import board

    monkeypatch.setattr(board, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"tensorboard=true needs TensorBoard"):
        train(PRESET, images_zip, tmp_path / "run", [*tiny, "tensorboard=true"], say=str)
    assert not (tmp_path / "run").exists()
