"""What llama.cpp's own server answers is read as it was recorded; see tests/oracles."""

import json
from pathlib import Path

import pytest

from groundup.core import (
    Completion,
    ConfigError,
    LoglikelihoodRequest,
    Message,
    Reason,
    Sampling,
    StopCriteria,
)
from groundup.generate.endpoint.errors import EndpointError
from groundup.generate.endpoint.model import Endpoint
from groundup.generate.endpoint.settings import EndpointConfig, Retries
from tests.generate.endpoint.peer import MODEL, Peer, raw

FIXTURE = Path(__file__).resolve().parents[2] / "fixtures" / "endpoint" / "llama.json"
RECORDED = json.loads(FIXTURE.read_text(encoding="utf-8"))
QUESTION = (Message("user", "Why?"),)
STOPS = StopCriteria(Sampling(max_tokens=8))


@pytest.fixture(scope="module")
def peer():
    with Peer() as server:
        yield server


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
