"""Answers do not depend on their company, and end where the model's directory says."""

from concurrent.futures import ThreadPoolExecutor
from copy import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from groundup.core import (
    ArtifactError,
    CapacityError,
    ConfigError,
    DataError,
    LanguageModel,
    Message,
    Sampling,
    write_json,
)
from groundup.evaluate.harness.local import open_native
from groundup.generate import Engine, SourceFrame, TokenPair, score_pairs
from groundup.generate.batching.text import IncrementalDetokenizer, decode_text
from groundup.generate.beam import BeamConfig, beam_search
from groundup.generate.directory import read_source_frame
from groundup.tokenizer import ChatTemplate, FastTokenizer, render
from tests.align.imported import TURNS, bytes_with_turns, directory_of
from tests.core.contracts.language_model import LanguageModelContract
from tests.generate.tiny import (
    CONTEXT,
    full_forward,
    tiny_directory,
    tiny_engine,
    tiny_model,
    user,
)
from tests.model import shapes
from tests.tokenizer.imported.fixtures import small

QUESTIONS = [user(text) for text in ("a", "Was ist é?", "longer than the others", "b", "?!")]
SAMPLINGS = [Sampling(max_tokens=20), Sampling(temperature=1.0, top_p=0.95, max_tokens=20, seed=3)]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return tiny_engine()


class TestTheEngineIsALanguageModel(LanguageModelContract):
    @pytest.fixture
    def model(self) -> Engine:
        return tiny_engine()


def test_a_model_of_prefixes_reads_its_prompt_both_ways():
    engine, sampling = tiny_engine(prefix=True), Sampling(max_tokens=12)
    prompt = engine.prompt_ids(QUESTIONS[0])
    (answer,), (other,) = (
        each.generate(QUESTIONS[:1], sampling) for each in (engine, tiny_engine())
    )
    assert abs(answer.logprobs[0] - other.logprobs[0]) > 1e-6
    whole = engine.render_ids((*QUESTIONS[0], Message("assistant", "so")))
    (scored,) = engine.logprobs([QUESTIONS[0]], ["so"])
    expected = full_forward(engine, prompt, whole.ids[len(prompt) :])
    assert_close(scored, expected[: len(scored)], rtol=0, atol=1e-12)


def test_the_answer_is_the_same_in_any_company_and_order(engine):
    sampling = Sampling(temperature=1.0, max_tokens=12, seed=7)
    forwards = engine.generate(QUESTIONS, sampling)
    backwards = engine.generate(QUESTIONS[::-1], sampling)[::-1]
    assert [g.ids for g in forwards] == [g.ids for g in backwards]


def test_seeds_of_their_own_give_answers_of_their_own(engine):
    prompt = engine.prompt_ids(QUESTIONS[0])
    sampling = Sampling(temperature=1.0, max_tokens=12)
    several = engine.continue_ids([prompt] * 3, sampling, seeds=[0, 1, 0])
    assert several[0].ids == several[2].ids != several[1].ids


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=["greedy", "sampled"])
def test_a_stream_joined_is_the_answer(engine, sampling):
    for conversation in QUESTIONS:
        (whole,) = engine.generate([conversation], sampling)
        assert "".join(engine.stream(conversation, sampling)) == whole.text


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
def test_an_answer_and_its_stream_end_before_a_stop_string(engine, sampling):
    for conversation in QUESTIONS:
        [whole] = engine.generate([conversation], sampling)
        for stop in {whole.text[3:5], whole.text[5:9]} - {""}:
            stopped = sampling.model_copy(update={"stop": ("never there", stop)})
            [answer] = engine.generate([conversation], stopped)
            assert answer.text == whole.text[: whole.text.index(stop)]
            assert answer.finish_reason == "stop"
            assert "".join(engine.stream(conversation, stopped)) == answer.text


def test_alternatives_and_tokens_that_end_or_may_not_be_chosen(engine):
    [whole] = engine.generate(QUESTIONS[:1], Sampling(max_tokens=6, logprobs=3))
    assert [each[0].id for each in whole.alternatives] == list(whole.ids)
    assert_close([each[0].logprob for each in whole.alternatives], list(whole.logprobs))
    third = whole.ids[2]
    [ended] = engine.generate(QUESTIONS[:1], Sampling(max_tokens=6, stop_tokens=(third,)))
    assert ended.ids == whole.ids[: whole.ids.index(third) + 1] and ended.finish_reason == "stop"
    [other] = engine.generate(QUESTIONS[:1], Sampling(max_tokens=6, banned_tokens=(third,)))
    assert third not in other.ids
    [only] = engine.generate(QUESTIONS[:1], Sampling(max_tokens=3, allowed_tokens=(third,)))
    assert only.ids == (third,) * 3


