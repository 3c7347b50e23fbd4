"""Images that are kept apart to measure on: which ones, and that training never sees them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ganvas.core.errors import InputError
from ganvas.training.heldout import split
from ganvas.training.images import TwoSets


class Numbered:
    """Images of one pixel, which is their number."""

    content_hash = "numbered"
    resolution = 1

    def __init__(self, labels):
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def images(self, indices):
        return indices[:, None, None, None].expand(-1, 3, 1, 1)


def numbers(data):
    return data.images(torch.arange(len(data)))[:, 0, 0, 0].tolist()


@given(count=st.integers(1, 300), share=st.floats(0, 1, exclude_max=True))
def test_every_image_is_on_one_side(count, share):
    heldout = int(share * count)
    given_out, apart = split(Numbered(torch.arange(count)[:, None]), heldout)
    assert len(apart) == heldout
    assert sorted(numbers(given_out) + numbers(apart)) == list(range(count))
    assert given_out.labels[:, 0].tolist() == numbers(given_out)
    assert apart.labels[:, 0].tolist() == numbers(apart)


def test_sorted_classes_are_held_out_alike():
    """Published data sets lie sorted by class: the last images would be of the last class alone."""
    classes = torch.arange(10).repeat_interleave(50)
    _, apart = split(Numbered(classes), 100)
    assert torch.bincount(apart.labels).tolist() == [10] * 10


def test_pairs_stay_together_and_domains_are_split_each():
    first, second = Numbered(torch.zeros(20)), Numbered(torch.zeros(33))
    pairs, apart = split(TwoSets(first, first, True, "x"), 4)
    assert numbers(pairs.first) == numbers(pairs.second)
    assert numbers(apart.first) == numbers(apart.second)
    domains, apart = split(TwoSets(first, second, False, "x"), 4)
    assert [len(domains.first), len(domains.second)] == [16, 29]
    assert [len(apart.first), len(apart.second)] == [4, 4]


def test_data_of_which_all_would_be_held_out_are_refused():
    with pytest.raises(InputError, match=r"has 8 images, more than 8 are needed"):
        split(Numbered(torch.zeros(8)), 8)
