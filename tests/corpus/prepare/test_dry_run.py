"""A dry run shows each record before and after each step."""

import pytest

pytest.importorskip("pyarrow")

from groundup.core import Config
from groundup.corpus.engine.job import READ_STEP, DropRecord
from groundup.corpus.engine.pool import WorkerPool
from groundup.corpus.prepare.dry_run import _run_step_on, dry_run_steps, read_dry_run
from groundup.corpus.prepare.inputs import list_sources
from groundup.corpus.prepare.pipeline import read_pipeline
from groundup.documents import ExtractedText, NamedStep, Record, SourceMap, StepResult, TextEdit

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
    path = dry_run_steps(config, list_sources(config, tmp_path), tmp_path / "dry", 4, here)
    rows = list(read_dry_run(path))
    assert {row.source for row in rows if row.step == "01 tidy"} == {"notes"}
    first = next(row for row in rows if row.step == "01 tidy")
    assert (first.before, first.after, first.reason) == ("bad luck", " luck", "")
    assert first.removed[0]["text"] == "bad" and first.metadata == {"length": 8}
    second = [row for row in rows if row.step == "01 tidy"][1]
    assert (second.after, second.reason) == ("", "too short")
    assert len([row for row in rows if row.step == "02 same" and row.reason]) >= 1
    assert [row for row in rows if row.step == "99 text"]


def test_what_cannot_be_read_is_told_and_how_much_was_looked_at(tmp_path):
    path = write_pipeline(tmp_path, TOML.replace("in/[0-3].txt", "in/[0].txt"))
    (tmp_path / "in" / "0.txt").write_text("good luck\n!no\nfine by me")
    config = read_pipeline(path)
    rows = list(
        read_dry_run(
            dry_run_steps(config, list_sources(config, tmp_path), tmp_path / "dry", 4, here)
        )
    )
    first, other = (row for row in rows if row.step == READ_STEP and row.source == "notes")
    assert first.metadata == {"parts": 1, "of": 1, "records": 2, "unread": 1}
    assert (other.path, other.reason) == ("0.txt#1", "not a line")
    assert other.metadata == {"details": "!no"} and len(other.id) == 32


def test_of_bytes_all_text_is_shown_before_what_the_step_left_out():
    data = b"<nav>Home</nav><p>Long text of the page."
    page = Record("1" * 32, "s", "a.html", "html", data=data)
    found = _run_step_on(NamedStep("01 cut", Menu(Config())), page)
    assert found.row.before == "Home\nLong text" and found.row.after == "Long text"
    assert found.row.made_of == len(data) and found.row.removed[0]["start"] == 0
    dropped = _run_step_on(NamedStep("01 no", DropRecord(StepResult("no page"))), page).row
    assert (dropped.before, dropped.after, dropped.made_of) == (data.decode(), "", 0)
    text = Record("2" * 32, "s", "b.txt", "text", "One", SourceMap.identity("One"))
    again = _run_step_on(NamedStep("01 made", Menu(Config())), text).row
    assert again.before == "Home\nLong text" and again.made_of == 0


class Menu:
    """Makes a text and takes its first line."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        made = ExtractedText(SourceMap.identity("Home\nLong text"))
        return StepResult(extracted=made, edits=(TextEdit(0, 5, "menu"),))


def test_what_would_be_derived_is_shown_beside_its_parent(tmp_path):
    config = read_pipeline(write_pipeline(tmp_path, TOML + DERIVE))
    rows = list(
        read_dry_run(
            dry_run_steps(config, list_sources(config, tmp_path), tmp_path / "dry", 30, here)
        )
    )
    made = [row for row in rows if row.step == "01 twice"]
    assert made and {row.source for row in made} == {"logs"}
    for row in made:
        assert row.path.endswith("#twice-0") and row.after == row.before.upper()
        assert row.metadata["synthetic"] == "twice"


def test_a_record_that_hangs_is_set_aside_as_in_a_run(tmp_path):
    path = write_pipeline(tmp_path, TOML.replace("in/[0-3].txt", "in/[0].txt"))
    (tmp_path / "in" / "0.txt").write_text("good luck\nhang\ndie\nfine by me")
    config = read_pipeline(path)
    with WorkerPool(1, limit_seconds=0.5) as each:
        path = dry_run_steps(config, list_sources(config, tmp_path), tmp_path / "dry", 4, each)
    rows = [row for row in read_dry_run(path) if row.step == "01 tidy"]
    assert [row.reason for row in rows] == ["", "time limit", "worker died", ""]