@pytest.mark.parametrize("name", ["banned_tokens", "allowed_tokens", "stop_tokens", "logit_bias"])
def test_tokens_beyond_the_vocabulary_are_named(engine, name):
    value = {99_999: 1.0} if name == "logit_bias" else (99_999,)
    with pytest.raises(ConfigError, match=f"Sampling.{name} has"):
        engine.generate(QUESTIONS[:1], Sampling(**{name: value}))


def test_a_stop_string_counts_from_min_tokens_on(engine):
    [whole] = engine.generate(QUESTIONS[:1], Sampling(max_tokens=12))
    sampling = Sampling(max_tokens=12, min_tokens=6, stop=(whole.text[:1],))
    [answer] = engine.generate(QUESTIONS[:1], sampling)
    assert len(answer.ids) >= 6 and answer.text.startswith(whole.text[:1])
    assert "".join(engine.stream(QUESTIONS[0], sampling)) == answer.text


def test_an_answer_that_may_choose_no_token_says_why(engine):
    with pytest.raises(ConfigError, match="No token is left"):
        engine.generate(QUESTIONS[:1], Sampling(allowed_tokens=(5,), banned_tokens=(5,)))


def test_an_answer_ends_where_the_context_ends_whatever_its_neighbours(engine):
    long, short = user("x" * (CONTEXT - 50)), user("x")
    sampling = Sampling(max_tokens=60)
    engine = Engine(engine.model, engine.tokenizer, end_ids=())
    together = engine.generate([long, short], sampling)
    left = CONTEXT - len(engine.prompt_ids(long))
    assert [len(g.ids) for g in together] == [left, 60]
    assert [g.finish_reason for g in together] == ["length", "length"]


def test_a_prompt_that_fills_the_context_is_told(engine):
    with pytest.raises(CapacityError, match=f"the context {CONTEXT}, which leaves none"):
        engine.generate([user("x" * CONTEXT)], Sampling())


def test_the_oldest_turns_leave_first_and_the_system_message_stays(engine):
    conversation = (
        Message("system", "S"),
        Message("user", "first"),
        Message("assistant", "one"),
        Message("user", "second"),
        Message("assistant", "two"),
        Message("user", "third"),
    )
    assert engine.truncate_history(conversation, 30) == (conversation[0], *conversation[3:])
    assert engine.truncate_history(conversation, 50) == (conversation[0], conversation[-1])
    assert engine.truncate_history(conversation[-1:], 30) == conversation[-1:]
    with pytest.raises(CapacityError, match="shorten the message"):
        engine.truncate_history(user("x" * CONTEXT), 10)


def test_logprobs_are_those_of_generating(engine):
    answers = ["yes", "", "né"]
    found = engine.logprobs(QUESTIONS[:3], answers)
    end = engine.tokenizer.special_id("<|im_end|>")
    for conversation, answer, values in zip(QUESTIONS, answers, found, strict=False):
        ids = (*engine.tokenizer.encode(answer), end)
        expected = full_forward(engine, engine.prompt_ids(conversation), ids)
        assert_close(values, expected, rtol=0, atol=1e-12)
    whole = render(engine.tokenizer, (*QUESTIONS[0], Message("assistant", "yes")))
    assert len(found[0]) == sum(whole.mask)
    with pytest.raises(DataError, match="2 conversations need as many answers"):
        engine.logprobs(QUESTIONS[:2], ["a"])


def test_vectors_do_not_depend_on_neighbours(engine):
    texts = ["one text", "another, longer text", ""]
    vectors = engine.embed(texts)
    assert vectors.shape == (3, 32) and vectors.dtype == np.float32
    assert_close(vectors[:1], engine.embed(texts[:1]))
    assert not vectors[2].any() and vectors[0].any()


def test_ids_that_the_tokenizer_lacks_are_never_chosen(engine):
    assert engine.model.config.vocab_size > engine.tokenizer.vocab_size
    with torch.no_grad():
        engine = tiny_engine()
        engine.model.embed_tokens.weight[-1] *= 1000
    for found in engine.generate(QUESTIONS, Sampling(temperature=5.0, max_tokens=20)):
        assert max(found.ids) < engine.tokenizer.vocab_size


