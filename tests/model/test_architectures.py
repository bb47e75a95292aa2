"""Every architecture: cached equals whole, packed equals alone, padding moves nothing."""

import pytest
import torch
from torch.testing import assert_close

from groundup.core import CapacityError, ConfigError
from groundup.model import Cache, Transformer, active_parameters, count_parameters
from tests.model.shapes import (
    ALL,
    DECODERS,
    ENCODER_DECODERS,
    ENCODERS,
    VOCAB,
    tiny_config,
    tiny_model,
)

GENERATING = DECODERS | ENCODER_DECODERS
LONGEST = 33


def source(model, rows):
    """An encoder's output for rows of different lengths, or nothing."""
    if model.encoder is None:
        return {}
    documents = torch.zeros(rows, 9, dtype=torch.long)
    documents[-1, 6:] = -1
    ids = torch.randint(VOCAB, (rows, 9))
    return {"encoded": model.encode(ids, documents=documents)}


@torch.no_grad()
@pytest.mark.parametrize("name", GENERATING)
def test_cached_decoding_equals_the_whole_pass_at_every_length(name):
    model = tiny_model(GENERATING[name])
    ids, read = torch.randint(VOCAB, (2, LONGEST)), source(model, 2)
    whole, cache = model.logits(ids, **read), Cache(model.config, 2, LONGEST, torch.float64)
    for T in range(LONGEST):
        one = model.logits(ids[:, T : T + 1], cache=cache, **read)
        assert_close(one[:, 0], whole[:, T], atol=1e-12, rtol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("name", GENERATING)
def test_a_cache_takes_pieces_and_gives_rows_back(name):
    model = tiny_model(GENERATING[name])
    ids, read = torch.randint(VOCAB, (2, 20)), source(model, 2)
    whole, cache = model.logits(ids, **read), Cache(model.config, 2, 20, torch.float64)
    first = model.logits(ids[:, :13], cache=cache, **read)
    cache.select(torch.tensor([1]))
    if read:
        encoded = read["encoded"]
        read = {"encoded": encoded._replace(hidden=encoded.hidden[1:],
                                            documents=encoded.documents[1:])}  # fmt: skip
    rest = model.logits(ids[1:, 13:], cache=cache, **read)
    assert_close(torch.cat([first[1:], rest], 1), whole[1:], atol=1e-12, rtol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("name", DECODERS | ENCODERS)
def test_packed_documents_compute_what_they_would_alone(name):
    model = tiny_model(ALL[name])
    ids = torch.randint(VOCAB, (1, 24))
    documents = torch.tensor([[-1] * 3 + [0] * 9 + [1] * 10 + [-1] * 2])
    packed = model.logits(ids, documents=documents)
    for part in (slice(3, 12), slice(12, 22)):
        assert_close(packed[:, part], model.logits(ids[:, part]), atol=1e-12, rtol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("name", ENCODER_DECODERS)
def test_packed_pairs_compute_what_they_would_alone(name):
    model = tiny_model(ALL[name])
    sources, targets = torch.randint(VOCAB, (2, 1, 17))
    own = torch.tensor([[0] * 6 + [1] * 9 + [-1] * 2])
    read = torch.tensor([[-1] * 2 + [0] * 8 + [1] * 7])
    encoded = model.encode(sources, documents=read)
    packed = model.logits(targets, documents=own, encoded=encoded)
    for ours, theirs in ((slice(0, 6), slice(2, 10)), (slice(6, 15), slice(10, 17))):
        alone = model.logits(targets[:, ours], encoded=model.encode(sources[:, theirs]))
        assert_close(packed[:, ours], alone, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_every_weight_is_learnt_from_and_no_gradient_depends_on_padding(name):
    found = []
    for left, right in ((0, 0), (2, 3)):
        torch.manual_seed(3)
        model = tiny_model(ALL[name]).train()
        ids = torch.randint(VOCAB, (1, 12))
        read = {"encoded": model.encode(ids[:, :7])} if model.encoder is not None else {}
        padded = torch.nn.functional.pad(ids, (left, right), value=5)
        documents = torch.nn.functional.pad(torch.zeros_like(ids), (left, right), value=-1)
        logits = model.logits(padded, documents=documents, **read)[:, left : left + 12]
        logits.square().sum().backward()
        found.append({n: p.grad for n, p in model.named_parameters()})
    for key, gradient in found[0].items():
        assert gradient is not None and gradient.any(), key
        assert_close(found[1][key], gradient, atol=1e-9, rtol=1e-9, msg=key)


@torch.no_grad()
@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_never_sees_what_comes_later(name):
    model, ids = tiny_model(DECODERS[name]), torch.randint(VOCAB, (1, 30))
    before = model.logits(ids)
    ids[0, 20:] = (ids[0, 20:] + 1) % VOCAB
    assert_close(model.logits(ids)[:, :20], before[:, :20], atol=1e-12, rtol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_sees_both_sides_and_does_not_generate(name):
    model, ids = tiny_model(ENCODERS[name]), torch.randint(VOCAB, (1, 12))
    before = model.logits(ids)
    ids[0, 11] = (ids[0, 11] + 1) % VOCAB
    assert not torch.allclose(model.logits(ids)[:, 9], before[:, 9])
    with pytest.raises(ConfigError, match="An encoder cannot use a cache"):
        model.logits(ids, cache=Cache(model.config, 1, 64))
    with pytest.raises(ConfigError, match=r"encode\(\) needs an encoder_decoder"):
        model.encode(ids)


def test_an_encoder_decoder_needs_its_source_and_others_take_none():
    with pytest.raises(ConfigError, match="encoded=model.encode"):
        tiny_model(ALL["t5"])(torch.zeros(1, 3, dtype=torch.long))
    encoded = tiny_model(ALL["t5"]).encode(torch.zeros(1, 3, dtype=torch.long))
    with pytest.raises(ConfigError, match="takes no encoded source"):
        tiny_model()(torch.zeros(1, 3, dtype=torch.long), encoded=encoded)


@pytest.mark.parametrize("name", ["gpt2", "bert", "bart", "mixtral"])
def test_text_beyond_the_context_is_an_error(name):
    model, ids = tiny_model(ALL[name]), torch.zeros(1, 65, dtype=torch.long)
    with pytest.raises(CapacityError, match="65 tokens do not fit"):
        model.encode(ids) if model.encoder is not None else model(ids)


@pytest.mark.parametrize("name", ALL)
def test_described_parameters_are_those_of_the_model(name):
    model = Transformer(ALL[name], seed=None)
    assert count_parameters(ALL[name]).total == sum(p.numel() for p in model.parameters())
    if ALL[name].feedforward.experts is None:
        assert active_parameters(ALL[name]) == count_parameters(ALL[name]).total
    else:
        assert active_parameters(ALL[name]) < count_parameters(ALL[name]).total


def test_states_are_the_inputs_of_every_block_and_the_output():
    model, ids, states = tiny_model(tiny_config(layers=3)), torch.arange(5)[None], []
    hidden = model(ids, states=states)
    assert len(states) == 4
    assert torch.equal(states[-1], hidden)
    assert torch.equal(states[0], model.embed_tokens(ids))
