"""A run gives the same bytes whoever does it and however often it was stopped."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("pyarrow")

import pyarrow.parquet as parquet

from groundup.core import ConfigError, DataError
from groundup.corpus.engine.executors import WorkerPool
from groundup.corpus.engine.run import (
    RunPlan,
    _plan_phases,
    _reserve_folder,
    first_difference,
    run_plan,
)
from groundup.corpus.engine.shards import read_shard, shard_path

from .runs import SAME, SLOW, TIDY, digest_of, plan_of, write_lines

ROOT = Path(__file__).resolve().parents[3]
CHILD = """
import sys
from pathlib import Path
from groundup.corpus.engine.executors import WorkerPool
from groundup.corpus.engine.run import run_plan
from tests.corpus.engine.runs import SAME, SLOW, TIDY, plan_of
with WorkerPool(2) as each:
    run_plan(plan_of(Path(sys.argv[1]), (TIDY, SAME, SLOW)), Path(sys.argv[2]), each)
print("complete")
"""


def kept(ran):
    folder, jobs = ran.folders[-1], ran.jobs[-1]
    return [r for job in jobs for r in read_shard(shard_path(folder, job.number, "kept"))]


def serial(task, items, on_result=lambda result: None):
    return [task(item) for item in items]


def start(source: Path, out: Path) -> subprocess.Popen:
    """A run in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, source, out], cwd=ROOT, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_this_process_and_two_workers_write_the_same_bytes(tmp_path):
    source = write_lines(tmp_path / "in")
    (source / "2.txt").write_text("id x\nid x\nfine text\n!no\nfail\nsurrogate\nraise\nnever read")
    (source / "5.txt").write_text("id x\nlast")
    digests = []
    with WorkerPool(2) as pool:
        for name, each in (("here", serial), ("workers", pool)):
            ran = run_plan(plan_of(source), tmp_path / name, each)
            digests.append(digest_of(tmp_path / name))
    assert digests[0] == digests[1]
    texts = [record.text for record in kept(ran)]
    assert len(texts) == len(set(texts)) and not any("bad" in text for text in texts)
    counters = ran.jobs[0][1].counters
    assert counters["00 read|record|reading failed"] == 1
    assert counters["00 read|record|not a line"] == 1
    assert counters["01 tidy|record|step failed"] == 1
    assert counters["engine|record|cannot be stored"] == 1
    assert counters["engine|record|duplicate id"] == 1, "inside a shard"
    assert ran.jobs[1][2].counters["engine|record|duplicate id"] == 1, "between shards"
    assert counters["00 read|in"] == counters["00 read|out"] + 2


def test_records_know_what_erasure_needs(tmp_path):
    ran = run_plan(plan_of(write_lines(tmp_path / "in", 1, 5)), tmp_path / "out", serial)
    for record in kept(ran):
        assert record.metadata["licence"] == "MIT" and len(record.metadata["sha256"]) == 64
        assert record.source == "lines" and record.path.startswith("0.txt#")


def test_nothing_is_done_twice_and_what_was_damaged_is_done_again(tmp_path):
    plan, out = plan_of(write_lines(tmp_path / "in"), (TIDY,)), tmp_path / "out"

    def count(task, items, done=lambda result: None):
        asked.append(len(items))
        return [task(item) for item in items]

    asked: list[int] = []
    run_plan(plan, out, count)
    first, once = digest_of(out), sum(asked)
    assert once >= 6, "three shards in two phases, and what finds duplicate ids"
    run_plan(plan, out, count)
    assert sum(asked) == once and digest_of(out) == first
    (out / "02" / "phase.done").unlink()
    run_plan(plan, out, count)
    assert sum(asked) == once, "complete shards are found by their markers"
    (out / "02" / "phase.done").unlink()
    with open(shard_path(out / "02", 1, "kept"), "r+b") as file:
        file.truncate(100)
    with pytest.raises(FileNotFoundError):  # its input was deleted when the phase was complete
        run_plan(plan, out, count)


def test_another_plan_is_refused_with_what_changed(tmp_path):
    source = write_lines(tmp_path / "in")
    run_plan(plan_of(source), tmp_path / "out", serial)
    other = plan_of(source, (TIDY._replace(settings='{"short": 4}'), SAME))
    with pytest.raises(ConfigError, match=r"short was null and now is 4"):
        run_plan(other, tmp_path / "out", serial)
    (source / "new.txt").write_text("one more")
    with pytest.raises(ConfigError, match="shards had 3 entries and now has 4"):
        run_plan(plan_of(source), tmp_path / "out", serial)


