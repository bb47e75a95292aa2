"""Whatever the objective: gradients do not depend on the split, nor a row on its neighbours."""

import pytest
import torch

from groundup.core import ConfigError
from groundup.model import ModelConfig, ModelWithHead, Transformer, preset
from groundup.train import OBJECTIVES, RouterConfig, add_router_losses, get_objective, split_batch
from tests.train.objectives.rows import making, setting

SHAPES = {"decoder": "gpt-2-tiny", "encoder": "bert-tiny", "encoder_decoder": "bart-tiny"}
ROWS, LENGTH = 8, 48


def model_of(name: str, shape: str | None = None) -> torch.nn.Module:
    """A small model of the objective's kind in float64, with its head, nothing zero."""
    wanted = get_objective(name)
    config = dict(preset(shape or SHAPES[wanted.kind]).config)
    vocab_size = len(setting().token_properties.byte_lengths)
    config = ModelConfig(**(config | {"vocab_size": vocab_size, "context_length": 2 * LENGTH}))
    body = Transformer(config, seed=1)
    model = body if wanted.head is None else ModelWithHead(body, wanted.head(config))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator))
    return model.double()


def doubled(batch):
    weighed = {"weights": batch.weights.double()}
    if batch.label_weights is not None:
        weighed["label_weights"] = batch.label_weights.double()
    return batch._replace(**weighed)


def gradients(name: str, batches, shape: str | None = None, loss=None) -> list[torch.Tensor]:
    model = model_of(name, shape)
    whole = sum(batch.weights.sum() for batch in batches)
    for batch in batches:
        ((loss or get_objective(name).loss)(model, batch).total / whole).backward()
    return [p.grad if p.grad is not None else torch.zeros_like(p) for p in model.parameters()]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradients_do_not_depend_on_the_split(name: str):
    what = making(rows=ROWS, length=LENGTH)
    batch = doubled(get_objective(name).batch(what.context, what.rows, 0))
    whole, halves = gradients(name, [batch]), gradients(name, split_batch(batch, 2))
    for one, other in zip(whole, halves, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    assert sum(float(g.abs().sum()) for g in whole) > 0


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_step_is_a_function_of_seed_and_step(name: str):
    what = making(rows=ROWS, length=LENGTH)
    first, again, later, other = (
        get_objective(name).batch(setting(seed), what.rows, step)
        for seed, step in ((0, 3), (0, 3), (0, 4), (1, 3))
    )
    for key, value in first._asdict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, getattr(again, key)), key
    if name != "causal":
        assert any(
            not torch.equal(value, getattr(batch, key))
            for batch in (later, other)
            for key, value in first._asdict().items()
            if isinstance(value, torch.Tensor) and getattr(batch, key).shape == value.shape
        )


@pytest.mark.parametrize("name", [n for n in OBJECTIVES if n != "next_sentence"])
def test_packed_documents_never_meet(name: str):
    """Another text in place of a row's first document leaves the loss of the others as it was."""
    what = making(rows=2 * ROWS, length=2 * LENGTH)
    batch = doubled(get_objective(name).batch(what.context, what.rows, 0))
    documents = batch.documents if batch.source is None else batch.source_documents
    first = documents == documents[:, :1]
    own = batch.documents == (batch.documents if batch.source is None else documents)[:, :1]
    assert (~own & (batch.documents >= 0)).any()
    key, ids = ("ids", batch.ids) if batch.source is None else ("source", batch.source)
    other = batch._replace(**{key: torch.where(first, (ids + 7) % 600, ids)})
    model = model_of(name).eval()
    rest = batch.weights * (~own).double()
    losses = [get_objective(name).loss(model, each._replace(weights=rest)).total
              for each in (batch, other)]  # fmt: skip
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-10, atol=1e-10)
    changed = get_objective(name).loss(model, other).total
    assert not torch.allclose(changed, get_objective(name).loss(model, batch).total)


@pytest.mark.parametrize(
    ("name", "shape"), [("causal", "mixtral-tiny"), ("corruption", "switch-tiny")]
)
def test_router_losses_are_means_of_micro_batches(name: str, shape: str):
    what = making(rows=ROWS, length=LENGTH)
    batch = doubled(get_objective(name).batch(what.context, what.rows, 0))
    chosen = model_of(name, shape).config.feedforward.experts.chosen
    own = get_objective(name).loss
    model = model_of(name, shape).eval()
    plain, balanced = (
        own(model, batch),
        add_router_losses(own, RouterConfig(), chosen)(model, batch),
    )
    extra = (balanced.total - plain.total) / plain.weight
    layers = sum(model.config.has_experts(i) for i in range(model.config.layers))
    layers *= 2 if batch.source is not None else 1
    assert 0.01 * layers < float(extra.detach())  # each layer's balance is at least 1
    assert balanced.weight == plain.weight
    none = add_router_losses(own, RouterConfig(balance=0, z=0), chosen)(model, batch)
    torch.testing.assert_close(none.total, plain.total)
    parts = [
        add_router_losses(own, RouterConfig(), chosen)(model, part)
        for part in split_batch(batch, 2)
    ]
    means = [
        (part.total - own(model, piece).total) / part.weight
        for part, piece in zip(parts, split_batch(batch, 2), strict=True)
    ]
    weights = [part.weight for part in parts]
    mean = sum(m * w for m, w in zip(means, weights, strict=True)) / sum(weights)
    torch.testing.assert_close(mean, extra, rtol=0.2, atol=0)


def test_padding_is_no_part_of_router_losses():
    what = making(rows=2, length=LENGTH)
    batch = doubled(get_objective("causal").batch(what.context, what.rows, 0))
    empty = batch._replace(
        ids=batch.ids.roll(1, 0), documents=torch.full_like(batch.documents, -1),
        weights=torch.zeros_like(batch.weights),
    )  # fmt: skip
    both = batch._replace(**{
        key: torch.cat([value, getattr(empty, key)])
        for key, value in batch._asdict().items() if isinstance(value, torch.Tensor)
    })  # fmt: skip
    model = model_of("causal", "mixtral-tiny").eval()
    loss = add_router_losses(get_objective("causal").loss, RouterConfig(), 2)
    torch.testing.assert_close(loss(model, batch).total, loss(model, both).total)


def test_a_model_of_another_kind_is_named():
    with pytest.raises(ConfigError, match="'masked' trains models of kind 'encoder'.*'decoder'"):
        get_objective("masked").check(preset("gpt-2-tiny").config, setting(), 64)
    with pytest.raises(ConfigError, match="Unknown objective 'mask'; expected one of causal"):
        get_objective("mask")
