"""Conversations in each layout become examples, and what is left out says why."""

import json

import pytest

from groundup.align import ImportExamplesConfig, import_examples, read_examples
from groundup.align.examples.layouts import read_row
from groundup.core import DataError, Message, Sample
from groundup.measure import TestSetCard, make_testset

USER, ANSWER = Message("user", "2+2?"), Message("assistant", "4")


def turn(role, content):
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"messages": [turn("user", "2+2?"), turn("assistant", "4")]}, (USER, ANSWER)),
        ({"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}],
          "id": 7}, (USER, ANSWER)),
        ({"instruction": "2+2?", "output": "4"}, (USER, ANSWER)),
        ({"instruction": "Add.", "input": "2 2", "output": "4"},
         (Message("user", "Add.\n\n2 2"), ANSWER)),
        ({"instruction": "Add.", "input": "2 2", "output": "4", "system": "Be brief.",
          "history": [["2+2?", "4"]]},
         (Message("system", "Be brief."), USER, ANSWER, Message("user", "Add.\n\n2 2"), ANSWER)),
        ({"prompt": "2+2?", "completion": "4"}, (USER, ANSWER)),
        ({"prompt": [turn("developer", "Be brief."), turn("user", "2+2?")],
          "completion": [turn("assistant", [{"type": "text", "text": "4"}])]},
         (Message("system", "Be brief."), USER, ANSWER)),
        ({"messages": [turn("system", "Be brief."), turn("user", "2+2?"), turn("assistant", "4"),
                       turn("user", "2+2?"), turn("assistant", "4")]},
         (Message("system", "Be brief."), USER, ANSWER, USER, ANSWER)),
    ],
)  # fmt: skip
def test_rows_of_each_layout_are_read(row, expected):
    assert read_row(row).messages == expected


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (5, "It is no object"),
        ({}, "It has no messages"),
        ({"messages": "x"}, "neither a text nor a list|is neither"),
        ({"messages": [turn("user", "a")]}, "Its turns are user; expected user, assistant"),
        ({"messages": [turn("assistant", "a"), turn("user", "b")]}, "turns are assistant, user"),
        ({"messages": [turn("user", " "), turn("assistant", "a")]}, "A turn is empty"),
        ({"messages": [turn("tool", "a")]}, "result follows no call"),
        ({"messages": [turn("user", "a"), turn("assistant", None)]}, "'assistant' that is no text"),
        ({"conversations": [{"from": "robot", "value": "a"}]}, "'robot' that is no text turn"),
        ({"instruction": "", "output": "a"}, "Its instruction is no text"),
        ({"instruction": "a"}, "It has no output"),
        ({"prompt": "a", "completion": None}, "It has no completion"),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "`groundup preferences import` reads it"),
    ],
)
def test_what_is_no_conversation_says_why(row, reason):
    with pytest.raises(DataError, match=reason):
        read_row(row)


def test_conversations_are_cleaned_and_split_by_their_question(tmp_path):
    rows = [{"prompt": f"question {n // 2}?", "completion": f"answer {n}"} for n in range(80)]
    bad = [
        {"prompt": "a", "completion": "As an AI language model, I cannot."},
        {"prompt": "b", "completion": "x" * 300}, rows[0], {"prompt": "What is tea?",
                                                             "completion": "Leaves."},
    ]  # fmt: skip
    path = tmp_path / "c.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows + bad))
    samples = [Sample("1", (Message("user", "What is TEA"),), references=("Leaves",))]
    testset = make_testset(TestSetCard(name="t"), samples, {}, tmp_path / "testset")
    config = ImportExamplesConfig(max_characters=200, validation_share=0.2, test_share=0.2)
    made = import_examples(config, [path], tmp_path / "out", exclude=[testset.path])
    assert made.numbers["rejected"] == {
        "It speaks as an AI model.": 1, "It is too long.": 1, "It is there twice.": 1,
        "It asks a question of a test set.": 1,
    }  # fmt: skip
    questions = [
        {example.messages[0].content for example in read_examples(made, split)}
        for split in ("train", "validation", "test")
    ]
    assert sum(map(len, questions)) == 40 and not questions[0] & (questions[1] | questions[2])
    assert made.numbers["train"]["turns"] == {"1": made.numbers["train"]["rows"]}
    kept = import_examples(
        config.model_copy(update={"keep_boilerplate": True}), [path], tmp_path / "kept"
    )
    assert "It speaks as an AI model." not in kept.numbers["rejected"]


def test_bytes_that_are_no_text_are_left_out_and_a_mark_of_utf_8_is_not_read(tmp_path):
    rows = [{"prompt": f"{n} + 1?", "completion": f"{n + 1} is right."} for n in range(40)]
    lines = [json.dumps(row).encode() for row in rows]
    lines[7] = b'{"prompt": "caf\xe9?", "completion": "x"}'
    lines[9] = b'{"prompt": "\\ud83d?", "completion": "x"}'
    said = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "weight": 0}]
    lines[11] = json.dumps({"messages": said}).encode()
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(lines))
    made = import_examples(ImportExamplesConfig(), [tmp_path / "a.jsonl"], tmp_path / "out")
    left = list(map(json.loads, (made.path / "rejected.jsonl").read_text().splitlines()))
    assert [(each["place"], each["reason"]) for each in left] == [
        ("a.jsonl line 8", "It is no UTF-8."),
        ("a.jsonl line 10", "It has half of a pair of surrogates, which is no text."),
        ("a.jsonl line 12", "Its messages has a turn of weight 0, and every answer is trained on."),
    ]


def test_too_few_are_told(tmp_path):
    (tmp_path / "c.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    with pytest.raises(DataError, match="1 usable rows with 1 questions leave none for"):
        import_examples(ImportExamplesConfig(), [tmp_path / "c.jsonl"], tmp_path / "out")
    with pytest.raises(DataError, match="There is no file .*d.jsonl; expected conversations"):
        import_examples(ImportExamplesConfig(), [tmp_path / "d.jsonl"], tmp_path / "out")
