"""Tools, the responses API and answers from documents, as the official client reads them."""

import json
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from groundup.serve.openai.kept import KeptResponses
from tests.serve.servers import Serving

QUESTION: Any = [{"role": "user", "content": "How warm is it in Oslo?"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather", "description": "Of a city.",
        "parameters": {
            "type": "object", "additionalProperties": False, "required": ["city", "days"],
            "properties": {"city": {"enum": ["Oslo", "Zürich"]}, "days": {"enum": [1, 2, 3]}},
        },
    },
}  # fmt: skip
TIME: Any = {"type": "function", "function": {"name": "time"}}
FLAT = [{"type": "function", **tool["function"]} for tool in (WEATHER, TIME)]


@pytest.fixture(scope="session")
def client(chat_server: Serving) -> openai.OpenAI:
    return chat_server.client()


def ask(client: openai.OpenAI, **values: Any) -> Any:
    return client.chat.completions.create(
        **{
            "model": "tiny", "messages": QUESTION, "max_tokens": 400, "seed": 1,
            "tools": [WEATHER, TIME],
        } | values
    )  # fmt: skip


def check_call(name: str, arguments: str) -> None:
    if name == "time":
        assert arguments == "{}"
    else:
        found = json.loads(arguments)
        assert name == "weather" and found["city"] in ("Oslo", "Zürich") and set(found) == {
            "city", "days"
        }  # fmt: skip


# Tools.


@pytest.mark.parametrize("seed", range(3))
def test_a_required_call_is_valid_and_its_stream_is_the_same(client, seed):
    values = {"tool_choice": "required", "seed": 100 * seed, "n": 2, "parallel_tool_calls": False}
    whole = ask(client, **values)
    parts: dict[int, dict[str, str]] = {0: {}, 1: {}}
    for chunk in ask(client, stream=True, **values):
        for choice in chunk.choices:
            assert not choice.delta.content
            for call in choice.delta.tool_calls or ():
                own = parts[choice.index]
                own["name"] = own.get("name", "") + (call.function.name or "")
                own["arguments"] = own.get("arguments", "") + (call.function.arguments or "")
    for choice in whole.choices:
        [call] = choice.message.tool_calls
        assert choice.finish_reason == "tool_calls" and choice.message.content is None
        assert call.type == "function" and call.id.startswith("call_")
        check_call(call.function.name, call.function.arguments)
        assert parts[choice.index] == call.function.model_dump()


def test_parallel_calls_a_named_one_and_none(client):
    several = ask(client, tool_choice="required", n=8, seed=3)
    counts = {len(choice.message.tool_calls) for choice in several.choices}
    assert max(counts) > 1, counts
    for choice in several.choices:
        for call in choice.message.tool_calls:
            check_call(call.function.name, call.function.arguments)
        assert len({call.id for call in choice.message.tool_calls}) == len(
            choice.message.tool_calls
        )
    named = {"type": "function", "function": {"name": "time"}}
    [call] = ask(client, tool_choice=named).choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("time", "{}")
    free = ask(client, tool_choice="none", max_tokens=20).choices[0]
    assert free.message.tool_calls is None and free.finish_reason == "length"
    assert ask(client, tools=None, max_tokens=20).choices[0].message.content == free.message.content
    with pytest.raises(openai.BadRequestError, match="'cook', which is not in tools"):
        ask(client, tool_choice={"type": "function", "function": {"name": "cook"}})


def test_an_automatic_choice_is_text_or_a_call_and_its_stream_is_the_same(client):
    for seed in range(4):
        values = {"seed": seed, "max_tokens": 60, "tool_choice": "auto"}
        [whole] = ask(client, **values).choices
        text = "".join(
            choice.delta.content or ""
            for chunk in ask(client, stream=True, **values)
            for choice in chunk.choices
        )
        assert text == (whole.message.content or "")


def test_text_before_a_call_is_kept_and_white_space_between_is_not(client):
    """A grammar of our own stands for a model that says something and then calls."""
    form = {"grammar": 'start: "I look." "\\n\\n<tool_call>\\n{\\"name\\": \\"time\\", '
            '\\"arguments\\": {}}\\n</tool_call>"'}  # fmt: skip
    plain = ask(client, tools=None, extra_body={"structured_outputs": form})
    assert plain.choices[0].message.tool_calls is None
    assert plain.choices[0].message.content.startswith("I look.\n\n<tool_call>")


def test_a_loop_of_three_turns(client):
    messages: Any = [*QUESTION]
    for turn in range(3):
        message = ask(client, messages=messages, tool_choice="required", seed=turn).choices[0]
        messages.append(message.message)
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": '{"celsius": 7}'}
            for call in message.message.tool_calls
        ]
    last = ask(client, messages=messages, tool_choice="none", max_tokens=8)
    assert last.choices[0].message.content and last.usage.prompt_tokens > 300
    with pytest.raises(openai.BadRequestError, match="tool_call_id"):
        ask(client, messages=[*QUESTION, {"role": "tool", "tool_call_id": "x", "content": "7"}])


