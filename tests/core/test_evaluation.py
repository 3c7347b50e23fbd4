"""Measuring models: exact answers for copies, and a sentence where a metric does not fit."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import numpy as np
import pytest
import torch

from ganvas.core.checkpoints import load, save
from ganvas.core.data import open_dataset
from ganvas.core.errors import InputError
from ganvas.core.evaluation import Request, evaluate, evaluate_files, measure, measuring
from ganvas.core.images import save_png
from ganvas.core.metrics import feature_metrics
from ganvas.core.metrics.extractors import FACE_FEATURES, FaceExtractor
from ganvas.core.metrics.images import TensorImages
from ganvas.core.metrics.result import Result, as_table
from ganvas.core.models import infogan
from ganvas.core.models.face_features import FaceFeatures
from ganvas.core.models.stylegan2 import Generator
from ganvas.core.models.unet import RestorationUNet
from ganvas.core.sampling import sample_images

COUNT, SIZE = 6, 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    rng = torch.Generator().manual_seed(0)
    for index in range(COUNT):
        save_png(folder / f"{index}.png", torch.rand(SIZE, SIZE, 3, generator=rng))
    return folder


@pytest.fixture(scope="module")
def real(folder):
    return open_dataset(folder)


def _saved(path, arch, network):
    save(path, arch=arch, config=asdict(network.config), tensors=network.state_dict(), training={})
    return load(path)


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    torch.manual_seed(0)
    network = Generator(
        z_dim=8, w_dim=8, img_resolution=SIZE, channel_base=64, channel_max=8, num_mapping_layers=2
    )
    path = tmp_path_factory.mktemp("generator") / "g.safetensors"
    return _saved(path, "stylegan2-generator", network)


@pytest.fixture(scope="module")
def restorer(tmp_path_factory):
    network = RestorationUNet(base_channels=4, channel_max=8, num_levels=2)
    path = tmp_path_factory.mktemp("restorer") / "r.safetensors"
    return _saved(path, "restore-unet", network)


def test_a_set_is_at_distance_zero_from_itself_and_as_diverse(real):
    numbers = measure(["swd", "diversity"], real, real, COUNT)
    assert numbers["swd_mean"] == 0
    assert numbers["diversity_ratio_full"] == pytest.approx(1)


def test_a_random_generator_is_far_from_real_images(real, generator):
    numbers = measure(["swd", "diversity"], real, generator, COUNT)
    assert numbers["swd_mean"] > 10
    assert numbers["diversity_ratio_full"] != pytest.approx(1, abs=1e-3)


def test_restoration_is_listed_beside_its_baselines(real, restorer):
    numbers = measure(["psnr", "ssim"], real, restorer, COUNT)
    versions = ("restored", "degraded", "bicubic", "median")
    assert set(numbers) == {f"{m}_{v}" for m in ("psnr", "ssim") for v in versions}
    assert 5 < numbers["psnr_degraded"] < 40
    assert 0 < numbers["ssim_degraded"] < 1


@pytest.mark.parametrize(
    ("names", "model", "count", "sentence"),
    [
        (["fids"], "generator", COUNT, "expected names of swd, .*got 'fids'"),
        (["fid"], "generator", COUNT, "fid needs a file of Inception's weights"),
        (["ppl_faces"], "real", COUNT, "ppl_faces needs a generator as --fake, got images"),
        (["prdc_faces"], "generator", 5, "expected a count of 6 or more, got 5"),
        (["psnr"], "generator", COUNT, "psnr needs a restorer"),
        (["swd"], "restorer", COUNT, "swd needs a generator"),
        (["swd"], "generator", COUNT + 1, "expected a count of 2..6"),
        (["psnr"], "generator", COUNT + 1, "psnr needs a restorer as --fake, got a stylegan2"),
        (["swd", "swd"], "generator", COUNT, "every name once, got 'swd' twice"),
        (["swd"], "generator", 1, "expected a count of 2 or more, got 1"),
    ],
)
def test_what_does_not_fit_is_refused(real, names, model, count, sentence, request):
    with pytest.raises(InputError, match=sentence):
        measure(names, real, request.getfixturevalue(model), count)


@pytest.fixture
def small_features(monkeypatch):
    """A feature network of random weights in place of the shipped one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = FaceFeatures(img_resolution=16, channels=(4, 8), feature_dim=5, num_outputs=2)
    extractor = FaceExtractor(network.eval().requires_grad_(False), "0123abcd")
    monkeypatch.setattr(feature_metrics, "load_face_extractor", lambda device: extractor)
    return extractor


