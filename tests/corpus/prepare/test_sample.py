"""A dry run shows each record before and after each step."""

import pytest

pytest.importorskip("pyarrow")

from groundup.corpus.prepare.inputs import look
from groundup.corpus.prepare.pipeline import read_pipeline
from groundup.corpus.prepare.sample import read_sample, sample

from .pipelines import write_pipeline


def test_each_record_is_shown_at_each_step_that_concerns_it(tmp_path):
    config = read_pipeline(write_pipeline(tmp_path))
    (tmp_path / "in" / "0.txt").write_text("bad luck\nno\ngood\ngood")
    path = sample(config, look(config, tmp_path), tmp_path / "dry", 4)
    rows = list(read_sample(path))
    assert {row.source for row in rows if row.step == "01 tidy"} == {"notes"}
    first = next(row for row in rows if row.step == "01 tidy")
    assert (first.before, first.after, first.reason) == ("bad luck", " luck", "")
    assert first.removed[0]["text"] == "bad" and first.metadata == {"length": 8}
    second = [row for row in rows if row.step == "01 tidy"][1]
    assert (second.after, second.reason) == ("", "too short")
    assert len([row for row in rows if row.step == "02 same" and row.reason]) >= 1
    assert [row for row in rows if row.step == "99 text"]
