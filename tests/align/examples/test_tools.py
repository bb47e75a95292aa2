"""Calls of functions are read in each layout, rendered as they are served, and trained alone."""

import json

import pytest

from groundup.align import PreferencesConfig, import_preferences, read_preferences
from groundup.align.examples.layouts import read_row
from groundup.align.packing import RenderedAnswer
from groundup.align.preferences import parse_row
from groundup.core import DataError
from groundup.serve.openai.schemas import ChatMessage, Tool
from groundup.serve.openai.tools import conversation_of
from groundup.tokenizer import FastTokenizer, render

FUNCTION = {
    "name": "weather", "description": "Says how warm it is.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}  # fmt: skip
TOOLS = [{"type": "function", "function": FUNCTION}]
CALL = {"id": "1", "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}  # fmt: skip
OPENAI = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Is it warm in Oslo?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "1", "content": "3 degrees"},
    {"role": "assistant", "content": "No, 3 degrees."},
]
GOLDEN = """\
<|im_start|>system
Be brief.

# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{"type": "function", "function": SIGNATURE}
</tools>

For each function call, return a json object with function name and arguments within \
<tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
<|im_start|>user
Is it warm in Oslo?<|im_end|>
<|im_start|>assistant
⟦<tool_call>
{"name": "weather", "arguments": {"city": "Oslo"}}
</tool_call><|im_end|>⟧
<|im_start|>user
<tool_response>
3 degrees
</tool_response><|im_end|>
<|im_start|>assistant
⟦No, 3 degrees.<|im_end|>⟧
""".replace("SIGNATURE", json.dumps(FUNCTION))


def with_arguments(arguments):
    call = {"function": {"name": "weather", "arguments": arguments}}
    return [OPENAI[0], OPENAI[1], {"role": "assistant", "tool_calls": [call]}, OPENAI[3], OPENAI[4]]


SHAREGPT = [
    {"from": "human", "value": "Is it warm in Oslo?"},
    {"from": "function_call",
     "value": json.dumps({"name": "weather", "arguments": {"city": "Oslo"}})},
    {"from": "observation", "value": "3 degrees"},
    {"from": "gpt", "value": "No, 3 degrees."},
]  # fmt: skip
HERMES = [
    SHAREGPT[0],
    {"from": "gpt", "value": '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n'
     "</tool_call>"},
    {"from": "tool", "value": "<tool_response>\n3 degrees\n</tool_response>"}, SHAREGPT[3],
]  # fmt: skip
LAYOUTS = {
    "OpenAI": {"messages": OPENAI, "tools": TOOLS},
    "TRL": {"messages": with_arguments({"city": "Oslo"}), "tools": json.dumps(TOOLS)},
    "other spelling": {"messages": with_arguments('{"city":"Oslo"}'), "tools": TOOLS},
    "prompt and completion": {"prompt": OPENAI[:2], "completion": OPENAI[2:], "tools": TOOLS},
    "ShareGPT": {"conversations": SHAREGPT, "system": "Be brief.", "tools": json.dumps([FUNCTION])},
    "Hermes": {"conversations": HERMES, "system": "Be brief.", "tools": TOOLS},
}


def marked(tokenizer, rendered):
    """The text with the trained tokens between ⟦ and ⟧."""
    text, was_trained = "", False
    for id, is_trained in zip(rendered.ids, rendered.mask, strict=True):
        text += "⟦" * (is_trained > was_trained) + "⟧" * (is_trained < was_trained)
        text, was_trained = text + tokenizer.decode([id]), is_trained
    return text


@pytest.mark.parametrize("layout", LAYOUTS)
def test_calls_are_trained_and_results_are_not(layout):
    row = read_row(LAYOUTS[layout])
    assert row.kind == "tools"
    tokenizer = FastTokenizer([])
    assert marked(tokenizer, render(tokenizer, row.messages)) == GOLDEN


def test_a_model_is_tuned_on_what_it_is_served():
    served = conversation_of(
        [ChatMessage(**each) for each in OPENAI], [Tool(**each) for each in TOOLS]
    )
    assert read_row(LAYOUTS["OpenAI"]).messages == served


