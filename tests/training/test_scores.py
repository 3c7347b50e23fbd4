"""Numbers at a snapshot: collapse, neighbours, ranks that share the work."""

import pytest
import torch

from ganvas.core.metrics.modes import Modes
from ganvas.training.config import override
from ganvas.training.distributed import Ranks
from ganvas.training.feed import Feed, to_float
from ganvas.training.images import SyntheticImages
from ganvas.training.presets import PRESETS
from ganvas.training.scores import Scores, alarms
from ganvas.training.system import System

CPU = torch.device("cpu")
ALONE = Ranks(0, 1, CPU)


class Copies(System):
    """A system whose samples are real images number `shown[i % len(shown)]`."""

    def __init__(self, feed, shown):
        self.feed, self.shown = feed, shown

    def step(self, step): ...

    def model(self, training): ...

    def grid(self): ...

    def samples(self, sample):
        chosen = torch.tensor([self.shown[i % len(self.shown)] for i in sample])
        return to_float(self.feed.dataset.images(chosen), CPU, False)


def scores_of(shown, ranks=ALONE, **changes):
    changes = {"swd_images": 0} | changes
    settings = ["resolution=16", "batch=8", *(f"{k}={v}" for k, v in changes.items())]
    config = override(PRESETS["stylegan2-faces-16"].config, settings)
    feed = Feed(SyntheticImages(config.resolution, 400), config, 0, 1)
    return Scores(config, feed, ranks), Copies(feed, shown)


def test_samples_like_the_data_raise_no_alarm():
    scores, system = scores_of(range(1, 400), swd_images=64)
    values = scores.measure(system)
    assert 0.9 < values["diversity"] < 1.1
    assert values["modes"] > 0.9
    assert values["swd_mean"] < 100
    assert alarms(values) == []


@pytest.mark.parametrize("shown", [[5], [5, 9]])
def test_a_collapsed_generator_raises_the_alarm(shown):
    scores, system = scores_of(shown)
    values = scores.measure(system)
    assert values["modes"] < 0.5
    assert any("samples visit clusters" in text for text in alarms(values))
    assert any("differ from one another" in text for text in alarms(values)) == (len(shown) == 1)
    assert "swd_mean" not in values


def test_nothing_is_measured_where_nothing_is_asked():
    scores, system = scores_of([1, 2, 3], watch_images=0)
    assert scores.measure(system) == {}


def test_every_rank_draws_its_share_of_the_samples():
    drawn = []

    class Fleet(Ranks):
        """Rank 1 of 2, whose partner's samples arrive in the sum."""

        def sum_(self, tensor):
            drawn.append(tensor.clone())
            whole = to_float(SyntheticImages(16, 400).images(torch.arange(256)), CPU, False)
            missing = tensor.flatten(1).abs().sum(dim=1) == 0
            tensor[missing] = whole.add(1).div(2)[missing]
            return tensor

    alone, system = scores_of(range(400))
    together, _ = scores_of(range(400), Fleet(1, 2, CPU))
    assert together.measure(system) == pytest.approx(alone.measure(system))
    assert (drawn[0][::2] == 0).all() and (drawn[0][1::2].flatten(1).sum(dim=1) > 0).all()


def test_features_tell_copies_of_the_data_from_a_few_of_them():
    scores, system = scores_of(range(400), fd_images=300, watch_images=0)
    same = scores.measure(system)["fd_faces"]
    system.shown = range(20)
    few = scores.measure(system)["fd_faces"]
    assert set(scores.measure(system)) == {"fd_faces"}
    assert 0 <= same < 0.2 * few


def test_more_ranks_than_samples_leave_none_without_work():
    class Last(Ranks):
        def sum_(self, tensor):
            return tensor

    scores, system = scores_of([3, 77, 250], Last(11, 12, CPU))
    rows = scores.neighbours(system, count=2)
    assert rows is not None and rows.shape == (4, 3, 16, 16)


def test_neighbours_of_copies_are_the_originals():
    scores, system = scores_of([3, 77, 250])
    rows = scores.neighbours(system, count=3)
    assert rows is not None and rows.shape == (6, 3, 16, 16)
    torch.testing.assert_close(rows[:3], rows[3:])


def test_real_images_visit_nearly_every_mode_and_one_image_a_single_one():
    reals = SyntheticImages(16, 600).images(torch.arange(600))
    modes = Modes(reals[:300], 15)
    assert float(modes.shares.sum()) == pytest.approx(1)
    assert modes.coverage(reals[300:]) > 0.9
    assert modes.coverage(reals[:1].expand(100, -1, -1, -1)) in modes.shares.tolist()
    assert torch.equal(Modes(reals[:300], 15).centres, modes.centres)
    with pytest.raises(ValueError, match=r"expected 15 images or more, got 14"):
        Modes(reals[:14], 15)


@pytest.mark.parametrize("world", [1, 2])
def test_the_watch_alone_draws_few_images_at_a_time_and_sees_the_same(world, monkeypatch):
    """256 whole images of 1024 px would be 3 GiB of samples and as much of data on every rank."""
    monkeypatch.setattr(Ranks, "sum_", lambda self, tensor: tensor)
    ranks, settings = Ranks(0, world, CPU), {"resolution": 32, "watch_images": 256}
    whole, system = scores_of(range(400), ranks, **settings, swd_images=256)
    watch, copies = scores_of(range(400), ranks, **settings)
    sizes, real = [], system.samples
    monkeypatch.setattr(copies, "samples", lambda own: sizes.append(len(own)) or real(own))
    expected, found = whole.measure(system), watch.measure(copies)
    assert found == pytest.approx({name: expected[name] for name in ("diversity", "modes")})
    assert max(sizes) <= 64 and sum(sizes) == 256 // world