def test_a_tokenizer_of_another_model_is_refused():
    with pytest.raises(ArtifactError, match="262 ids and the model 260"):
        Engine(tiny_model(), FastTokenizer([(b"a", b"b"), (b"c", b"d"), (b"e", b"f")]))
    with pytest.raises(ArtifactError, match=r"end tokens \[300\]"):
        Engine(tiny_model(), FastTokenizer([]), end_ids=[300])


def test_a_continuation_needs_something_to_continue(engine):
    assert engine.continue_text("def ", Sampling(max_tokens=4)).ids
    with pytest.raises(ConfigError, match="prompt is empty"):
        engine.continue_text("", Sampling())
    with pytest.raises(ConfigError, match="conversation is empty"):
        engine.generate([()], Sampling())


def test_the_model_is_left_as_it_was(engine):
    engine.model.train()
    engine.generate(QUESTIONS[:1], Sampling(max_tokens=2))
    assert engine.model.training
    assert isinstance(engine, LanguageModel)
    assert engine.generate([], Sampling()) == []


def test_a_directory_opens_with_its_tokenizer_and_its_template(tmp_path):
    opened = Engine.open(tiny_directory(tmp_path))
    sampling = Sampling(max_tokens=6)
    expected = tiny_engine(dtype=torch.float32).generate(QUESTIONS, sampling)
    assert [g.ids for g in opened.generate(QUESTIONS, sampling)] == [g.ids for g in expected]
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(ArtifactError, match="not the chat format"):
        Engine.open(tmp_path)


def test_an_imported_tokenizer_begins_texts_as_its_maker_does_and_renders_by_its_own_template():
    tokenizer = small("llama")
    begins = tokenizer.frame.before or (1,)
    tokenizer = copy(tokenizer)
    tokenizer.frame = tokenizer.frame._replace(before=begins)
    template = ChatTemplate("{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}",
                            tokenizer)  # fmt: skip
    config = shapes.tiny_config().model_copy(update={"vocab_size": tokenizer.vocab_size})
    engine = Engine(shapes.tiny_model(config), tokenizer, end_ids=(2,), template=template)
    assert engine.encode_prompt("Hello")[: len(begins)] == list(begins)
    assert engine.encode_prompt("Hello")[len(begins) :] == tokenizer.encode("Hello")
    (talk,) = QUESTIONS[:1]
    assert engine.prompt_ids(talk) == template.ids(talk, add_generation_prompt=True)
    assert engine.generate([talk], Sampling(max_tokens=3))[0].ids


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
    write_json(tmp_path / "config.json", {"forced_bos_token_id": 7})
    assert read_source_frame(tmp_path).forced == (7,)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ArtifactError, match="holds no JSON object"):
        read_source_frame(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_source_frame(tmp_path)


TOKENIZER = FastTokenizer([])  # one token a byte: every character beyond ASCII is split


@given(st.text())
def test_pieces_joined_are_the_text_and_none_is_broken(text):
    pieces, ids = IncrementalDetokenizer(TOKENIZER), TOKENIZER.encode(text)
    parts = [pieces.add(token) for token in ids]
    assert "".join(parts) == decode_text(ids, TOKENIZER) == text
    if "\ufffd" not in text:
        assert all("\ufffd" not in part for part in parts)


@given(st.text("ab \ud7ff\u2581é", max_size=20))
def test_a_space_is_dropped_at_the_beginning_alone(text):
    tokenizer = small("llama")
    pieces, ids = IncrementalDetokenizer(tokenizer), tokenizer.encode(text)
    assert "".join(map(pieces.add, ids)) == decode_text(ids, tokenizer) == tokenizer.decode(ids)


def test_a_character_cut_off_at_the_end_is_left_out():
    ids = TOKENIZER.encode("né")[:-1]
    assert decode_text(ids, TOKENIZER) == "n"


def test_special_tokens_have_no_text():
    end = TOKENIZER.special_id("<|im_end|>")
    assert IncrementalDetokenizer(TOKENIZER).add(end) == ""
    assert decode_text([*TOKENIZER.encode("a"), end], TOKENIZER) == "a"


def test_bytes_that_are_no_character_show_as_such():
    stray = TOKENIZER.encode("é")[-1]
    assert decode_text([stray, *TOKENIZER.encode("a")], TOKENIZER) == "\ufffda"


def test_what_a_directory_names_and_its_chat_template_s_end_end_an_answer(tmp_path):
    tokenizer = bytes_with_turns(chat_template=TURNS)
    stop = tokenizer.specials["<stop>"]
    directory = directory_of(tmp_path / "named", tokenizer, ends=[1])
    assert Engine.open(directory).end_ids == (1, stop)
    assert open_native(directory).tokenizer.end_ids == (1, stop)
    (directory / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.content }}{% endfor %}"
    )
    assert Engine.open(directory).end_ids == open_native(directory).tokenizer.end_ids == (1,)
    plain = tiny_directory(tmp_path / "plain")
    every = tuple(FastTokenizer([]).specials.values())
    for ends, expected in ((None, every), (256, (256, 258)), ([257, 256, 999], (257, 256, 258))):
        write_json(plain / "generation_config.json", {"eos_token_id": ends})
        assert Engine.open(plain).end_ids == open_native(plain).tokenizer.end_ids == expected
    (plain / "chat_template.jinja").unlink()
    assert Engine.open(plain).end_ids == open_native(plain).tokenizer.end_ids == (257, 256)