FACES = ("fd_faces", "kd_faces", "prdc_faces")


def values(evaluated):
    return {result.metric: result.value for result in evaluated.results}


def test_features_of_a_set_and_itself_are_equal(real, small_features):
    found = evaluate(Request(FACES, COUNT), real, real)
    numbers = values(found)
    assert numbers["fd_faces"] == pytest.approx(0, abs=1e-6)
    assert (numbers["precision_faces"], numbers["recall_faces"]) == (1, 1)
    assert numbers["coverage_faces"] == 1
    assert [result.name for result in found.results[:2]] == [
        f"fd_faces6[clean, 0123abcd, 6, {real.content_hash[:8]}]",
        f"kd_faces6[clean, 0123abcd, 6, {real.content_hash[:8]}]",
    ]
    assert found.results[1].deviation is not None
    assert not found.warnings


def test_few_images_are_warned_about(real, small_features):
    found = evaluate(Request(("fd_faces",), 5), real, real)
    assert found.warnings == [
        "fd_faces: 5 images are no more than its 5 features, so its bias is large; compare at "
        "equal counts only, or use more images"
    ]


def test_a_generator_is_measured_as_the_files_it_would_write(
    real, generator, small_features, tmp_path
):
    for index, image in enumerate(sample_images(generator.generator, range(COUNT))):
        save_png(tmp_path / f"{index}.png", image.permute(1, 2, 0))
    request = Request((*FACES, "swd"), COUNT)
    drawn = values(evaluate(request, real, generator))
    written = values(evaluate(request, real, open_dataset(tmp_path)))
    assert drawn == written


def test_the_batch_changes_nothing(real, generator, small_features, monkeypatch):
    request = Request((*FACES, "ppl_faces"), COUNT)
    whole = values(evaluate(request, real, generator))
    monkeypatch.setattr(measuring, "_CHUNK", 4)
    monkeypatch.setattr(feature_metrics, "_PATHS", 5)
    parts = values(evaluate(request, real, generator))
    assert parts == pytest.approx(whole, rel=1e-3, abs=1e-6)


def test_path_lengths_run_in_w_or_z_and_say_so(real, generator, small_features):
    names = ("ppl_faces", "ppl_faces_crop", "ppl_faces_z")
    found = evaluate(Request(names, COUNT), real, generator)
    model = generator.sha256[:8]
    assert [result.name for result in found.results] == [
        f"ppl_faces6[w, clean, 0123abcd, 6, {model}]",
        f"ppl_faces_crop6[w, clean, 0123abcd, 6, {model}]",
        f"ppl_faces_z6[z, clean, 0123abcd, 6, {model}]",
    ]
    assert len(set(values(found).values())) == 3
    assert all(result.value > 0 and result.deviation for result in found.results)
    again = evaluate(Request(names, COUNT, seed=1), real, generator)
    assert values(again) != values(found)


