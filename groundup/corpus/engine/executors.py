"""Executors: map a function over items in workers of this machine, or on a cluster through Daft.

The pool does not queue: a worker gets its next task when the last one is done, so memory does not
grow with the number of tasks; an error or Ctrl-C ends every worker before it is raised. Daft gets a
column of tasks and returns a column of results; on each machine a task runs in a worker of
worker.py, so time limits, killed workers and rejected records are the same everywhere. Tasks refer
to files: on a cluster, inputs and the output folder must be on a shared disk. Daft is imported in
this file only, because its interface changes between versions.
"""

import contextlib
import importlib.util
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.reduction import ForkingPickler
from queue import SimpleQueue
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from groundup.core import ConfigError, GroundupError, MissingExtra, child, device

from .worker import Worker, WorkerStopped, rebuild_error

Item = TypeVar("Item")
RECORD_LIMIT_SECONDS = 60.0
"""Default CPU time of one record. Own choice: a hundred times what our slowest step takes for a
megabyte."""
RunnerName = Literal["pool", "daft", "ray"]
NO_TELEMETRY = {"DAFT_ANALYTICS_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}
"""Disables telemetry, which both send by default."""
LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray's switch, on every system, to bind the head's ports to 127.0.0.1."""
CONNECT_SECONDS = 10.0
_unpack: Callable[[bytes], Any] = ForkingPickler.loads  # pyright: ignore[reportAttributeAccessIssue]
"""A static method, which type checkers take for an instance method."""
_idle_workers: list[Worker] = []  # Workers of this process that have no task
_idle_lock = threading.Lock()


@runtime_checkable
class Executor(Protocol):
    """Maps a module-level function over items in workers; results are in the items' order."""

    def __call__(
        self,
        task: Callable[[Item], Any],
        items: Sequence[Item],
        on_result: Callable[[Any], None] = lambda result: None,
    ) -> list[Any]:
        """Results of `task`; they must be small, so large output goes to a file that it names.

        The callback gets each result as it arrives, in any order.
        """
        ...


class WorkerPool:
    """An `Executor` over processes of this machine; a context manager."""

    def __init__(self, workers: int = 0, limit_seconds: float = RECORD_LIMIT_SECONDS) -> None:
        """Prepare `workers` processes, one per core if 0; ConfigError for invalid numbers."""
        if workers < 0 or limit_seconds <= 0:
            given = f"workers={workers}, limit_seconds={limit_seconds}"
            raise ConfigError(f"{given}: expected workers >= 0 (0: one per core) and a limit > 0.")
        self.workers = [Worker(limit_seconds) for _ in range(workers or device.available_cores())]

    def __call__(
        self,
        task: Callable[[Any], Any],
        items: Sequence[Any],
        on_result: Callable[[Any], None] = lambda result: None,
    ) -> list[Any]:
        """Results of `task` in the items' order; the callback gets each as it arrives."""
        results: list[Any] = [None] * len(items)
        todo, lock, reports = iter(enumerate(items)), threading.Lock(), SimpleQueue[Any]()
        threads = [
            threading.Thread(
                target=_feed_worker, args=(worker, task, todo, lock, reports), daemon=True
            )
            for worker in self.workers[: len(items)]
        ]
        try:
            for thread in threads:
                thread.start()
            for _ in items:
                number, result, error = reports.get()
                if error is not None:
                    raise error
                results[number] = result
                on_result(result)
        except BaseException:
            self.close()
            raise
        finally:
            for thread in threads:
                thread.join()
        return results

    def close(self) -> None:
        """Kill all workers."""
        for worker in self.workers:
            worker.stopping.set()
            if (process := worker.process) is not None:
                process.kill()

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
        for worker in self.workers:
            worker.end()


def _feed_worker(
    worker: Worker,
    task: Callable[[Any], Any],
    todo: Iterator[tuple[int, Any]],
    lock: threading.Lock,
    reports: SimpleQueue[Any],
) -> None:
    # Ctrl-C must reach the main thread; workers started here inherit the mask.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    while not worker.stopping.is_set():
        with lock:
            number, item = next(todo, (-1, None))
        if number < 0:
            return
        try:
            reports.put((number, worker(task, item), None))
        except WorkerStopped:
            return
        except BaseException as error:
            reports.put((number, None, error))
            return


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
        else _DaftExecutor(name, workers, limit_seconds, address) as each
    ):
        yield each


class _DaftExecutor:
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
            is_done, *reply = _unpack(row["reply"])
            if not is_done:
                raise rebuild_error(*reply)
            results[row["number"]] = reply[0]
            on_result(reply[0])
        return results

    def __enter__(self) -> "_DaftExecutor":
        return self

    def __exit__(self, *error: object) -> None:
        while _idle_workers:
            _idle_workers.pop().end()


def _start_ray(workers: int, address: str) -> None:
    """Join a Ray cluster, or start one on the loopback interface, with this process's import path:
    Ray's ports accept code from anybody who can connect."""
    if not address:
        os.environ.update(LOOPBACK_ONLY)
    try:
        import ray
    except ImportError:
        raise MissingExtra("ray", "scale") from None
    if ray.is_initialized():
        return
    _check_ray_address(address)
    local: dict[str, Any] = {
        "num_cpus": workers or None,
        "include_dashboard": False,
        # Ray's default niceness of 15 starves its workers on a busy machine.
        "_system_config": {"worker_niceness": 0},
    }
    options: dict[str, Any] = {"address": address} if address else local
    environment = child.python_environment()
    variables = {name: environment[name] for name in ("PYTHONPATH", "PYTHONSAFEPATH")}
    # Ray adds this process's working directory to its workers' import path.
    with contextlib.chdir(os.sep):
        ray.init(**options, log_to_driver=False, runtime_env={"env_vars": variables})
    if not address and (ip := ray.util.get_node_ip_address()) != "127.0.0.1":
        ray.shutdown()  # Ray reads its environment only when it is imported
        (switch,) = LOOPBACK_ONLY
        raise ConfigError(
            f"Ray was imported before {switch}=0 was set and listens on {ip}, not 127.0.0.1; set "
            "that in the environment, or give an address."
        )


def _check_ray_address(address: str) -> None:
    """Raise ConfigError unless the address accepts connections: Ray would wait for minutes."""
    if address in ("", "auto", "local"):  # Ray's own keywords
        return
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 65536):
        raise ConfigError(
            f"--address must be host:port of a Ray head, such as 10.0.0.1:6379; got {address}."
        )
    if address.startswith("ray://") and importlib.util.find_spec("grpc") is None:
        raise ConfigError(
            f"{address} needs the Ray Client: pip install 'ray[client]', or on a machine of the "
            f"cluster --address {host}:6379."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise ConfigError(
            f"No Ray cluster at --address {address}: nothing listens at {host} port {port} "
            f"({error}). Start one with: ray start --head --port={port}"
        ) from None


def _run_packed_task(packed: bytes, limit_seconds: float, folder: str) -> bytes:
    """Run one pickled task in a worker, in a folder; errors are returned as text."""
    with contextlib.suppress(OSError):  # a machine of the cluster may lack it
        os.chdir(folder)
    task, item = _unpack(packed)
    with _idle_lock:
        worker = _idle_workers.pop() if _idle_workers else Worker(limit_seconds)
    try:
        reply: tuple[Any, ...] = (True, worker(task, item))
    except Exception as error:
        reply = (False, type(error).__name__, str(error), "")
    with _idle_lock:
        _idle_workers.append(worker)
    return bytes(ForkingPickler.dumps(reply))
