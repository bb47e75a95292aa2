"""Clusters: the same tasks through Daft, on this machine or on a Ray cluster.

The only file that imports Daft, because its interface changes between versions. Daft gets a column
of tasks and returns a column of results; on each machine a task runs in a worker of worker.py, so
time limits, killed workers and rejected records are the same everywhere. Tasks refer to files: on a
cluster, inputs and the output folder must be on a shared disk.
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

from .global_step import Executor
from .pool import RECORD_LIMIT_SECONDS, WorkerPool
from .worker import Worker, rebuild_error

RunnerName = Literal["pool", "daft", "ray"]
NO_TELEMETRY = {"DAFT_ANALYTICS_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}
"""Disables telemetry, which both send by default."""
LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray's switch, on every system, to bind the head's ports to 127.0.0.1."""
CONNECT_SECONDS = 10.0
RAY_CLIENT_SCHEME = "ray://"
unpack: Callable[[bytes], Any] = ForkingPickler.loads  # pyright: ignore[reportAttributeAccessIssue]
"""A static method, which type checkers take for an instance method."""


@contextlib.contextmanager
def open_executor(
    name: RunnerName,
    workers: int = 0,
    limit_seconds: float = RECORD_LIMIT_SECONDS,
    address: str = "",
) -> Iterator[Executor]:
    """An executor: a local pool, local Daft, or Daft on the Ray cluster at `address`."""
    if address and name != "ray":
        raise ConfigError(f"--address={address} needs --runner ray, but --runner is {name}.")
    with (
        WorkerPool(workers, limit_seconds)
        if name == "pool"
        else DaftExecutor(name, workers, limit_seconds, address) as each
    ):
        yield each


class DaftExecutor:
    """An `Executor` over Daft."""

    def __init__(self, name: str, workers: int, limit_seconds: float, address: str) -> None:
        """Start Daft's runner; ConfigError if this process already runs another."""
        os.environ.update(NO_TELEMETRY)
        try:
            import daft
        except ImportError:
            raise MissingExtra("daft", "scale") from None
        self.name, self.limit_seconds = name, limit_seconds
        try:
            if name == "daft":
                daft.set_runner_native(num_threads=workers or None)
            else:
                _start_ray(workers, address)
                daft.set_runner_ray(address or None, noop_if_initialized=True)
        except GroundupError:
            raise
        except Exception as error:
            raise ConfigError(f"Daft cannot start its runner {name}: {error}") from None

    def __call__(
        self,
        task: Callable[[Any], Any],
        items: Sequence[Any],
        on_result: Callable[[Any], None] = lambda result: None,
    ) -> list[Any]:
        """Results of `task` for every item, in the items' order."""
        import daft

        if not items:
            return []
        column, limit, folder = daft.col("item"), self.limit_seconds, os.getcwd()

        @daft.func(return_dtype=daft.DataType.binary(), use_process=False)
        def carry_out(packed: bytes) -> bytes:
            return _run_packed_task(packed, limit, folder)

        packed = [bytes(ForkingPickler.dumps((task, item))) for item in items]
        frame = daft.from_pydict({"number": list(range(len(items))), "item": packed})
        if self.name == "ray":
            frame = frame.into_partitions(len(items))
        frame = frame.into_batches(1)
        results: list[Any] = [None] * len(items)
        for row in frame.select("number", carry_out(column).alias("reply")).iter_rows():
            is_done, *reply = unpack(row["reply"])
            if not is_done:
                raise rebuild_error(*reply)
            results[row["number"]] = reply[0]
            on_result(reply[0])
        return results

    def __enter__(self) -> "DaftExecutor":
        return self

    def __exit__(self, *error: object) -> None:
        while idle_workers:
            idle_workers.pop().end()


def _start_ray(workers: int, address: str) -> None:
    """Join a Ray cluster, or start one on the loopback interface, with this process's import path.

    Ray's ports accept code from anybody who can connect: there is no authentication.
    """
    if not address:
        os.environ.update(LOOPBACK_ONLY)
    try:
        import ray
    except ImportError:
        raise MissingExtra("ray", "scale") from None
    if not ray.is_initialized():
        _check_ray_address(address)
        local: dict[str, Any] = {
            "num_cpus": workers or None,
            "include_dashboard": False,
            # Ray's default niceness of 15 starves its workers on a busy machine.
            "_system_config": {"worker_niceness": 0},
        }
        options: dict[str, Any] = {"address": address} if address else local
        environment = child.python_environment()
        names = ("PYTHONPATH", "PYTHONSAFEPATH")
        # Ray adds this process's working directory to its workers' import path.
        with contextlib.chdir(os.sep):
            ray.init(
                **options,
                log_to_driver=False,
                runtime_env={"env_vars": {name: environment[name] for name in names}},
            )
        if not address and (ip := ray.util.get_node_ip_address()) != "127.0.0.1":
            ray.shutdown()  # Ray reads its environment only when it is imported
            (switch,) = LOOPBACK_ONLY
            raise ConfigError(
                f"Ray listens on {ip}, expected 127.0.0.1: it was imported before {switch}=0 was "
                "set; set that in the environment, or give an address."
            )


def _check_ray_address(address: str, seconds: float = CONNECT_SECONDS) -> None:
    """Raise ConfigError unless the address accepts connections: Ray itself would wait for minutes.

    `auto` and `local` are Ray's own keywords and not checked.
    """
    if address in ("", "auto", "local"):
        return
    host, colon, port = address.removeprefix(RAY_CLIENT_SCHEME).rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 65536):
        raise ConfigError(
            f"--address must be host:port of a Ray head, such as 10.0.0.1:6379; got {address}."
        )
    if address.startswith(RAY_CLIENT_SCHEME) and importlib.util.find_spec("grpc") is None:
        raise ConfigError(
            f"{address} needs the Ray Client: pip install 'ray[client]'. On a machine of the "
            f"cluster give the head's address instead, --address {host}:6379."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), seconds).close()
    except OSError as error:
        raise ConfigError(
            f"No Ray cluster at --address {address}: nothing listens at {host} port {port} "
            f"({error}). Start one with: ray start --head --port={port}"
        ) from None


idle_workers: list[Worker] = []
"""Workers of this process that have no task."""
idle_lock = threading.Lock()


def _run_packed_task(packed: bytes, limit_seconds: float, folder: str) -> bytes:
    """Run one pickled task in a worker, in a folder; errors are returned as text."""
    with contextlib.suppress(OSError):  # a machine of the cluster may lack it
        os.chdir(folder)
    task, item = unpack(packed)
    with idle_lock:
        worker = idle_workers.pop() if idle_workers else Worker(limit_seconds)
    try:
        reply: tuple[Any, ...] = (True, worker(task, item))
    except Exception as error:
        reply = (False, type(error).__name__, str(error), "")
    with idle_lock:
        idle_workers.append(worker)
    return bytes(ForkingPickler.dumps(reply))
