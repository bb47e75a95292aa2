"""Beam search: wide enough it is exhaustive, and at width 4 it is Transformers' own."""

import itertools
import math
from functools import partial

import pytest
import torch
from torch.testing import assert_close

from groundup.core import CapacityError, ConfigError, Sampling, device
from groundup.generate import BeamConfig, Engine, beam_search
from groundup.generate.beam import FinishedSequence, _is_done, search_ids
from groundup.generate.cached import CachedTransformer
from groundup.tokenizer import FastTokenizer
from tests.generate.sources import (
    ENDS,
    LIMIT,
    PEERS,
    SOURCES,
    START,
    VOCAB,
    Peer,
    sources_of,
    tiny_reader,
    until_end,
)
from tests.generate.tiny import CONTEXT, tiny_engine
from tests.model.shapes import DECODERS, ENCODER_DECODERS, tiny_model

PENALTIES = {"estimate": 1.0, "full": 2.0, "bound": 0.5}


@pytest.mark.parametrize("family, name", PEERS)
def test_four_beams_are_transformers(family, name):
    peer = Peer(family, name)
    for stop, penalty in PENALTIES.items():
        config = BeamConfig(width=4, length_penalty=penalty, stop=stop)
        found = search_ids(
            CachedTransformer(peer.model, START), sources_of(peer), config,
            end_ids=ENDS, vocab_size=VOCAB, limit=LIMIT,
        )  # fmt: skip
        ids = [until_end(row) for row in peer.expected[f"{stop}.ids"].tolist()]
        assert [each.ids for row in found for each in row] == ids
        scores = torch.tensor([each.score for row in found for each in row])
        assert_close(scores, peer.expected[f"{stop}.scores"], rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not device.compiler(), reason="no C++ compiler")
def test_beams_share_blocks_on_the_native_stack(monkeypatch):
    """The same beams as on a contiguous cache; afterwards no block is referred to."""
    torch.manual_seed(0)
    model = CachedTransformer(tiny_model(DECODERS["grouped"], torch.float32))
    prompts = [[at % 27 + 2 for at in range(size)] for size in (40, 33, 3)]
    search = partial(search_ids, end_ids=ENDS, vocab_size=VOCAB, limit=12)
    native = search(model, prompts, BeamConfig(width=4))
    engine = model.native.with_room([1], VOCAB)
    engine.pool.check([])
    monkeypatch.setattr(model.native, "with_room", lambda *given: None)
    for ours, wanted in zip(native, search(model, prompts, BeamConfig(width=4)), strict=True):
        assert [each.ids for each in ours] == [each.ids for each in wanted]
        for one, other in zip(ours, wanted, strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-4)


TINY, END, LONGEST = 4, 0, 4


def answers_of(length: int) -> list[tuple[int, ...]]:
    """All sequences of this length that end or are cut at LONGEST."""
    rows = itertools.product(range(TINY), repeat=length)
    return [ids for ids in rows if END not in ids[:-1] and (ids[-1] == END or length == LONGEST)]


def every_answer(model, source, start: int, penalty: float) -> list[tuple[float, tuple[int, ...]]]:
    """All answers, scored by whole passes without a cache."""
    answers = []
    for length in range(1, LONGEST + 1):
        rows = torch.tensor(answers_of(length))
        encoded = None if source is None else model.encode(torch.tensor([source] * len(rows)))
        read = torch.cat([torch.full((len(rows), 1), start), rows[:, :-1]], dim=1)
        logprobs = model.logits(read, encoded=encoded).log_softmax(-1)
        sums = logprobs.gather(-1, rows[..., None])[..., 0].sum(-1) / length**penalty
        answers += zip(sums.tolist(), map(tuple, rows.tolist()), strict=True)
    return sorted(answers, reverse=True)


@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("kind", ["t5", "bart", "decoder"])
def test_as_wide_as_all_sequences_it_finds_the_best(kind, penalty):
    torch.manual_seed(5)
    source = None if kind == "decoder" else [2, 3, 1]
    shapes = {"vocab_size": TINY}
    shape = DECODERS["gpt2"] if source is None else ENCODER_DECODERS[kind]
    model = tiny_model(shape.model_copy(update=shapes))
    with torch.no_grad():
        config = BeamConfig(width=TINY**LONGEST, length_penalty=penalty, stop="bound")
        (found,) = search_ids(
            CachedTransformer(model, 1 if source else None), [source or [3]], config,
            end_ids=[END], vocab_size=TINY, limit=LONGEST,
        )  # fmt: skip
        expected = every_answer(model, source, 3 if source is None else 1, penalty)
    assert len(found) == len(expected) == 1 + 3 + 9 + 27 * 4
    assert [tuple(each.ids) for each in found] == [ids for _, ids in expected]
    assert_close([each.score for each in found], [score for score, _ in expected])


