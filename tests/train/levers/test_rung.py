"""A rung trains a model with the levers it was told, and its loss is that of every other rung."""

import json
import subprocess
import sys

import pytest

from groundup.train.levers.rung import Work, measured

WORK = Work(depth=1, preset="", vocab_size=300, rows=2, length=16, steps=2)


@pytest.mark.parametrize("on", [{"attention"}, {"bf16", "fused optimizer"}])
def test_levers_change_the_loss_by_rounding_alone(on):
    plain, found = measured(WORK, frozenset()), measured(WORK, frozenset(on))
    assert found.loss == pytest.approx(plain.loss, rel=0.01)
    assert found.tokens_per_second > 0 and found.cpu_seconds > 0
    assert found.peak_bytes > 2**24


def test_a_preset_is_another_shape():
    model = WORK._replace(preset="gpt-2-tiny").model()
    assert model.config.position.kind == "learned" and model.config.vocab_size == 300


def test_as_a_process_it_prints_json_alone():
    asked = json.dumps({"work": WORK._asdict(), "levers": []})
    command = [sys.executable, "-m", "groundup.train.levers.rung", asked]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["loss"] > 0
