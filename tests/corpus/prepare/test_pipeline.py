"""A pipeline is checked whole before anything is read, and is written again as it was run."""

import os
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError
from groundup.corpus.prepare.pipeline import (
    CorpusPipeline,
    PipelineSource,
    SourceListing,
    _batches,
    _hash_path,
    fingerprint_sources,
    list_sources,
    pipeline_toml,
    plan_job_inputs,
    portable_pipeline,
    read_pipeline,
    step_specs,
)

from .pipelines import HERE, TOML, here, write_pipeline


def test_names_are_numbered_and_surveys_known(tmp_path):
    found = step_specs(read_pipeline(write_pipeline(tmp_path)).steps)
    assert [use.name for use in found] == ["01 tidy", "02 same"]
    assert [use.name for use in found if use.is_global] == ["02 same"]


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("short = 4", "shorts = 4", r"01 tidy: TidyConfig has no key `shorts`; did you mean"),
        ("short = 4", 'short = "no"', r"01 tidy: TidyConfig.short: .*integer"),
        (f'"{HERE}:Tidy"', '"web.lins"', r"use='web.lins' is unknown"),
        (f'"{HERE}:Lines"', '"jsno"', r"reader='jsno' is unknown"),
        (f'"{HERE}:Tidy"', '"no.such:Step"', r"01 tidy: no.such:Step cannot be used"),
        ('["notes"]', '["nots"]', r"only.sources has nots; the sources are notes"),
        ('"logs"', '"notes"', r"Two sources have the name notes"),
        ("test_share = 0.1", "test_share = 0.9", r"must be less than 1"),
        ("seed = 1", "sede = 1", r"no key `sede`; did you mean `seed`"),
        ('"notes"\npath', '"a|b"\npath', r"Source.name: .* should match"),
        ("seed = 1", "seed = ", r"not valid TOML"),
        (f'"{HERE}:Tidy"', '"augment.fim"', r"augment.fim derives .* under \[\[derive\]\]"),
        (
            "[[steps]]",
            "[[derive]]\nuse = 'web.lines'\n[[steps]]",
            r"no records; .* under \[\[steps",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path, old, new, said):
    path = write_pipeline(tmp_path, TOML.replace(old, new, 1))
    with pytest.raises(ConfigError, match=said):
        read_pipeline(path)


def test_toml_says_it_again(tmp_path):
    config = read_pipeline(write_pipeline(tmp_path))
    assert CorpusPipeline(**tomllib.loads(pipeline_toml(config))) == config
    odd = PipelineSource(name="x", path='a"\\\n\x7fé', settings={"a b": [1, 2.5, True, {"c": "d"}]})
    odd = CorpusPipeline(sources=(odd,))
    assert CorpusPipeline(**tomllib.loads(pipeline_toml(odd))) == odd


def test_places_of_this_machine_are_not_in_the_name():
    config = CorpusPipeline(
        sources=(PipelineSource(name="a", path="/x/y/docs"), PipelineSource(name="b", path="z/w"))
    )
    assert [source.path for source in portable_pipeline(config).sources] == ["docs", "z/w"]


class Part(NamedTuple):
    bytes: int


def digests(found: list[SourceListing]) -> list[str]:
    return [one.digest for one in fingerprint_sources(found, here)]


@given(st.lists(st.integers(0, 50)), st.integers(1, 60))
def test_parts_go_together_in_order_up_to_the_size(sizes, most):
    groups = list(_batches([Part(size) for size in sizes], sizes, most))
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
