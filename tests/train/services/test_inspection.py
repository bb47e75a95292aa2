"""What is told of the inside is so: held against norms taken by hand from the same run.

A profile says where the time of the chosen steps went, and the run ends as it would have.
"""

import gzip
import json

import pytest
import torch

from groundup.core import record
from groundup.train import LoopOptions, OptimConfig, Optimizer, causal_loss, train
from groundup.train.services.inspection import (
    TABLE_FILE,
    TRACE_FILE,
    ModelStatistics,
    _module_of,
    profile_steps,
)
from tests.train.services.steps import steps_of, tiny
from tests.train.test_loop import ragged_batch, tiny_model


def looked(tmp_path, every: int, steps: int = 5, accept=None):
    """Rows of a run that was looked into, and its weights."""
    model = tiny_model()
    optimizer = Optimizer(model.named_parameters(), OptimConfig(clip=0.1))
    metrics = record.MetricsFile(tmp_path / "m.jsonl")
    inner = ModelStatistics(model, model, every, metrics, accept=accept)
    batches = lambda step: [ragged_batch(seed=step)]  # noqa: E731
    made = train(
        model, batches, causal_loss, optimizer, lambda s: 1.0, LoopOptions(steps), accept=inner
    )
    seen = list(inner.collect_statistics(made))
    metrics.close()
    return record.read_metrics(tmp_path / "m.jsonl"), model, seen


def test_gradients_updates_and_activations_are_those_taken_by_hand(tmp_path):
    rows, after, seen = looked(tmp_path, every=4, steps=1)
    assert len(rows) == 1
    row, model, batch = rows[0], tiny_model(), ragged_batch(seed=0)
    states: list[torch.Tensor] = []
    hidden = model(batch.ids, documents=batch.documents, states=states)
    found = causal_loss(model, batch)
    (found.total / batch.weights.sum()).backward()
    parts = {_module_of(name) for name, _ in model.named_parameters()}
    for part in parts:
        own = [(n, p) for n, p in model.named_parameters() if _module_of(n) == part]
        gradient = torch.cat([p.grad.flatten() for _, p in own]).norm()
        assert row[f"gradient/{part}"] == pytest.approx(float(gradient), rel=1e-3)
        before = torch.cat([p.detach().flatten() for _, p in own])
        moved = torch.cat([dict(after.named_parameters())[n].detach().flatten() for n, _ in own])
        ratio = float((moved - before).norm() / before.norm())
        assert row[f"update/{part}"] == pytest.approx(ratio, rel=1e-3)
    squares = sum(row[f"gradient/{part}"] ** 2 for part in parts)
    assert squares**0.5 == pytest.approx(seen[0].grad_norm, rel=1e-3)  # though it was clipped
    for name, state in zip(("layers.0", "layers.1", "output"), states, strict=True):
        state = state.detach()
        rms = float(state.square().mean().sqrt())
        assert row[f"activation rms/{name}"] == pytest.approx(rms, rel=1e-4)
        assert row[f"activation max/{name}"] == pytest.approx(float(state.abs().max()), rel=1e-4)
    logits = model.project(hidden.detach()).detach().reshape(-1, 32)[:64]
    assert row["logits rms"] == pytest.approx(float(logits.square().mean().sqrt()), rel=1e-4)
    assert row["logits max"] == pytest.approx(float(logits.abs().max()), rel=1e-4)


def test_looking_changes_no_bit_and_leaves_no_hook(tmp_path):
    rows, watched, seen = looked(tmp_path, every=2)
    assert [row["step"] for row in rows] == [0, 2, 4]
    model = tiny_model()
    optimizer = Optimizer(model.named_parameters(), OptimConfig(clip=0.1))
    batches = lambda step: [ragged_batch(seed=step)]  # noqa: E731
    list(train(model, batches, causal_loss, optimizer, lambda s: 1.0, LoopOptions(5)))
    pairs = zip(watched.parameters(), model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not watched._forward_pre_hooks


def test_a_step_that_was_not_made_has_gradients_and_no_updates(tmp_path):
    rows, _, seen = looked(tmp_path, every=1, steps=2, accept=lambda step, loss, norm: step != 1)
    assert [step.is_applied for step in seen] == [True, False]
    assert "update/norm" in rows[0] and "gradient/norm" in rows[1]
    assert not any(name.startswith("update/") for name in rows[1])


def test_experts_biases_and_heads_have_a_part():
    assert _module_of("layers.0.experts.up.weight") == "layers.0.experts"
    assert _module_of("body.layers.11.attention_norm.weight") == "body.layers.11.attention_norm"
    assert _module_of("lm_bias") == "lm_bias"
    assert {_module_of(n) for n, _ in tiny()[0].named_parameters()} >= {"norm", "embed_tokens"}


@pytest.fixture
def said(monkeypatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(record, "log", found.append)
    return found


def test_the_table_and_the_trace_tell_of_the_chosen_steps(tmp_path, said):
    model, optimizer = tiny()
    steps = list(profile_steps(steps_of(model, optimizer), tmp_path / "profile", 2, 2))
    assert [step.number for step in steps] == list(range(6))
    lines = (tmp_path / "profile" / TABLE_FILE).read_text().splitlines()
    shares = [float(line.split()[-1].rstrip("%")) for line in lines[1:]]
    assert any(line.startswith("aten::mm ") for line in lines)
    assert shares == sorted(shares, reverse=True) and 50 < sum(shares) <= 100.5
    with gzip.open(tmp_path / "profile" / TRACE_FILE) as file:
        names = [event.get("name") for event in json.load(file)["traceEvents"]]
    assert "aten::mm" in names
    assert len(said) == 1 and said[0].startswith("Profile of 2 steps: ")
    plain, other = tiny()
    list(steps_of(plain, other))
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True)
    )


def test_a_run_that_ends_early_tells_of_what_it_saw(tmp_path, said):
    list(profile_steps(steps_of(*tiny()), tmp_path, 5, 3))
    assert said[0].startswith("Profile of 1 steps: ")


@pytest.mark.parametrize("first, start", [(9, 0), (1, 2)])
def test_steps_that_do_not_come_are_not_profiled(first, start, tmp_path, said):
    steps = (step for step in steps_of(*tiny()) if step.number >= start)
    list(profile_steps(steps, tmp_path, first, 3, start=start))
    assert not said and not (tmp_path / TRACE_FILE).exists()
