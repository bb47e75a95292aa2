"""A worker: a process of our own that does one task at a time and may be killed over one record.

The worker notes on a page of shared memory which record it is on and since when. The parent waits
for the result and looks at the page: past the time limit it kills the worker, and if the system did
(memory ran out) it notices. Either way a new worker does the task again, without the record at
fault. The limit is on the worker's own time, so that a busy machine costs no record; what sleeps
ends later. A worker ends with its parent, whatever either is doing, so nothing is orphaned.

Knows nothing of shards: an item that can leave a record out says so by a method `without`.
"""

import faulthandler
import importlib
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

from .disk import full_disk

TICK_SECONDS = 0.1
"""How often the parent looks at the page: a time limit is kept to within this."""
DEATHS_OF_A_RECORD = 2
"""Deaths on one record from which it is to blame; the first may be another program's memory."""
DEATHS_OF_A_TASK = 6
"""Deaths without a record to blame from which memory or the machine is."""
PATIENCE = 10
"""Time limits on the wall clock after which a record ends that takes no time of its own: it sleeps,
waits for another program, or the machine gives the worker less than a tenth of a core."""
OVERTIME = PATIENCE + 2
"""Time limits after which a worker ends itself, should nobody be left to kill it."""
GROWTH, LEAST_BYTES = 1.5, 300_000_000
"""A worker gives its place to a new one when a task is done and it holds so many times what it held
after its first, and this much at least: caches and the allocator's leftovers are its own."""
NOTE = struct.Struct("<qqqdd")
NOWHERE = -1
TIME_LIMIT, DIED = "time limit", "worker died"


class Place(NamedTuple):
    """Which record of its task a worker is on."""

    part: int
    """Number of the part that is read, from 0; 0 for a shard."""
    record: int
    """Number of the record in it, from 0."""
    step: int
    """Number of the step, from 0; `READING` while the record is being read."""

    @property
    def is_reading(self) -> bool:
        """Whether the record was still being read."""
        return self.step == NOWHERE


READING = NOWHERE


@runtime_checkable
class Sparing(Protocol):
    """An item of work that can be done without one of its records."""

    def without(self, place: Place, reason: str) -> "Sparing":
        """The same work, the record at `place` set aside for `reason`."""
        ...


class Died(NamedTuple):
    """How a worker ended before its task was done."""

    place: Place | None
    """The record that it was on, if on any."""
    reason: str
    """`time limit`, or `worker died`."""


class Stopped(Exception):
    """Raised in a thread whose worker was stopped from outside."""


_page: mmap.mmap | None = None
_armed = [0.0, 0.0]
"""When the worker would end itself, and the time limit."""


def at(part: int, record: int, step: int = READING) -> None:
    """Note which record this process is on; free of effect outside a worker."""
    if _page is not None:
        now = time.monotonic()
        NOTE.pack_into(_page, 0, part, record, step, now, time.process_time())
        if now > _armed[0]:
            arm(now)


def at_step(step: int) -> None:
    """Note which step the record is in; its time goes on."""
    if _page is not None:
        struct.pack_into("<q", _page, 16, step)


def nowhere() -> None:
    """Note that no record is under way."""
    if _page is not None:
        NOTE.pack_into(_page, 0, NOWHERE, NOWHERE, NOWHERE, 0.0, 0.0)
        faulthandler.cancel_dump_traceback_later()
        _armed[0] = 0.0


def arm(now: float) -> None:
    """Set the clock that ends this process even while it holds the interpreter, once a second."""
    _armed[0] = now + 1.0
    faulthandler.dump_traceback_later(OVERTIME * _armed[1] + 2, exit=True, file=sys.stderr)


