"""Processes begin together and end together, and whoever survives names who did not."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

from groundup.core import ConfigError, DataError
from groundup.train.parallel.launch import (
    ProcessRank,
    _is_collective_error,
    _read_torchrun_rank,
    joined_processes,
    produce_together,
)
from tests.train.parallel.plans import Case, mesh_of
from tests.train.parallel.processes import CONTEXT, collect, free_port, run

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2",
            "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}  # fmt: skip


def test_what_torchrun_tells_is_read():
    assert _read_torchrun_rank({}) == ProcessRank(0, 1, 0, 1)
    assert _read_torchrun_rank(TORCHRUN) == ProcessRank(3, 8, 1, 2)


def test_half_of_what_torchrun_tells_is_refused():
    with pytest.raises(ConfigError, match="WORLD_SIZE is set but not RANK, MASTER_PORT"):
        _read_torchrun_rank({"WORLD_SIZE": "2", "MASTER_ADDR": "localhost"})


def test_one_process_needs_no_group_and_no_more():
    with joined_processes("") as mesh:
        assert mesh.device_mesh is None
    with pytest.raises(ConfigError, match="needs 2 processes, but 1 .* --nproc-per-node 2"):
        with joined_processes("data=2"):
            pass


def ended(world: int, fate: str, seconds: float) -> list[Any]:
    """What each of some processes saw when `fate` befell the second one; or how it ended."""
    port = free_port()
    lines = [CONTEXT.Pipe(duplex=False) for _ in range(world)]
    processes = [
        CONTEXT.Process(target=member, args=(rank, world, port, fate, lines[rank][1]), daemon=True)
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    for _, sender in lines:
        sender.close()
    spared = [line for rank, (line, _) in enumerate(lines) if fate == "none" or rank != 1]
    try:
        if fate == "stopped":  # others hang in a call, so that their watches end them
            processes[0].join(seconds)
            return [processes[0].exitcode]
        return collect(spared, processes, seconds)
    finally:
        for process in processes:
            process.kill()
            process.join()


def member(rank: int, world: int, port: int, fate: str, line: Any) -> None:
    """Sum numbers with the others for ever; the second process meets its fate at the third sum."""
    place = {"RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in place.items()}
    started = time.monotonic()
    try:
        with joined_processes(f"data={world}", patience_seconds=4.0) as mesh:
            for step in range(3 if fate == "none" else 1_000_000):
                if rank == 1 and step == 2:
                    if fate == "killed":
                        os.kill(os.getpid(), signal.SIGKILL)
                    if fate == "stopped":
                        os.kill(os.getpid(), signal.SIGSTOP)
                    if fate == "fails":
                        raise OSError("No space left on device")
                total = mesh.sum(1.0)
        line.send((True, total))
    except BaseException as error:
        line.send((True, f"{time.monotonic() - started:.0f} {type(error).__name__}: {error}"))


def test_processes_that_all_end_leave_quietly():
    assert ended(2, "none", 90) == [2.0, 2.0]


@pytest.mark.parametrize(
    ("fate", "told"),
    [
        ("killed", "Process 1 of 3 died: no heartbeat"),
        ("fails", "Process 1 of 3 failed: No space left on device. The others stop"),
    ],
)
def test_survivors_end_within_30_seconds_and_name_the_lost(fate: str, told: str):
    for seen in ended(3, fate, 90):
        seconds, _, error = seen.partition(" ")
        assert int(seconds) < 30 and error.startswith("ProcessLost: ") and told in error


@pytest.mark.slow  # waits until patience ends, as a killed process makes others do above
def test_survivors_that_hang_in_a_call_are_ended_too():
    started = time.monotonic()
    assert ended(2, "stopped", 60) == [1]
    assert time.monotonic() - started < 30


def test_a_mesh_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="needs 3 processes, but 8"), joined_processes("data=3"):
        pass


def artifact_of_two(folder: str) -> list[str]:
    """What each process of two did for one artifact, twice in a row; with its id at the end."""
    from groundup.core import Artifact, Config, Draft, produce

    mesh, out, did = mesh_of(Case("data=2")), Path(folder) / "out", []

    def write(draft: Draft) -> None:
        did.append(f"trains beside {draft.scratch.name}")
        mesh.sum(1.0)
        if mesh.is_first:
            draft.file("weights.txt").write_text("weights", encoding="utf-8")

    def make(writer: Callable[[Draft], None]) -> Artifact:
        return produce(out, kind="model", stage="test", version=1, config=Config(), parents={},
                       write=writer)  # fmt: skip

    for _ in range(2):
        did.append(produce_together(mesh, out, make, write).id)
    return did


def test_all_train_for_an_artifact_that_the_first_makes_once(tmp_path: Path):
    first, second = run(2, artifact_of_two, str(tmp_path))
    assert first == second and first[0] == "trains beside .scratch"
    assert len(first) == 3 and first[1] == first[2]


def torchrun(folder: Path, mesh: str) -> subprocess.Popen[str]:
    """Two processes in training; the first three steps are done."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    started = subprocess.Popen(
        [*command, "tests/train/parallel/trainer.py", str(folder), mesh], stderr=subprocess.PIPE,
        text=True, env=os.environ | {"PYTHONPATH": ".", "GROUNDUP_COMPILE": "0"},
    )  # fmt: skip
    end = time.monotonic() + 120
    while not all((folder / f"pid-{rank}").exists() for rank in range(2)):
        assert started.poll() is None and time.monotonic() < end, "training did not begin"
        time.sleep(0.2)
    return started


@pytest.mark.slow
def test_torchrun_ends_all_within_30_seconds_when_one_is_killed_and_the_first_names_it(
    tmp_path: Path,
):
    running = torchrun(tmp_path, "tensor=2")
    os.kill(int((tmp_path / "pid-1").read_text(encoding="utf-8")), signal.SIGKILL)
    _, told = running.communicate(timeout=30)
    assert running.returncode == 1 and "error: Process 1 of 2 died" in told


@pytest.mark.slow
def test_control_c_stops_all_after_the_same_step(tmp_path: Path):
    running = torchrun(tmp_path, "data=2")
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=60)
    step = int((tmp_path / "kept").read_text(encoding="utf-8").removeprefix("step "))
    for rank in range(2):
        assert f"process {rank}: Stopped after step {step + 1}, saved." in told


@pytest.mark.parametrize(
    ("error", "is_so"),
    [
        (RuntimeError("[../gloo/transport/tcp/pair.cc:547] Connection closed by peer"), True),
        (distributed.DistNetworkError("broken pipe"), True),
        (torch.OutOfMemoryError("CUDA out of memory"), False),
        (DataError("nothing to learn from"), False),
    ],
)
def test_errors_of_calls_to_others_are_told_from_own_ones(error: Exception, is_so: bool):
    assert _is_collective_error(error) is is_so
