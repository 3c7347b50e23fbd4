"""Which images a run sees: whatever the number of workers and of ranks, and wherever it resumes."""

from contextlib import closing

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganvas.core.data import open_dataset
from ganvas.training.config import override
from ganvas.training.feed import Feed
from ganvas.training.images import TwoSets
from ganvas.training.presets import PRESETS

from .image_sets import smooth_images, write_images

BATCH = 12
STEPS = 8


class Numbered:
    """Images whose pixels tell their number, with labels that tell it too."""

    content_hash = "numbered"
    resolution = 8

    def __init__(self, count):
        self.labels = torch.arange(count, dtype=torch.float32)[:, None]

    def __len__(self):
        return len(self.labels)

    def images(self, indices):
        # The left half is darker than the right one: a mirrored image shows that it is.
        image = indices.to(torch.uint8)[:, None, None, None].repeat(1, 3, 8, 8)
        image[..., 4:] += 100
        return image


def configured(workers=0, accum=1, seed=0, heldout=0):
    chosen = [f"workers={workers}", f"grad_accum={accum}", f"seed={seed}", f"heldout={heldout}"]
    return override(PRESETS["dcgan-64"].config, [f"batch={BATCH}", "mirror=true", *chosen])


def drawn(data, config, world, steps):
    """Sample numbers and all that belongs to each, of these steps over all ranks, by number."""
    rows = []
    for rank in range(world):
        with closing(Feed(data, config, rank, world)) as feed:
            for step in steps:
                for part in feed.batch(step):
                    targets = part.images if part.targets is None else part.targets
                    labels = part.images[:, 0, 0, :1] if part.labels is None else part.labels
                    rows += zip(part.sample.tolist(), part.images, targets, labels, strict=True)
    return sorted(rows, key=lambda row: row[0])


def same(first, second):
    return len(first) == len(second) and all(
        a[0] == b[0] and all(map(torch.equal, a[1:], b[1:]))
        for a, b in zip(first, second, strict=True)
    )


DATA = st.sampled_from(["images", "pairs", "domains"])


def sets(kind, count):
    if kind == "images":
        return Numbered(count)
    return TwoSets(Numbered(count), Numbered(count + 3 * (kind == "domains")), kind == "pairs", "x")


@settings(max_examples=25, deadline=None)
@given(
    kind=DATA,
    count=st.integers(5, 60),
    seed=st.integers(0, 9),
    workers=st.sampled_from([0, 1, 3]),
    world=st.sampled_from([1, 2, 3]),
    accum=st.sampled_from([1, 2]),
    resumed=st.integers(0, STEPS - 1),
)
def test_batches_depend_on_the_step_alone(kind, count, seed, workers, world, accum, resumed):
    data = sets(kind, count)
    once = drawn(data, configured(seed=seed), 1, range(STEPS))
    split = configured(workers, accum, seed)
    before = drawn(data, split, world, range(resumed))
    after = drawn(data, split, world, range(resumed, STEPS))
    assert same(before + after, once)
    assert [row[0] for row in once] == list(range(STEPS * BATCH))


@settings(max_examples=15, deadline=None)
@given(count=st.integers(2, 40), heldout=st.integers(0, 9), world=st.sampled_from([1, 2, 3]))
def test_each_epoch_shows_every_image_once_and_none_held_out(count, heldout, world):
    data = Numbered(count + heldout)
    rows = drawn(data, configured(heldout=heldout), world, range(STEPS))
    seen = [int(row[3]) for row in rows]
    with closing(Feed(data, configured(heldout=heldout), 0, 1)) as feed:
        apart = set(feed.heldout_batch().labels[:, 0].int().tolist())
    assert len(apart) == heldout
    assert apart.isdisjoint(seen)
    for epoch in range(len(seen) // count):
        once = seen[epoch * count : (epoch + 1) * count]
        assert sorted(once) == sorted(set(range(count + heldout)) - apart)
    assert all(int(row[1].min()) == int(row[3]) for row in rows)  # labels go with their images


def test_steps_may_be_asked_for_in_any_order():
    data, config = Numbered(20), configured(workers=3)
    with closing(Feed(data, config, 0, 1)) as feed:
        jumping = {step: feed.batch(step)[0].images for step in (4, 5, 0, 1, 7, 6)}
    once = drawn(data, configured(), 1, range(STEPS))
    for step, images in jumping.items():
        expected = torch.stack([row[1] for row in once[step * BATCH : (step + 1) * BATCH]])
        assert torch.equal(images, expected)


def test_files_read_by_threads_are_those_read_without(tmp_path):
    folder = write_images(tmp_path / "data", smooth_images(30, 0))
    for cache_bytes in (0, 2**20):
        runs = [
            drawn(open_dataset(folder, cache_bytes=cache_bytes), configured(workers), 1, range(6))
            for workers in (0, 3)
        ]
        assert same(*runs)
    assert np.unique([row[0] for row in runs[0]]).size == 6 * BATCH
