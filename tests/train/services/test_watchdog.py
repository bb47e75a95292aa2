"""A hang is told of once, with the stacks of all threads, and ends the run when its time is up."""

import subprocess
import sys
import threading

import pytest

from groundup.core import record
from groundup.train.services.watchdog import Watchdog, WatchdogConfig
from tests.train.services.test_metrics import step

CONFIG = WatchdogConfig(multiple=10, floor_seconds=30, limit_seconds=600)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def after(dog: Watchdog, clock: Clock, seconds: list[float], outside: float = 0.0) -> None:
    """Let steps take so long, and what lies between them."""

    def steps():
        for number, taken in enumerate(seconds):
            clock.now += taken
            dog.check_progress()
            yield step(number)

    for _ in dog.watch_steps(steps()):
        clock.now += outside
        dog.check_progress()


@pytest.fixture
def said(monkeypatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(record, "log", found.append)
    return found


def dog_of(tmp_path, clock: Clock) -> tuple[Watchdog, list[str]]:
    ended: list[str] = []
    return Watchdog(tmp_path / "stacks.txt", CONFIG, clock=clock, end=ended.append), ended


@pytest.mark.parametrize(
    "seconds, outside",
    [
        ([300.0, 1, 1, 1, 1, 1, 1], 0.0),  # the first step compiles
        ([1.0] * 8 + [29.0] + [1.0] * 3, 0.0),  # a new length compiles
        ([10.0] * 8 + [90.0], 0.0),  # slow steps
        ([1.0] * 9, 500.0),  # validation, samples, saving
    ],
)
def test_compilation_and_validation_are_no_hangs(seconds, outside, tmp_path, said):
    dog, ended = dog_of(tmp_path, clock := Clock())
    after(dog, clock, seconds, outside)
    assert not said and not ended


def test_a_hang_is_told_once_with_the_stacks_of_every_thread(tmp_path, said):
    dog, ended = dog_of(tmp_path, clock := Clock())
    stop = threading.Event()
    other = threading.Thread(target=waiting_for_a_peer, args=(stop,))
    other.start()
    after(dog, clock, [1.0] * 8)
    dog.begin_phase(8, True)
    for _ in range(3):
        clock.now += 31
        dog.check_progress()
    stop.set()
    other.join()
    assert len(said) == 1
    assert "step 8 has taken 31 s, the median step 1 s, in process" in said[0].lower()
    text = (tmp_path / "stacks.txt").read_text()
    assert "waiting_for_a_peer" in text and "test_a_hang_is_told_once" in text
    assert not ended


def waiting_for_a_peer(stop: threading.Event) -> None:
    stop.wait(60)


@pytest.mark.parametrize("is_in_step", [True, False])
def test_the_run_is_ended_when_the_limit_has_passed(is_in_step, tmp_path, said):
    dog, ended = dog_of(tmp_path, clock := Clock())
    dog.begin_phase(3, is_in_step)
    clock.now += 601
    dog.check_progress()
    what = "step 3" if is_in_step else "the work after step 3"
    assert len(ended) == 1 and f"is ended: {what} has taken 601 s" in ended[0]
    assert dog.ended.is_set()


def test_a_process_that_is_stuck_is_ended_with_an_error(tmp_path):
    program = f"""
import threading
from pathlib import Path
from groundup.train.services.watchdog import Watchdog, WatchdogConfig
config = WatchdogConfig(limit_seconds=0.2)
def stuck():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()  # as a collective whose peer is gone
    yield
with Watchdog(Path({str(tmp_path / "stacks.txt")!r}), config, poll_seconds=0.05) as dog:
    for _ in dog.watch_steps(stuck()):
        pass
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: The run hangs and is ended: step 0 has taken")
    assert "in stuck" in (tmp_path / "stacks.txt").read_text()
