"""Metrics hold every step, in JSON that every reader takes."""

import json
import math

from groundup.core import record
from groundup.train import TrainStep, log_steps, summarise_metrics
from tests.train.services.steps import steps_of, tiny


class Bar:
    def __init__(self) -> None:
        self.done, self.shown = 0.0, {}

    def advance(self, amount: float, **metrics: float) -> None:
        self.done, self.shown = self.done + amount, metrics

    def skip(self, amount: float) -> None:
        self.done += amount


def step(number: int, loss: float = 2.0, *, is_applied: bool = True) -> TrainStep:
    return TrainStep(number, loss, 10.0, 10, loss, 1.0, 0.5, is_applied)


def test_metrics_hold_every_step(tmp_path):
    metrics = record.MetricsFile(tmp_path / "m.jsonl")
    steps = list(log_steps(steps_of(*tiny()), metrics))
    metrics.close()
    rows = record.read_metrics(tmp_path / "m.jsonl")
    assert [row["step"] for row in rows] == list(range(6))
    assert rows[-1]["loss"] == round(steps[-1].loss, 6)
    assert summarise_metrics(tmp_path / "m.jsonl")["final loss"] == rows[-1]["loss"]


def test_what_is_not_finite_is_null_and_what_was_not_made_says_so(tmp_path):
    metrics = record.MetricsFile(tmp_path / "m.jsonl")
    list(
        log_steps(
            [step(0), step(1, math.nan, is_applied=False)], metrics, utilisation=lambda s: 0.25
        )
    )
    metrics.close()
    strict = lambda text: json.loads(text, parse_constant=lambda name: 1 / 0)  # noqa: E731
    first, last = map(strict, (tmp_path / "m.jsonl").read_text().splitlines())
    assert (last["loss"], last["gradient_norm"], last["applied"]) == (None, None, False)
    assert "applied" not in first
    assert summarise_metrics(tmp_path / "m.jsonl")["final loss"] == 2.0
    assert summarise_metrics(tmp_path / "m.jsonl")["mfu"] == 0.25


def test_the_bar_goes_back_with_the_run(tmp_path):
    metrics, bar = record.MetricsFile(tmp_path / "m.jsonl"), Bar()
    list(
        log_steps(
            [step(n) for n in (3, 4, 5, 6, 4, 5, 6, 7)], metrics, bar, utilisation=lambda s: 0.5
        )
    )
    metrics.close()
    assert bar.done == 10 * 5  # steps 3 to 7
    assert bar.shown == {"loss": 2.0, "mfu": 0.5}


def test_the_first_step_is_done_and_tells_nothing_of_the_time_left(tmp_path, monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(record.time, "monotonic", lambda: now[0])
    metrics = record.MetricsFile(tmp_path / "m.jsonl")

    def steps():
        for number in range(3):
            now[0] += 600.0 if number == 0 else 10.0  # the first is compiled
            yield step(number)

    record.set_output_mode("plain")
    try:
        with record.progress("base", 200, "tokens") as bar:
            list(log_steps(steps(), metrics, bar))
    finally:
        record.set_output_mode("silent")
        metrics.close()
    first, second = capsys.readouterr().err.splitlines()
    assert " 10 % " in first and "3 min 0 s left" in first
    assert " 15 % " in second and "2 min 50 s left" in second
