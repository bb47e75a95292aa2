"""A worker: a subprocess that runs one task at a time and can be killed over a single record.

The worker writes its current record and its start time to a shared-memory status page. The parent
waits for the result and polls the page: it kills the worker past the time limit, and detects its
death (such as by the OOM killer). Either way a new worker retries the task without the offending
record. The limit is on the worker's CPU time, so that a busy machine rejects no record; a sleeping
record is ended later, by wall clock. A worker exits with its parent, so none is orphaned.

Knows nothing of jobs: an item that can skip a record has a method `without`.
"""

import faulthandler
import mmap
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from typing import Any, NamedTuple, Protocol, runtime_checkable

from groundup.core import CapacityError, GroundupError, child

from .shards import as_capacity_error

POLL_SECONDS = 0.1
"""Interval at which the parent polls the status page: the accuracy of the time limit."""
MAX_DEATHS_PER_RECORD = 2
"""Deaths after which a record is rejected; the first may be due to another program's memory."""
MAX_DEATHS_PER_TASK = 6
"""Deaths outside any record after which the task fails: the machine is at fault."""
WALL_CLOCK_LIMITS = 10
"""Wall-clock limit of a record in time limits: for one that sleeps, waits for another program, or
whose worker gets less than a tenth of a core."""
WATCHDOG_LIMITS = WALL_CLOCK_LIMITS + 2
"""Time limits after which a worker exits by itself, in case its parent cannot kill it."""
MAX_MEMORY_GROWTH, MIN_RECYCLE_BYTES = 1.5, 300_000_000
"""A worker is recycled between tasks once its memory is this multiple of that after its first task,
and at least so many bytes: this releases its caches and the allocator's free lists."""
STATUS = struct.Struct("<qqqdd")
NO_RECORD = READING = -1
TIME_LIMIT, WORKER_DIED = "time limit", "worker died"


class RecordPosition(NamedTuple):
    """The record of its task that a worker is processing."""

    part: int
    """Index of the input split; 0 for a shard."""
    record: int
    """Index of the record in it."""
    step: int
    """Index of the step; `READING` while the record is being read."""

    @property
    def is_reading(self) -> bool:
        """Whether the record was still being read."""
        return self.step == READING


@runtime_checkable
class _Skippable(Protocol):
    def without(self, position: RecordPosition, reason: str) -> "_Skippable":
        """The same work with the record at `place` rejected for `reason`."""
        ...


class _WorkerDeath(NamedTuple):
    position: RecordPosition | None  # The record it was processing, if any
    reason: str  # `time limit`, or `worker died`


class WorkerStopped(Exception):
    """Raised in the thread of a worker that was stopped."""


_status_page: mmap.mmap | None = None
_watchdog = [0.0, 0.0]  # When to rearm the watchdog, and the time limit


def mark_record(split: int, record: int, step: int = READING) -> None:
    """Publish the record that this process works on; no effect outside a worker."""
    if _status_page is not None:
        now = time.monotonic()
        STATUS.pack_into(_status_page, 0, split, record, step, now, time.process_time())
        if now > _watchdog[0]:
            _arm_watchdog(now)


def mark_step(step: int) -> None:
    """Publish the step that the record is in; its clock keeps running."""
    if _status_page is not None:
        struct.pack_into("<q", _status_page, 16, step)


def clear_mark() -> None:
    """Publish that no record is being processed."""
    if _status_page is not None:
        STATUS.pack_into(_status_page, 0, NO_RECORD, NO_RECORD, NO_RECORD, 0.0, 0.0)
        faulthandler.cancel_dump_traceback_later()
        _watchdog[0] = 0.0


def _arm_watchdog(now: float) -> None:
    """Rearm the watchdog, at most once a second; it ends this process even if the GIL is held."""
    _watchdog[0] = now + 1.0
    faulthandler.dump_traceback_later(
        WATCHDOG_LIMITS * _watchdog[1] + 2, exit=True, file=sys.stderr
    )


