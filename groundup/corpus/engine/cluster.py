"""Clusters: the same tasks through Daft, on this machine or on a Ray cluster.

One adapter and the only file that knows Daft, because its interface changes between versions. Daft
gets a column of tasks and returns one of results; on each machine a task is done by a worker of our
own (worker.py), so time limits, killed workers and quarantine are the same everywhere. Tasks name
files: on a cluster, inputs and the output directory must be on a disk that all machines share.
"""

import contextlib
import importlib.util
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.reduction import ForkingPickler
from typing import Any, Literal

from groundup.core import ConfigError, GroundupError, MissingExtra, child

from .pool import LIMIT_SECONDS, Pool
from .survey import Each
from .worker import Worker, error_of

RunnerName = Literal["pool", "daft", "ray"]
TELLS_NOBODY = {"DAFT_ANALYTICS_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}
"""Both report their use to their makers unless they are told not to."""
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray's switch, on every system, for a head whose ports are bound to 127.0.0.1."""
KNOCK_SECONDS = 10.0
CLIENT = "ray://"
unpack: Callable[[bytes], Any] = ForkingPickler.loads  # pyright: ignore[reportAttributeAccessIssue]
"""A plain function of the class, which type checkers take for one of its instances'."""


@contextlib.contextmanager
def open_runner(
    name: RunnerName, workers: int = 0, limit_seconds: float = LIMIT_SECONDS, address: str = ""
) -> Iterator[Each]:
    """Whoever does the tasks: a pool here, Daft here, or Daft on the Ray cluster at `address`."""
    if address and name != "ray":
        raise ConfigError(f"--address is of a Ray cluster; --runner is {name}. Add --runner ray.")
    with (
        Pool(workers, limit_seconds)
        if name == "pool"
        else Daft(name, workers, limit_seconds, address) as each
    ):
        yield each


class Daft:
    """An `Each` over Daft."""

    def __init__(self, name: str, workers: int, limit_seconds: float, address: str) -> None:
        """Start Daft's runner; ConfigError if this process has started another."""
        os.environ.update(TELLS_NOBODY)
        try:
            import daft
        except ImportError:
            raise MissingExtra("daft", "scale") from None
        self.name, self.limit_seconds = name, limit_seconds
        try:
            if name == "daft":
                daft.set_runner_native(num_threads=workers or None)
            else:
                start_ray(workers, address)
                daft.set_runner_ray(address or None, noop_if_initialized=True)
        except GroundupError:
            raise
        except Exception as error:
            raise ConfigError(f"Daft cannot start its runner {name}: {error}") from None

    def __call__(
        self,
        task: Callable[[Any], Any],
        items: Sequence[Any],
        done: Callable[[Any], None] = lambda result: None,
    ) -> list[Any]:
        """Results of `task` for every item, in the items' order."""
        import daft

        if not items:
            return []
        column, limit, here = daft.col("item"), self.limit_seconds, os.getcwd()

        @daft.func(return_dtype=daft.DataType.binary(), use_process=False)
        def carry_out(packed: bytes) -> bytes:
            return answer(packed, limit, here)

        packed = [bytes(ForkingPickler.dumps((task, item))) for item in items]
        frame = daft.from_pydict({"number": list(range(len(items))), "item": packed})
        if self.name == "ray":
            frame = frame.into_partitions(len(items))
        frame = frame.into_batches(1)
        results: list[Any] = [None] * len(items)
        for row in frame.select("number", carry_out(column).alias("said")).iter_rows():
            is_done, *said = unpack(row["said"])
            if not is_done:
                raise error_of(*said)
            results[row["number"]] = said[0]
            done(said[0])
        return results

    def __enter__(self) -> "Daft":
        return self

    def __exit__(self, *error: object) -> None:
        while idle:
            idle.pop().end()


def start_ray(workers: int, address: str) -> None:
    """Join a Ray cluster, or start one that this machine alone reaches; both import what we do.

    Whoever reaches a port of Ray's runs code there: it asks for no password.
    """
    if not address:
        os.environ.update(LOOPBACK)
    try:
        import ray
    except ImportError:
        raise MissingExtra("ray", "scale") from None
    if not ray.is_initialized():
        check_address(address)
        here: dict[str, Any] = {
            "num_cpus": workers or None,
            "include_dashboard": False,
            # Ray's workers are at niceness 15 by default: on a busy machine they never get a turn.
            "_system_config": {"worker_niceness": 0},
        }
        where: dict[str, Any] = {"address": address} if address else here
        told = child.python_environment()
        names = ("PYTHONPATH", "PYTHONSAFEPATH")
        # Ray lets its workers import from the folder that this process is in.
        with contextlib.chdir(os.sep):
            ray.init(
                **where,
                log_to_driver=False,
                runtime_env={"env_vars": {name: told[name] for name in names}},
            )
        if not address and (found := ray.util.get_node_ip_address()) != "127.0.0.1":
            ray.shutdown()  # Ray was imported before and reads its settings only then
            (switch,) = LOOPBACK
            raise ConfigError(
                f"Ray listened at {found}, expected 127.0.0.1 without an address: ray was imported "
                f"before its setting {switch}=0 was made; set that, or give an address."
            )


def check_address(address: str, seconds: float = KNOCK_SECONDS) -> None:
    """ConfigError unless something listens at a cluster's address: Ray itself waits for minutes.

    `auto` and `local` are Ray's own words and left to it.
    """
    if address in ("", "auto", "local"):
        return
    host, colon, port = address.removeprefix(CLIENT).rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 65536):
        raise ConfigError(
            f"--address must be host:port of a Ray head, such as 10.0.0.1:6379; got {address}."
        )
    if address.startswith(CLIENT) and importlib.util.find_spec("grpc") is None:
        raise ConfigError(
            f"{address} is of the Ray Client, which needs: pip install 'ray[client]'. On a machine "
            f"of the cluster give the head's own address instead, --address {host}:6379."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), seconds).close()
    except OSError as error:
        raise ConfigError(
            f"No Ray cluster at --address {address}: nothing listens at {host} port {port} "
            f"({error}). Start one with: ray start --head --port={port}"
        ) from None


idle: list[Worker] = []
"""Workers of this process that wait for their next task."""
lock = threading.Lock()


def answer(packed: bytes, limit_seconds: float, here: str) -> bytes:
    """Do one task, in the folder `here`, in a worker of this process; errors come back as words."""
    with contextlib.suppress(OSError):  # a machine of the cluster may not have it
        os.chdir(here)
    task, item = unpack(packed)
    with lock:
        worker = idle.pop() if idle else Worker(limit_seconds)
    try:
        said: tuple[Any, ...] = (True, worker(task, item))
    except Exception as error:
        said = (False, type(error).__name__, str(error), "")
    with lock:
        idle.append(worker)
    return bytes(ForkingPickler.dumps(said))
