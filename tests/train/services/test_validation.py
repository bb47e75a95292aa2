"""Held-out text is scored when it is due."""

from groundup.core import record
from groundup.train import summary, validating
from tests.train.services.steps import steps_of, tiny


def test_what_was_validated_is_written_when_it_is_due(tmp_path):
    metrics = record.Metrics(tmp_path / "m.jsonl")
    for _ in validating(steps_of(*tiny()), lambda: {"validation": 1.5}, 3, metrics):
        pass
    metrics.close()
    rows = record.read_metrics(tmp_path / "m.jsonl")
    assert [row["step"] for row in rows] == [2, 5]
    assert summary(tmp_path / "m.jsonl")["validation loss"] == 1.5