def test_a_claim_without_a_complete_shard_is_taken_over(tmp_path):
    source = write_lines(tmp_path / "in", 2, 5)
    with open(os.fsencode(source) + b"/caf\xe9.txt", "wb") as file:
        file.write(b"a name that is not UTF-8")
    old, new = plan_of(source), plan_of(source, (TIDY,))
    _reserve_folder(old, tmp_path / "out")
    _reserve_folder(old, tmp_path / "out")
    _reserve_folder(new, tmp_path / "out")
    ran = run_plan(new, tmp_path / "out", serial)
    told = sum((done.counters for done in ran.jobs[0]), Counter())
    assert told["00 read|record|name not UTF-8"] == 1 and len(kept(ran)) > 5
    removed = [parquet.read_table(path) for path in ran.folders[0].glob("*.removed.parquet")]
    paths = [path for table in removed for path in table["path"].to_pylist()]
    assert "caf\\xe9.txt" in paths, "a name that can be written"
    with pytest.raises(ConfigError, match="unfinished run of another plan"):
        _reserve_folder(old, tmp_path / "out")


def test_no_sources_are_an_error_and_empty_ones_empty_shards(tmp_path):
    with pytest.raises(DataError, match="nothing to read"):
        run_plan(RunPlan((), ()), tmp_path / "none", serial)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "0.txt").write_text("")
    ran = run_plan(plan_of(tmp_path / "in"), tmp_path / "out", serial)
    assert kept(ran) == [] and len(ran.jobs) == 3


def test_surveys_part_the_phases():
    assert [len(steps) for _, steps in _plan_phases((TIDY, SAME, SLOW, TIDY))] == [1, 0, 2]
    assert first_difference([1, {"a": 2}], [1, {"a": 3}]) == "1.a was 2 and now is 3"


def kill_and_resume(tmp_path: Path, kills: int) -> None:
    source = write_lines(tmp_path / "in", 12, 120)  # takes some seconds
    run_plan(plan_of(source, (TIDY, SAME, SLOW)), tmp_path / "whole", serial)
    wanted = digest_of(tmp_path / "whole")
    chance, out, stopped = random.Random(5), tmp_path / "killed", 0
    for _ in range(kills):
        process = start(source, out)
        try:
            process.wait(timeout=chance.uniform(0.6, 2.5))
        except subprocess.TimeoutExpired:
            stopped += 1
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if (out / "03" / "phase.done").exists():
            assert digest_of(out) == wanted
            out = out.with_name(out.name + "+")
    run_plan(plan_of(source, (TIDY, SAME, SLOW)), out, serial)
    assert stopped >= kills // 2, "kills that came too late show nothing"
    assert digest_of(out) == wanted


def test_two_kills_change_nothing(tmp_path):
    kill_and_resume(tmp_path, 2)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_kills_change_nothing(tmp_path):
    kill_and_resume(tmp_path, 20)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stop_leaves_no_orphan_and_the_run_goes_on(tmp_path, how):
    psutil = pytest.importorskip("psutil")
    source, out = write_lines(tmp_path / "in", 12, 120), tmp_path / "out"
    process = start(source, out)
    deadline = time.monotonic() + 60
    while not list(out.glob("01/*.tmp")) and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    os.kill(process.pid, how)  # the parent alone
    process.communicate(timeout=20)
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert alive == []
    run_plan(plan_of(source, (TIDY, SAME, SLOW)), out, serial)
    assert not list(out.rglob("*.tmp"))


LIMITED = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n" + CHILD


def test_a_full_disk_is_said_and_loses_nothing(tmp_path):
    source, out = write_lines(tmp_path / "in", 4, 60), tmp_path / "out"
    (source / "3.txt").write_text(os.urandom(40_000).hex())
    process = subprocess.run(
        [sys.executable, "-c", LIMITED, source, out], cwd=ROOT, capture_output=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=100,
    )  # fmt: skip
    assert b"CapacityError: No space left while writing" in process.stderr
    run_plan(plan_of(source, (TIDY, SAME, SLOW)), out, serial)
    assert not list(out.rglob("*.tmp"))
    run_plan(plan_of(source, (TIDY, SAME, SLOW)), tmp_path / "other", serial)
    assert digest_of(out) == digest_of(tmp_path / "other")