class Worker:
    """One subprocess, started on first use; not thread-safe."""

    def __init__(self, limit_seconds: float) -> None:
        self.limit_seconds = limit_seconds
        self.stopping = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None
        self.baseline_bytes: int | None = None
        """Memory after its first task."""

    def __call__(self, task: Callable[[Any], Any], item: Any) -> Any:
        """Run `task(item)` in the worker and return its result; its errors are raised here."""
        deaths: Counter[RecordPosition | None] = Counter()
        while True:
            outcome = self._run_once(task, item)
            if not isinstance(outcome, _WorkerDeath):
                return outcome
            item = _retry_without(item, outcome, deaths)

    def _run_once(self, task: Callable[[Any], Any], item: Any) -> Any:
        try:
            if self.stopping.is_set():
                raise WorkerStopped
            if self.process is None or self.process.poll() is not None:
                self.start()
            self.pipe.send((task, item))
            while not self.pipe.poll(POLL_SECONDS):
                if self.stopping.is_set():
                    raise WorkerStopped
                if died := self._kill_if_overdue():
                    return died
            is_done, *reply = self.pipe.recv()
        except (EOFError, ConnectionError):
            self.end()
            return _WorkerDeath(self._current_position(), WORKER_DIED)
        except BaseException:
            self.end()
            raise
        if not is_done:
            raise rebuild_error(*reply)
        self._recycle_if_grown()
        return reply[0]

    def _recycle_if_grown(self) -> None:
        if self.process is None or (now := _resident_bytes(self.process.pid)) is None:
            return
        if self.baseline_bytes is None:
            self.baseline_bytes = now
        elif now > max(MIN_RECYCLE_BYTES, MAX_MEMORY_GROWTH * self.baseline_bytes):
            self.end()

    def start(self) -> None:
        """Start the process with a status page and a pipe."""
        self.end()
        with tempfile.TemporaryFile() as file:
            file.truncate(STATUS.size)
            self.status_page = mmap.mmap(file.fileno(), STATUS.size)
            self.pipe, child_end = Pipe()
            inherited = (child_end.fileno(), file.fileno())
            arguments = f"{inherited}, {self.limit_seconds!r}, {os.getpid()}"
            command = f"from {__name__} import run_worker; run_worker({arguments})"
            self.process = subprocess.Popen(
                child.python_command("-c", command), stdin=subprocess.DEVNULL,
                pass_fds=inherited, env=child.python_environment(),
            )  # fmt: skip
            child_end.close()

    def _current_position(self) -> RecordPosition | None:
        *place, since, _ = STATUS.unpack_from(self.status_page, 0)
        return RecordPosition(*place) if since else None

    def _kill_if_overdue(self) -> _WorkerDeath | None:
        *place, since, spent = STATUS.unpack_from(self.status_page, 0)
        waited, limit = time.monotonic() - since, self.limit_seconds
        if not since or waited < limit or self.process is None:
            return None
        if waited < WALL_CLOCK_LIMITS * limit:
            now = _cpu_seconds(self.process.pid)
            if now is not None and now - spent < limit:
                return None
        self.end()
        # It may have moved to the next record before it was killed; then no record is at fault.
        *after, still, _ = STATUS.unpack_from(self.status_page, 0)
        return _WorkerDeath(
            RecordPosition(*after) if (place[:2], since) == (after[:2], still) else None, TIME_LIMIT
        )

    def end(self) -> None:
        """Kill the process, if running, and wait for its exit."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.pipe.close()
            self.process = self.baseline_bytes = None


def _cpu_seconds(pid: int) -> float | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def _resident_bytes(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def _retry_without(item: Any, died: _WorkerDeath, deaths: Counter[RecordPosition | None]) -> Any:
    """The item to retry, without the offending record; CapacityError if no record explains it."""
    place = died.position and died.position._replace(step=min(died.position.step, 0))
    deaths[place] += 1
    if died.position is None:
        if deaths[None] < MAX_DEATHS_PER_TASK:
            return item
    elif not isinstance(item, _Skippable):
        if died.reason == WORKER_DIED and deaths[place] < MAX_DEATHS_PER_RECORD:
            return item
    elif died.reason == TIME_LIMIT or deaths[place] >= MAX_DEATHS_PER_RECORD:
        return item.without(died.position, died.reason)
    else:
        return item
    raise CapacityError(
        f"A worker died {sum(deaths.values())} times on the same task ({died.reason}), probably "
        "from lack of memory; use fewer --workers and run the same command again to resume."
    )


def rebuild_error(name: str, text: str, trace: str) -> Exception:
    """The error that a worker reported; a GroundupError keeps its class."""
    kinds = [GroundupError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    kind = next((kind for kind in kinds if kind.__name__ == name), None)
    if kind is not None:
        return kind.__new__(kind, text)
    error = RuntimeError(f"{name}: {text}")
    error.add_note(trace)
    return error


def run_worker(inherited: tuple[int, int], limit_seconds: float, parent: int) -> None:
    """Run tasks until the parent exits; the main loop of a worker process."""
    global _status_page
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and kills us
    pipe, _watchdog[1] = Connection(inherited[0]), limit_seconds
    _status_page = mmap.mmap(inherited[1], STATUS.size)
    os.close(inherited[1])
    threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()
    while True:
        try:
            task, item = pipe.recv()
        except (EOFError, ConnectionError):
            return
        except Exception as error:  # the item's class cannot be imported here
            pipe.send(_error_reply(error))
            continue
        clear_mark()
        try:
            answer = (True, task(item))
        except Exception as error:
            answer = _error_reply(error)
        clear_mark()
        try:
            pipe.send(answer)
        except (AttributeError, TypeError, ValueError) as error:
            pipe.send(_error_reply(error))


def _error_reply(error: Exception) -> tuple[bool, str, str, str]:
    if isinstance(error, OSError):
        error = as_capacity_error(error.filename or "the run's folder", error)
    return (False, type(error).__name__, str(error), traceback.format_exc())


def _exit_with_parent(parent: int) -> None:
    """Exit soon after the parent does: an orphan gets another parent id."""
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os._exit(1)
