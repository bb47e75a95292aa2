"""A sample comes from all over a source, is the same each time and bounded in what it reads."""

import json

import pytest

pytest.importorskip("pyarrow")

from groundup.corpus.engine.job import SkippedRecord
from groundup.corpus.engine.worker import READING, RecordPosition
from groundup.corpus.prepare import sampling
from groundup.corpus.prepare.inputs import list_sources, plan_job_inputs
from groundup.corpus.prepare.pipeline import CorpusPipeline, PipelineSource, read_pipeline
from groundup.corpus.prepare.sampling import (
    SamplingTask,
    _sample_split,
    sample_source,
    with_small_splits,
)

from .pipelines import here, write_pipeline


def lines_of(folder, count: int):
    """One large file of JSON lines, and its pipeline."""
    rows = (json.dumps({"text": f"text {n} " + "x" * 90}) for n in range(count))
    (folder / "a.jsonl").write_text("\n".join(rows) + "\n")
    return CorpusPipeline(sources=(PipelineSource(name="a", path="a.jsonl", reader="jsonl"),))


def test_one_large_file_is_sampled_from_its_beginning_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "SAMPLE_SPLIT_BYTES", 5_000)
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