# Responses.


def respond(client: openai.OpenAI, **values: Any) -> Any:
    base = {"model": "tiny", "input": "What is tea?", "max_output_tokens": 16}
    return client.responses.create(**base | {"extra_body": {"seed": 1}} | values)


def test_a_response_is_kept_continued_and_deleted(client):
    first = respond(client, instructions="Be brief.", metadata={"a": "b"})
    assert first.id.startswith("resp_") and first.status == "incomplete"
    assert first.incomplete_details.reason == "max_output_tokens"
    assert first.output_text and first.usage.output_tokens == 16
    assert client.responses.retrieve(first.id).output_text == first.output_text
    follow = respond(client, previous_response_id=first.id, input="And coffee?")
    history: Any = [
        {"role": "user", "content": "What is tea?"},
        {"role": "assistant", "content": first.output_text},
        {"role": "user", "content": "And coffee?"},
    ]
    assert respond(client, input=history).usage.input_tokens == follow.usage.input_tokens
    assert respond(client, input=history).output_text == follow.output_text
    again = respond(client, input=[*first.output, {"role": "user", "content": "x"}])
    assert again.usage.input_tokens > 0
    client.responses.delete(first.id)
    for missing in (
        lambda: client.responses.retrieve(first.id),
        lambda: respond(client, previous_response_id=first.id),
    ):
        with pytest.raises(openai.NotFoundError, match="not kept"):
            missing()
    unkept = respond(client, store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(unkept.id)


def without_ids(items: Any) -> Any:
    return [item.model_dump(exclude={"id", "call_id"}) for item in items]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"top_logprobs": 2},
        {"tools": FLAT, "tool_choice": "required", "max_output_tokens": 300},
        {"tools": FLAT, "max_output_tokens": 40},
        {"text": {"format": {"type": "json_schema", "name": "n", "strict": True, "schema": {
            "enum": ["tea", "coffee"]}}}},
    ],
    ids=["plain", "logprobs", "required", "auto", "schema"],
)  # fmt: skip
def test_the_events_of_a_stream_accumulate_to_the_response(client, values):
    whole = respond(client, **values)
    events = list(respond(client, stream=True, **values))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == f"response.{whole.status}"
    last = events[-1].response
    assert without_ids(last.output) == without_ids(whole.output)
    assert last.usage == whole.usage and last.text == whole.text
    opened = [e.output_index for e in events if e.type == "response.output_item.added"]
    closed = [e.item for e in events if e.type == "response.output_item.done"]
    assert opened == list(range(len(last.output))) and closed == last.output
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text == last.output_text
    for at, item in enumerate(last.output):
        if item.type == "function_call":
            own = [e for e in events if e.type == "response.function_call_arguments.delta"]
            own = [e.delta for e in own if e.output_index == at and e.item_id == item.id]
            assert "".join(own) == item.arguments
            check_call(item.name, item.arguments)
    if "top_logprobs" in values:
        parts = [e.logprobs for e in events if e.type == "response.output_text.delta"]
        own = [(each.token, each.logprob) for part in parts for each in part]
        expected = [(e.token, e.logprob) for e in last.output[0].content[0].logprobs]
        assert own == expected[: len(own)] and len(own) >= len(expected) - 4
    if "text" in values:
        assert json.loads(last.output_text) in ("tea", "coffee")


def test_a_tool_loop_of_responses(client):
    first = respond(client, tools=FLAT, tool_choice="required", max_output_tokens=300)
    calls = [item for item in first.output if item.type == "function_call"]
    results: Any = [
        {"type": "function_call_output", "call_id": call.call_id, "output": "7"} for call in calls
    ]
    assert calls and first.status == "completed"
    follow = respond(client, previous_response_id=first.id, input=results)
    sent = respond(client, input=[{"role": "user", "content": "What is tea?"}, *calls, *results])
    assert follow.usage.input_tokens == sent.usage.input_tokens


def test_parallel_calls_are_the_turn_of_the_message_before_them(client):
    """Continued by its id or sent back, a conversation is the same prompt, calls included."""
    answer = respond(client, tools=FLAT, tool_choice="required", max_output_tokens=300)
    call = next(item for item in answer.output if item.type == "function_call")
    message = {"role": "assistant", "content": "I look."}
    flat = {"type": "function_call", "name": call.name, "arguments": call.arguments}
    calls = [flat | {"call_id": name} for name in ("a", "b")]
    output = [{"type": "function_call_output", "call_id": name, "output": "7"} for name in "ab"]
    sent: Any = [{"role": "user", "content": "What is tea?"}, message, *calls, *output]
    found = respond(client, input=sent)
    function = {"name": call.name, "arguments": call.arguments}
    turns = ask(client, tools=None, max_tokens=16, messages=[
        sent[0],
        message | {"tool_calls": [{"id": name, "type": "function", "function": function}
                                  for name in "ab"]},
        *({"role": "tool", "tool_call_id": name, "content": "7"} for name in "ab"),
    ])  # fmt: skip
    assert found.usage.input_tokens == turns.usage.prompt_tokens
    assert found.output_text == turns.choices[0].message.content


