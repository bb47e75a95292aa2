"""Metrics hold every step, in JSON that every reader takes.

The share of the peak is what the formula says, and the makers' figures are what they say. What is
drawn is what the metrics say, as TensorBoard's own reader has it.
"""

import json
import math
import sys

import pytest
import torch

from groundup.core import MissingExtra, device, record
from groundup.model import ModelConfig, mean_flops_per_token
from groundup.train import TrainStep, log_steps, summarise_metrics
from groundup.train.services.metrics import (
    STATED_TFLOPS,
    _measure_flops,
    _stated_peak,
    flops_utilisation,
    peak_flops,
    tensorboard_events,
)
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


def test_the_share_by_hand():
    config = ModelConfig()
    flops = mean_flops_per_token(config, 512).training
    assert flops_utilisation(config, 512, 1000.0, 2e12) == pytest.approx(flops * 1000 / 2e12)


@pytest.mark.parametrize(
    "name, teraflops",
    [
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA H100 NVL", 835.5),
        ("NVIDIA H200", 989.4),
        ("NVIDIA GH200 480GB", 989.4),
        ("NVIDIA A10G", 70.0),
        ("NVIDIA L40S", 362.0),
        ("Tesla V100-SXM2-16GB", 125.0),
        ("NVIDIA GeForce RTX 4090", 165.2),
    ],
)
def test_devices_are_known_by_name(name, teraflops):
    assert _stated_peak(name) == teraflops * 1e12


def test_an_unknown_device_is_measured_not_guessed():
    assert _stated_peak("NVIDIA GeForce RTX 5050") is None
    assert _stated_peak("NVIDIA A1000") is None
    assert _measure_flops(torch.device("cpu"), torch.float32, size=64) > 1e6


def test_twice_as_large_figures_are_those_with_sparsity():
    # NVIDIA states 1,979 for the H100 SXM with sparsity: the dense half is what counts.
    assert STATED_TFLOPS["H100"] == pytest.approx(1979 / 2, rel=1e-3)
    assert STATED_TFLOPS["H100 PCIe"] == pytest.approx(1513 / 2, rel=1e-3)


def test_a_processor_is_held_to_what_was_measured_in_its_dtype(monkeypatch):
    monkeypatch.setattr(device, "measure_speeds", lambda: device.Speeds(1e11, 3e11, 1e10))
    cpu = torch.device("cpu")
    assert peak_flops(cpu, torch.bfloat16) == 3e11
    assert peak_flops(cpu, torch.float32) == 1e11


def test_numbers_texts_and_histograms_are_read_back(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    metrics = record.MetricsFile(tmp_path / "m.jsonl")
    with tensorboard_events(tmp_path / "events", metrics) as place:
        steps = list(log_steps(steps_of(*tiny()), metrics))
        metrics.write(step=5, **{"validation/web": 2.5, "spike": "loss 9", "straggler": None})
        metrics.write(step=5, samples=[{"prompt": "Once", "text": " upon"}])
        metrics.write(step=5, **{"own seconds by rank": [1.0, 1.0, 3.0]})
    metrics.write(step=6, loss=1.0)  # after the block: not drawn
    metrics.close()
    read = EventAccumulator(str(place))
    read.Reload()
    losses = read.Scalars("loss")
    assert [event.step for event in losses] == list(range(6))
    for event, step in zip(losses, steps, strict=True):
        assert event.value == pytest.approx(step.loss, rel=1e-5)
    assert [event.value for event in read.Scalars("validation/web")] == [2.5]
    texts = {
        tag: read.Tensors(tag)[0].tensor_proto.string_val[0].decode()
        for tag in read.Tags()["tensors"]
    }
    assert texts["samples/0/text_summary"] == "**Once** upon"
    assert texts["spike/text_summary"] == "loss 9"
    assert read.Histograms("own seconds by rank")[0].histogram_value.num == 3


def test_a_resumed_run_hides_what_it_does_again(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for start, end in ((0, 5), (3, 6)):
        metrics = record.MetricsFile(tmp_path / "m.jsonl", lambda row: row["step"] < 3)
        with tensorboard_events(tmp_path / "events", metrics, start):
            for step in range(start, end):
                metrics.write(step=step, loss=float(step))
        metrics.close()
    read = EventAccumulator(str(tmp_path / "events"))
    read.Reload()
    assert sorted(event.step for event in read.Scalars("loss")) == [0, 1, 2, 3, 4, 5]


def test_a_missing_package_is_told_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    metrics = record.MetricsFile(tmp_path / "m.jsonl")
    with pytest.raises(MissingExtra, match=r"pip install 'groundup\[tensorboard\]'"):
        with tensorboard_events(tmp_path / "events", metrics):
            pass
    metrics.close()
