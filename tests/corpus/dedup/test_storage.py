"""A number is a record, and a range of keys is read the same from one run or many."""

import gc
import os
import resource
import tracemalloc

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest

from groundup.core import DataError
from groundup.corpus.dedup import storage as module
from groundup.corpus.dedup.sketch import unpack_strings
from groundup.corpus.dedup.storage import (
    equal_groups,
    key_ranges,
    load_array,
    number_records,
    quantile_slices,
    read_range,
    read_shard_texts,
    save_array,
    write_run,
)
from tests.corpus.dedup.shards import family, here, write

ROW = np.dtype([("key", "<u8"), ("number", "<u4")])


def test_slices_part_values_evenly_and_never_equal_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SAMPLE_STRIDE", 8)
    values = np.sort(np.random.default_rng(0).zipf(1.3, 3_000).astype(np.uint64))
    paths = [save_array(tmp_path / f"{at}.npy", values[at::3]) for at in range(3)]
    paths.append(save_array(tmp_path / "none.npy", values[:0]))
    parts = [
        np.concatenate([load_array(path)[one] for path, one in zip(paths, slices, strict=True)])
        for slices in quantile_slices(paths, 100)
    ]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), values)
    full = [part for part in parts if len(part)]
    assert len(full) > 10
    assert all(a.max() < b.min() for a, b in zip(full, full[1:], strict=False))
    most = np.bincount(values.astype(np.int64)[values < 1_000]).max()  # one value is one part
    assert max(map(len, full)) <= most + 100 + 4 * 8
    assert list(quantile_slices([], 100)) == [[]]


@pytest.mark.parametrize("at_once", [1, 10, 500_000])
def test_a_number_is_a_record_however_it_lies(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(module, "MERGE_ROWS", at_once)
    monkeypatch.setattr(module, "SAMPLE_STRIDE", min(at_once, 4))
    records = family(0)
    texts = {one.id: one.text for one in records}
    for shards in (1, 3):
        paths = write(records, tmp_path / f"{shards}", shards)
        order = number_records(paths, here, tmp_path / "scratch", ("other", "s"))
        assert [order.id(n) for n in range(len(records))] == [
            one.id for one in sorted(records, key=lambda one: (one.source != "other", one.id))
        ]
        for at, (path, numbers) in enumerate(zip(paths, order.numbers, strict=True)):
            for known, found in read_shard_texts(path, numbers):
                assert [texts[order.id(n)] for n in known.tolist()] == unpack_strings(found)
                assert set(order.shards[known].tolist()) <= {at}


def test_memory_of_numbering_does_not_grow(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MERGE_ROWS", 500)
    monkeypatch.setattr(module, "SAMPLE_STRIDE", 16)
    peaks, kept = {}, gc.get_threshold()
    gc.set_threshold(700, 10, 10)  # as outside the suite, or what peaks is garbage
    for shards in (2, 12):
        paths = []
        for shard in range(shards):
            ids = [f"{number * 7_919 % 99_991:032x}" for number in range(shard, 6_000, 12)]
            paths.append(tmp_path / f"{shard}.parquet")
            parquet.write_table(pyarrow.table({"id": ids, "source": ["s"] * len(ids)}), paths[-1])
        tracemalloc.start()
        order = number_records(paths, here, tmp_path / f"scratch{shards}", ())
        peaks[shards] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(order.ids) == 500 * shards and (order.ids[:-1] < order.ids[1:]).all()
    gc.set_threshold(*kept)
    assert peaks[12] < 2 * peaks[2]  # six times the records; the rest is by shard


def test_many_shards_take_few_open_files(tmp_path):
    rows = np.zeros(10, ROW)
    rows["key"] = np.arange(10)
    paths = [write_run(tmp_path / f"{at}.npy", rows) for at in range(60)]
    (part,) = key_ranges(paths, here, tmp_path, 2**30)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = max(int(one) for one in os.listdir("/dev/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 10, before[1]))
    try:
        assert len(read_range(part)) == 600
        assert len(list(quantile_slices([save_array(tmp_path / "k", rows["key"])] * 60, 300))) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_damaged_file_says_so(tmp_path):
    path = save_array(tmp_path / "a.npy", np.arange(100))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="damaged"):
        load_array(path)
    (tmp_path / "b.parquet").write_bytes(b"no shard")
    with pytest.raises(DataError, match="not a shard of records"):
        number_records([tmp_path / "b.parquet"], here, tmp_path / "scratch", ())


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
