"""A step that is traced holds what a real step holds, to the byte where it is exact."""

import os
from typing import Any

import pytest
import torch

from groundup.core import ConfigError, GroundupError
from groundup.kernels import has_native_softmax
from groundup.model import (
    AttentionConfig,
    ExpertsConfig,
    FeedForwardConfig,
    ModelConfig,
    Transformer,
)
from groundup.train import OptimConfig, Optimizer, Precision
from groundup.train.optim import rules
from groundup.train.plan.events import MemoryRecorder, memory_peak
from groundup.train.plan.step import (
    StepWork,
    _split_range,
    _trace_micro_batch,
    _trace_step,
    trace_step,
)
from tests.train.parallel.processes import CONTEXT


def small(**parts) -> ModelConfig:
    whole = {"vocab_size": 256, "width": 64, "layers": 3, "context_length": 256,
             "attention": AttentionConfig(heads=4, kv_heads=2, head_dim=16),
             "feedforward": FeedForwardConfig(width=128)}  # fmt: skip
    return ModelConfig(**(whole | parts))


def traced(**settings):
    return trace_step(small(), StepWork(**settings))


def test_weights_and_states_are_those_of_a_real_model():
    model = Transformer(small())
    for optim in (OptimConfig(), OptimConfig(matrix_optimizer="adamw")):
        found = traced(optim=optim)
        states = Optimizer(model.named_parameters(), optim).state()
        real = sum(t.numel() * t.itemsize for t in states.values())
        weights = sum(p.numel() * p.itemsize for p in model.parameters())
        assert found.inner + found.outer == found.during_step["weights"] == weights
        assert found.inner_states + found.outer_states == real
        assert found.during_step["gradients"] == weights


@pytest.mark.parametrize("recompute", ["none", "selective", "all"])
def test_a_pass_holds_what_a_real_pass_holds(recompute):
    work = StepWork(rows=2, length=96, recompute=recompute, micro_batches=2)
    model, recorder = Transformer(small()).train(), MemoryRecorder()
    model.recompute_blocks(recompute)
    for parameter in model.parameters():
        recorder.set_category(parameter, "weights")
    with recorder:
        optimizer = Optimizer(model.named_parameters(), work.optim)
        for _ in range(2):
            _trace_micro_batch(model, work, recorder)
    told, real = trace_step(small(), work).during_pass, memory_peak(recorder).by_category
    assert optimizer.steps == 0
    assert sum(told.values()) == pytest.approx(sum(real.values()), rel=0.01)
    assert told["activations"] == pytest.approx(real["activations"], rel=0.01)


def test_more_of_anything_holds_more():
    def total(**settings) -> int:
        return sum(traced(**settings).during_pass.values())

    assert total(rows=1, length=128) < total(rows=2, length=128) < total(rows=2, length=192)
    by_kind = [total(rows=2, length=128, recompute=k) for k in ("all", "selective", "none")]
    assert by_kind == sorted(by_kind)
    assert total(rows=2, length=128, device="cuda") < by_kind[-1]  # no scores
    halves = [total(rows=2, length=128, precision=name) for name in ("float16", "bfloat16")]
    assert halves[0] >= halves[1]  # no softmax in C++


def send_steps(line: Any, ways: tuple[tuple[str, bool], ...]) -> None:
    """Send the memory of steps on a card and on the processor, by softmax and Muon's products."""
    found: dict = {"has native": has_native_softmax("cpu", torch.bfloat16)}
    for softmax in ("native", "torch"):
        os.environ["GROUNDUP_SOFTMAX"] = softmax
        rules.SLOW_BFLOAT16 = softmax == "native"
        for place, compiled in ways:
            work = StepWork(rows=2, length=64, device=place, compiled=compiled)
            found[softmax, place, compiled] = _trace_step(small(layers=1), work)
    line.send(found)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_card_s_step_has_no_softmax_or_products_of_the_processor(compiled):
    has_native_softmax("cpu", torch.bfloat16)  # compiled here, so that the child finds it
    receiver, sender = CONTEXT.Pipe(duplex=False)
    ways = (("cuda", True),) if compiled else (("cuda", False), ("cpu", False))
    child = CONTEXT.Process(target=send_steps, args=(sender, ways), daemon=True)
    child.start()  # tracing spoils a process
    sender.close()
    found = receiver.recv()
    assert found["native", "cuda", compiled] == found["torch", "cuda", compiled]
    if compiled:
        return
    native, plain = (found[softmax, "cpu", False] for softmax in ("native", "torch"))
    assert found["native", "cuda", False].during_pass["loss"] == plain.during_pass["loss"]
    # Otherwise it would have been seen.
    assert native.during_pass != plain.during_pass or not found["has native"]
    assert native.during_step != plain.during_step


def test_what_imports_take_is_that_of_a_fresh_process():
    assert 100e6 < traced(rows=2, length=64).imports < 1e9


def test_experts_are_traced_with_even_work():
    config = small(feedforward=FeedForwardConfig(width=64, experts=ExpertsConfig(count=4)))
    found = trace_step(config, StepWork(rows=2))
    model = Transformer(config)
    experts = [p for n, p in model.named_parameters() if ".experts." in n and p.ndim == 3]
    assert found.experts == sum(p.numel() * 4 for p in experts) > 0
    assert [len(part) for part in _split_range(10, 4)] == [2, 3, 2, 3]


def test_a_step_that_the_model_cannot_make_is_told_and_the_next_one_answered():
    with pytest.raises(ConfigError, match="context_length=256"):
        traced(length=4096)
    assert traced(length=8).layers == 3


@pytest.mark.slow  # two more processes that import torch
def test_a_process_that_dies_is_told_and_another_one_answers():
    traced(length=8)
    assert trace_step.process is not None
    trace_step.process.kill()
    trace_step.process.wait()
    with pytest.raises(GroundupError, match="killed"):
        traced(length=12)
    assert traced(length=12).layers == 3


def test_a_step_is_traced_alike_whatever_was_traced_before():
    work = StepWork(rows=2, length=64)
    before = trace_step(small(), work)._replace(imports=0)
    trace_step(small(layers=1, context_length=128), StepWork(rows=3, length=128))
    trace_step.cached.clear()
    assert trace_step(small(), work)._replace(imports=0) == before


def test_real_work_is_not_spoiled_by_a_plan():
    traced()
    model, ids = Transformer(small()), torch.zeros(1, 8, dtype=torch.long)
    with Precision(torch.bfloat16).autocast("cpu"):
        assert torch.isfinite(model(ids).sum())
