"""A pool gives results in the order of its items and ends with its block."""

import os
import time

import pytest

from groundup.core import ConfigError, DataError, device
from groundup.corpus.engine.pool import WorkerPool


def late(item):
    """The first item waits for one that another worker has done."""
    number, folder = item
    if number:
        (folder / f"{number} by {os.getpid()}").touch()
    while not number and not any(folder.iterdir()):
        time.sleep(0.001)
    return number * 2, os.getpid()


def refuse(item):
    if item == 3:
        raise DataError("not three")


def test_results_are_in_the_order_of_items_and_heard_as_they_come(tmp_path):
    heard = []
    with WorkerPool(3) as each:
        results = each(late, [(number, tmp_path) for number in range(20)], heard.append)
        assert [result for result, _ in results] == [2 * n for n in range(20)]
        assert sorted(heard) == sorted(results) and heard[0] != results[0]
        assert 1 < len({pid for _, pid in results}) <= 3, "bounded workers, used again"
        assert each(late, []) == []


def test_an_error_ends_all_workers():
    with WorkerPool(2) as each:
        with pytest.raises(DataError, match="not three"):
            each(refuse, range(1_000))
    assert [worker.process for worker in each.workers] == [None, None]


@pytest.mark.parametrize("workers, limit", [(-1, 1.0), (1, 0.0)])
def test_numbers_that_make_no_sense_are_refused(workers, limit):
    with pytest.raises(ConfigError, match="one per core"):
        WorkerPool(workers, limit)
    assert len(WorkerPool(0).workers) == device.available_cores() >= 1
