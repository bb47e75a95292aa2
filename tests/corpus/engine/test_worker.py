"""One record may hang or kill its worker; the others, the parent and the machine go on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

pytest.importorskip("pyarrow")

from groundup.core import CapacityError, DataError, MissingExtra
from groundup.corpus.engine import worker
from groundup.corpus.engine.executors import WorkerPool
from groundup.corpus.engine.job import CorpusJob
from groundup.corpus.engine.run import run_plan
from groundup.corpus.engine.worker import RecordPosition, Worker, clear_mark, mark_record

from .runs import TIDY, plan_of

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def one():
    """A worker with a time limit of half a second; one that was killed is begun anew."""
    found = Worker(0.5)
    yield found
    found.end()


class Item(NamedTuple):
    """Work over some records, each of which may be left out."""

    names: tuple[str, ...]
    left_out: tuple[tuple[int, str], ...] = ()

    def without(self, place, reason):
        return self._replace(left_out=(*self.left_out, (place.record, reason)))


def work(item):
    done = []
    for number, name in enumerate(item.names):
        mark_record(0, number, 0)
        if number in dict(item.left_out):
            continue
        if name == "hang":
            time.sleep(30)
        if name == "nap":
            time.sleep(1.2)
        if name == "loop":
            "a".join("b" for _ in iter(int, 1))
        if name == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(name)
    clear_mark()
    return done, item.left_out


def fail(error):
    known = {"data": DataError("row 3"), "extra": MissingExtra("daft", "scale"),
             "full": OSError(28, "No space left on device")}  # fmt: skip
    raise known.get(error) or KeyError(error)


def test_what_hangs_or_kills_is_left_out_with_its_reason(one, monkeypatch):
    monkeypatch.setattr(worker, "WALL_CLOCK_LIMITS", 2)
    item = Item(("a", "hang", "b", "loop", "die", "c"))
    done, left_out = one(work, item)
    assert done == ["a", "b", "c"]
    assert left_out == ((1, "time limit"), (3, "time limit"), (4, "worker died"))


def test_time_that_others_take_costs_no_record(one):
    done, left_out = one(work, Item(("a", "nap", "b")))
    assert (done, left_out) == (["a", "nap", "b"], ()), "more than the limit, but not its own"


def test_the_time_that_a_process_took_is_known():
    assert 0 < worker._cpu_seconds(os.getpid()) <= time.process_time() + 0.1
    assert worker._cpu_seconds(-1) is None


def test_without_a_clock_of_its_own_the_wall_decides(one, monkeypatch):
    monkeypatch.setattr(worker, worker._cpu_seconds.__name__, lambda pid: None)
    assert one(work, Item(("a", "nap")))[1] == ((1, "time limit"),)


def test_a_death_that_does_not_come_back_costs_nothing(one, tmp_path):
    assert one(die_once, tmp_path / "mark") == "alive"


def die_once(mark):
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def test_a_task_that_always_kills_is_an_error_of_capacity(one, monkeypatch):
    monkeypatch.setattr(worker, "MAX_DEATHS_PER_TASK", 2)
    with pytest.raises(CapacityError, match="use fewer --workers"):
        one(die, None)


def die(item):
    os.kill(os.getpid(), signal.SIGKILL)


def test_errors_keep_their_kind_and_words(one):
    with pytest.raises(DataError, match="row 3"):
        one(fail, "data")
    with pytest.raises(MissingExtra, match="daft") as caught:
        one(fail, "extra")
    assert caught.value.exit_code == 2
    with pytest.raises(CapacityError, match="No space left while writing"):
        one(fail, "full")
    with pytest.raises(RuntimeError, match="KeyError: 'x'") as other:
        one(fail, "x")
    assert "in fail" in other.value.__notes__[0]
    with pytest.raises(RuntimeError, match="lambda|pickle"):
        one(unfit, None)
    assert one(os.path.basename, "a/b") == "b", "a worker outlives its tasks' errors"


def unfit(item):
    return lambda: "a result that cannot be sent"


def test_more_than_some_such_records_stop_the_run():
    job = CorpusJob(0, Path("01"))
    with pytest.raises(DataError, match="hung or killed"):
        for record in range(1_000):
            job = job.without(RecordPosition(0, record, 0), "time limit")


def test_a_run_sets_such_records_aside_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "WALL_CLOCK_LIMITS", 2)
    (tmp_path / "in").mkdir()
    lines = ["one", "hang", "two", "die", f"die once {tmp_path}/mark", "three"]
    (tmp_path / "in" / "0.txt").write_text("\n".join(lines))
    (tmp_path / "in" / "1.txt").write_text("before\nhang in reading\nnever read")
    with WorkerPool(2, limit_seconds=0.7) as each:
        ran = run_plan(plan_of(tmp_path / "in", (TIDY,), 1), tmp_path / "out", each)
    first, second = ran.jobs[0]
    assert first.counters["engine|record|time limit"] == 1
    assert first.counters["engine|record|worker died"] == 1
    assert first.files["kept"].rows == 4
    assert second.counters["00 read|record|time limit"] == 1
    assert second.files["kept"].rows == 1


BUSY = """
import sys
from groundup.corpus.engine.worker import Worker
from tests.corpus.engine.test_worker import tell_and_hang
one = Worker(600)
one.start()
if sys.argv[1] == "starting":
    print(one.process.pid, flush=True)
one(tell_and_hang, None)
"""


def tell_and_hang(item):
    print(os.getpid(), flush=True)
    time.sleep(100)


@pytest.mark.parametrize("moment", ["starting", "busy"])
def test_a_worker_ends_with_its_parent(moment):
    psutil = pytest.importorskip("psutil")
    parent = subprocess.Popen(
        [sys.executable, "-c", BUSY, moment], cwd=ROOT, stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    child.wait(timeout=30)  # before the pipe, which it holds open as long as it lives
    parent.communicate()


def test_notes_are_free_of_effect_outside_a_worker():
    assert worker._status_page is None
    mark_record(1, 2, 3)
    clear_mark()


HELD: list[bytes] = []


def hoard(size: int) -> int:
    HELD.append(b"x" * size)
    return os.getpid()


def test_a_worker_that_has_grown_gives_its_place_to_a_new_one():
    each = Worker(60.0)
    try:
        first = each(hoard, 0)
        assert each(hoard, 1_000_000) == first
        assert each(hoard, worker.MIN_RECYCLE_BYTES) == first, "looked at after the task"
        assert each(hoard, 0) != first
    finally:
        each.end()
