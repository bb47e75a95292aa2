"""Sources are read once and whatever company they have; what is written is Transformers' own."""

import math

import pytest
import torch
from torch.testing import assert_close

from groundup.core import ArtifactError, CapacityError, ConfigError, Sampling, write_json
from groundup.generate import Engine, SourceFrame
from groundup.generate import engine as module
from groundup.generate.beam import BeamConfig, beam_search
from groundup.generate.decoding import DecodingBatch, read_source_frame
from groundup.model import save as save_model
from groundup.tokenizer import FastTokenizer, save_tokenizer
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
from tests.generate.tiny import tiny_engine, user
from tests.model.shapes import ENCODERS, tiny_model

KINDS = ("t5", "bart", "switch")
SAMPLINGS = [Sampling(max_tokens=12), Sampling(temperature=1.0, top_p=0.95, max_tokens=20, seed=3)]


@pytest.mark.parametrize("family, name", PEERS)
def test_greedy_continuations_are_transformers(family, name):
    peer = Peer(family, name)
    with torch.no_grad():
        decoding = DecodingBatch.prefill_sources(
            peer.model, sources_of(peer), START, LIMIT + 1, VOCAB
        )
        written: list[list[int]] = [[], []]
        for _ in range(LIMIT):
            best = decoding.logits.argmax(-1)
            for row, id in zip(written, best.tolist(), strict=True):
                row.append(id)
            decoding.append(best)
    for found, expected in zip(written, peer.expected["greedy"].tolist(), strict=True):
        ids = until_end(expected)
        assert found[: len(ids)] == ids


def full_forward(engine: Engine, source: str, ids: tuple[int, ...]) -> torch.Tensor:
    """Log-probabilities of every written token by one pass without a cache."""
    assert engine.source_frame is not None
    with torch.no_grad():
        encoded = engine.model.encode(torch.tensor([engine.encode_prompt(source)]))
        read = torch.tensor([[engine.source_frame.start, *ids[:-1]]])
        logits = engine.model.logits(read, encoded=encoded)[0, :, : engine.tokenizer.vocab_size]
    return logits.log_softmax(-1)[torch.arange(len(ids)), torch.tensor(ids)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sampling", SAMPLINGS, ids=["greedy", "sampled"])
def test_batched_is_single_is_the_full_forward_pass(kind, sampling):
    engine = tiny_reader(kind)
    prompts = [engine.encode_prompt(text) for text in SOURCES]
    together = engine.continue_ids(prompts, sampling)
    for text, found in zip(SOURCES, together, strict=True):
        alone = engine.continue_text(text, sampling)
        assert found.ids == alone.ids
        assert_close(found.logprobs, alone.logprobs, rtol=0, atol=1e-12)
        expected = full_forward(engine, text, found.ids)
        assert_close(list(found.logprobs), expected.tolist(), rtol=0, atol=1e-12)


def test_rows_that_end_leave_without_moving_the_others(monkeypatch):
    engine = tiny_reader()
    engine.end_ids = tuple(range(0, 259, 5))
    prompts = [engine.encode_prompt(text) for text in SOURCES]
    sampling = Sampling(temperature=1.0, max_tokens=30, seed=1)
    monkeypatch.setattr(module, "COMPACT_BELOW", 0.0)
    kept = engine.continue_ids(prompts, sampling)
    monkeypatch.setattr(module, "COMPACT_BELOW", 1.0)
    dropped = engine.continue_ids(prompts, sampling)
    assert [g.ids for g in kept] == [g.ids for g in dropped]
    assert len({len(g.ids) for g in kept}) > 2


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


def test_what_cannot_generate_says_so_in_a_line():
    for kind in ENCODERS:
        with pytest.raises(ConfigError, match="^An encoder cannot generate: [^\n]*$"):
            Engine(tiny_model(ENCODERS[kind]), FastTokenizer([]))
    with pytest.raises(ConfigError, match="no chat format"):
        tiny_reader().generate([user("a")], Sampling())


def test_a_frame_is_read_from_the_directory(tmp_path):
    assert read_source_frame(tmp_path) is None
    write_json(tmp_path / "config.json", {"eos_token_id": 1, "decoder_start_token_id": None})
    assert read_source_frame(tmp_path) is None
    write_json(
        tmp_path / "generation_config.json",
        {"decoder_start_token_id": 0, "bos_token_id": 3, "eos_token_id": [5, 1]},
    )
    frame = read_source_frame(tmp_path)
    assert frame == SourceFrame(0, (3,), (5,))
    assert frame.wrap([8, 9]) == [3, 8, 9, 5]
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ArtifactError, match="holds no JSON object"):
        read_source_frame(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_source_frame(tmp_path)


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