def test_weights_that_change_answer_otherwise():
    """Natively the packed copy follows the model; what was computed before is not found again."""
    engine, prompt = tiny_engine(dtype=torch.float32), list(range(40))
    first = engine.continue_ids([prompt], Sampling(max_tokens=8))
    with torch.no_grad():
        for weight in engine.model.parameters():
            weight.mul_(-1.1)
    fresh = Engine(engine.model, engine.tokenizer)
    again = engine.continue_ids([prompt], Sampling(max_tokens=8))
    assert again == fresh.continue_ids([prompt], Sampling(max_tokens=8)) != first


def test_an_open_stream_is_disturbed_by_nothing():
    """Neither by another vocabulary or more room on the same engine, nor by weights that change."""
    engine, prompt, sampling = tiny_engine(dtype=torch.float32), [5] * 40, Sampling(max_tokens=20)
    wanted = [each.id for each in engine.stream_tokens(prompt, sampling)]
    stream = engine.stream_tokens(prompt, sampling)
    ids = [next(stream).id for _ in range(3)]
    list(score_pairs(engine.cached, [TokenPair([1] * 30, [2])], batch_tokens=64, vocab_size=100))
    ids += [next(stream).id for _ in range(3)]
    with torch.no_grad():
        for weight in engine.model.parameters():
            weight.mul_(1.0)  # counts as a change
    engine.continue_ids([[9] * 60], sampling)
    assert ids + [each.id for each in stream] == wanted


@pytest.mark.parametrize("stacks", [True, False])
def test_threads_that_share_an_engine_get_the_answers_of_one(stacks, monkeypatch):
    if not stacks:
        monkeypatch.setattr("groundup.generate.batching.native.supports", lambda model: False)
    engine, sampling = tiny_engine(dtype=torch.float32), Sampling(max_tokens=24)
    prompts = [[number, number + 1, 7] * (1 + number % 5) for number in range(3, 15)]
    pairs = [TokenPair(prompt, [5, 6, 7]) for prompt in prompts]

    def work(number: int) -> list[object]:
        prompt = prompts[number]
        scores = score_pairs(engine.cached, pairs[number:], batch_tokens=64)
        streamed = [each.id for each in engine.stream_tokens(prompt, sampling)]
        answers = engine.continue_ids(prompts[number : number + 3], sampling)
        beams = beam_search(engine, [prompt], BeamConfig(width=2, max_tokens=6))
        return [streamed, [each.ids for each in answers], beams[0][0].score,
                sorted((each.index, each.nats) for each in scores)]  # fmt: skip

    alone = [work(number) for number in range(8)]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(work, range(8))) == alone


def test_weights_that_change_behind_torch_are_seen():
    engine, sampling = tiny_engine(dtype=torch.float32), Sampling(max_tokens=20)
    before = engine.continue_ids([[9] * 60], sampling)
    for weight in engine.model.parameters():
        weight.data.mul_(-1.1)
    changed = engine.continue_ids([[9] * 60], sampling)
    fresh = Engine(engine.model, engine.tokenizer).continue_ids([[9] * 60], sampling)
    assert changed == fresh != before


def test_a_model_made_without_gradients_generates():
    with torch.inference_mode():
        engine = tiny_engine(dtype=torch.float32)
        assert engine.continue_ids([[1, 2]], Sampling(max_tokens=3))[0].ids


def test_ids_that_the_model_lacks_are_named():
    engine = tiny_engine(dtype=torch.float32)
    with pytest.raises(DataError, match="outside 0 to"):
        list(score_pairs(engine.cached, [TokenPair([1], [9999])], batch_tokens=64))
    with pytest.raises(CapacityError, match="exceeds"):
        list(score_pairs(engine.cached, [TokenPair([1] * 96, [2, 3])], batch_tokens=64))