def test_work_is_reported_and_can_be_stopped(real, generator, small_features):
    seen = []
    request = Request(("swd", "fd_faces", "ppl_faces"), COUNT)
    evaluate(request, real, generator, progress=lambda *report: seen.append(report))
    assert [(stage, done) for stage, done, _ in seen] == [
        ("real", COUNT),
        ("fake", COUNT),
        ("pixels", 0),
        ("pixels", COUNT),
        ("ppl_faces", COUNT),
    ]

    def stop(stage, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(request, real, generator, progress=stop)


def test_arguments_are_refused_before_anything_is_opened(tmp_path, folder, monkeypatch):
    with pytest.raises(InputError, match=r"missing\.pth: expected a file of Inception's weights"):
        Request(("fid",), features=tmp_path / "missing.pth")
    with pytest.raises(InputError, match="a resize of tf1, clean, torch, got 'area'"):
        Request(("swd",), resize="area")
    opened = []
    monkeypatch.setattr(measuring, "load", lambda *args: opened.append(args))
    with pytest.raises(InputError, match=r"expected a count of 2\.\.6 \(the images of --real\)"):
        evaluate_files(Request(("swd",), COUNT + 1), str(folder), str(FACE_FEATURES))
    with pytest.raises(InputError, match="nothing-there"):
        evaluate_files(Request(("swd",)), str(tmp_path / "not-opened"), "nothing-there")
    assert not opened


def test_two_names_are_opened_and_compared(folder):
    for fake in (str(folder), f"folder:{folder}"):
        found = evaluate_files(Request(("diversity",)), str(folder), fake)
        assert found.count == COUNT
        assert values(found)["diversity_ratio_full"] == pytest.approx(1)
    written = found.as_dict()
    assert written["images"] == COUNT and written["warnings"] == []
    assert written["results"][0]["name"].startswith("diversity_rms_small[6, ")
    assert found.as_text().splitlines()[0] == f"images  {COUNT}"


def test_images_of_a_tensor_are_a_set(small_features):
    generator = torch.Generator().manual_seed(0)
    grey = torch.rand(8, 1, 16, 16, generator=generator)
    ours, theirs = TensorImages("a", grey), TensorImages("b", grey.expand(-1, 3, -1, -1))
    assert ours.content_hash != theirs.content_hash
    found = values(evaluate(Request(FACES, 8), ours, ours))
    assert found == pytest.approx(values(evaluate(Request(FACES, 8), theirs, theirs)), abs=1e-9)
    with pytest.raises(InputError, match=r"expected grey images of 16 px .*got 16 px with 3"):
        evaluate(Request(FACES, 8), ours, theirs)
    with pytest.raises(InputError, match="x: expected square images, got 5 x 4 pixels"):
        TensorImages("x", torch.zeros(2, 3, 4, 5))
    with pytest.raises(InputError, match=r"x: float images must lie in 0\.\.1"):
        TensorImages("x", torch.full((2, 3, 4, 4), 3.0))
    odd = TensorImages("x", torch.zeros(2, 3, 20, 20))
    with pytest.raises(InputError, match=r"swd cannot take these images .*16 \* 2\*\*k"):
        evaluate(Request(("swd",), 2), odd, odd)
    tiny = TensorImages("x", torch.zeros(2, 3, 6, 6))
    with pytest.raises(InputError, match="swd needs images of 7 px or more, got 6 px"):
        evaluate(Request(("swd",), 2), tiny, tiny)


def test_too_many_images_for_memory_are_refused(real, monkeypatch, small_features):
    monkeypatch.setattr(measuring, "MAX_IMAGE_BYTES", 1000)
    with pytest.raises(InputError, match="swd holds all images in memory"):
        evaluate(Request(("swd",), COUNT), real, real)
    monkeypatch.setattr(feature_metrics, "MAX_KEPT_BYTES", 100)
    with pytest.raises(InputError, match="6 images need 0 GiB for features"):
        evaluate(Request(("kd_faces",), COUNT), real, real)


@pytest.fixture
def conditional(tmp_path):
    torch.manual_seed(0)
    network = Generator(
        z_dim=8,
        w_dim=8,
        c_dim=2,
        img_resolution=SIZE,
        channel_base=64,
        channel_max=8,
        num_mapping_layers=2,
    )
    return _saved(tmp_path / "g.safetensors", "stylegan2-generator", network)


def test_a_conditional_generator_needs_its_class(real, small_features, conditional):
    with pytest.raises(InputError, match=r"has 2 classes; expected --class 0\.\.1"):
        evaluate(Request(("fd_faces",), COUNT), real, conditional)
    first, second = (
        values(
            evaluate(Request(("fd_faces", "ppl_faces"), COUNT, class_index=c), real, conditional)
        )
        for c in (0, 1)
    )
    assert first["fd_faces"] != second["fd_faces"] and first["ppl_faces"] != second["ppl_faces"]


def test_a_conditional_generator_draws_the_labels_of_the_real_images(
    real, small_features, conditional
):
    labelled = TensorImages("labelled", real.images(range(COUNT)))
    classes = [0, 1, 1, 0, 1, 0]
    labelled.labels = torch.eye(2)[classes]
    mixed = [
        next(sample_images(conditional.generator, [i], class_index=c))
        for i, c in enumerate(classes)
    ]
    request = Request(("fd_faces", "swd"), COUNT)
    drawn = values(evaluate(request, labelled, conditional))
    written = values(evaluate(request, labelled, TensorImages("fake", torch.stack(mixed))))
    assert drawn == pytest.approx(written, rel=1e-3)
    plain = evaluate(Request(request.names, COUNT, class_index=0), labelled, conditional)
    assert drawn["swd_mean"] != pytest.approx(values(plain)["swd_mean"], rel=1e-2)
    assert plain.warnings[-1].startswith("--class 0: 3 of the 6 real images are of other classes")
    labelled.labels = torch.eye(3)[[0, 1, 2, 0, 1, 2]]
    with pytest.raises(InputError, match=r"labels of 2 numbers, got labels of 3 numbers"):
        evaluate(request, labelled, conditional)


def test_infogan_draws_what_its_seeds_choose(real, small_features, tmp_path):
    """Its categories are no classes of the data, even where there are as many of them."""
    network = infogan.Generator(
        z_dim=8, c_dim=3, num_categories=3, img_resolution=SIZE, channel_base=64
    )
    model = _saved(tmp_path / "g.safetensors", "infogan-generator", network)
    labelled = TensorImages("labelled", real.images(range(COUNT)))
    labelled.labels = torch.eye(3)[[0] * COUNT]
    own = TensorImages("fake", torch.stack(list(sample_images(model.generator, range(COUNT)))))
    request = Request(("swd",), COUNT)
    drawn = values(evaluate(request, labelled, model))
    assert drawn == pytest.approx(values(evaluate(request, labelled, own)), rel=1e-3)


def test_a_generator_that_draws_nan_is_refused(real, small_features, tmp_path):
    network = Generator(
        z_dim=8, w_dim=8, img_resolution=SIZE, channel_base=64, channel_max=8, num_mapping_layers=2
    )
    broken = _saved(tmp_path / "g.safetensors", "stylegan2-generator", network)
    with torch.no_grad():
        next(broken.generator.synthesis.parameters()).fill_(torch.nan)
    for name in ("fd_faces", "swd"):
        with pytest.raises(InputError, match=r"g\.safetensors: the generator's images hold NaN"):
            evaluate(Request((name,), COUNT), real, broken)


def test_path_lengths_need_no_real_images(real, generator, small_features):
    for given in (None, real):
        found = evaluate(Request(("ppl_faces_end",), COUNT + 10), given, generator)
        assert found.count == COUNT + 10 and found.as_dict()["fake"] == generator.sha256
    with pytest.raises(InputError, match="fd_faces compares with real images, expected them as"):
        evaluate(Request(("ppl_faces", "fd_faces"), COUNT), None, generator)


def test_path_lengths_at_the_end_are_those_at_t_zero(generator, small_features, monkeypatch):
    end, anywhere = (
        values(evaluate(Request((name,), COUNT), None, generator))[name]
        for name in ("ppl_faces_end", "ppl_faces")
    )
    assert end != anywhere
    monkeypatch.setattr(feature_metrics, "uniform", lambda seed, stream, n: np.zeros(len(n)))
    assert values(evaluate(Request(("ppl_faces",), COUNT), None, generator))["ppl_faces"] == end


def test_one_pair_has_a_ratio(real, restorer):
    assert evaluate(Request(("psnr",), 1), real, restorer).count == 1


class Threads:
    """Ranks that are threads of this process."""

    device = torch.device("cpu")

    def __init__(self, rank, world, shared):
        self.rank, self.world = rank, world
        self.board, self.barrier = shared

    def sum_(self, tensor):
        self.board[self.rank] = tensor.clone()
        self.barrier.wait(60)
        total = sum(self.board[rank] for rank in range(self.world))
        self.barrier.wait(60)
        return tensor.copy_(total)


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_together_measure_what_one_measures(
    real, generator, restorer, small_features, monkeypatch, world
):
    monkeypatch.setattr(measuring, "_CHUNK", 2)
    monkeypatch.setattr(feature_metrics, "_PATHS", 2)
    names = (*FACES, "swd", "diversity", "ppl_faces")
    for request, fake in ((Request(names, COUNT), generator), (Request(("psnr",)), restorer)):
        alone = evaluate(request, real, fake)
        shared = ({}, threading.Barrier(world))
        with ThreadPoolExecutor(world) as pool:
            begun = [
                pool.submit(evaluate, request, real, fake, group=Threads(rank, world, shared))
                for rank in range(world)
            ]
        for one in (rank.result() for rank in begun):
            assert values(one) == pytest.approx(values(alone), rel=1e-12)
            assert [r.name for r in one.results] == [r.name for r in alone.results]


def test_every_number_is_written_with_what_it_depends_on(real, generator, small_features):
    written = evaluate(Request(("fd_faces", "ppl_faces"), COUNT, seed=3), real, generator).as_dict()
    assert set(written) == {"images", "real", "fake", "seed", "results", "warnings"}
    assert (written["real"], written["fake"]) == (real.content_hash, generator.sha256)
    assert written["seed"] == 3
    distance, length = written["results"]
    assert set(distance) == {"name", "metric", "value", "count", "reference", "resize", "weights"}
    assert set(length) == set(distance) | {"deviation", "space"}


def test_small_numbers_keep_four_digits():
    results = [Result("kid", 0.000512345, 10, "r", 0.0000123456), Result("fid", 53.01234, 10, "r")]
    assert [line.split("  ")[-1] for line in as_table(results).splitlines()] == [
        "0.0005123 +- 1.235e-05",
        "53.0123",
    ]
