"""The loop divides once: however a step is split, loss and gradient are the same."""

import pytest
import torch

from groundup.core import DataError
from groundup.kernels import LossSum
from groundup.model import AttentionConfig, FeedForwardConfig, ModelConfig, Transformer
from groundup.train import (
    LoopOptions,
    MicroBatch,
    OptimConfig,
    Optimizer,
    Precision,
    causal_loss,
    split_batch,
    train,
)
from groundup.train.loop import _update_loss_scale


def tiny_model(seed: int = 0) -> Transformer:
    config = ModelConfig(
        vocab_size=32, width=16, layers=2, context_length=16,
        attention=AttentionConfig(heads=2, kv_heads=1, head_dim=8),
        feedforward=FeedForwardConfig(width=32),
    )  # fmt: skip
    model = Transformer(config, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():  # output projections start at zero: give every weight a gradient
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model


def ragged_batch(rows: int = 8, seed: int = 0) -> MicroBatch:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(32, (rows, 13), generator=generator)
    weights = (torch.rand(rows, 12, generator=generator) < 0.3).float()
    weights[0] = 1.0
    documents = torch.zeros(rows, 12, dtype=torch.int32)
    documents[:, 7:] = 1
    return MicroBatch(
        ids[:, :-1], ids[:, 1:], weights, documents, tuple(f"row {i}" for i in range(rows))
    )


@pytest.mark.parametrize("parts", [2, 8])
def test_the_gradient_does_not_depend_on_the_split(parts: int):
    whole, pieces = [], []
    for found, batches in ((whole, [ragged_batch()]), (pieces, split_batch(ragged_batch(), parts))):
        model = tiny_model().double()
        batches = [b._replace(weights=b.weights.double()) for b in batches]
        weight = sum(b.weights.sum() for b in batches)
        for batch in batches:
            (causal_loss(model, batch).total / weight).backward()
        found.extend(p.grad for p in model.parameters())
    for a, b in zip(whole, pieces, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def run(model: Transformer, batches, steps: int = 4, config: OptimConfig | None = None):
    optimizer = Optimizer(model.named_parameters(), config or OptimConfig())
    return list(train(model, batches, causal_loss, optimizer, lambda step: 1.0, LoopOptions(steps)))


def test_a_step_counts_the_whole_step_not_a_micro_batch():
    steps = run(tiny_model(), lambda step: split_batch(ragged_batch(seed=step), 4))
    assert [step.number for step in steps] == [0, 1, 2, 3]
    assert steps[0].tokens == 8 * 12
    assert steps[0].weight == float(ragged_batch(seed=0).weights.sum())


def test_the_loss_falls_on_a_text_seen_again_and_again():
    steps = run(tiny_model(), lambda step: [ragged_batch()], steps=60)
    assert steps[-1].loss < 0.5 * steps[0].loss


def test_equal_seeds_give_equal_weights_to_the_bit():
    weights = []
    for _ in range(2):
        model = tiny_model()
        run(model, lambda step: [ragged_batch(seed=step)])
        weights.append([p.detach().clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_a_loss_that_is_not_finite_is_named_with_its_step_and_documents():
    model = tiny_model()

    def batches(step: int) -> list[MicroBatch]:
        if step == 2:
            with torch.no_grad():
                model.norm.weight.fill_(torch.nan)
        return [ragged_batch()]

    with pytest.raises(DataError, match=r"Step 2 has loss nan.*row 0, row 1"):
        run(model, batches)


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_weights_and_state_survive_a_step_that_is_not_finite(where):
    model = tiny_model()
    optimizer = Optimizer(model.named_parameters(), OptimConfig())
    before = {name: t.clone() for name, t in model.state_dict().items()}
    state = {name: t.clone() for name, t in optimizer.state().items()}

    def loss(model: Transformer, batch: MicroBatch) -> LossSum:
        found = causal_loss(model, batch)
        if where == "loss":
            return found._replace(total=found.total * torch.nan)
        roots = (found.total - found.total.detach()).abs().sqrt()  # 0, and its slope infinite
        return found._replace(total=found.total + roots)

    with pytest.raises(DataError, match="Step 0"):
        list(
            train(
                model, lambda step: [ragged_batch()], loss, optimizer, lambda s: 1.0, LoopOptions(1)
            )
        )
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())
    assert all(torch.equal(state[n], t) for n, t in optimizer.state().items())
    assert all(p.grad is None for p in model.parameters())


def test_a_step_without_a_target_names_its_rows():
    batch = ragged_batch(rows=2)
    masked = batch._replace(weights=torch.zeros_like(batch.weights))
    with pytest.raises(
        DataError, match="no target tokens in row 0, row 1.*longer or more sequences"
    ):
        run(tiny_model(), lambda step: [masked])


def test_only_float16_overflows_and_only_by_a_gradient_of_a_finite_loss():
    assert _update_loss_scale(1.0, torch.inf, Precision(torch.float16))
    assert not _update_loss_scale(1.0, torch.inf, Precision(torch.bfloat16))
    assert not _update_loss_scale(torch.inf, torch.inf, Precision(torch.float16))
    assert not _update_loss_scale(1.0, 1.0, Precision(torch.float16))
