"""Sources are shared out in one order, and their fingerprint changes with what they hold."""

import os
from pathlib import Path
from typing import NamedTuple

import pytest

pytest.importorskip("pyarrow")
from hypothesis import given
from hypothesis import strategies as st

from groundup.corpus.prepare.inputs import (
    SourceListing,
    _group_splits,
    _hash_path,
    fingerprint_sources,
    list_sources,
    plan_job_inputs,
)
from groundup.corpus.prepare.pipeline import PipelineSource, read_pipeline

from .pipelines import here, write_pipeline


class Part(NamedTuple):
    bytes: int


def digests(found: list[SourceListing]) -> list[str]:
    return [one.digest for one in fingerprint_sources(found, here)]


@given(st.lists(st.integers(0, 50)), st.integers(1, 60))
def test_parts_go_together_in_order_up_to_the_size(sizes, most):
    groups = list(_group_splits([Part(size) for size in sizes], most))
    assert [part.bytes for group in groups for part in group] == sizes
    for group in groups:
        assert len(group) == 1 or sum(part.bytes for part in group) <= most
    for one, other in zip(groups, groups[1:], strict=False):
        assert sum(part.bytes for part in one) + other[0].bytes > most, "no shard is needless"


def test_patterns_choose_files_and_fingerprints_follow_contents(tmp_path):
    config = read_pipeline(write_pipeline(tmp_path))
    found = list_sources(config, tmp_path)
    assert [part.path for part in found[0].input_splits] == [f"{n}.txt" for n in range(4)]
    assert [origin.source for origin in plan_job_inputs(found, 1)] == ["notes"] * 4 + ["logs"] * 3
    first = digests(found)
    assert digests(list_sources(config, tmp_path)) == first
    os.utime(tmp_path / "in" / "0.txt", (1, 1))
    assert digests(found) == first, "times are nothing"
    (tmp_path / "in" / "5.txt").write_text("not chosen by the pattern")
    (tmp_path / "logs" / "0.txt").write_text("other")
    second = digests(list_sources(config, tmp_path))
    assert second[0] == first[0] and second[1] != first[1]


def test_folders_links_and_what_is_missing_have_a_hash_too(tmp_path):
    (tmp_path / "a").mkdir()
    before = _hash_path(tmp_path / "a")
    (tmp_path / "a" / "b").write_text("x")
    assert _hash_path(tmp_path / "a") != before
    (tmp_path / "l").symlink_to("a")
    assert _hash_path(tmp_path / "l") == "link to 'a'"
    assert _hash_path(tmp_path / "none") == "not a regular file"


@pytest.mark.parametrize(("megabytes", "shards"), [(3, 1), (100, 25), (1_000, 67), (20_000, 157)])
def test_a_small_collection_is_shared_out_too(megabytes, shards):
    parts = tuple(Part(2**20) for _ in range(megabytes))
    found = [SourceListing(PipelineSource(name="pages", path="pages"), Path("pages"), parts)]
    assert len(list(plan_job_inputs(found, 128 * 2**20))) == shards
