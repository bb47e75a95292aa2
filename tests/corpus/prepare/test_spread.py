"""A sample comes from all over a source, is the same each time and bounded in what it reads."""

import json

import pytest

pytest.importorskip("pyarrow")

from groundup.corpus.engine.job import Skip
from groundup.corpus.engine.worker import READING, Place
from groundup.corpus.prepare import spread as spreading
from groundup.corpus.prepare.inputs import look, origins
from groundup.corpus.prepare.pipeline import Pipeline, Source, read_pipeline
from groundup.corpus.prepare.spread import Sampling, in_small_parts, read_some, spread

from .pipelines import here, write_pipeline


def lines_of(folder, count: int):
    """One large file of JSON lines, and its pipeline."""
    rows = (json.dumps({"text": f"text {n} " + "x" * 90}) for n in range(count))
    (folder / "a.jsonl").write_text("\n".join(rows) + "\n")
    return Pipeline(sources=(Source(name="a", path="a.jsonl", reader="jsonl"),))


def test_one_large_file_is_sampled_from_its_beginning_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(spreading, "PART_BYTES", 5_000)
    config = in_small_parts(lines_of(tmp_path, 2_000))
    (found,) = look(config, tmp_path)
    numbers = [int(one.text.split()[1]) for one in spread(config, found, 20, here).records]
    assert len(numbers) == 20 and numbers == sorted(numbers)
    assert numbers[0] < 400 and numbers[-1] > 1_600
    assert numbers == [int(one.text.split()[1]) for one in spread(config, found, 20, here).records]
    other = config.model_copy(update={"seed": 1})
    assert numbers != [int(one.text.split()[1]) for one in spread(other, found, 20, here).records]


def test_many_files_give_a_record_each_and_few_give_several(tmp_path):
    config = read_pipeline(write_pipeline(tmp_path))
    notes, logs = look(config, tmp_path)
    assert len({one.path.split("#")[0] for one in spread(config, notes, 4, here).records}) >= 2
    found = spread(config, logs, 30, here).records
    assert len(found) == 30 and len({one.path.split("#")[0] for one in found}) == 3
    assert len(spread(config, logs, 10_000, here).records) == 60, "there are no more"


def test_reading_ends_at_its_bounds_and_leaves_out_what_hung(tmp_path):
    config = lines_of(tmp_path, 500)
    (found,) = look(config, tmp_path)
    (origin,) = origins([found], config.shard_bytes)
    few = read_some(Sampling(origin, 50, 60, 10**6, "s")).records
    assert len(few) == 50 and all(int(one.text.split()[1]) < 60 for one in few)
    assert len(read_some(Sampling(origin, 50, 60, 150, "s")).records) == 2, "bytes end it too"
    task = Sampling(origin, 3, 3, 10**6, "s")
    assert [int(r.text.split()[1]) for r in read_some(task).records] == [0, 1, 2]
    task = task.without(Place(0, 1, 0), "worker died")
    assert [int(r.text.split()[1]) for r in read_some(task).records] == [0, 2, 3]
    task = task._replace(skips=(Skip(Place(0, 2, READING), "time limit"),))
    part = read_some(task)
    assert [int(r.text.split()[1]) for r in part.records] == [0, 1], "its rest is not read"
    assert [one.reason for one in part.unread] == ["time limit"] and part.seen == 2


def test_a_source_that_says_how_large_its_parts_are_keeps_them(tmp_path):
    config = lines_of(tmp_path, 3)
    own = config.sources[0].model_copy(update={"settings": {"part_bytes": 77}})
    config = in_small_parts(config.model_copy(update={"sources": (own,)}))
    assert config.sources[0].settings == {"part_bytes": 77}
