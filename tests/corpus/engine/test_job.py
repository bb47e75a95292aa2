"""A job is a pure function of what it says; a survey's rulings are steps like others."""

import os
import shutil
from collections import Counter

import pytest

pytest.importorskip("pyarrow")

from groundup.core import CapacityError, ConfigError, DataError
from groundup.corpus.engine import job, shards
from groundup.corpus.engine.job import CorpusJob, JobInput, file_state, run_job
from groundup.corpus.engine.shards import (
    load_job_result,
    read_shard,
    shard_path,
    write_step_results,
)
from groundup.corpus.engine.specs import StepSpec, instantiate, step_config
from groundup.documents import READERS, StepResult, TextEdit

from .lines import WRONG, TidyConfig
from .runs import HERE, SAME, TIDY, plan_of, write_lines
from .test_shards import record, write


class Odd:
    """An ending with two streams."""

    def __init__(self, config: TidyConfig) -> None:
        self.config = config

    def __call__(self, record, counters: Counter):
        counters["odd"] += len(record.text) % 2
        yield "odd" if len(record.text) % 2 else "even", record


def test_rulings_go_before_steps_and_only_concern_whom_they_name(tmp_path):
    records = [record(n, f"bad text {n}") for n in range(4)]
    write(tmp_path, records)
    rulings = {
        records[0].id: StepResult("seen before"),
        records[1].id: StepResult(edits=(TextEdit(0, 4, "x"),)),
    }
    path = write_step_results(tmp_path / "r.parquet", rulings.items())
    work = CorpusJob(
        0, tmp_path / "out", shard=shard_path(tmp_path, 0, "kept"), step_results=((SAME, path),)
    )
    done = run_job(work._replace(steps=(TIDY._replace(kinds=("html",)),)))
    kept = [one.text for one in read_shard(shard_path(tmp_path / "out", 0, "kept"))]
    assert kept == ["text 1", "bad text 2", "bad text 3"]
    assert done.counters["02 same|record|seen before"] == 1
    assert not any(key.startswith("01 tidy") for key in done.counters)
    elsewhere = run_job(work._replace(step_results=((SAME._replace(sources=("other",)), path),)))
    assert elsewhere.files["kept"].rows == 4


def test_a_shard_without_rulings_is_passed_on_as_it_is_and_counted(tmp_path):
    first = write(tmp_path, [record(n, "é" * n) for n in range(1, 4)])
    empty = write_step_results(tmp_path / "r.parquet", [])
    work = CorpusJob(
        0, tmp_path / "out", shard=shard_path(tmp_path, 0, "kept"), step_results=((SAME, empty),)
    )
    done = run_job(work)
    assert done.files == first.files
    assert done.counters == {"02 same|in": 3, "02 same|out": 3, "02 same|characters": 6}


def test_the_ending_chooses_streams(tmp_path):
    write(tmp_path, [record(n, "x" * n) for n in range(1, 6)])
    ending = StepSpec("odd", f"{__name__}:Odd")
    work = CorpusJob(0, tmp_path / "out", shard=shard_path(tmp_path, 0, "kept"), ending=ending)
    done = run_job(work)
    assert {name: file.rows for name, file in done.files.items()} == {"even": 2, "odd": 3}
    assert done.counters["odd"] == 3


def test_reading_counts_every_record_and_reject(tmp_path):
    root = write_lines(tmp_path / "in", 1, 10)
    (root / "1.txt").write_text("!no\nyes\nraise")
    plan = plan_of(root)
    done = run_job(
        CorpusJob(0, tmp_path / "out", origin=plan.inputs[0], source="lines", steps=(TIDY,))
    )
    assert done.counters["00 read|in"] == 13 and done.counters["00 read|out"] == 11
    assert done.files["kept"].rows + done.counters["01 tidy|record|too short"] == 11


def read_all(tmp_path, *texts: str):
    (tmp_path / "in").mkdir()
    for number, text in enumerate(texts):
        (tmp_path / "in" / f"{number}.txt").write_text(text)
    plan = plan_of(tmp_path / "in", together=len(texts))
    return run_job(
        CorpusJob(0, tmp_path / "out", origin=plan.inputs[0], source="lines", steps=(TIDY,))
    )


def test_what_a_faulty_step_returns_costs_one_record(tmp_path):
    done = read_all(tmp_path, "\n".join(["fine", *WRONG, "fine too"]))
    assert done.counters["01 tidy|record|step failed"] == len(WRONG)
    assert done.files["kept"].rows == 2


