"""What images go through before they are features: the resize, Inception-v3, and files of weights.

No published weights are at hand in a test, so the network carries random ones; what is checked is
what surrounds them: names, shapes, pools, resizes, normalisation, and which files are taken.
"""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import interpolate

from ganvas.core.checkpoints.catalog import DEMO_FOLDER
from ganvas.core.errors import InputError
from ganvas.core.evaluation import Request, evaluate
from ganvas.core.metrics import extractors
from ganvas.core.metrics.extractors import load_face_extractor, load_inception
from ganvas.core.metrics.images import TensorImages
from ganvas.core.metrics.resize import RESIZES, resize
from ganvas.core.models.inception import InceptionA, InceptionE, InceptionV3


@pytest.fixture(scope="module")
def state():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        with torch.device("meta"):
            network = InceptionV3()
        return {
            name: torch.randint(3, (), dtype=torch.int64)
            if name.endswith("num_batches_tracked")
            else torch.rand(tensor.shape) + 0.5
            if "running_var" in name or name.endswith("bn.weight")
            else torch.randn(tensor.shape) * 0.05
            for name, tensor in network.state_dict().items()
        }


@pytest.fixture(scope="module")
def weights(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "inception.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, 64, 64), generator=generator, dtype=torch.uint8)


@pytest.fixture
def small(monkeypatch):
    """Images of 75 px in place of 299, the least that the network takes: 16 times the speed."""
    monkeypatch.setattr(extractors, "SIZE", 75)


def test_inception_has_the_tensors_of_the_published_file():
    with torch.device("meta"):
        names = InceptionV3().state_dict()
    assert len(names) == 566
    assert sum(name.endswith("num_batches_tracked") for name in names) == 94
    shapes = {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Mixed_5b.branch_pool.conv.weight": (32, 192, 1, 1),
        "Mixed_6c.branch7x7_2.conv.weight": (160, 160, 1, 7),
        "Mixed_7c.branch3x3dbl_3b.bn.running_var": (384,),
        "fc.weight": (1008, 2048),
    }
    assert {name: tuple(names[name].shape) for name in shapes} == shapes
    # What PyTorch's documentation says of its own Inception-v3 (27161264 parameters) without the
    # auxiliary classifier and the fully connected layer, and that layer for 1008 classes.
    body = 27_161_264 - (98_304 + 256 + 2_457_600 + 1_536 + 769_000) - 1000 * 2049
    with torch.device("meta"):
        count = sum(p.numel() for p in InceptionV3().parameters())
    assert count == body + 1008 * 2049


def test_average_pools_leave_the_padding_out_and_the_last_block_takes_the_maximum():
    ones = torch.ones(1, 4, 5, 5)
    block = InceptionA(4, 8).eval()
    for module in block.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)
    pooled = block(ones)[:, -8:]
    assert torch.allclose(pooled, torch.full_like(pooled, 4 / (1 + 1e-3) ** 0.5))

    spike = torch.zeros(1, 4, 5, 5)
    spike[:, :, 2, 2] = 9.0
    for max_pool, expected in ((True, 36.0), (False, 4.0)):
        last = InceptionE(4, max_pool=max_pool).eval()
        for module in last.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.ones_(module.weight)
        branch = last(spike)[0, -1].detach()
        assert float(branch[1, 1]) == pytest.approx(expected / (1 + 1e-3) ** 0.5)
        assert float(branch[0, 0]) == 0


def test_a_state_dict_gives_features_and_logits_without_bias(weights, state, images):
    extractor = load_inception(weights)
    found = extractor(images[:1])
    assert found.features.shape == (1, 2048) and found.logits.shape == (1, 1008)
    assert found.features.isfinite().all() and (found.features >= 0).all()
    expected = found.features @ state["fc.weight"].T
    assert torch.allclose(found.logits, expected, rtol=1e-3, atol=1e-4)
    assert (extractor.dims, extractor.classes, extractor.resize) == (2048, 1008, "tf1")
    assert len(extractor.weights) == 8
    # Bytes and floats are the same images.
    floats = extractor(images[:1].double() / 255).features
    assert torch.allclose(floats, found.features, rtol=1e-4, atol=1e-5)


def test_a_safetensors_file_without_counters_is_the_same_network(
    weights, state, images, tmp_path, small
):
    path = tmp_path / "inception.safetensors"
    save_file({k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}, path)
    for way in ("clean", "torch"):
        ours, theirs = load_inception(weights, way), load_inception(path, way)
        assert ours.weights != theirs.weights
        assert torch.equal(ours(images[:1]).features, theirs(images[:1]).features)