@pytest.mark.parametrize("make", [tiny_engine, tiny_reader], ids=["decoder", "reader"])
def test_one_beam_is_greedy(make):
    engine = make()
    prompts = [engine.encode_prompt(text) for text in SOURCES]
    greedy = engine.continue_ids(prompts, Sampling(max_tokens=15))
    found = beam_search(engine, prompts, BeamConfig(width=1, max_tokens=15, length_penalty=0))
    for expected, (beam,) in zip(greedy, found, strict=True):
        assert beam.generation.ids == expected.ids and beam.generation.text == expected.text
        assert beam.generation.finish_reason == expected.finish_reason
        assert_close(beam.generation.logprobs, expected.logprobs, rtol=0, atol=1e-12)
        assert math.isclose(beam.score, sum(expected.logprobs))


@pytest.mark.parametrize("kind", ["decoder", "reader"])
def test_company_moves_nothing(kind):
    engine = tiny_engine() if kind == "decoder" else tiny_reader("bart")
    engine.end_ids = tuple(range(0, 259, 4))
    config = BeamConfig(width=3, num_return_sequences=3, max_tokens=10)
    long = "x" * (engine.context_length - 4)  # which leaves a decoder less than ten tokens
    prompts = [engine.encode_prompt(text) for text in (*SOURCES, long)]
    together = beam_search(engine, prompts, config)
    assert len({len(beam.generation.ids) for found in together for beam in found}) > 1
    for prompt, found in zip(prompts, together, strict=True):
        (alone,) = beam_search(engine, [prompt], config)
        assert [b.generation.ids for b in alone] == [b.generation.ids for b in found]
        assert [b.score for b in found] == sorted((b.score for b in found), reverse=True)
        assert len({b.generation.ids for b in found}) == len(found)


def test_more_beams_find_nothing_less_likely():
    engine = tiny_reader()
    engine.end_ids = tuple(range(0, 259, 4))
    prompts = [engine.encode_prompt(text) for text in SOURCES]
    scores = []
    for width in (1, 8):
        config = BeamConfig(width=width, max_tokens=8, length_penalty=0, stop="bound")
        scores.append(sum(found[0].score for found in beam_search(engine, prompts, config)))
    assert scores[1] > scores[0]


def test_when_to_stop():
    ended = [FinishedSequence(-1.0, [1], [-1.0]), FinishedSequence(-2.0, [2], [-2.0])]
    full = BeamConfig(width=2, stop="full")
    assert _is_done(ended, -1.0, 3, full, 10)
    assert not _is_done(ended[:1], -1.0, 3, full, 10)
    assert _is_done(ended[:1], -math.inf, 3, full, 10)
    estimate = BeamConfig(width=2)
    assert not _is_done(ended, -5.9, 3, estimate, 10)  # -5.9 / 3 beats -2
    assert _is_done(ended, -6.1, 3, estimate, 10)
    bound = BeamConfig(width=2, stop="bound")
    assert not _is_done(ended, -19.9, 3, bound, 10)  # it could yet be 10 long
    assert _is_done(ended, -20.1, 3, bound, 10)


def test_what_cannot_be_searched_says_so():
    with pytest.raises(ConfigError, match="num_return_sequences=5 exceeds width=4"):
        BeamConfig(num_return_sequences=5)
    with pytest.raises(CapacityError, match="which leaves none"):
        beam_search(tiny_engine(), [[5] * CONTEXT], BeamConfig())
    with pytest.raises(ConfigError, match="no tokens"):
        beam_search(tiny_reader(), [[]], BeamConfig())
    assert beam_search(tiny_reader(), [], BeamConfig()) == []
    with pytest.raises(ConfigError, match="An encoder cannot generate"):
        Engine(tiny_model(DECODERS["gpt2"].model_copy(update={"kind": "encoder"})),
               FastTokenizer([]))  # fmt: skip
