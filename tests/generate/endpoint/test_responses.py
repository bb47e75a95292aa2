"""A continuation's tokens are found from the end, whatever the server puts before the text."""

import asyncio
import json

import numpy as np
import pytest

from groundup.core import Likelihood
from groundup.generate.endpoint.errors import RequestFailure
from groundup.generate.endpoint.responses import (
    MAX_LINE_BYTES,
    _choice_text,
    _finish_reason,
    _first_choice,
    assemble_stream,
    parse_completion,
    parse_embeddings,
    parse_generation,
    parse_json_object,
    parse_likelihood,
    parse_prompt_logprobs,
)

SHAPES = (TypeError, ValueError, LookupError, AttributeError)


def used(prompt_tokens, completion_tokens):
    counts = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
    return {"usage": counts}


def echo(tokens, logprobs, tops=None):
    tops = tops or [None if value is None else {"x": value} for value in logprobs]
    found = {"tokens": tokens, "token_logprobs": logprobs, "top_logprobs": tops}
    return {"choices": [{"text": "", "finish_reason": "length", "logprobs": found}]}


def test_the_continuation_is_what_its_tokens_spell():
    body = echo(["The", " cat", " sat", "."], [None, -1.0, -2.0, -9.0])
    assert parse_likelihood(body, "", " sat") == Likelihood(-2.0, True, 1)
    assert parse_likelihood(body, "", " cat sat") == Likelihood(-3.0, True, 2)
    assert parse_likelihood(body | used(4, 0), "", ".") == Likelihood(-9.0, True, 1)


def test_a_token_across_the_border_counts_to_the_continuation():
    body = echo(["Q:", " yes", "!"], [None, -1.5, -9.0])
    assert parse_likelihood(body, "", "yes") == Likelihood(
        -1.5, True, 1
    )  # the context ends in a space


def test_a_token_of_the_servers_own_before_the_text_shifts_nothing():
    body = echo(["<|begin|>", "a", "b", "c"], [None, -1.0, -2.0, -3.0])
    assert parse_likelihood(body, "", "ab") == Likelihood(-3.0, True, 2)
    with pytest.raises(RequestFailure, match="first token"):
        parse_likelihood(echo(["a", "b", "c"], [None, -1.0, -2.0]), "", "ab")


def test_the_generated_token_is_not_taken_for_the_continuation():
    body = echo(["a", " b", " b"], [None, -1.0, -7.0])
    assert parse_likelihood(body, "", " b").logprob == -1.0
    assert parse_likelihood(body | used(2, 1), "", " b").logprob == -1.0


def test_characters_in_parts_are_spelt_in_bytes_or_without_text():
    body = echo(["a", "bytes:\\xc3", "bytes:\\xbc", "x"], [None, -1.0, -2.0, -9.0])
    assert parse_likelihood(body, "", "ü") == Likelihood(-3.0, True, 2)
    body = echo(["a", "", "", "語", "x"], [None, -1.0, -2.0, -3.0, -9.0])
    assert parse_likelihood(body, "", "語") == Likelihood(-6.0, True, 3)
    body = echo(["a", "\ufffd", "\ufffd", "x"], [None, -1.0, -2.0, -9.0])
    with pytest.raises(RequestFailure, match="do not spell"):
        parse_likelihood(body, "", "ü")


def test_a_server_that_passes_over_echo_scores_nothing():
    body = echo([" b"], [-1.0])
    with pytest.raises(RequestFailure, match="does not give the prompt back"):
        parse_likelihood(body, "a b", " b")
    body["choices"][0]["text"] = "a b b"
    assert parse_likelihood(body, "a b", " b").logprob == -1.0
    assert parse_likelihood(echo(["a", " b", "c"], [None, -2.0, -1.0]), "a b", " b").logprob == -2.0


def test_greedy_is_each_token_the_likeliest():
    tops = [None, {"b": -1.0, "z": -3.0}, {"q": -0.1}, {"x": -1.0}]
    body = echo(["a", "b", "c", "x"], [None, -1.0, -2.0, -1.0], tops)
    assert parse_likelihood(body | used(2, 0), "", "b").is_greedy
    assert not parse_likelihood(body, "", "bc").is_greedy
    body = echo(["a", "b", "x"], [None, -1.0, -1.0], [None, None, None])
    with pytest.raises(RequestFailure, match="likeliest"):
        parse_likelihood(body, "", "b")


def test_texts_come_from_chats_parts_and_plain_choices():
    assert (
        _choice_text({"message": {"content": [{"type": "text", "text": "a"}, {"text": "b"}]}})
        == "ab"
    )
    assert _choice_text({"message": {"content": ""}}) == ""
    assert _choice_text({"text": "c"}) == "c"
    with pytest.raises(RequestFailure, match="no text"):
        _choice_text({"message": None})
    with pytest.raises(RequestFailure, match="content: null") as caught:
        _choice_text({"message": {"content": None}})
    assert caught.value.code == "no_text" and not caught.value.retry


@pytest.mark.parametrize("told", ["stop", "eos_token", "end_turn"])
def test_ends_have_one_name(told):
    assert _finish_reason({"finish_reason": told}) == "stop"