def test_unsuitable_files_of_weights_are_refused(tmp_path, state):
    with pytest.raises(InputError, match=r"missing\.pth: no such file"):
        load_inception(tmp_path / "missing.pth")
    other = tmp_path / "other.safetensors"
    save_file({"conv.weight": torch.zeros(2, 2)}, other)
    with pytest.raises(InputError, match=r"expected the Inception weights of FID .*conv\.weight"):
        load_inception(other)
    program = tmp_path / "program.pt"
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), program)
    with pytest.raises(InputError, match=r"TorchScript program.*pt_inception-2015-12-05-6726825d"):
        load_inception(program)
    fine = {"Mixed_7c.branch_pool.conv.weight": torch.zeros(192, 2048, 1, 1)}
    save_file(fine, other)
    with pytest.raises(InputError, match=r"Inception-v3 needs 'Conv2d_1a_3x3\.conv\.weight"):
        load_inception(other)
    with pytest.raises(InputError, match="resize: expected one of tf1, clean, torch, got 'area'"):
        load_inception(other, "area")
    with pytest.raises(InputError, match="expected a face-features model, got a restore-unet"):
        load_face_extractor(DEMO_FOLDER / "faces-restore-unet-64.safetensors")


def test_weights_that_are_not_finite_are_refused(tmp_path, state):
    path = tmp_path / "nan.pth"
    torch.save({**state, "fc.bias": torch.full((1008,), torch.nan)}, path)
    with pytest.raises(InputError, match=r"fc\.bias holds NaN"):
        load_inception(path)


@pytest.mark.parametrize("size,target", [(64, 299), (7, 20), (300, 299), (256, 64), (20, 7)])
def test_tf1_samples_corners_unaligned_without_half_pixels(size, target):
    x = torch.rand(1, 1, size, size, generator=torch.Generator().manual_seed(0)) * 255
    got = resize(x, target, "tf1")[0, 0]
    image = x[0, 0].double().numpy()
    for i, j in ((0, 0), (1, 3), (target // 2, target - 1), (target - 1, target - 1)):
        y, z = i * size / target, j * size / target
        top, left = int(y), int(z)
        low, right = min(top + 1, size - 1), min(left + 1, size - 1)
        a = image[top, left] + (image[top, right] - image[top, left]) * (z - left)
        b = image[low, left] + (image[low, right] - image[low, left]) * (z - left)
        assert float(got[i, j]) == pytest.approx(a + (b - a) * (y - top), abs=1e-3)


@pytest.mark.parametrize("size,target", [(64, 299), (300, 299), (512, 299), (64, 20)])
def test_clean_is_pillow(size, target):
    rng = np.random.default_rng(0)
    image = (rng.random((size, size)) * 255).astype(np.float32)
    expected = np.asarray(Image.fromarray(image).resize((target, target), Image.Resampling.BICUBIC))
    got = resize(torch.from_numpy(image)[None, None], target, "clean")[0, 0]
    assert torch.allclose(got, torch.from_numpy(expected.clip(0, 255)), atol=0.01)


def test_torch_is_bilinear_with_half_pixels():
    x = torch.rand(1, 3, 10, 12, generator=torch.Generator().manual_seed(0)) * 255
    expected = interpolate(x, (24, 30), mode="bilinear", align_corners=False)
    assert torch.equal(resize(x, (24, 30), "torch"), expected)


@pytest.mark.parametrize("mode", RESIZES)
def test_images_of_the_right_size_and_flat_images_stay(mode):
    x = torch.rand(2, 3, 30, 30, generator=torch.Generator().manual_seed(0)) * 255
    assert torch.allclose(resize(x, 30, mode), x, atol=1e-3)
    flat = torch.full((1, 3, 9, 13), 77.0)
    assert torch.allclose(resize(flat, (20, 5), mode), torch.tensor(77.0), atol=1e-3)


def test_every_metric_of_inception_is_named_by_how_it_was_measured(weights, small):
    generator = torch.Generator().manual_seed(0)
    real, fake = (
        TensorImages(name, torch.rand(6, 3, 16, 16, generator=generator)) for name in "ab"
    )
    found = evaluate(Request(("fid", "kid", "is", "prdc"), 6, features=weights), real, fake)
    digits = load_inception(weights).weights
    end = f"[tf1, {digits}, 6, {real.content_hash[:8]}]"
    names = [result.name for result in found.results]
    prdc = [f"{name}6{end}" for name in ("precision", "recall", "density", "coverage")]
    assert names == [f"fid6{end}", f"kid6{end}", f"is6[tf1, {digits}, 6]", *prdc]
    numbers = values_of(found)
    assert numbers["fid"] > 0 and 1 <= numbers["is"] <= 1008
    assert found.warnings[0].startswith("fid: 6 images are no more than its 2048 features")
    assert found.warnings[1].startswith("is: 10 splits of 6 images hold fewer images than there")
    blind = evaluate(Request(("is",), 6, features=weights), None, fake)
    assert values_of(blind)["is"] == pytest.approx(numbers["is"])


def values_of(evaluation):
    return {result.metric: result.value for result in evaluation.results}


def test_an_unknown_resize_is_refused():
    with pytest.raises(ValueError, match="tf1, clean, torch, got 'area'"):
        resize(torch.zeros(1, 3, 8, 8), 4, "area")
