"""The official client cannot tell: models, chat and completions, whole and streamed."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Literal

import httpx
import openai
import pytest
from pydantic import BaseModel

from groundup.core import CapacityError, Message
from groundup.generate import Engine
from groundup.retrieve import load_text_encoder
from groundup.serve.engine.settings import EngineSettings
from groundup.serve.engine.worker import EngineWorker
from groundup.serve.serve import serve
from groundup.tokenizer import FastTokenizer
from tests.retrieve.encoders.small import write_base
from tests.serve.servers import CONTEXT, Serving, write_encoder

QUESTION: Any = [{"role": "user", "content": "What is tea?"}]
TOKENIZER = FastTokenizer([])
LETTERS = {str(TOKENIZER.encode(letter)[0]): 100.0 for letter in "ab"}
"""A bias that leaves two letters."""
END = {str(TOKENIZER.specials["<|im_end|>"]): 100.0}


@pytest.fixture(scope="session")
def client(chat_server: Serving) -> openai.OpenAI:
    return chat_server.client()


@pytest.fixture(scope="session")
def engine(chat_server: Serving) -> Engine:
    """The served model, opened here."""
    return Engine.open(chat_server.path)


def ask(client: openai.OpenAI, **values: Any) -> Any:
    return client.chat.completions.create(
        **{"model": "tiny", "messages": QUESTION, "max_tokens": 24, "seed": 1} | values
    )


def joined(chunks: Iterable[Any]) -> dict[int, str]:
    """Texts of a stream by choice."""
    texts = defaultdict[int, str](str)
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += getattr(choice, "text", None) or (
                (choice.delta.content or "") if hasattr(choice, "delta") else ""
            )
    return dict(texts)


def texts_of(answer: Any) -> dict[int, str]:
    return {choice.index: choice.message.content for choice in answer.choices}


# Models.


def test_models_are_listed_and_retrieved(client):
    [model] = client.models.list().data
    assert (model.id, model.object, model.max_model_len) == ("tiny", "model", CONTEXT)
    assert client.models.retrieve("tiny") == model
    with pytest.raises(openai.NotFoundError) as error:
        client.models.retrieve("../../etc/passwd")
    assert error.value.code == "model_not_found"


# Chat.


def test_an_answer_has_all_that_the_client_reads(client, engine):
    answer = ask(client, max_tokens=5)
    [choice] = answer.choices
    prompt = engine.prompt_ids((Message("user", "What is tea?"),))
    assert answer.id.startswith("chatcmpl-") and answer.object == "chat.completion"
    assert (answer.model, choice.index, choice.finish_reason) == ("tiny", 0, "length")
    assert choice.message.role == "assistant" and choice.logprobs is None
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (len(prompt), 5)
    assert usage.total_tokens == len(prompt) + 5


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"n": 3},
        {"temperature": 0},
        {"logit_bias": LETTERS, "stop": ["abba", "baa"], "n": 5, "max_tokens": 60},
        {"logprobs": True, "top_logprobs": 2},
        {"extra_body": {"structured_outputs": {"regex": "(ä|€|😀|漢){3,12}"}}, "n": 2},
    ],
    ids=["plain", "n", "greedy", "stop", "logprobs", "bytes"],
)
def test_a_stream_is_the_whole_answer(client, values):
    whole = ask(client, **values)
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}, **values))
    assert joined(chunks) == texts_of(whole)
    assert chunks[0].choices[0].delta.role == "assistant" and len({c.id for c in chunks}) == 1
    ends = {c.index: c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason}
    assert ends == {choice.index: choice.finish_reason for choice in whole.choices}
    *before, last = chunks
    assert last.choices == [] and last.usage == whole.usage
    assert all(chunk.usage is None for chunk in before)
    if values.get("logprobs"):
        parts = [c.logprobs.content for chunk in before for c in chunk.choices if c.logprobs]
        assert sum(parts, []) == whole.choices[0].logprobs.content


def test_the_wire_of_a_stream_is_openais(chat_server):
    body = {"model": "tiny", "messages": QUESTION, "max_tokens": 3, "stream": True}
    found = httpx.post(f"{chat_server.url}/v1/chat/completions", json=body)
    assert found.headers["content-type"] == "text/event-stream; charset=utf-8"
    *frames, end = found.text.removesuffix("\n\n").split("\n\n")
    assert end == "data: [DONE]" and len(frames) >= 2
    assert all(json.loads(each.removeprefix("data: "))["choices"] for each in frames)


def test_seeds_repeat_and_differ(client):
    texts = [ask(client, seed=seed).choices[0].message.content for seed in (5, 5, 6)]
    assert texts[0] == texts[1] != texts[2]
    assert len(set(texts_of(ask(client, n=4, seed=5)).values())) == 4
    assert ask(client, seed=None).choices[0].message.content not in texts


def test_stop_strings_never_leak(client):
    stops, ended = ["abba", "bbb"], set[str]()
    for seed in range(6):
        for choice in ask(
            client, logit_bias=LETTERS, stop=stops, n=4, max_tokens=40, seed=100 * seed
        ).choices:
            ended.add(choice.finish_reason)
            assert not any(stop in choice.message.content for stop in stops)
            assert set(choice.message.content) <= {"a", "b"}
            if choice.finish_reason == "length":
                assert len(choice.message.content) == 40
    assert "stop" in ended
    [choice] = ask(client, logit_bias=LETTERS, stop="ab", max_tokens=40).choices
    assert choice.message.content in {"b" * n for n in range(40)} | {"a" * n for n in range(40)} | {
        "b" * n + "a" * m for n in range(40) for m in range(40)
    }


def test_characters_are_never_broken(client):
    forced = {"structured_outputs": {"regex": "(é|€|😀|漢字){8}"}}
    for seed in range(4):
        deltas = [
            choice.delta.content
            for chunk in ask(client, extra_body=forced, stream=True, seed=seed, max_tokens=100)
            for choice in chunk.choices
            if choice.delta.content
        ]
        assert all(set(delta) <= set("é€😀漢字") for delta in deltas) and len(deltas) >= 8


def test_log_probabilities_are_those_of_a_full_pass(client, engine):
    [choice] = ask(client, logprobs=True, top_logprobs=3, max_tokens=12).choices
    data = [bytes(each.bytes) for each in choice.logprobs.content]
    ids = [id for each in data for id in TOKENIZER.encode_bytes(each)]
    prompt = engine.prompt_ids((Message("user", "What is tea?"),))
    scores = engine.score_prompt([*prompt, *ids], 3)
    expected = scores.logprobs[len(prompt) - 1 :]
    found = [each.logprob for each in choice.logprobs.content]
    assert found == pytest.approx(expected, abs=1e-4)
    for each, best in zip(
        choice.logprobs.content, scores.alternatives[len(prompt) - 1 :], strict=True
    ):
        assert [top.logprob for top in each.top_logprobs] == pytest.approx(
            [top.logprob for top in best], abs=1e-4
        )
    assert ask(client, logprobs=True).choices[0].logprobs.content[0].top_logprobs == []


def test_limits_and_reasons(client):
    assert ask(client, max_tokens=None, max_completion_tokens=7).usage.completion_tokens == 7
    ended = ask(client, logit_bias=END)
    assert ended.choices[0].finish_reason == "stop" and ended.choices[0].message.content == ""
    long: Any = [{"role": "user", "content": "tea " * (CONTEXT // 4 - 30)}]
    unbounded = ask(client, messages=long, max_tokens=None, logit_bias=LETTERS)
    assert unbounded.usage.total_tokens == CONTEXT
    assert unbounded.choices[0].finish_reason == "length"
    least = ask(client, logit_bias=END, extra_body={"min_tokens": 4}, max_tokens=9)
    assert least.usage.completion_tokens == 5
    assert (
        ask(client, extra_body={"top_k": 1}, seed=3).choices
        == ask(client, temperature=0, seed=4).choices
    )


class Cup(BaseModel):
    colour: Literal["red", "green"]
    size: int
    full: bool


def test_answers_are_parsed_as_pydantic_models(client):
    for seed in range(3):
        answer = client.chat.completions.parse(
            model="tiny", messages=QUESTION, response_format=Cup, seed=seed, max_tokens=200,
            logit_bias={"44": 5.0, "125": 9.0},
        )  # fmt: skip
        cup = answer.choices[0].message.parsed
        assert isinstance(cup, Cup) and cup.colour in ("red", "green")
    loose = ask(client, response_format={"type": "json_object"}, max_tokens=300, n=3)
    done = [c for c in loose.choices if c.finish_reason == "stop"]
    assert all(isinstance(json.loads(c.message.content), dict) for c in done)


@pytest.mark.parametrize(
    ("form", "texts"),
    [({"choice": ["yes", "no"]}, {"yes", "no"}), ({"regex": "[01]{3}"}, None),
     ({"grammar": 'start: "x" ("y" | "z")'}, {"xy", "xz"}),
     ({"json": {"enum": ["tea", 7]}}, {'"tea"', "7"})],
)  # fmt: skip
def test_other_forms_of_answers(client, form, texts):
    found = texts_of(ask(client, n=4, extra_body={"structured_outputs": form})).values()
    assert all(text in texts if texts else text.strip("01") == "" for text in found)


def test_many_clients_at_a_time_get_what_they_get_alone(chat_server, client):
    async def ask_all() -> list[str]:
        base = f"{chat_server.url}/v1"
        async with openai.AsyncOpenAI(base_url=base, api_key="none", max_retries=0) as every:

            async def one(seed: int) -> str:
                stream = await every.chat.completions.create(
                    model="tiny", messages=QUESTION, max_tokens=24, seed=seed, stream=True
                )
                return "".join([c.choices[0].delta.content or "" async for c in stream])

            return await asyncio.gather(*map(one, range(12)))

    alone = [ask(client, seed=seed).choices[0].message.content for seed in range(12)]
    assert asyncio.run(ask_all()) == alone


# Completions.


def complete(client: openai.OpenAI, prompt: Any, **values: Any) -> Any:
    return client.completions.create(
        model="tiny", prompt=prompt, **{"max_tokens": 10, "seed": 1} | values
    )


def test_prompts_are_texts_or_ids_one_or_several(client):
    ids = TOKENIZER.encode("Tea is")
    first = complete(client, "Tea is")
    assert complete(client, ids).choices == first.choices
    both = complete(client, ["Tea is", "A cup"], n=2)
    assert [choice.index for choice in both.choices] == [0, 1, 2, 3]
    assert both.usage.prompt_tokens == 11 and both.usage.completion_tokens == 40
    assert complete(client, [ids, TOKENIZER.encode("A cup")], n=2).choices == both.choices
    assert complete(client, ["Tea is", "Tea is"]).usage.prompt_tokens == 12
    assert len(complete(client, "Tea is", max_tokens=None).choices[0].text.encode()) > 0
    streamed = list(complete(client, ["Tea is", "A cup"], n=2, stream=True))
    assert joined(streamed) == {choice.index: choice.text for choice in both.choices}


def test_scores_are_those_of_a_full_pass(client, engine):
    text = "Grüße: Tea is made of 漢 leaves"
    found = complete(client, text, max_tokens=0, echo=True, logprobs=2, temperature=0)
    [choice] = found.choices
    ids = engine.encode_prompt(text)
    scores = engine.score_prompt(ids, 2)
    assert choice.text == text and found.usage.completion_tokens == 0
    assert choice.logprobs.token_logprobs[0] is None and choice.logprobs.top_logprobs[0] is None
    assert choice.logprobs.token_logprobs[1:] == pytest.approx(scores.logprobs, abs=1e-4)
    for top, own, best in zip(
        choice.logprobs.top_logprobs[1:], scores.logprobs, scores.alternatives, strict=True
    ):
        assert max(top.values()) == pytest.approx(max(own, best[0].logprob), abs=1e-4)
        assert min(top.values()) == pytest.approx(min(own, best[-1].logprob), abs=1e-4)
    for offset, token in zip(choice.logprobs.text_offset, choice.logprobs.tokens, strict=True):
        assert token.startswith("bytes:") or text[offset] == token
    assert choice.logprobs.text_offset[-1] == len(text) - 1


def test_separators_of_lines_do_not_break_a_stream(chat_server):
    text = "a\x85b\u2028c\u2029d\x1ce\r\nf"
    body = {"model": "tiny", "prompt": text, "max_tokens": 1, "echo": True, "stream": True}
    with httpx.stream("POST", f"{chat_server.url}/v1/completions", json=body) as answer:
        *frames, done = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    chunks = [json.loads(frame) for frame in frames]
    assert done == "[DONE]"
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks).startswith(text)


def test_echo_and_log_probabilities_of_an_answer(client):
    values = {"echo": True, "logprobs": 1, "n": 2}
    whole = complete(client, "Tea", **values)
    plain = complete(client, "Tea", n=2)
    for choice, short in zip(whole.choices, plain.choices, strict=True):
        assert choice.text == "Tea" + short.text
        assert choice.logprobs.tokens[:3] == ["T", "e", "a"]
        assert len(choice.logprobs.token_logprobs) == 13
    chunks = list(complete(client, "Tea", stream=True, **values))
    for choice in whole.choices:
        own = [c for chunk in chunks for c in chunk.choices if c.index == choice.index]
        assert "".join(c.text for c in own) == choice.text
        for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
            parts = [getattr(c.logprobs, name) for c in own if c.logprobs]
            assert sum(parts, []) == getattr(choice.logprobs, name), name
        assert own[-1].finish_reason == choice.finish_reason


# Embeddings, tokens.


def test_embeddings_are_the_same_as_numbers_and_as_base64(client, encoder_server):
    for who, name in ((client, "tiny"), (encoder_server.client(), "encoder")):
        texts = ["tea", "a cup of water"]
        default = who.embeddings.create(model=name, input=texts)
        floats = who.embeddings.create(model=name, input=texts, encoding_format="float")
        raw = who.post(
            "/embeddings", cast_to=httpx.Response,
            body={"model": name, "input": texts, "encoding_format": "base64"},
        )  # fmt: skip
        assert isinstance(raw.json()["data"][0]["embedding"], str)
        for left, right in zip(default.data, floats.data, strict=True):
            assert left.embedding == pytest.approx(right.embedding, rel=1e-6)
            assert left.index == right.index
        width = len(floats.data[0].embedding)
        assert who.embeddings.create(model=name, input="tea", dimensions=width)
        with pytest.raises(openai.BadRequestError, match="dimensions"):
            who.embeddings.create(model=name, input="tea", dimensions=width + 1)
    with pytest.raises(openai.BadRequestError, match="takes texts, not token ids"):
        who.embeddings.create(model="encoder", input=[[1, 2]])
    with pytest.raises(openai.BadRequestError, match="writes no text"):
        encoder_server.client().chat.completions.create(model="encoder", messages=QUESTION)


def test_an_encoder_counts_what_it_reads_and_cuts_nothing_off(tmp_path):
    worker = EngineWorker(EngineSettings(model=str(write_base(tmp_path / "encoder"))), None)
    worker.encoder = load_text_encoder(tmp_path / "encoder")
    found = worker.do_embed({"texts": ["a b c", "d"]})
    assert found["tokens"] == 4 + 2 * 2 and len(found["rows"]) == 2
    with pytest.raises(CapacityError, match="Input 1 has 500 tokens; this encoder reads 62"):
        worker.do_embed({"texts": ["a", "a " * 500]})


def test_an_encoder_in_the_working_directory_is_not_served(tmp_path, monkeypatch):
    monkeypatch.chdir(write_encoder(tmp_path / "encoder"))
    assert EngineWorker(EngineSettings(), None).encoder is None
    assert EngineWorker(EngineSettings(model="."), None).encoder is not None


def test_texts_become_tokens_and_texts_again(chat_server):
    text = "Grüße, 漢字 😀"
    with httpx.Client(base_url=chat_server.url) as http:
        tokens = http.post("/tokenize", json={"prompt": text, "return_token_strs": True}).json()
        assert tokens["tokens"] == TOKENIZER.encode(text) and tokens["count"] == len(text.encode())
        assert tokens["max_model_len"] == CONTEXT
        back = http.post("/detokenize", json={"tokens": tokens["tokens"]}).json()
        assert back == {"prompt": text}
        chat = http.post("/tokenize", json={"messages": QUESTION}).json()
        assert chat["tokens"][0] == TOKENIZER.specials["<|im_start|>"] and chat["count"] > 12
        assert http.post("/detokenize", json={"tokens": [999]}).status_code == 400


# Errors.


@pytest.mark.parametrize(
    ("values", "kind", "param", "said"),
    [
        ({"model": "gpt-5"}, openai.NotFoundError, "model", "gpt-5"),
        ({"messages": []}, openai.BadRequestError, "messages", ""),
        ({"messages": [{"role": "wizard", "content": "x"}]}, openai.BadRequestError,
         "messages.0.role", "'system', 'developer', 'user', 'assistant' or 'tool'"),
        ({"temperature": "1"}, openai.BadRequestError, "temperature", "a number"),
        ({"temperature": 2.5}, openai.BadRequestError, "temperature", "less than or equal to 2"),
        ({"n": 1.5}, openai.BadRequestError, "n", "integer"),
        ({"top_logprobs": 2}, openai.BadRequestError, None, "logprobs=true"),
        ({"extra_body": {"temprature": 1}}, openai.BadRequestError, "temprature", "Unknown"),
        ({"max_tokens": 10_000}, openai.BadRequestError, "messages", "maximum context length"),
        ({"logit_bias": {"999": 1.0}}, openai.BadRequestError, "logit_bias", "vocabulary has 259"),
        ({"messages": [{"role": "user"}]}, openai.BadRequestError, "messages.0", "needs content"),
        ({"max_tokens": 2, "max_completion_tokens": 3}, openai.BadRequestError, None, "give one"),
        ({"extra_body": {"structured_outputs": {"regex": ""}}}, openai.BadRequestError,
         "structured_outputs", "not an empty one"),
        ({"extra_body": {"structured_outputs": {}}}, openai.BadRequestError,
         "structured_outputs", "give one of json"),
        ({"stop": ["x"] * 17}, openai.BadRequestError, "stop", "at most 16"),
        ({"extra_body": {"grounded": True}}, openai.BadRequestError, "grounded", "no index is"),
        ({"extra_body": {"structured_outputs": {"regex": "a"}},
          "response_format": {"type": "json_object"}}, openai.BadRequestError,
         "structured_outputs", "leave out one"),
        ({"messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:x"}}]}]},
         openai.BadRequestError, "messages", "image_url"),
        ({"tool_choice": "auto", "top_logprobs": 1}, openai.BadRequestError, None, "400 - top_log"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_the_clients_classes(client, values, kind, param, said, stream):
    with pytest.raises(kind) as error:
        ask(client, stream=stream, **values)
    assert said in str(error.value) and error.value.param == param
    assert error.value.type == "invalid_request_error"


def test_an_unknown_route_or_method_is_an_error_with_a_sentence(client, chat_server):
    with pytest.raises(openai.NotFoundError, match="/v1/nothing"):
        client.post("/nothing", cast_to=object, body={})
    found = httpx.get(f"{chat_server.url}/v1/chat/completions")
    assert found.status_code == 405 and "message" in found.json()["error"]


def test_the_verb_is_what_serves(chat_server):
    assert (
        serve.__name__ == "serve"
        and "/v1/chat/completions" in httpx.get(f"{chat_server.url}/openapi.json").json()["paths"]
    )
