"""A released model carries its stages and numbers, and the run's weights unchanged."""

import pytest
import torch

from ganvas.core.checkpoints import load
from ganvas.core.errors import InputError
from ganvas.training import train
from ganvas.training.release import main, release


@pytest.fixture
def chain(tmp_path, images_zip, tiny):
    """A run at 16 px that started from one at 8 px."""
    train("stylegan2-64", images_zip, tmp_path / "small", [*tiny, "total_kimg=0.008"])
    larger = [*tiny, "resolution=16", "total_kimg=0.016", f"init={tmp_path / 'small'}"]
    larger.append("licence=for tests")
    train("stylegan2-64", images_zip, tmp_path / "large", larger)
    return tmp_path / "large"


def test_the_file_tells_stages_and_numbers_and_keeps_the_weights(chain, tmp_path, images_zip):
    out = tmp_path / "released.safetensors"
    facts = release(chain, out, str(images_zip), ["diversity"], count=16)
    released, run = load(out), load(chain / "model.safetensors")
    assert released.training == facts
    assert [stage["kimg"] for stage in facts["stages"]] == [0.008, 0.016]
    assert facts["measured"]["diversity_rms_full"] > 0
    assert facts["reference"]["count"] == 16
    assert facts["licence"] == run.training["licence"] == "for tests"
    assert released.generator is not None and run.generator is not None
    theirs = run.generator.state_dict()
    for name, tensor in released.generator.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name


def test_a_folder_without_a_run_is_refused_and_nothing_is_written(tmp_path, images_zip, capsys):
    out = tmp_path / "released.safetensors"
    with pytest.raises(InputError):
        release(tmp_path, out, str(images_zip), ["diversity"])
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path), str(out), "--real", str(images_zip)])
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("ganvas: ")
    assert not out.exists()
