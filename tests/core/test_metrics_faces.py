"""The shipped feature network: what it reads off faces, and that its distances order images."""

import pytest
import torch

from ganvas.core.checkpoints import find_model, load
from ganvas.core.faces import render, sample_parameters
from ganvas.core.metrics import frechet_from_features
from ganvas.core.metrics.extractors import FACE_FEATURES, load_face_extractor
from ganvas.core.models.face_features import FaceFeatures
from ganvas.core.restoration import Degradation, degrade
from ganvas.core.sampling import sample_images

MAX_BYTES = 3 * 2**20
FIRST_SEED = 1 << 40  # faces that no data set of the training script holds
SMALL, LARGE = 64, 512
DAMAGES = {
    "blur_sigma": (1.0, 2.0, 3.0),
    "noise_std": (0.05, 0.15, 0.3),
    "downscale": (2.0, 4.0, 6.0),
}


@pytest.fixture(scope="module")
def extractor():
    return load_face_extractor()


class Sets:
    """Two sets of rendered faces, the demo generator's samples, and their features."""

    def __init__(self, extractor, count):
        self.extractor = extractor
        self.count = count
        self.renders = self.drawn(0)
        self.others = self.drawn(1)
        self.real = self.features(self.renders)

    def drawn(self, number):
        first = FIRST_SEED + number * self.count
        seeds = range(first, first + self.count)
        parts = [
            render(sample_parameters(list(seeds[i : i + 16])), size=64).images
            for i in range(0, self.count, 16)
        ]
        return torch.cat(parts).clamp(0, 1)

    def features(self, images):
        return torch.cat([self.extractor(part).features for part in images.split(32)])

    def distance(self, images):
        return frechet_from_features(self.features(images), self.real)


@pytest.fixture(
    scope="module", params=[SMALL, pytest.param(LARGE, marks=pytest.mark.slow)], ids=str
)
def sets(request, extractor):
    return Sets(extractor, request.param)


def test_the_network_is_small_and_says_what_it_reads():
    assert FACE_FEATURES.stat().st_size <= MAX_BYTES
    assert find_model("face-features") == FACE_FEATURES
    model = load(FACE_FEATURES)
    assert isinstance(model.network, FaceFeatures)
    outputs = model.training["outputs"]
    assert len(outputs) == len(set(outputs)) == model.network.config.num_outputs
    assert set(model.training["r2"]) == set(outputs)


def test_features_have_zero_mean_and_unit_variance_over_faces(sets):
    mean, deviation = sets.real.mean(0), sets.real.std(0)
    assert float(mean.abs().mean()) < 0.3
    assert 0.7 < float(deviation.mean()) < 1.3


def test_renders_are_nearer_than_generated_faces_and_these_than_damaged_ones(sets):
    renders = sets.distance(sets.others)
    demo = load(find_model("faces-stylegan2-64")).generator
    samples = sets.distance(torch.stack(list(sample_images(demo, range(sets.count), chunk=16))))
    damaged = sets.distance(
        degrade(sets.renders, Degradation(blur_sigma=3.0, noise_std=0.2), range(sets.count))
    )
    generator = torch.Generator().manual_seed(0)
    noise = sets.distance(torch.rand(sets.count, 3, 64, 64, generator=generator))
    assert renders < samples < damaged < noise


@pytest.mark.parametrize("field", DAMAGES)
def test_distances_grow_with_damage(sets, field):
    values = [sets.distance(sets.others)]
    for strength in DAMAGES[field]:
        damaged = degrade(sets.others, Degradation(**{field: strength}), range(sets.count))
        values.append(sets.distance(damaged))
    assert values == sorted(values)
    assert values[-1] > 1.5 * values[0]  # few images add the same bias to all
