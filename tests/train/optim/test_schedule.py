"""Rates rise, hold and fall."""

import math

import pytest
import torch

from groundup.core import ConfigError
from groundup.train import OptimConfig, make_lr_schedule


@pytest.mark.parametrize("kind", ["linear", "cosine", "sqrt"])
def test_the_rate_rises_then_falls_and_stays_above_zero(kind: str):
    rate = make_lr_schedule(OptimConfig(schedule=kind, warmup=0.1), 100)
    values = [rate(step) for step in range(100)]
    assert values[:10] == sorted(values[:10])
    assert values[10:] == sorted(values[10:], reverse=True)
    assert max(values) == 1.0 and min(values) > 0
    assert values[10:50] == [1.0] * 40


def test_a_whole_cosine_is_torch_s():
    rate = make_lr_schedule(OptimConfig(schedule="cosine", warmup=0.0, decay=1.0, floor=0.2), 50)
    peer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    falls = torch.optim.lr_scheduler.CosineAnnealingLR(peer, 50, 0.2)
    for step in range(50):
        assert rate(step) == pytest.approx(peer.param_groups[0]["lr"])
        peer.step()
        falls.step()


def test_the_root_falls_as_its_source_says():
    rate = make_lr_schedule(OptimConfig(schedule="sqrt", warmup=0.0, decay=0.4), 100)
    assert rate(61) == pytest.approx(1 - math.sqrt(1 / 40))
    assert rate(80) == pytest.approx(1 - math.sqrt(20 / 40))


def test_a_warm_up_that_never_ends_is_refused():
    with pytest.raises(ConfigError, match="must be fewer than the run's"):
        make_lr_schedule(OptimConfig(warmup_steps=10), 10)
    assert make_lr_schedule(OptimConfig(warmup_steps=9), 10)(8) == 1


def test_a_constant_rate_stays_and_a_warm_up_may_be_given_in_steps():
    rate = make_lr_schedule(OptimConfig(schedule="constant", warmup_steps=4), 1000)
    assert [rate(step) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rate(999) == 1.0


@pytest.mark.parametrize(("kind", "floor", "last"), [("linear", 0.3, 0.3), ("cosine", None, 0.1)])
def test_it_ends_at_its_floor(kind, floor, last):
    rate = make_lr_schedule(OptimConfig(schedule=kind, floor=floor), 1000)
    assert rate(999) == pytest.approx(last, abs=0.003) and rate(5000) == pytest.approx(last)


def test_a_fall_longer_than_what_the_warm_up_leaves_begins_at_its_end():
    rate = make_lr_schedule(
        OptimConfig(schedule="linear", warmup_steps=8, decay=0.9, floor=0.0), 10
    )
    assert [rate(step) for step in (0, 7, 8, 9)] == [1 / 8, 1.0, 1.0, 0.5]
