"""Services see every step, and an interrupt saves before it stops."""

import os
import signal

import pytest

from groundup.core import record
from groundup.train import (
    Interrupted,
    OptimConfig,
    Optimizer,
    Plan,
    causal,
    logging,
    resume,
    saving,
    summary,
    train,
    validating,
)
from tests.train.test_loop import ragged_batch, tiny_model


def steps_of(model, optimizer, count: int = 6):
    batches = lambda step: [ragged_batch(seed=step)]  # noqa: E731
    return train(model, batches, causal, optimizer, lambda s: 1.0, Plan(count))


def test_metrics_hold_every_step_and_what_was_validated(tmp_path):
    model = tiny_model()
    optimizer = Optimizer(model.named_parameters(), OptimConfig())
    metrics = record.Metrics(tmp_path / "m.jsonl")
    seen = logging(steps_of(model, optimizer), metrics)
    for _ in validating(seen, lambda: {"validation": 1.5}, 3, metrics):
        pass
    metrics.close()
    rows = record.read_metrics(tmp_path / "m.jsonl")
    assert [row["step"] for row in rows if "loss" in row] == list(range(6))
    assert [row["step"] for row in rows if "validation" in row] == [2, 5]
    assert summary(tmp_path / "m.jsonl")["validation loss"] == 1.5


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path):
    model = tiny_model()
    optimizer = Optimizer(model.named_parameters(), OptimConfig())
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="after step 3, saved; run the same command again"):
        for step in saving(steps_of(model, optimizer), tmp_path, model, optimizer):
            if step.number == 2:
                os.kill(os.getpid(), signal.SIGINT)
    assert resume(tmp_path, model, optimizer).step == 3
    assert signal.getsignal(signal.SIGINT) is handler
