"""What is drawn is what the metrics say, as TensorBoard's own reader has it."""

import sys

import pytest

from groundup.core import MissingExtra, record
from groundup.train import log_steps
from groundup.train.services.tensorboard import tensorboard_events
from tests.train.services.steps import steps_of, tiny


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