def test_an_unknown_end_is_none():
    for told in ("abort", None, 3):
        with pytest.raises(RequestFailure, match="finish_reason"):
            _finish_reason({"finish_reason": told})
    with pytest.raises(RequestFailure, match="no choices"):
        _first_choice({"choices": None})


def test_the_earliest_stop_cuts():
    body = {"choices": [{"text": "one two three", "finish_reason": "length"}]}
    assert parse_completion(body, ("three", " two", "")).text == "one"
    assert parse_completion(body, ("four",)).finish_reason == "length"


def test_a_generation_has_the_ids_that_are_told():
    def reply(**more):
        message = {"message": {"content": "ab"}, "finish_reason": "stop"}
        return {"choices": [message | more]}

    rows = {"logprobs": {"content": [{"logprob": -1}, {"logprob": -2.5}]}}
    assert parse_generation(reply(**rows)).ids == (-1, -1)
    assert parse_generation(reply(**rows)).logprobs == (-1.0, -2.5)
    assert parse_generation(reply(**rows, token_ids=[7, 8])).ids == (7, 8)
    assert parse_generation(reply() | used(1, 2)).ids == (-1, -1)


def test_a_conversations_tokens_are_read_place_by_place():
    rows = [None, {"5": {"logprob": -1.0, "rank": 1}}, {"9": {"logprob": -2}}]
    assert parse_prompt_logprobs({"prompt_logprobs": rows}) == ([-1, 5, 9], [None, -1.0, -2.0])
    for wrong in (None, [], [None, {}], [None, {"5": {"logprob": "x"}}], [None, {"x": {}}]):
        with pytest.raises((RequestFailure, *SHAPES)):
            parse_prompt_logprobs({"prompt_logprobs": wrong})


def test_vectors_have_an_index_and_one_width():
    rows = [{"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": [1, 2]}]
    assert np.array_equal(
        parse_embeddings({"data": rows}, 2), np.array([[1, 2], [3, 4]], np.float32)
    )
    wrong = [rows[:1], [], None, [rows[0], {"index": 0, "embedding": [1]}]]
    wrong += [[rows[0], {"index": 0, "embedding": [1, float("inf")]}], [rows[0], {"index": 0}]]
    for data in wrong:
        with pytest.raises((RequestFailure, *SHAPES)):
            parse_embeddings({"data": data}, 2)


async def in_pieces(data: bytes, size: int):
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def broken(data: bytes):
    yield data
    raise RequestFailure("disconnected", "broke", retry=True)


def event(content: str = "", finish: str | None = None, **more) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
    return b"data: %s\n\n" % json.dumps({"choices": [choice], **more}, ensure_ascii=False).encode()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_do_not_depend_on_how_bytes_are_cut(size):
    first = 'data: {"choices": [{"text": "ü✓"}]}'
    last = (
        '"choices": [{"text": "two\u2028", "finish_reason": "stop"}]}'  # a separator of lines, raw
    )
    data = f": hi\r\nid: 1\r\n{first}\r\n\r\ndata:{{\ndata: {last}\n\n\n\nevent: x\n\ndata: [DONE]"
    found = asyncio.run(assemble_stream(in_pieces(data.encode(), size)))
    assert found["choices"][0]["text"] == "ü✓two\u2028"


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_an_answer_is_put_together(size):
    data = event("ü") + event("✓") + b'data: {"choices": [{"index": 1, "text": "no"}]}\n\n'
    data += event(finish="stop") + b'data: {"choices": [], "usage": {"prompt_tokens": 3}}\n\n'
    for end in (b"data: [DONE]\n\n", b""):
        found = asyncio.run(assemble_stream(in_pieces(data + end, size)))
        assert found["choices"][0]["message"]["content"] == found["choices"][0]["text"] == "ü✓"
        assert found["choices"][0]["finish_reason"] == "stop"
        assert found["usage"] == {"prompt_tokens": 3}


def test_a_connection_that_breaks_after_the_end_loses_nothing():
    found = asyncio.run(assemble_stream(broken(event("a") + event(finish="length"))))
    assert found["choices"][0]["text"] == "a"


@pytest.mark.parametrize("data", [event("half"), event("half") + b"data: [DONE]\n\n", b""])
def test_half_a_stream_says_so(data):
    for chunks in (in_pieces(data, 9), broken(data)):
        with pytest.raises(RequestFailure, match="without a finish_reason") as caught:
            asyncio.run(assemble_stream(chunks))
        assert caught.value.code == "half_stream" and caught.value.retry


def test_an_error_event_is_the_servers_word():
    data = event("a") + b'data: {"error": {"message": "out of memory", "code": 500}}\n\n'
    with pytest.raises(RequestFailure, match="out of memory"):
        asyncio.run(assemble_stream(in_pieces(data, 64)))


def test_a_line_without_an_end_is_not_kept():
    with pytest.raises(RequestFailure, match="exceeds"):
        asyncio.run(assemble_stream(in_pieces(b"data: " + b"x" * (MAX_LINE_BYTES + 10), 2**16)))


@pytest.mark.parametrize("text", ["NaN", '{"a": Infinity}', "[1]", "", "{", "[" * 200_000])
def test_what_is_no_object_is_told(text):
    with pytest.raises(RequestFailure, match="expected"):
        parse_json_object(text)
