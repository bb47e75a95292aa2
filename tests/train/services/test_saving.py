"""An interrupt saves before it stops."""

import os
import signal

import pytest

from groundup.train import Interrupted, resume, saving
from tests.train.services.steps import steps_of, tiny


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path):
    model, optimizer = tiny()
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="after step 3, saved; run the same command again"):
        for step in saving(steps_of(model, optimizer), tmp_path, model, optimizer):
            if step.number == 2:
                os.kill(os.getpid(), signal.SIGINT)
    assert resume(tmp_path, model, optimizer).step == 3
    assert signal.getsignal(signal.SIGINT) is handler
