"""Metrics hold every step."""

from groundup.core import record
from groundup.train import logging, summary
from tests.train.services.steps import steps_of, tiny


def test_metrics_hold_every_step(tmp_path):
    metrics = record.Metrics(tmp_path / "m.jsonl")
    steps = list(logging(steps_of(*tiny()), metrics))
    metrics.close()
    rows = record.read_metrics(tmp_path / "m.jsonl")
    assert [row["step"] for row in rows] == list(range(6))
    assert rows[-1]["loss"] == round(steps[-1].loss, 6)
    assert summary(tmp_path / "m.jsonl")["final loss"] == rows[-1]["loss"]
