"""Prompts and sources are read once, and what each becomes does not depend on its company."""

import math
from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from groundup.core import ArtifactError, CapacityError, ConfigError, DataError, Message, Sampling
from groundup.generate import Engine, SourceFrame, cached
from groundup.generate import decoding as module
from groundup.generate.batching import contiguous
from groundup.generate.batching.text import StopBuffer, find_stop
from groundup.generate.beam import BeamConfig, beam_search
from groundup.generate.cached import CachedTransformer
from groundup.generate.decoding import DecodingOptions, batch_prompts, decode_prompts
from groundup.generate.directory import read_source_frame
from groundup.model import GraphStep
from groundup.model import save as save_model
from groundup.tokenizer import FastTokenizer, save_tokenizer
from tests.evaluate.test_likelihood import tiny
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
from tests.generate.tiny import full_forward, tiny_engine, user
from tests.model.shapes import ENCODERS, tiny_model

ENGINES = {
    "decoder": tiny_engine,
    "prefix": lambda: tiny_engine(prefix=True),
    **{kind: lambda kind=kind: tiny_reader(kind) for kind in ("t5", "bart", "switch")},
}
SAMPLINGS = [Sampling(max_tokens=6), Sampling(temperature=1.0, top_p=0.95, max_tokens=10, seed=3)]


@pytest.mark.parametrize("family, name", PEERS)
def test_greedy_continuations_of_sources_are_transformers(family, name):
    peer = Peer(family, name)
    options = DecodingOptions(Sampling(max_tokens=LIMIT), (), VOCAB, 4096)
    model = CachedTransformer(peer.model, START)
    answers = dict(decode_prompts(model, sources_of(peer), options))
    written = [answers[row].ids for row in range(2)]
    for found, expected in zip(written, peer.expected["greedy"].tolist(), strict=True):
        ids = until_end(expected)
        assert found[: len(ids)] == ids


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("sampling", SAMPLINGS, ids=["greedy", "sampled"])
def test_batched_is_single_is_the_full_forward_pass(kind, sampling):
    engine = ENGINES[kind]()
    prompts = [engine.encode_prompt(text) for text in SOURCES]
    for prompt, found in zip(prompts, engine.continue_ids(prompts, sampling), strict=True):
        (alone,) = engine.continue_ids([prompt], sampling)
        assert (found.ids, found.text, found.finish_reason) == (
            alone.ids, alone.text, alone.finish_reason
        )  # fmt: skip
        assert_close(found.logprobs, alone.logprobs, rtol=0, atol=1e-12)
        expected = full_forward(engine, prompt, found.ids)
        assert_close(list(found.logprobs), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["decoder", "t5"])
def test_sequences_that_end_leave_without_moving_the_others(kind, monkeypatch):
    engine, sampling = ENGINES[kind](), Sampling(temperature=1.0, max_tokens=30, seed=1)
    engine.end_ids = tuple(range(0, 259, 5))  # common, so sequences leave at different steps
    prompts, found = [engine.encode_prompt(text) for text in SOURCES], []
    for share in (0.0, 1.0):
        monkeypatch.setattr(contiguous, "COMPACT_BELOW", share)
        found.append([answer.ids for answer in engine.continue_ids(prompts, sampling)])
    kept, dropped = found
    assert kept == dropped and len({len(ids) for ids in kept}) > 2
    for ids in kept:
        assert ids[-1] in engine.end_ids or len(ids) == 30
        assert not set(ids[:-1]) & set(engine.end_ids)


def test_steps_of_fixed_shape_change_no_answer(monkeypatch):
    engine, sampling = tiny_engine(), Sampling(temperature=1.0, max_tokens=30, seed=1)
    engine.end_ids = tuple(range(0, 259, 5))  # sequences leave, so steps begin anew
    prompts = [engine.encode_prompt(text) for text in SOURCES]
    plain = engine.continue_ids(prompts, sampling)
    steps, run = [], GraphStep.run
    monkeypatch.setattr(GraphStep, "run", lambda step, ids: (steps.append(step), run(step, ids))[1])
    monkeypatch.setattr(cached, "GRAPH_DEVICES", ("cpu",))
    monkeypatch.setattr(cached, "STEPS_BEFORE_GRAPH", 2)
    for wanted, found in zip(plain, engine.continue_ids(prompts, sampling), strict=True):
        assert found.ids == wanted.ids
        assert_close(found.logprobs, wanted.logprobs, rtol=0, atol=1e-12)
    assert len(steps) > 2 * len(set(map(id, steps))) > 2