def test_results_of_one_turn_stand_together():
    twice = [*OPENAI[:2], {"role": "assistant", "content": "", "tool_calls": [CALL, CALL]},
             OPENAI[3], OPENAI[3], OPENAI[4]]  # fmt: skip
    roles = [turn.role for turn in read_row({"messages": twice}).messages]
    assert roles == ["system", "user", "assistant", "user", "assistant"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": [*OPENAI[:2], OPENAI[3], OPENAI[4]]}, "result follows no call"),
        ({"messages": OPENAI, "tools": [{"name": "clock"}]}, "calls 'weather', which is not among"),
        ({"messages": OPENAI, "tools": "clock"}, "tools are no list"),
        ({"messages": OPENAI, "tools": [{"type": "function"}]}, "function without a name"),
        ({"messages": with_arguments("Oslo")}, "arguments that are no JSON object"),
        ({"messages": [OPENAI[1], {"role": "assistant", "tool_calls": [{}]}]}, "without the name"),
        ({"messages": [OPENAI[1], {"role": "assistant", "tool_calls": 5}]}, "without the name"),
        ({"messages": OPENAI[:4]}, "turns are user, assistant, user; expected"),
        ({"messages": [*OPENAI[:3], OPENAI[4]]}, "turns are user, assistant, assistant"),
    ],
)
def test_broken_calls_say_why(row, reason):
    with pytest.raises(DataError, match=reason):
        read_row(row)


CALLS, SAYS = [OPENAI[2]], [OPENAI[4]]
UNKNOWN = {"role": "assistant", "tool_calls": [{"function": {"name": "clock", "arguments": "{}"}}]}
WARM = {"role": "assistant", "content": "Yes."}


def test_preferences_compare_calls_and_what_follows_results(tmp_path):
    rows = [
        {"prompt": OPENAI[:2], "chosen": CALLS, "rejected": [WARM]},
        {"prompt": OPENAI[:2], "chosen": SAYS, "rejected": UNKNOWN},
        {"prompt": OPENAI[:4], "chosen": SAYS, "rejected": "Yes."},
        {"chosen": OPENAI, "rejected": [*OPENAI[:4], WARM]},
        {"messages": OPENAI, "label": True}, {"messages": OPENAI[:3], "label": True},
        {"conversations": SHAREGPT[:3], "system": "Be brief.", "chosen": SHAREGPT[3],
         "rejected": {"from": "gpt", "value": "Yes."}},
        {"prompt": OPENAI[:2], "completions": [CALLS, [WARM]], "ranks": [1, 2]},
    ]  # fmt: skip
    tokenizer, call = FastTokenizer([]), GOLDEN.partition("⟦")[2].partition("<|im_end|>⟧")[0]
    whole = read_row(LAYOUTS["OpenAI"]).messages
    for row in rows:
        [found] = parse_row(row | {"tools": TOOLS})
        assert found.prompt in (whole[:2], whole[:4])
        assert found.chosen in (call, "No, 3 degrees.")
        chat = render(tokenizer, found.conversation(found.chosen))
        answer = RenderedAnswer.of_chat(chat)
        trained = tokenizer.decode(answer.ids[answer.is_answer].tolist())
        assert trained == f"{found.chosen}<|im_end|>", "neither earlier calls nor results"
    file = tmp_path / "rows.jsonl"
    rows = [{**row, "tools": TOOLS} for row in (*rows[:2], rows[2] | {"chosen": "Rather not."})]
    rows.append({"prompt": "Hello.", "chosen": "Hi.", "rejected": "No."})
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = import_preferences(PreferencesConfig(validation_share=0.5), [file], tmp_path / "made")
    kept = [row for name in ("train", "validation") for row in read_preferences(made, name)]
    assert {row.chosen for row in kept} == {call, "No, 3 degrees.", "Rather not.", "Hi."}
    assert not (made.path / "rejected.jsonl").read_text()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": OPENAI[:2], "chosen": UNKNOWN, "rejected": "a"}, "calls 'clock', which is not"),
        ({"prompt": [OPENAI[1], UNKNOWN, OPENAI[3]], "chosen": "b", "rejected": "a"}, "'clock'"),
        ({"messages": [OPENAI[1], UNKNOWN], "label": True}, "calls 'clock', which is not"),
        ({"prompt": OPENAI[:2], "completions": [UNKNOWN, "a"], "scores": [1, 0]}, "calls 'clock'"),
        ({"prompt": OPENAI[:2], "chosen": OPENAI[2:], "rejected": "a"}, "is not one turn"),
        ({"prompt": [*OPENAI[:2], OPENAI[3]], "chosen": "a", "rejected": "b"}, "follows no call"),
        ({"prompt": OPENAI[:3], "chosen": "a", "rejected": "b"}, "the user's is last"),
        ({"messages": OPENAI[:4], "label": True}, "no answer at the end"),
        ({"prompt": "a", "chosen": "b", "rejected": "c", "tools": "clock"}, "tools are no list"),
    ],
)
def test_preferences_with_broken_calls_say_why(row, reason):
    with pytest.raises(DataError, match=reason):
        parse_row({"tools": TOOLS} | row)
