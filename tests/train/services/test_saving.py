"""An interrupt saves before it stops; a save that failed stops the run at the next step."""

import os
import signal

import pytest
from torch._inductor.exc import InductorError

from groundup.core import CapacityError
from groundup.train import CheckpointConfig, Checkpoints, Interrupted, save_checkpoints
from groundup.train.services.saving import SaveRequest, _collecting_interrupts, _save_request
from tests.train.services.steps import steps_of, tiny


def kept(folder) -> list[str]:
    return sorted(path.name for path in folder.glob("step-*"))


@pytest.mark.parametrize("polite", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_polite_stop_saves_and_says_how_to_go_on(tmp_path, polite):
    model, optimizer = tiny()
    checkpoints = Checkpoints(tmp_path, {"model": model, "optimizer": optimizer})
    handler = signal.getsignal(polite)
    with pytest.raises(Interrupted, match="after step 3, saved; run the same command again"):
        for step in save_checkpoints(steps_of(model, optimizer), checkpoints):
            if step.number == 2:
                os.kill(os.getpid(), polite)
    assert kept(tmp_path) == ["step-00000003"]
    assert checkpoints.resume().step == 3
    assert signal.getsignal(polite) is handler


def test_under_nohup_a_terminal_that_closes_stops_nothing(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _collecting_interrupts() as noticed:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not noticed
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_compiler_that_ctrl_c_ended_is_a_stop_and_no_defect():
    failed = InductorError(RuntimeError("g++ was interrupted"), object())
    with pytest.raises(KeyboardInterrupt, match="during compilation"):
        with _collecting_interrupts():
            os.kill(os.getpid(), signal.SIGINT)
            raise failed
    with pytest.raises(InductorError), _collecting_interrupts():
        raise failed


def test_checkpoints_come_by_steps_and_some_stay_for_good(tmp_path):
    model, optimizer = tiny()
    config = CheckpointConfig(every_seconds=None, every_steps=1, keep=1, keep_every=2)
    parts = {"model": model, "optimizer": optimizer}
    for _ in save_checkpoints(steps_of(model, optimizer), Checkpoints(tmp_path, parts, config)):
        pass
    assert kept(tmp_path) == ["step-00000002", "step-00000004", "step-00000006"]


def test_time_alone_waits_for_no_save_and_a_step_to_be_kept_does():
    by_time = CheckpointConfig(every_seconds=15.0)
    assert _save_request(by_time, 7, 14.9) == SaveRequest.NOTHING
    assert _save_request(by_time, 7, 15.0) == SaveRequest.SAVE
    by_steps = CheckpointConfig(every_seconds=15.0, every_steps=5, keep_every=7)
    assert [_save_request(by_steps, done, 0.0) for done in (4, 5, 7)] == [
        0,
        SaveRequest.SAVE_REQUIRED,
        2,
    ]


def test_a_save_that_failed_stops_the_run_at_the_next_step(tmp_path, monkeypatch):
    model, optimizer = tiny()
    config = CheckpointConfig(every_seconds=None, every_steps=2)
    checkpoints = Checkpoints(tmp_path, {"model": model, "optimizer": optimizer}, config)
    seen = []

    def full(path, tensors):
        raise OSError(28, "No space left on device", str(path))

    with pytest.raises(CapacityError, match="step 4 could not be written.*No space left.*step-"):
        for step in save_checkpoints(steps_of(model, optimizer), checkpoints):
            seen.append(step.number)
            if step.number == 2:
                checkpoints.wait()
                monkeypatch.setattr("groundup.train.checkpoint.store.write_tensors", full)
            if step.number == 3:
                monkeypatch.setattr(checkpoints.background, "start", started(checkpoints))
    assert seen == [0, 1, 2, 3, 4]
    assert kept(tmp_path) == ["step-00000002"]
    assert not list(tmp_path.glob(".partial*"))


def started(checkpoints: Checkpoints):
    """Start work and let it end before the next step is looked at."""
    start = checkpoints.background.start

    def go(work):
        start(work)
        checkpoints.background.thread.join()

    return go
