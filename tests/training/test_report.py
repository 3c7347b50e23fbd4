"""What a run leaves for people: report.html, TensorBoard events, the best snapshot."""

import json
import re

import pytest

from ganvas.core.errors import InputError
from ganvas.training import html, train
from ganvas.training.report import Headline, best_snapshot, read_log

pytest.importorskip("matplotlib", reason="report.html needs ganvas[train]")
PRESET = "stylegan2-faces-16"


@pytest.fixture(scope="module")
def run(tmp_path_factory, images_zip):
    """A finished run of two snapshots, and what it said."""
    from .conftest import TINY

    folder = tmp_path_factory.mktemp("report") / "run"
    said: list[str] = []
    settings = [*TINY, "total_kimg=0.048", "swd_images=8", "report=true"]
    train(PRESET, images_zip, folder, settings, say=said.append)
    return folder, said


def test_the_report_shows_everything_and_loads_nothing(run):
    folder, _ = run
    page = (folder / html.REPORT).read_text(encoding="utf-8")
    assert not re.search(r"(?:src|href)=['\"](?!data:|#)", page.replace("xlink:href", ""))
    for caption in ("Losses and regularisers", "Mean logits", "Logits of D, over", "Cost by kimg"):
        assert caption in page
    assert "Diversity and modes: 16 samples. Sliced Wasserstein distance: 8 samples" in page
    assert page.count("<img ") == 4  # two grids of samples, neighbours, reals
    assert page.count("<svg") == 5
    assert "best swd_mean" in page and "<td>resolution</td><td>8</td>" in page


def test_the_report_is_a_function_of_the_run(run):
    folder, _ = run
    before = (folder / html.REPORT).read_bytes()
    notes = {}
    first = html.write_report(folder, PRESET, Headline("swd_mean", False), notes).read_bytes()
    again = html.write_report(folder, PRESET, Headline("swd_mean", False), notes).read_bytes()
    assert first == again and len(before) > len(first)


def test_names_and_alarms_are_escaped(run, tmp_path):
    folder, _ = run
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    line = {"event": "alarm", "images": 1, "kimg": 0.001, "text": "<script>alert(1)</script>"}
    (tmp_path / "log.jsonl").write_text(json.dumps(line) + "\n")
    page = html.write_report(tmp_path, "<b>", Headline("x", True), {"<i>": "<u>"}).read_text()
    assert not any(tag in page for tag in ("<script>", "<b>", "<i>", "<u>"))


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


def test_a_run_without_matplotlib_says_what_it_lacks(tmp_path, images_zip, tiny, monkeypatch):
    monkeypatch.setattr(html, "is_available", lambda: False)
    said: list[str] = []
    train(PRESET, images_zip, tmp_path, [*tiny, "total_kimg=0.008", "report=true"], say=said.append)
    assert not (tmp_path / html.REPORT).exists()
    assert said[-1] == "no report.html: its curves need ganvas[train] (matplotlib)"


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
