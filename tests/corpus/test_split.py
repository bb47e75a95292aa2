"""A file's split depends on its path and the seed, not on its neighbours."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError
from groundup.corpus import split_paths

MANY = [f"folder {n % 7}/file {n}.md" for n in range(2000)]


def test_adding_files_moves_no_other():
    few = split_paths(MANY[:1000], 0.1, 0.1)
    many = split_paths(MANY, 0.1, 0.1)
    assert all(many[path] == split for path, split in few.items())


def test_shares_are_about_kept_and_another_seed_splits_otherwise():
    splits = split_paths(MANY, 0.1, 0.05)
    counts = Counter(splits.values())
    assert 150 < counts["validation"] < 250 and 60 < counts["test"] < 140
    assert splits != split_paths(MANY, 0.1, 0.05, seed=1)


@given(st.permutations(MANY[:30]))
def test_order_does_not_matter(paths):
    assert split_paths(paths, 0.2, 0.2) == split_paths(MANY[:30], 0.2, 0.2)


@given(st.lists(st.text(max_size=5), unique=True, max_size=12), st.integers(0, 3))
def test_small_collections_fill_every_split_they_can(paths, seed):
    counts = Counter(split_paths(paths, 0.05, 0.05, seed).values())
    assert sum(counts.values()) == len(paths)
    assert not paths or counts["train"] >= 1
    assert len(paths) < 2 or counts["test"] >= 1
    assert len(paths) < 3 or counts["validation"] >= 1


def test_a_share_of_zero_takes_nothing():
    assert set(split_paths(MANY[:50], 0, 0).values()) == {"train"}
    assert "test" not in split_paths(MANY[:50], 0.1, 0).values()


def test_shares_that_leave_nothing_are_refused():
    with pytest.raises(ConfigError, match="leave nothing to train on"):
        split_paths(MANY, 0.5, 0.5)
