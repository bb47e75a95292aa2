"""A process that ends by a fault of gloo's is started once more; one of ours fails the test."""

import os
import signal
from pathlib import Path

import pytest

from tests.train.parallel.processes import SegmentationFault, run


def faults_until(seen, times):
    """End by a fault so many times, then give the number of starts."""
    path = Path(seen)
    path.write_text(path.read_text() + "x")
    if len(path.read_text()) <= times:
        os.kill(os.getpid(), signal.SIGSEGV)
    return len(path.read_text())


def test_one_fault_is_forgiven_and_two_are_not(tmp_path):
    seen = tmp_path / "seen"
    seen.write_text("")
    assert run(1, faults_until, str(seen), 1) == [2]
    seen.write_text("")
    with pytest.raises(SegmentationFault):
        run(1, faults_until, str(seen), 2)
