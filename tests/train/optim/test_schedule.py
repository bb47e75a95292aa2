"""Rates rise, hold and fall."""

import pytest

from groundup.train import OptimConfig, schedule


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_the_rate_rises_then_falls_and_stays_above_zero(kind: str):
    rate = schedule(OptimConfig(schedule=kind, warmup=0.1), 100)
    values = [rate(step) for step in range(100)]
    assert values[:10] == sorted(values[:10])
    assert values[10:] == sorted(values[10:], reverse=True)
    assert max(values) == 1.0 and min(values) > 0
