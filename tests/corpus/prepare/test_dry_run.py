"""A dry run shows each record before and after each step, of a sample from all over a source."""

import json

from groundup.core import Config
from groundup.corpus.engine.executors import WorkerPool
from groundup.corpus.engine.job import READ_STEP, SkippedRecord
from groundup.corpus.engine.worker import READING, RecordPosition
from groundup.corpus.prepare import dry_run
from groundup.corpus.prepare.dry_run import (
    SamplingTask,
    _run_step_on,
    _sample_split,
    dry_run_steps,
    read_dry_run,
    sample_source,
    with_small_splits,
)
from groundup.corpus.prepare.pipeline import (
    CorpusPipeline,
    PipelineSource,
    list_sources,
    plan_job_inputs,
    read_pipeline,
)
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
    found, _ = _run_step_on(NamedStep("01 cut", Menu(Config())), page)
    assert found.before == "Home\nLong text" and found.after == "Long text"
    assert found.made_of == len(data) and found.removed[0]["start"] == 0
    dropped, _ = _run_step_on(NamedStep("01 no", lambda record: StepResult("no page")), page)
    assert (dropped.before, dropped.after, dropped.made_of) == (data.decode(), "", 0)
    text = Record("2" * 32, "s", "b.txt", "text", "One", SourceMap.identity("One"))
    again, _ = _run_step_on(NamedStep("01 made", Menu(Config())), text)
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


def lines_of(folder, count: int):
    """One large file of JSON lines, and its pipeline."""
    rows = (json.dumps({"text": f"text {n} " + "x" * 90}) for n in range(count))
    (folder / "a.jsonl").write_text("\n".join(rows) + "\n")
    return CorpusPipeline(sources=(PipelineSource(name="a", path="a.jsonl", reader="jsonl"),))


def test_one_large_file_is_sampled_from_its_beginning_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(dry_run, "SAMPLE_SPLIT_BYTES", 5_000)
    config = with_small_splits(lines_of(tmp_path, 2_000))
    (found,) = list_sources(config, tmp_path)
    numbers = [int(one.text.split()[1]) for one in sample_source(config, found, 20, here).records]
    assert len(numbers) == 20 and numbers == sorted(numbers)
    assert numbers[0] < 400 and numbers[-1] > 1_600
    assert numbers == [
        int(one.text.split()[1]) for one in sample_source(config, found, 20, here).records
    ]
    other = config.model_copy(update={"seed": 1})
    assert numbers != [
        int(one.text.split()[1]) for one in sample_source(other, found, 20, here).records
    ]


def test_many_files_give_a_record_each_and_few_give_several(tmp_path):
    config = read_pipeline(write_pipeline(tmp_path))
    notes, logs = list_sources(config, tmp_path)
    assert (
        len({one.path.split("#")[0] for one in sample_source(config, notes, 4, here).records}) >= 2
    )
    found = sample_source(config, logs, 30, here).records
    assert len(found) == 30 and len({one.path.split("#")[0] for one in found}) == 3
    assert len(sample_source(config, logs, 10_000, here).records) == 60, "there are no more"


def test_reading_ends_at_its_bounds_and_leaves_out_what_hung(tmp_path):
    config = lines_of(tmp_path, 500)
    (found,) = list_sources(config, tmp_path)
    (origin,) = plan_job_inputs([found], config.shard_bytes)
    few = _sample_split(SamplingTask(origin, 50, 60, 10**6, "s")).records
    assert len(few) == 50 and all(int(one.text.split()[1]) < 60 for one in few)
    assert len(_sample_split(SamplingTask(origin, 50, 60, 150, "s")).records) == 2, (
        "bytes end it too"
    )
    task = SamplingTask(origin, 3, 3, 10**6, "s")
    assert [int(r.text.split()[1]) for r in _sample_split(task).records] == [0, 1, 2]
    task = task.without(RecordPosition(0, 1, 0), "worker died")
    assert [int(r.text.split()[1]) for r in _sample_split(task).records] == [0, 2, 3]
    task = task._replace(skips=(SkippedRecord(RecordPosition(0, 2, READING), "time limit"),))
    part = _sample_split(task)
    assert [int(r.text.split()[1]) for r in part.records] == [0, 1], "its rest is not read"
    assert [one.reason for one in part.unreadable] == ["time limit"] and part.num_scanned == 2


def test_a_source_that_says_how_large_its_parts_are_keeps_them(tmp_path):
    config = lines_of(tmp_path, 3)
    own = config.sources[0].model_copy(update={"settings": {"part_bytes": 77}})
    config = with_small_splits(config.model_copy(update={"sources": (own,)}))
    assert config.sources[0].settings == {"part_bytes": 77}