def test_keys_of_the_source_are_made_once(monkeypatch):
    engine = tiny_reader()
    reads = []
    for layer in engine.model.layers:
        original = layer.cross.k_proj.forward
        monkeypatch.setattr(
            layer.cross.k_proj, "forward",
            lambda hidden, original=original: (reads.append(hidden.shape[1]), original(hidden))[1],
        )  # fmt: skip
    engine.continue_text("seven b", Sampling(max_tokens=9))
    assert reads == [8] * len(engine.model.layers)  # seven bytes and the end, once a layer


def test_each_side_has_a_whole_context():
    engine = tiny_reader()
    whole = engine.context_length
    found = engine.continue_ids([[5] * whole, [5]], Sampling(max_tokens=10 * whole))
    assert max(len(each.ids) for each in found) <= whole
    with pytest.raises(CapacityError, match=f"source has {whole + 1} tokens and the context"):
        engine.continue_ids([[5] * (whole + 1)], Sampling())
    with pytest.raises(ConfigError, match="prompt is empty"):
        engine.continue_text("", Sampling())
    with pytest.raises(DataError, match="2 prompts need as many seeds; got 1"):
        engine.continue_ids([[5], [6]], Sampling(), seeds=[1])


def test_what_cannot_generate_says_so_in_a_line():
    for kind in ENCODERS:
        with pytest.raises(ConfigError, match="^An encoder cannot generate: [^\n]*$"):
            Engine(tiny_model(ENCODERS[kind]), FastTokenizer([]))


def test_an_encoder_decoder_reads_what_was_said_line_by_line():
    reader, said = tiny_reader(), (*user("Who?"), Message("assistant", "Me."), *user("And?"))
    assert reader.prompt_ids(said) == reader.encode_prompt("Who?\nMe.\nAnd?")
    answer = reader.generate([said], Sampling(max_tokens=5))[0]
    assert answer.ids == reader.continue_text("Who?\nMe.\nAnd?", Sampling(max_tokens=5)).ids


def test_ends_of_the_fixtures_are_reached():
    lengths = {len(until_end(row)) for family, name in PEERS
               for row in Peer(family, name).expected["greedy"].tolist()}  # fmt: skip
    assert len(lengths) > 2 and min(lengths) < LIMIT and ENDS


def test_a_directory_opens_with_the_start_that_it_was_saved_with(tmp_path):
    reader = tiny_reader()
    reader.model.float()
    save_tokenizer(FastTokenizer([]), tmp_path / "tokenizer")
    save_model(reader.model, tmp_path / "model", tmp_path / "tokenizer")
    save_model(reader.model, tmp_path / "again", tmp_path / "model")
    end = reader.tokenizer.specials["<|endoftext|>"]
    for name in ("model", "again"):
        assert (
            read_source_frame(tmp_path / name)
            == SourceFrame(end, (), (end,))
            == reader.source_frame
        )
        opened = Engine.open(tmp_path / name)
        sampling = Sampling(max_tokens=6)
        assert opened.continue_text("abc", sampling) == reader.continue_text("abc", sampling)


