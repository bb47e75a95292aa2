"""float16 loses no step but those that overflow, and says when the scale is not the reason."""

import pytest
import torch

from groundup.core import DataError
from groundup.train import OptimConfig, Optimizer, Plan, Precision, causal, train
from groundup.train.precision import FIRST_SCALE, PATIENCE
from tests.train.test_loop import ragged_batch, tiny_model


def test_only_float16_scales_the_loss():
    assert Precision(torch.bfloat16).scale == Precision().scale == 1.0
    assert Precision(torch.float16).scale == FIRST_SCALE


def test_the_scale_halves_on_overflow_and_doubles_after_many_calm_steps():
    precision = Precision(torch.float16, 1024.0)
    precision.overflowed()
    assert precision.scale == 512
    for _ in range(PATIENCE):
        precision.went_well()
    assert precision.scale == 1024


def test_at_a_scale_of_one_an_overflow_is_an_error():
    with pytest.raises(DataError, match="at any scale"):
        Precision(torch.float16, 1.0).overflowed()


def test_state_goes_out_and_in():
    precision, again = Precision(torch.float16, 64.0), Precision(torch.float16)
    precision.went_well()
    again.load_state(precision.state())
    assert (again.scale, again.calm) == (64.0, 1)


def test_a_scaled_loss_gives_the_gradient_of_an_unscaled_one():
    weights = []
    for precision in (Precision(), Precision()):
        weights.append(model := tiny_model())
        if len(weights) == 2:
            precision.scale = 4096.0  # float32 with float16's scale: a power of two, so exact
        optimizer = Optimizer(model.named_parameters(), OptimConfig(matrices="adamw"))
        plan = Plan(3, precision=precision)
        list(train(model, lambda s: [ragged_batch(seed=s)], causal, optimizer, lambda s: 1.0, plan))
    plain, scaled = (list(model.parameters()) for model in weights)
    assert all(torch.equal(a, b) for a, b in zip(plain, scaled, strict=True))


def test_steps_that_overflow_are_left_out_and_the_run_goes_on():
    model = tiny_model()
    optimizer = Optimizer(model.named_parameters(), OptimConfig())
    precision = Precision(torch.float16, 2.0**40)
    batches = lambda step: [ragged_batch(seed=0)]  # noqa: E731
    plan = Plan(60, precision=precision)
    steps = list(train(model, batches, causal, optimizer, lambda s: 1.0, plan))
    assert not steps[0].is_applied and steps[-1].is_applied
    assert steps[-1].loss < 0.6 * steps[0].loss