def test_what_is_kept_is_bounded():
    kept, tools = KeptResponses(), [{"type": "function", "name": "f", "description": "x" * 2**20}]
    for number in range(200):
        kept.keep("ann", [], {"id": f"resp_{number}", "tools": tools})
    assert 2**25 < kept.size <= 2**26 and len(kept.kept) < 64
    kept.forget("resp_199", "ann")
    kept.keep("ann", [], {"id": "resp_200"})
    assert kept.size == sum(each.size for each in kept.kept.values())
    for number in range(2000):
        kept.keep("ann", [], {"id": f"resp_{number}"})
    assert len(kept.kept) == 1_000


def test_errors_of_responses(client):
    for values, said in (
        ({"input": []}, "input"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "input.0.role"),
        ({"input": [{"type": "reasoning"}]}, "input.0"),
        ({"tools": [{"type": "web_search"}]}, "tools.0"),
        ({"background": True}, "background"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"tool_choice": "required"}, "tool_choice needs tools"),
        ({"stream_options": {"include_obfuscation": False}}, "stream_options is for stream=true"),
    ):
        with pytest.raises(openai.BadRequestError) as error:
            respond(client, **values)
        assert said in str(error.value), values
    image: Any = [{"type": "input_image", "image_url": "data:x"}]
    for input in ("tea " * 5_000, [{"role": "user", "content": image}]):
        with pytest.raises(openai.BadRequestError) as error:
            respond(client, input=input)
        assert error.value.param == "input"


# Documents.


def ask_documents(server: Serving, question: str, **values: Any) -> Any:
    return server.client().chat.completions.create(
        model="documents", messages=[{"role": "user", "content": question}], **values
    )


def test_annotations_are_quotes_of_the_files_and_point_at_claims(index_server):
    folder = index_server.path.parent / "documents"
    for question, path, said in (
        ("What is tea made of?", "tea.md", "leaves"),
        ("Where does the office lie?", "über uns/ort.txt", "Zürich"),
    ):
        answer = ask_documents(index_server, question)
        message = answer.choices[0].message
        assert said in message.content and answer.choices[0].finish_reason == "stop"
        assert message.annotations
        for annotation in message.annotations:
            citation = annotation.url_citation
            claim = message.content[citation.start_index : citation.end_index]
            assert claim and claim in [each["text"] for each in answer.groundup["claims"]]
            url = httpx.URL(citation.url)
            data = (folder / path).read_bytes()
            start, end = (int(url.params[name]) for name in ("start", "end"))
            assert url.params["path"] == path
            assert data[start:end].decode() == citation.quote
        assert str(Path(folder)) not in answer.model_dump_json()
        chunks = list(ask_documents(index_server, question, stream=True))
        deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
        assert "".join(delta.content or "" for delta in deltas) == message.content
        [annotations] = [d.annotations for d in deltas if getattr(d, "annotations", None)]
        assert annotations == [each.model_dump() for each in message.annotations]


def test_what_the_documents_do_not_say_is_not_answered(index_server):
    answer = ask_documents(index_server, "Who painted the ceiling of the Sistine Chapel?")
    message = answer.choices[0].message
    assert "not in these documents" in message.content and not message.annotations
    assert answer.groundup["refused"] is True


def test_documents_answer_responses_too(index_server):
    client = index_server.client()
    values = {"model": "documents", "input": "What is tea made of?"}
    whole = client.responses.create(**values)
    [item] = whole.output
    [part] = item.content
    assert "leaves" in whole.output_text and part.annotations[0].type == "url_citation"
    events = list(client.responses.create(**values, stream=True))
    assert events[-1].response.output[0].content == item.content
    added = [e for e in events if e.type == "response.output_text.annotation.added"]
    assert len(added) == len(part.annotations)
    follow = client.responses.create(
        **values | {"input": "How many cups?"}, previous_response_id=whole.id
    )
    assert "40 cups" in follow.output_text


def test_what_only_a_model_can_do_is_refused_for_documents(index_server):
    for values, said in (
        ({"tools": [TIME]}, "tools is for answers of the model alone"),
        ({"n": 2}, "n is for"),
        ({"extra_body": {"grounded": False}}, "No model is served|writes no text"),
        ({"extra_body": {"only": ["nothing/*"]}}, "nothing"),
        ({"extra_body": {"quotes": 0}}, "quotes"),
    ):
        with pytest.raises(openai.BadRequestError, match=said):
            ask_documents(index_server, "What is tea?", **values)