def test_one_damage_is_one_removal_and_an_empty_file_leaves_a_trace(tmp_path):
    done = read_all(tmp_path, "!!!\nfine\n!\n", "")
    assert done.counters["00 read|record|not a line"] == 2
    assert done.counters["00 read|record|empty"] == 1
    assert done.files["removed"].rows == 3 and done.counters["00 read|in"] == 4


def empty_parquet(path):
    import pyarrow
    import pyarrow.parquet as parquet

    parquet.write_table(pyarrow.table({"text": pyarrow.array([], pyarrow.string())}), path)


@pytest.mark.parametrize("reader, name", [
    ("jsonl", "a.jsonl"), ("jsonl", "a.jsonl.gz"), ("warc", "a.warc"), ("warc", "a.warc.gz"),
    ("parquet", "a.parquet"), ("mail", "a.mbox"), ("folder", "a.txt"),
])  # fmt: skip
def test_an_empty_container_is_one_rejected_part(tmp_path, reader, name):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(b"")
    if reader == "parquet":
        empty_parquet(tmp_path / "in" / name)
    use = StepSpec("00 read", READERS[reader])
    parts = tuple(instantiate(use).plan(tmp_path / "in"))
    origin = JobInput("s", str(tmp_path / "in"), use, parts)
    done = run_job(CorpusJob(0, tmp_path / "out", origin=origin, source="s"))
    assert done.counters == {"00 read|in": 1, "00 read|record|empty": 1}
    assert done.files["removed"].rows == 1


def test_a_range_in_which_nothing_begins_is_not_empty(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text('{"text": "%s"}\n' % ("long " * 100))
    use = StepSpec("00 read", READERS["jsonl"], '{"part_bytes": 50}')
    parts = tuple(instantiate(use).plan(tmp_path / "in"))
    assert len(parts) > 5
    for number, part in enumerate(parts):
        origin = JobInput("s", str(tmp_path / "in"), use, (part,))
        done = run_job(CorpusJob(number, tmp_path / "out", origin=origin, source="s"))
        assert done.counters["00 read|record|empty"] == 0


def test_a_map_that_does_not_cover_its_text_costs_one_record(tmp_path):
    done = read_all(tmp_path, "fine\ntab\there\nfine too")  # see Lines: its map is empty
    assert done.counters["engine|record|cannot be stored"] == 1
    assert [one.text for one in read_shard(shard_path(tmp_path / "out", 0, "kept"))] == [
        "fine", "fine too",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "module, function", [(job, job.link_file), (shards, shards.write_ascii_json)]
)
def test_a_full_disk_is_told_in_a_phase_that_passes_on(tmp_path, monkeypatch, module, function):
    write(tmp_path, [record(1, "one")])

    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, function.__name__, full)
    with pytest.raises(CapacityError, match="No space left while writing"):
        run_job(CorpusJob(0, tmp_path / "out", shard=shard_path(tmp_path, 0, "kept")))


def test_what_cannot_be_made_is_named():
    with pytest.raises(ConfigError, match="09 x: .* cannot be used"):
        step_config(StepSpec("09 x", "tests.nowhere:X"))
    with pytest.raises(ConfigError, match="01 tidy: .* no key `wort`; did you mean `word`"):
        step_config(StepSpec("01 tidy", f"{HERE}:Tidy", '{"wort": "x"}'))


def written(path):
    path.write_text(path.read_text().replace("good", "evil"))


def grown(path):
    with path.open("a") as file:
        file.write("and more\n")


def replaced(path):
    path.with_suffix(".new").write_text(path.read_text() + "x")
    path.with_suffix(".new").replace(path)


@pytest.mark.parametrize("change", [written, grown, replaced, lambda path: path.unlink()])
def test_a_file_that_changes_after_it_was_hashed_is_named_and_completes_no_shard(tmp_path, change):
    write_lines(tmp_path / "in", 2, 5)
    plan = plan_of(tmp_path / "in")
    origin = plan.inputs[0]
    files = [tmp_path / "in" / part.path for part in origin.input_splits]
    os.utime(files[-1], ns=(1, 1))  # whatever is written now has another time
    origin = origin._replace(file_states=tuple(file_state(file) for file in files))
    job = CorpusJob(0, tmp_path / "out", origin, source=origin.source)
    assert run_job(job).files["kept"].rows and load_job_result(tmp_path / "out", 0)
    shutil.rmtree(tmp_path / "out")
    change(files[-1])
    with pytest.raises(DataError, match=f"lines: {origin.input_splits[-1].path} changed"):
        run_job(job)
    assert load_job_result(tmp_path / "out", 0) is None