def test_a_forced_id_is_read_behind_the_first():
    reader, sampling = tiny_reader(), Sampling(temperature=0.0, max_tokens=1)
    reader.model.double()
    start = reader.source_frame.start
    for forced in ((), (7,), (9,)):
        frame = SourceFrame(start, forced=forced)
        engine = Engine(reader.model, reader.tokenizer, frame=frame, end_ids=[])
        [said] = engine.continue_ids([[5, 6, 4]], sampling)
        encoded = reader.model.encode(torch.tensor([[5, 6, 4]]))
        logits = reader.model.logits(torch.tensor([[start, *forced]]), encoded=encoded)[0, -1]
        assert said.ids == (int(logits[: reader.tokenizer.vocab_size].argmax()),)
        [beam] = beam_search(engine, [[5, 6, 4]], BeamConfig(width=2, max_tokens=3))
        assert len(beam[0].generation.ids) == 3
    for wrong in (10**6, -1, "x", [3], True):
        with pytest.raises(ArtifactError, match="begins with the ids .* which the model lacks"):
            Engine(reader.model, reader.tokenizer, frame=SourceFrame(start, forced=(wrong,)))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_finite_are_an_error_and_no_answer(bad, temperature):
    engine = tiny_engine()
    prompts, sampling = [[1, 2, 3]], Sampling(temperature=temperature, max_tokens=3)
    assert engine.continue_ids(prompts, sampling)
    with torch.no_grad():
        engine.model.norm.weight[0] = bad
    with pytest.raises(ArtifactError, match="logits are not finite"):
        engine.continue_ids(prompts, sampling)
    with pytest.raises(ArtifactError, match="logits are not finite"):
        beam_search(engine, prompts, BeamConfig(max_tokens=3))
    with pytest.raises(ArtifactError, match="logits are not finite"):
        engine.logprobs([user("a")], ["b"])


@cache
def model() -> CachedTransformer:
    """In float64, of 64 ids and a context of 256."""
    return CachedTransformer(tiny())


ROOT = list(range(30))


def spell(ids) -> str:
    """Ids as numbers."""
    return "".join(f" {number}" for number in ids)


def complete(prompts, sampling, until=(), *, batch_tokens=4000, **more):
    sampling = sampling.model_copy(update={"stop": tuple(until)})
    options = DecodingOptions(sampling, (63,), 64, batch_tokens, spell, **more)
    return dict(decode_prompts(model(), prompts, options))


