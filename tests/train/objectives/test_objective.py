"""Objectives are found by name, draw by key alone, and know tokens."""

import json

import numpy as np
import pytest
import torch
from scipy import stats

from groundup.core import ConfigError
from groundup.model import ModelConfig, ModelWithHead, Transformer, preset, presets
from groundup.tokenizer import FastTokenizer, ImportedTokenizer
from groundup.train import (
    OBJECTIVES,
    NoiseConfig,
    ObjectiveContext,
    RouterConfig,
    add_router_losses,
    get_objective,
    split_batch,
    token_properties_of,
)
from groundup.train.objectives.objective import (
    KeyedRandom,
    TokenSpan,
    document_spans,
    token_spans,
    word_spans,
)
from tests.tokenizer.imported.fixtures import small
from tests.train.objectives.rows import making, setting, shard, tokenizer

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


def test_equal_keys_draw_equal_numbers_and_others_do_not():
    assert np.array_equal(KeyedRandom(1, "a").uniform(9), KeyedRandom(1, "a").uniform(9))
    assert not np.array_equal(KeyedRandom(1, "a").uniform(9), KeyedRandom(1, "b").uniform(9))


def test_numbers_are_even():
    numbers = KeyedRandom(7).uniform(20_000)
    assert 0 <= numbers.min() and numbers.max() < 1
    assert stats.kstest(numbers, "uniform").pvalue > 1e-3


def test_rounding_keeps_the_mean():
    draws = KeyedRandom(3)
    found = [draws.round_stochastically(2.3) for _ in range(5000)]
    assert set(found) == {2, 3}
    assert abs(np.mean(found) - 2.3) < 4 * np.sqrt(0.21 / 5000)


def test_orders_and_places_hold_each_once():
    draws = KeyedRandom(5)
    assert sorted(draws.permutation(50).tolist()) == list(range(50))
    places = draws.sorted_sample(20, 30).tolist()
    assert places == sorted(set(places)) and len(places) == 20 and max(places) < 30


def test_every_way_to_cut_a_total_is_equally_likely():
    draws = KeyedRandom(11)
    found = [tuple(draws.random_composition(5, 3).tolist()) for _ in range(3000)]
    ways = {(a, b, 5 - a - b) for a in range(1, 4) for b in range(1, 5 - a)}
    assert set(found) == ways and all(sum(way) == 5 for way in ways)
    assert stats.chisquare([found.count(way) for way in ways]).pvalue > 1e-3


def test_weights_are_met():
    found = KeyedRandom(13).weighted_choice(np.array([1.0, 0.0, 3.0]), 4000)
    counts = np.bincount(found, minlength=3)
    assert counts[1] == 0
    assert abs(counts[0] / 4000 - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 4000)


def spelt(text: str) -> list[str]:
    ids = np.array(tokenizer().encode(text))
    found = word_spans(ids, TokenSpan(0, len(ids)), setting().token_properties)
    return [tokenizer().decode(ids[word.start : word.end].tolist()) for word in found]


def test_words_are_not_cut_where_tokens_are():
    text = "Unbelievable incomprehensibilities"
    assert len(tokenizer().encode(text)) > 4
    assert "".join(spelt(text)) == text
    assert spelt(text)[-1].strip() == "incomprehensibilities"


def test_punctuation_digits_and_lines_are_words_of_their_own():
    assert spelt("a, b.\n12") == ["a", ",", " b", ".\n", "1", "2"]


def test_words_cover_a_document_and_leave_specials_out():
    ids, known = shard().document_ids(0), setting().token_properties
    whole = TokenSpan(0, len(ids))
    assert sum(w.end - w.start for w in word_spans(ids, whole, known)) == len(ids) - 1
    assert len(token_spans(ids, whole, known)) == len(ids) - 1


def test_pieces_are_documents_in_a_row():
    assert document_spans([-1, -1]) == []
    assert document_spans([3, 3, -1, 5]) == [TokenSpan(0, 2), TokenSpan(3, 4)]


def test_sizes_are_the_bytes_of_text():
    known = setting().token_properties
    text = "naïve ☃ text"
    assert known.byte_lengths[tokenizer().encode(text)].sum() == len(text.encode())
    assert known.byte_lengths[list(known.specials.values())].sum() == 0


def test_sentinels_are_counted_in_a_row():
    assert len(setting().token_properties.sentinels) == 100
    few = FastTokenizer([], specials=["<extra_id_0>", "<extra_id_1>", "<extra_id_3>"])
    assert len(token_properties_of(few).sentinels) == 2


def test_a_missing_special_names_its_set():
    with pytest.raises(ConfigError, match=r'no \[MASK\].*specials=\["chat", "encoder"\]'):
        token_properties_of(FastTokenizer([])).special_token_id("[MASK]")


def test_an_imported_vocabulary_counts_spaces_and_may_have_holes():
    llama = small("llama")
    known = token_properties_of(llama)
    ids = llama.encode("a cat")  # a space is put before the first word, and taken away again
    assert known.byte_lengths[ids].sum() == len(" a cat")
    assert not known.starts_with_letter[ids[0]]
    content = json.loads(json.dumps(llama.content))
    content["model"]["vocab"]["far"] = 430
    far = token_properties_of(ImportedTokenizer(content))
    assert far.byte_lengths[420:].tolist() == [0] * 10 + [3]


def test_presets_and_objectives_agree():
    for each in presets().values():
        assert OBJECTIVES[each.objective].kind == each.config.kind, each.name


@pytest.mark.parametrize(
    "name", [n for n, o in OBJECTIVES.items() if o.required_specials or o.sentinels]
)
def test_a_tokenizer_without_the_specials_is_refused(name: str):
    words = FastTokenizer([])
    setting = ObjectiveContext(token_properties_of(words), NoiseConfig(), words)
    kind = OBJECTIVES[name].kind
    config = next(each.config for each in presets().values() if each.config.kind == kind)
    with pytest.raises(ConfigError, match="tokenizer has"):
        OBJECTIVES[name].check(config, setting, 64)
