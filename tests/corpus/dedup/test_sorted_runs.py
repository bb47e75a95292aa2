"""A range of keys is read the same from one run or many, and what it costs grows with the runs."""

import numpy as np
import pytest

from groundup.corpus.dedup import sorted_runs as module
from groundup.corpus.dedup.sorted_runs import equal_groups, key_ranges, read_range, write_run
from tests.corpus.dedup.shards import here

ROW = np.dtype([("key", "<u8"), ("number", "<u4")])


@pytest.mark.parametrize("runs", [1, 2, 5])
def test_ranges_hold_every_row_once_in_order(tmp_path, runs):
    keys = np.random.default_rng(0).integers(0, 2**64, 1_000, np.uint64)
    keys[:10] = keys[10:20]
    keys[20], keys[21] = 0, 2**64 - 1
    rows = np.empty(len(keys), ROW)
    rows["key"], rows["number"] = keys, np.arange(len(keys))
    paths = [write_run(tmp_path / f"{at}.npy", rows[at::runs]) for at in range(runs)]
    parts = [read_range(part) for part in key_ranges(paths, here, tmp_path, 1_000)]
    assert len(parts) > 10
    np.testing.assert_array_equal(np.concatenate(parts), np.sort(rows, order=("key", "number")))


def test_groups_are_runs_of_equals():
    rows = np.array([(1, 5), (2, 5), (2, 6), (3, 6), (3, 6), (3, 7)], ROW)
    assert equal_groups(rows, "key").tolist() == [[1, 3], [3, 6]]
    assert equal_groups(rows, "key", "number").tolist() == [[3, 5]]
    assert equal_groups(rows[:0], "key").shape == (0, 2)


def rows_of(count: int) -> np.ndarray:
    """Rows of random keys, some of them equal."""
    rows = np.empty(count, ROW)
    rows["key"] = np.random.default_rng(0).integers(0, 2**64, count, np.uint64)
    rows["key"][: count // 10] = rows["key"][count // 10 : 2 * (count // 10)]
    rows["number"] = np.arange(count)
    return rows


@pytest.mark.parametrize("runs", [3, 4, 5, 17, 70])
def test_many_runs_give_the_ranges_of_one(tmp_path, monkeypatch, runs):
    monkeypatch.setattr(module, "FAN_IN", 4)
    rows = rows_of(3_000)
    paths = [write_run(tmp_path / f"{at}.npy", rows[at::runs]) for at in range(runs)]
    (whole,) = [write_run(tmp_path / "whole.npy", rows)]
    memory = 4 * sum(path.stat().st_size for path in paths) // 20
    parts = key_ranges(paths, here, tmp_path, memory)
    assert all(len(part.runs) <= 2 * 4 for part in parts), "a task opens few files"
    for part in parts:
        one = part._replace(runs=(whole,))
        np.testing.assert_array_equal(read_range(part), read_range(one))
    assert all(path.exists() for path in paths)


def test_four_times_the_runs_are_little_more_than_four_times_the_opens_and_no_more_memory(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "FAN_IN", 4)
    opened, held = [], []
    load, by_key = module.load_array, module.sort_by_key
    monkeypatch.setattr(module, load.__name__, lambda path: opened.append(path) or load(path))
    monkeypatch.setattr(
        module, by_key.__name__, lambda rows: held.append(rows.nbytes) or by_key(rows)
    )
    found = {}
    for runs in (16, 64, 256):
        folder = tmp_path / f"{runs}"
        folder.mkdir()
        rows = rows_of(100 * runs)
        paths = [write_run(folder / f"{at}.npy", rows[at::runs]) for at in range(runs)]
        opened.clear(), held.clear()
        for part in key_ranges(paths, here, folder, 64 * 2**10):
            read_range(part)
        found[runs] = len(opened), max(held)
    (few, small), (more, larger), (most, largest) = found.values()
    # One more turn each time: n log n. Each range from every run would be 16 times the opens.
    assert more <= 7 * few and most <= 7 * more, found
    assert max(small, larger, largest) <= 64 * 2**10 // 4 * 1.5, "a task holds its share"