def naive(prompt: list[int], length: int) -> list[int]:
    ids = list(prompt)
    with torch.no_grad():
        while len(ids) < len(prompt) + length and (ids[len(prompt) :] or [0])[-1] != 63:
            ids.append(int(model().model.logits(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


def prompts(number: int = 9) -> list[list[int]]:
    generator = torch.Generator().manual_seed(5)
    draw = lambda n: torch.randint(63, (n,), generator=generator).tolist()  # noqa: E731
    return [ROOT * (n % 4 > 0) + draw(2 + n % 5) for n in range(number)]


@pytest.mark.parametrize("invariant", [True, False])
def test_greedy_continuations_are_those_of_one_pass_a_token(invariant):
    asked = prompts()
    found = complete(asked, Sampling(max_tokens=12), batch_tokens=40, invariant=invariant)
    assert sorted(found) == list(range(len(asked)))
    for place, prompt in enumerate(asked):
        said = naive(prompt, 12)
        assert found[place].ids == said
        assert found[place].finish_reason == ("stop" if said[-1] == 63 else "length")


def test_stops_end_rows_at_different_times_and_move_no_neighbour():
    asked = prompts()
    said = [naive(prompt, 12) for prompt in asked]
    until = tuple(f" {said[row][row]} " for row in (1, 3, 4)) + (f" {said[2][0]}",)
    found = complete(asked, Sampling(max_tokens=12), until)
    for place, ids in enumerate(said):
        ends = [n for n in range(1, 13) if find_stop(spell(ids[:n]), until) is not None]
        assert found[place].ids == ids[: ends[0] if ends else 12]


def test_a_sampled_answer_is_its_seeds_whoever_runs_beside_it():
    asked, sampling = prompts(5), Sampling(temperature=1.0, top_k=20, max_tokens=8, seed=3)
    together = complete(asked, sampling)
    for place, prompt in enumerate(asked):
        alone = complete([prompt], sampling)[0]
        assert alone.ids == together[place].ids
        assert_close(alone.logprobs, together[place].logprobs, rtol=0, atol=1e-12)
    assert complete(asked, sampling.model_copy(update={"seed": 4})) != together


def test_what_prompts_begin_with_is_read_once(monkeypatch):
    read, extend = [], CachedTransformer.extend

    def counted(self, state, ids, lengths):
        read.append(int(lengths.sum()))
        return extend(self, state, ids, lengths)

    monkeypatch.setattr(CachedTransformer, "extend", counted)
    complete([ROOT + [n, n] for n in range(6)], Sampling(max_tokens=1))
    assert sum(read) == len(ROOT) + 6 * 2
    read.clear()
    complete([ROOT] * 6, Sampling(max_tokens=1))
    assert sum(read) == len(ROOT) - 1 + 6, "of equal prompts, all but the last id"


def test_a_stream_holds_back_what_may_begin_a_stop_string():
    buffer = StopBuffer(["END", "EAST"])
    assert [buffer.add(text) for text in ("the E", "A", "R. ", "EN", "D. More")] == [
        "the ", "", "EAR. ", "", "",
    ]  # fmt: skip
    assert StopBuffer([]).add("all") == "all"


def test_the_first_stop_counts():
    assert find_stop("one two three", ("three", "two")) == 4
    assert find_stop("one", ("",)) is None and find_stop("one", ()) is None


def batches(lengths, max_tokens):
    sampling = Sampling(max_tokens=max_tokens)
    options = DecodingOptions(sampling, (), 64, 4000)
    return list(batch_prompts(model(), [[0] * n for n in lengths], options))


@given(st.lists(st.integers(1, 255), max_size=40), st.integers(1, 200))
def test_every_request_runs_once_beside_some_of_its_length(lengths, max_tokens):
    found = batches(lengths, max_tokens)
    assert sorted(i for batch in found for i in batch.indices) == list(range(len(lengths)))
    for batch in found:
        sizes = [min(lengths[i] + max_tokens, 256) for i in batch.indices]
        assert sizes[0] == max(sizes) <= 2 * min(sizes)
        assert 32 * batch.num_blocks >= batch.size * sizes[0], "none is ever pre-empted"


def test_a_batch_stays_in_its_bounds(monkeypatch):
    monkeypatch.setattr(module, "MAX_CACHE_POSITIONS", 100)
    monkeypatch.setattr(module, "MAX_BATCH_SIZE", 4)
    found = batches([10] * 10 + [200], 15)
    assert [(len(batch.indices), batch.size) for batch in found] == [(1, 1), (10, 4)]
    assert batches([], 15) == []


def counting(monkeypatch):
    """What is called of the model's state, in order."""
    called = []
    for name in ("branch", "join"):
        original = getattr(CachedTransformer, name)
        monkeypatch.setattr(
            CachedTransformer, name,
            lambda self, *given, name=name, original=original: (
                called.append(name), original(self, *given)
            )[1],
        )  # fmt: skip
    return called


@pytest.mark.parametrize("growth", [1, 3, 256])
@pytest.mark.parametrize("kind", ["decoder", "t5", "bart", "switch"])
def test_waiting_prompts_join_what_runs_and_change_nothing(kind, growth, monkeypatch):
    engine, sampling = ENGINES[kind](), Sampling(temperature=1.0, max_tokens=20, seed=2)
    engine.end_ids = tuple(range(0, 259, 3))
    prompts = [engine.encode_prompt(text) for text in SOURCES]
    alone = [engine.continue_ids([prompt], sampling)[0].ids for prompt in prompts]
    monkeypatch.setattr(contiguous, "GROWTH", growth)
    monkeypatch.setattr(module, "MAX_BATCH_SIZE", 2)
    called = counting(monkeypatch)
    together = engine.continue_ids(prompts, sampling)
    assert [answer.ids for answer in together] == alone
    assert "join" in called, "a waiting prompt begins where another has ended"


def test_a_context_is_used_to_its_end_beside_shorter_ones():
    asked = [ROOT * 6 + [1] * at for at in (70, 40, 5, 0)]  # of 250, 220, 185 and 180 tokens
    found = complete(asked, Sampling(max_tokens=100))
    for place, prompt in enumerate(asked):
        assert found[place].ids == naive(prompt, min(100, 256 - len(prompt)))
