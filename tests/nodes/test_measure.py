"""Quality Metrics: the table, what it is named by, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from ganvas.core.errors import InputError, Interrupted
from ganvas.nodes.context import Context, Host
from ganvas.nodes.measure import quality_metrics
from ganvas.nodes.spec import NODES


@pytest.fixture
def ctx(host):
    return Context(host)


def images(seed: int, count: int = 8) -> torch.Tensor:
    return torch.rand(count, 16, 16, 3, generator=torch.Generator().manual_seed(seed))


def test_the_table_names_every_number(ctx):
    table = quality_metrics(ctx, images(0), images(1, 7))
    lines = table.splitlines()
    assert lines[0] == "images  7"
    stems = [line.partition("[")[0] for line in lines[1:]]
    assert stems[:3] == ["swd_16", "swd_mean", "diversity_rms_small"]
    assert stems[-7:-1] == [
        "fd_faces7",
        "kd_faces7",
        "precision_faces7",
        "recall_faces7",
        "density_faces7",
        "coverage_faces7",
    ]
    assert lines[-7].startswith("fd_faces7[clean, ")
    assert "fd_faces: 7 images are no more than its 128 features" in lines[-1]
    assert ctx.ui["text"] == [table]


def test_a_set_is_at_no_distance_from_itself(ctx):
    real = images(0)
    lines = quality_metrics(ctx, real, real.clone(), "fd_faces,swd").splitlines()
    assert all(line.endswith(" 0.0000") for line in lines[1:4])
    assert torch.equal(real, images(0))


def test_alpha_is_dropped_and_order_means_nothing(ctx):
    real, fake = images(0), images(1)
    alpha = torch.cat([fake.flip(0), torch.zeros(8, 16, 16, 1)], 3)
    assert quality_metrics(ctx, real, fake, "fd_faces") == quality_metrics(
        ctx, real, alpha, "fd_faces"
    )


def test_unsuitable_inputs_are_refused_in_one_sentence(ctx, tmp_path):
    real = images(0)
    for fake, metrics, message in (
        (real, "psnr", "psnr needs a restorer"),
        (real, "fid", "fid needs a file of Inception's weights"),
        (real, "fd_faces;swd", "expected names of swd, .* got .fd_faces;swd."),
        (real, " , ", "expected names of swd, .* got none"),
        (real[:4], "prdc_faces", "expected a count of 6 or more, got 4"),
        (real[:, :8], "swd", "fake: expected square images, got 16 x 8 pixels"),
        (real[:, :8, :8], "swd", "expected RGB images of 16 px like the real ones, got 8 px"),
    ):
        with pytest.raises(InputError, match=message):
            quality_metrics(ctx, real, fake, metrics)


def test_a_file_of_another_network_is_named(host, tmp_path):
    save_file({"conv.weight": torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    folders = Host(host.input_dir, host.output_dir, host.temp_dir, model_folders=(tmp_path,))
    choices = NODES["Ganvas_QualityMetrics"].input("inception")
    assert choices is not None and choices.list_options(folders)[0] == "none"
    assert "other.safetensors" in choices.list_options(folders)
    with pytest.raises(InputError, match=r"other\.safetensors: expected the Inception weights"):
        quality_metrics(Context(folders), images(0), images(1), "kid", "other.safetensors")


def test_long_work_can_be_stopped(host):
    class Stopping(Context):
        def check(self) -> None:
            raise Interrupted

    with pytest.raises(Interrupted):
        quality_metrics(Stopping(host), images(0), images(1), "fd_faces")
