"""Batches grow, every token is counted, and any step's place is known without the steps before."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError
from groundup.train import OptimConfig
from groundup.train.optim.config import RampConfig
from groundup.train.optim.ramp import compute_batch_ramp
from groundup.train.optim.schedule import make_lr_schedule


@given(
    start=st.floats(0.01, 1), share=st.floats(0.01, 1), stages=st.integers(1, 6),
    rows=st.integers(1, 32), row=st.sampled_from([1, 7, 256]), more=st.floats(1, 40),
)  # fmt: skip
def test_every_token_is_counted(start, share, stages, rows, row, more):
    batch = rows * row
    tokens = int(batch * more)
    found = compute_batch_ramp(
        RampConfig(start=start, share=share, stages=stages), tokens, batch, row
    )
    before = 0
    for step in range(found.steps):
        assert found.tokens_before(step) == before
        assert found.tokens_at(step) % row == 0 and 0 < found.tokens_at(step) <= batch
        before += found.tokens_at(step)
    assert before == found.tokens_before(found.steps)
    assert 0 <= tokens - before < batch
    sizes = [found.tokens_at(step) for step in range(found.steps)]
    assert sizes == sorted(sizes) and sizes[-1] == batch


def test_without_a_ramp_a_run_has_the_steps_that_it_always_had():
    found = compute_batch_ramp(RampConfig(), 10_000, 512, 128)
    assert (
        found.steps == 10_000 // 512
        and found.tokens_before(7) == 7 * 512
        and found.lr_scale(3) == 1.0
    )


def test_the_first_steps_have_the_share_asked_for_over_the_tokens_asked_for():
    found = compute_batch_ramp(RampConfig(start=0.25, share=0.4, stages=3), 1_000_000, 4096, 256)
    assert [stage.tokens for stage in found.stages] == [1024, 2048, 3072, 4096]
    assert found.stages[-1].tokens_before == pytest.approx(400_000, rel=0.01)


@pytest.mark.parametrize(("rate", "share"), [("sqrt", 0.5), ("linear", 0.25), ("none", 1.0)])
def test_the_rate_follows_the_batch(rate, share):
    found = compute_batch_ramp(RampConfig(start=0.25, rate=rate), 1_000_000, 4096, 256)
    plain = make_lr_schedule(OptimConfig(), found.steps)
    scaled = found.scale_schedule(plain)
    assert math.isclose(scaled(0), share * plain(0))
    assert scaled(found.steps - 1) == plain(found.steps - 1)


@pytest.mark.parametrize(("tokens", "batch", "row"), [(100, 200, 10), (1000, 100, 30)])
def test_what_fills_no_step_is_refused(tokens, batch, row):
    with pytest.raises(ConfigError, match="batch_tokens"):
        compute_batch_ramp(RampConfig(), tokens, batch, row)
