"""A pipeline is checked whole before anything is read, and is written again as it was run."""

import tomllib

import pytest

pytest.importorskip("pyarrow")

from groundup.core import ConfigError
from groundup.corpus.prepare.pipeline import (
    CorpusPipeline,
    PipelineSource,
    pipeline_toml,
    portable_pipeline,
    read_pipeline,
    step_specs,
)

from .pipelines import HERE, TOML, write_pipeline


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
        (
            '["notes"]',
            '["nots"]',
            r"only.sources has nots, which is not a source; expected one of notes",
        ),
        ('"logs"', '"notes"', r"Two sources have the name notes"),
        ("test_share = 0.1", "test_share = 0.9", r"must be less than 1"),
        ("seed = 1", "sede = 1", r"no key `sede`; did you mean `seed`"),
        ('"notes"\npath', '"a|b"\npath', r"Source.name: .* should match"),
        ("seed = 1", "seed = ", r"not valid TOML"),
        (f'"{HERE}:Tidy"', '"augment.fim"', r"augment.fim derives .* under \[\[derive\]\]"),
        ("[[steps]]", "[[derive]]\nuse = 'web.lines'\n[[steps]]", r"under \[\[steps\]\], not"),
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
