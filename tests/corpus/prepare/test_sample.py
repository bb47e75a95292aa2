"""A dry run shows each record before and after each step."""

import pytest

pytest.importorskip("pyarrow")

from groundup.corpus.engine.pool import Pool
from groundup.corpus.prepare.inputs import look
from groundup.corpus.prepare.pipeline import read_pipeline
from groundup.corpus.prepare.sample import read_sample, sample

from .pipelines import HERE, TOML, here, write_pipeline

DERIVE = f"""
[[derive]]
use = "{HERE}:Twice"
name = "twice"
only = {{ sources = ["logs"] }}
"""


def test_each_record_is_shown_at_each_step_that_concerns_it(tmp_path):
    path = write_pipeline(tmp_path, TOML.replace("in/[0-3].txt", "in/[0].txt"))
    (tmp_path / "in" / "0.txt").write_text("bad luck\nno\ngood\ngood")
    config = read_pipeline(path)
    path = sample(config, look(config, tmp_path), tmp_path / "dry", 4, here)
    rows = list(read_sample(path))
    assert {row.source for row in rows if row.step == "01 tidy"} == {"notes"}
    first = next(row for row in rows if row.step == "01 tidy")
    assert (first.before, first.after, first.reason) == ("bad luck", " luck", "")
    assert first.removed[0]["text"] == "bad" and first.metadata == {"length": 8}
    second = [row for row in rows if row.step == "01 tidy"][1]
    assert (second.after, second.reason) == ("", "too short")
    assert len([row for row in rows if row.step == "02 same" and row.reason]) >= 1
    assert [row for row in rows if row.step == "99 text"]


def test_what_would_be_derived_is_shown_beside_its_parent(tmp_path):
    config = read_pipeline(write_pipeline(tmp_path, TOML + DERIVE))
    rows = list(read_sample(sample(config, look(config, tmp_path), tmp_path / "dry", 30, here)))
    made = [row for row in rows if row.step == "01 twice"]
    assert made and {row.source for row in made} == {"logs"}
    for row in made:
        assert row.path.endswith("#twice-0") and row.after == row.before.upper()
        assert row.metadata["synthetic"] == "twice"


def test_a_record_that_hangs_is_set_aside_as_in_a_run(tmp_path):
    path = write_pipeline(tmp_path, TOML.replace("in/[0-3].txt", "in/[0].txt"))
    (tmp_path / "in" / "0.txt").write_text("good luck\nhang\ndie\nfine by me")
    config = read_pipeline(path)
    with Pool(1, limit_seconds=0.5) as each:
        path = sample(config, look(config, tmp_path), tmp_path / "dry", 4, each)
    rows = [row for row in read_sample(path) if row.step == "01 tidy"]
    assert [row.reason for row in rows] == ["", "time limit", "worker died", ""]
