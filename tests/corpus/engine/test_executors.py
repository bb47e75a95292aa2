"""A pool gives results in order; Daft here and on Ray write what it writes, killed workers too."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("pyarrow")

from groundup.core import ConfigError, DataError, device
from groundup.corpus.engine.executors import WorkerPool, _check_ray_address, open_executor
from groundup.corpus.engine.run import run_plan

from .runs import digest_of, plan_of, write_lines

ROOT = Path(__file__).resolve().parents[3]
CHILD = """
import sys
from pathlib import Path
from groundup.core import DataError
from groundup.corpus.engine.executors import open_executor
from groundup.corpus.engine.run import run_plan
from tests.corpus.engine.runs import plan_of
from tests.corpus.engine.test_executors import refuse
with open_executor(sys.argv[3], 2, 1.0) as each:
    run_plan(plan_of(Path(sys.argv[1])), Path(sys.argv[2]), each)
    try:
        each(refuse, [1, 3])
    except DataError as error:
        print("refused", error)
"""


def late(item):
    """The first item waits for three others: a worker's second comes after its first was heard."""
    number, folder = item
    if number:
        (folder / f"{number} by {os.getpid()}").touch()
    while not number and len(list(folder.iterdir())) < 3:
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


@pytest.mark.parametrize("name", ["daft", pytest.param("ray", marks=pytest.mark.slow)])
def test_a_cluster_writes_what_a_pool_writes(tmp_path, name):
    pytest.importorskip(name)
    source = write_lines(tmp_path / "in")
    (source / "3.txt").write_text("fine\nhang\nfail\nsurrogate\nlast")
    with WorkerPool(2, 1.0) as each:
        run_plan(plan_of(source), tmp_path / "pool", each)
    process = subprocess.run(
        [sys.executable, "-c", CHILD, source, tmp_path / name, name], cwd=ROOT, text=True,
        capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=170,
    )  # fmt: skip
    assert process.stdout.endswith("refused not three\n"), process.stderr[-2_000:]
    assert digest_of(tmp_path / name) == digest_of(tmp_path / "pool")


def test_an_address_without_a_cluster_is_refused():
    with pytest.raises(ConfigError, match="needs --runner ray"):
        with open_executor("pool", address="ray://host:10001"):
            pass


def test_an_address_where_nothing_listens_is_told_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for address in (f"127.0.0.1:{port}", f"localhost:{port}", "auto", ""):
            _check_ray_address(address)
    start = time.monotonic()
    with pytest.raises(ConfigError, match=rf"nothing listens at 127\.0\.0\.1 port {port}"):
        _check_ray_address(f"127.0.0.1:{port}")
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("address", ["head", "head:", ":6379", "head:port", "ray://", "h:70000"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(ConfigError, match="must be host:port"):
        _check_ray_address(address)


def test_the_ray_client_says_what_it_needs(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'ray\[client\]'.*--address head:6379"):
        _check_ray_address("ray://head:10001")


def test_nobody_is_told_of_a_run():
    pytest.importorskip("daft")
    code = (
        "import os\n"
        "from groundup.corpus.engine.executors import open_executor\n"
        "with open_executor('daft', 1):\n"
        "    from daft.scarf_telemetry import opted_out\n"
        "    print(opted_out(), os.environ['RAY_USAGE_STATS_ENABLED'])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert run.stdout.split() == ["True", "0"]


RAY = """
import json, os, psutil
from groundup.corpus.engine.executors import NO_TELEMETRY, _start_ray
os.environ.update(NO_TELEMETRY)
_start_ray(1, "")
import ray
family = [psutil.Process(), *psutil.Process().children(recursive=True)]
found = [one.laddr.ip for each in family for one in each.net_connections("inet")
         if one.status == psutil.CONN_LISTEN]
ray.shutdown()
print(json.dumps(found))
"""


@pytest.mark.slow
def test_a_ray_of_our_own_listens_to_this_machine_alone(tmp_path):
    pytest.importorskip("ray")
    done = subprocess.run(
        [sys.executable, "-P", "-c", RAY], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=170,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]
    places = json.loads(done.stdout.splitlines()[-1])
    assert len(places) >= 4 and {place.removeprefix("::ffff:") for place in places} == {"127.0.0.1"}
