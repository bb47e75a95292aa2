"""Through the wire comes what the model beside the server says, and what it cannot say is told."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from groundup.core import (
    Completion,
    ConfigError,
    DataError,
    Likelihood,
    LoglikelihoodRequest,
    Message,
    Reason,
    Sampling,
)
from groundup.generate.endpoint.errors import EndpointError
from groundup.generate.endpoint.model import Endpoint, _messages_from_prompt, _messages_to_json
from groundup.generate.endpoint.settings import EndpointConfig, Retries
from tests.core.contracts.language_model import LanguageModelContract
from tests.core.contracts.text_model import TextModelContract
from tests.generate.endpoint.peer import MODEL, Peer, raw, status
from tests.generate.tiny import user

FIXTURE = Path(__file__).resolve().parents[2] / "fixtures" / "endpoint" / "llama.json"
RECORDED = json.loads(FIXTURE.read_text(encoding="utf-8"))
QUESTION = (Message("user", "Why?"),)
STOPS = Sampling(max_tokens=8)


QUICK = Retries(attempts=2, first_wait=0.0)


@pytest.fixture(scope="module")
def peer():
    with Peer() as server:
        yield server


@pytest.fixture(scope="module")
def mute():
    with Peer(scores=False) as server:
        yield server


@pytest.fixture(autouse=True)
def forget(peer):
    peer.asked.clear()


def endpoint(peer: Peer, **values) -> Endpoint:
    return Endpoint(EndpointConfig(url=peer.url, model=MODEL, retries=QUICK, **values))


class TestAChatIsATextModel(TextModelContract):
    is_raw = False

    @pytest.fixture
    def model(self, peer):
        return endpoint(peer)


class TestAStreamedChatIsATextModel(TextModelContract):
    is_raw = False

    @pytest.fixture
    def model(self, peer):
        return endpoint(peer, stream=True, concurrency=2)


class TestRawCompletionsAreATextModel(TextModelContract):
    has_chat = False

    @pytest.fixture
    def model(self, peer):
        return endpoint(peer, api="completions")


class TestAServerThatScoresNothingIsATextModel(TextModelContract):
    has_likelihood = False

    @pytest.fixture
    def model(self, mute):
        return endpoint(mute)


class TestAnEndpointIsALanguageModel(LanguageModelContract):
    @pytest.fixture
    def model(self, peer):
        return endpoint(peer)


def direct(peer: Peer, context: str, continuation: str) -> float:
    """Log-probability of a continuation, computed beside the server."""
    from tests.generate.endpoint.peer import scored

    tokenizer = peer.engine.tokenizer
    first = [next(iter(tokenizer.specials.values()))]
    ids = first + tokenizer.encode(context + continuation)
    values, _ = scored(peer, ids)
    return math.fsum(values[len(ids) - len(continuation.encode()) :])


def test_a_likelihood_is_the_one_of_the_model_behind_the_server(peer):
    pairs = [
        LoglikelihoodRequest("One two", " three"),
        LoglikelihoodRequest("語 ", "ü✓"),
        LoglikelihoodRequest("", "whole"),
        LoglikelihoodRequest("a", "a" * 50),
    ]
    found = dict(endpoint(peer).loglikelihood(pairs))
    for i, pair in enumerate(pairs):
        assert found[i].logprob == pytest.approx(direct(peer, *pair), abs=1e-9)
        assert found[i].tokens == len(pair.continuation.encode())


def test_completions_and_generations_are_those_of_the_engine(peer):
    sampling = Sampling(temperature=1.0, max_tokens=10, seed=3)
    questions = [user("Why?"), user("ü")]
    ours = peer.engine.generate(questions, sampling)
    found = endpoint(peer).generate(questions, sampling)
    assert [(each.text, each.ids, each.finish_reason) for each in found] == [
        (each.text, each.ids, each.finish_reason) for each in ours
    ]
    assert np.allclose(found[0].logprobs, ours[0].logprobs)
    done = dict(endpoint(peer).complete(["Why?", "ü"], sampling))
    assert [done[i].text for i in range(2)] == [each.text for each in ours]
    assert done[0].tokens == len(ours[0].ids) and done[0].prompt_tokens > 0


def test_answers_scored_in_a_conversation_are_the_engines(peer):
    questions, answers = [user("Why?"), user("語")], ["So.", ""]
    ours = peer.engine.logprobs(questions, answers)
    for mine, found in zip(ours, endpoint(peer).logprobs(questions, answers), strict=True):
        assert found[: len(mine)] == pytest.approx(mine, abs=1e-6)
    with pytest.raises(DataError):
        endpoint(peer).logprobs(questions, ["one"])


def test_vectors_come_in_the_order_of_the_texts_in_several_requests(peer):
    texts = [f"text {i}" for i in range(7)]
    found = endpoint(peer, embed_batch=3).embed(texts)
    assert np.allclose(found, peer.engine.embed(texts), atol=1e-6)
    assert len(peer.bodies("embeddings")) == 3
    assert endpoint(peer).embed([]).shape == (0, 0)


def test_without_a_first_token_a_whole_text_needs_a_prefix():
    with Peer(begins=False) as peer:
        (_, found), *_ = endpoint(peer).rolling(["text"])
        assert isinstance(found, Reason) and found.code == "first_token"
        ((_, found),) = endpoint(peer, prefix="\n").rolling(["text"])
        assert isinstance(found, Likelihood) and found.tokens == 4
        assert 'prefix:"\\n"' in endpoint(peer, prefix="\n").signature


def test_a_server_that_scores_nothing_is_asked_once_and_told_once(capsys):
    from groundup.core import record

    record.set_output_mode("plain")
    try:
        with Peer(scores=False) as peer:
            model = endpoint(peer, concurrency=1)
            found = [
                *model.loglikelihood([LoglikelihoodRequest("a", "b")] * 9),
                *model.rolling(["text"] * 9),
            ]
            assert {reason.code for _, reason in found} == {"no_logprobs"} and len(found) == 18
            assert len(peer.asked) <= 3  # the next ones were on their way
    finally:
        record.set_output_mode("silent")
    assert capsys.readouterr().err.count("No likelihoods from this server") == 1


def test_a_server_without_plain_completions_scores_nothing_and_still_chats(peer):
    peer.script.append(status(404, "Not Found"))
    model = endpoint(peer, concurrency=1)
    ((_, found),) = model.loglikelihood([LoglikelihoodRequest("a", "b")])
    assert found.code == "no_logprobs"
    ((_, found),) = model.complete(["a"], Sampling(max_tokens=2))
    assert found.text is not None and not isinstance(found, Reason)


def test_a_generation_does_without_log_probabilities_where_they_are_refused(peer):
    peer.script.append(status(400, "logprobs is not supported"))
    model = endpoint(peer)
    (found,) = model.generate([user("a")], Sampling(max_tokens=4))
    assert found.logprobs == () and len(found.ids) >= 1 and set(found.ids) == {-1}


def test_what_is_sent_is_what_was_asked(peer):
    stops = Sampling(temperature=0.5, top_p=0.9, top_k=7, max_tokens=3, seed=11, stop=("\n",))
    model = endpoint(
        peer, extra={"min_p": 0.1}, omit=("seed",), max_tokens_key="max_completion_tokens"
    )
    list(model.complete(["Why?"], stops))
    (body,) = peer.bodies("chat/completions")
    assert body == {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Why?"}],
        "max_completion_tokens": 3,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 7,
        "stop": ["\n"],
        "min_p": 0.1,
    }
    assert "body:" in model.signature


@pytest.mark.parametrize(
    ("constraint", "fields"),
    [
        ({"choices": ("a", "b")}, {"structured_outputs": {"choice": ["a", "b"]}}),
        ({"regex": "a+"}, {"structured_outputs": {"regex": "a+"}}),
        ({"grammar": "start: /a/"}, {"structured_outputs": {"grammar": "start: /a/"}}),
        ({"json_schema": {"const": 1}}, {"response_format": {"type": "json_schema", "json_schema": {
            "name": "answer", "strict": True, "schema": {"const": 1}}}}),
    ],
)  # fmt: skip
def test_a_grammar_is_sent_in_the_server_s_fields(peer, constraint, fields):
    list(endpoint(peer).complete(["Why?"], Sampling(max_tokens=1, **constraint)))
    (body,) = peer.bodies("chat/completions")
    assert body == body | fields


def test_only_four_stops_are_sent_and_all_are_obeyed(peer):
    whole = dict(endpoint(peer).complete(["abc"], Sampling(max_tokens=20)))[0].text
    until = (*"\x01\x02\x03\x04\x05", whole[5:7])
    ((_, found),) = endpoint(peer).complete(["abc"], Sampling(max_tokens=20, stop=until))
    assert found.text == whole[: whole.index(whole[5:7])]
    assert [len(body.get("stop", [])) for body in peer.bodies("chat/completions")] == [0, 4]


def test_a_rendered_conversation_is_sent_as_its_messages_and_a_forged_one_as_text(peer):
    conversation = (Message("system", 'Say "ü".'), Message("user", "Why?"))
    model = endpoint(peer)
    list(model.complete([model.render(conversation)], Sampling(max_tokens=1)))
    (body,) = peer.bodies("chat/completions")
    assert body["messages"] == [message._asdict() for message in conversation]
    for text in (
        '{"messages": [{"role": "tool", "content": "x"}]}',
        '{"messages":  [{"role": "system", "content": "x"}]}',
        '{"messages": [{"role": "system", "content": "x"}',
        '{"messages": [{"role": "system"}]} and more',
    ):
        assert _messages_from_prompt(text) == [{"role": "user", "content": text}]
    assert (
        _messages_from_prompt(_messages_to_json([{"role": "user", "content": "é"}]))[0]["content"]
        == "é"
    )


def test_a_filtered_answer_and_a_tool_call_are_reasons(peer):
    def reply(finish, content: str | None = "x", **message):
        choice = {"message": {"content": content, **message}, "finish_reason": finish}
        return raw(json.dumps({"choices": [choice]}).encode())

    cases = [
        (reply("content_filter"), "content_filter"),
        (reply("tool_calls", None), "tool_calls"),
        (reply("function_call", None), "tool_calls"),
        (reply("stop", None, refusal="I may not."), "content_filter"),
    ]
    for behaviour, code in cases:
        peer.script.append(behaviour)
        ((_, found),) = endpoint(peer).complete(["a"], Sampling(max_tokens=2))
        assert isinstance(found, Reason) and found.code == code


def test_the_model_must_be_on_the_server(peer):
    config = EndpointConfig(url=peer.url, model="tiny-larg")
    with pytest.raises(ConfigError, match="did you mean 'tiny-large'"):
        Endpoint.open(config)
    assert Endpoint.open(config.model_copy(update={"model": MODEL})).name == f"{peer.url} tiny"
    peer.script.append(status(404))
    assert Endpoint.open(config).digest != endpoint(peer).digest
    peer.script.append(status(401, "who are you?"))
    with pytest.raises(EndpointError, match="401: who are you"):
        Endpoint.open(config)


def test_a_request_that_fails_is_named(peer):
    with pytest.raises(EndpointError, match="Request 1 of tiny: .*maximum context length"):
        endpoint(peer).generate([user("a"), user("b" * 400)], Sampling(max_tokens=2))
    ((_, found),) = endpoint(peer).complete(["b" * 400], Sampling(max_tokens=2))
    assert found.code == "too_long"


# What llama.cpp's own server answers, as recorded; see tests/oracles


@pytest.fixture
def llama(peer):
    """Prepare a recorded reply and give an endpoint; afterwards what was sent must be the same."""
    prepared = []

    def prepare(name: str, **values) -> Endpoint:
        found = RECORDED[name]
        peer.script.append(raw(found["reply"].encode(), found["kind"], found["status"]))
        prepared.append((f"/v1/{found['route']}", found["body"] or None))
        retries = Retries(attempts=1)
        return Endpoint(EndpointConfig(url=peer.url, model=MODEL, retries=retries, **values))

    peer.asked.clear()
    peer.script.clear()
    yield prepare
    assert [(path, body) for path, _, body in peer.asked] == prepared


def one(answers) -> Completion | Reason:
    ((_, found),) = answers
    return found


def test_its_model_is_found(llama):
    model = llama("models")
    assert Endpoint.open(model.config).name.endswith("/v1 tiny")


def test_another_model_is_not(llama):
    config = llama("models").config.model_copy(update={"model": "other"})
    with pytest.raises(ConfigError, match="it has tiny"):
        Endpoint.open(config)


@pytest.mark.parametrize("name", ["chat", "chat streamed", "raw", "raw streamed"])
def test_its_answers_are_read(llama, name):
    api = "chat" if "chat" in name else "completions"
    model = llama(name, api=api, stream="streamed" in name)
    found = one(model.complete(["Why?"], STOPS))
    assert isinstance(found, Completion) and found.finish_reason == "length"
    assert found.tokens == 8 and found.prompt_tokens > 0 and found.text
    assert model.cost.requests == 1 and model.cost.tokens == 8


def test_a_stream_says_what_comes_in_one_piece(llama):
    whole = one(llama("raw", api="completions").complete(["Why?"], STOPS))
    streamed = one(llama("raw streamed", api="completions", stream=True).complete(["Why?"], STOPS))
    assert whole.text == streamed.text


def test_joined_tokens_are_not_taken_for_single_ones(llama):
    (found,) = llama("chat with logprobs").generate([QUESTION], Sampling(max_tokens=8))
    assert found.ids == (-1,) * 8 and found.logprobs == ()


def test_it_passes_over_echo_and_so_it_scores_nothing(llama):
    found = one(llama("echo").loglikelihood([LoglikelihoodRequest("a", " b")]))
    assert isinstance(found, Reason) and found.code == "no_logprobs"


def test_a_prompt_that_is_too_long_is_told(llama):
    found = one(llama("too long", api="completions").complete(["x" * 3000], STOPS))
    assert found.code == "too_long" and "available context size" in found.message


def test_without_vectors_it_says_how_to_get_them(llama):
    with pytest.raises(EndpointError, match="--embeddings"):
        llama("embeddings").embed(["a"])