class Worker:
    """One process, started when it is first needed; of use to one thread at a time."""

    def __init__(self, limit_seconds: float) -> None:
        self.limit_seconds = limit_seconds
        self.stopping = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None
        self.first_bytes: int | None = None
        """Memory after its first task."""

    def __call__(self, task: Callable[[Any], Any], item: Any) -> Any:
        """What `task(item)` returns, done in the worker; its errors are raised here."""
        deaths: Counter[Place | None] = Counter()
        while True:
            outcome = self.once(task, item)
            if not isinstance(outcome, Died):
                return outcome
            item = spared(item, outcome, deaths)

    def once(self, task: Callable[[Any], Any], item: Any) -> Any:
        """The result, or how the worker died."""
        try:
            if self.stopping.is_set():
                raise Stopped
            if self.process is None or self.process.poll() is not None:
                self.start()
            self.pipe.send((task, item))
            while not self.pipe.poll(TICK_SECONDS):
                if self.stopping.is_set():
                    raise Stopped
                if died := self.overdue():
                    return died
            is_done, *said = self.pipe.recv()
        except (EOFError, ConnectionError):
            self.end()
            return Died(self.place(), DIED)
        except BaseException:
            self.end()
            raise
        if not is_done:
            raise error_of(*said)
        self.renew()
        return said[0]

    def renew(self) -> None:
        """End the process if it has grown; the next task starts another."""
        if self.process is None or (now := bytes_of(self.process.pid)) is None:
            return
        if self.first_bytes is None:
            self.first_bytes = now
        elif now > max(LEAST_BYTES, GROWTH * self.first_bytes):
            self.end()

    def start(self) -> None:
        """Start the process, with a page to note on and a pipe to hear by."""
        self.end()
        with tempfile.TemporaryFile() as file:
            file.truncate(NOTE.size)
            self.page = mmap.mmap(file.fileno(), NOTE.size)
            self.pipe, theirs = Pipe()
            inherited = (theirs.fileno(), file.fileno())
            given = f"{inherited}, {self.limit_seconds!r}, {os.getpid()}"
            command = f"from {__name__} import serve; serve({given})"
            self.process = subprocess.Popen(
                child.python_command("-c", command), stdin=subprocess.DEVNULL,
                pass_fds=inherited, env=child.python_environment(),
            )  # fmt: skip
            theirs.close()

    def place(self) -> Place | None:
        """The record that the page names."""
        *place, since, _ = NOTE.unpack_from(self.page, 0)
        return Place(*place) if since else None

    def overdue(self) -> Died | None:
        """Kill the worker if it is past the limit on a record, and say on which."""
        *place, since, spent = NOTE.unpack_from(self.page, 0)
        waited, limit = time.monotonic() - since, self.limit_seconds
        if not since or waited < limit or self.process is None:
            return None
        if waited < PATIENCE * limit:
            now = seconds_of(self.process.pid)
            if now is not None and now - spent < limit:
                return None
        self.end()
        # It may have gone on while it was looked at; then nobody is to blame.
        *after, still, _ = NOTE.unpack_from(self.page, 0)
        return Died(Place(*after) if (place[:2], since) == (after[:2], still) else None, TIME_LIMIT)

    def end(self) -> None:
        """Kill the process, if there is one, and wait for its end."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.pipe.close()
            self.process = self.first_bytes = None


def seconds_of(pid: int) -> float | None:
    """Processor time that a process has taken; None where the system does not tell."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def bytes_of(pid: int) -> int | None:
    """Memory that a process holds; None where the system does not tell."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def spared(item: Any, died: Died, deaths: Counter[Place | None]) -> Any:
    """The item to try next; an error if neither a record nor chance can be blamed any more."""
    place = died.place and died.place._replace(step=min(died.place.step, 0))
    deaths[place] += 1
    if died.place is None:
        if deaths[None] < DEATHS_OF_A_TASK:
            return item
    elif not isinstance(item, Sparing):
        if died.reason == DIED and deaths[place] < DEATHS_OF_A_RECORD:
            return item
    elif died.reason == TIME_LIMIT or deaths[place] >= DEATHS_OF_A_RECORD:
        return item.without(died.place, died.reason)
    else:
        return item
    raise CapacityError(
        f"A worker ended {sum(deaths.values())} times over the same work ({died.reason}): the "
        "machine is short of memory, or it was killed; use fewer --workers and run the same "
        "command again: what is complete stays."
    )


def error_of(name: str, text: str, trace: str) -> Exception:
    """The error that a worker told of, of its own kind where it is one of ours."""
    kinds = [GroundupError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    kind = next((kind for kind in kinds if kind.__name__ == name), None)
    if kind is not None:
        return kind.__new__(kind, text)
    error = RuntimeError(f"{name}: {text}")
    error.add_note(trace)
    return error


def serve(inherited: tuple[int, int], limit_seconds: float, parent: int) -> None:
    """Do tasks until the parent is gone, be it gone already; the body of a worker process."""
    global _page
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C and ends us
    pipe, _armed[1] = Connection(inherited[0]), limit_seconds
    _page = mmap.mmap(inherited[1], NOTE.size)
    os.close(inherited[1])
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    while True:
        try:
            task, item = pipe.recv()
        except (EOFError, ConnectionError):
            return
        except Exception as error:  # an item whose class is not in a module that can be imported
            pipe.send(told(error))
            continue
        nowhere()
        try:
            answer = (True, task(item))
        except Exception as error:
            answer = told(error)
        nowhere()
        try:
            pipe.send(answer)
        except (AttributeError, TypeError, ValueError) as error:
            pipe.send(told(error))


def told(error: Exception) -> tuple[bool, str, str, str]:
    """An error in words, for the parent."""
    if isinstance(error, OSError):
        error = full_disk(error.filename or "the run's folder", error)
    return (False, type(error).__name__, str(error), traceback.format_exc())


def end_with(parent: int) -> None:
    """End this process soon after its parent: a dead parent's child is given to another."""
    while os.getppid() == parent:
        time.sleep(TICK_SECONDS)
    os._exit(1)


def load(target: str) -> Any:
    """What `module:name` names."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
