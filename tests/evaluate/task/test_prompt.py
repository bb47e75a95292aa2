"""Prompts: delimiters in plain text, turns through a template."""

import pytest

from groundup.core import ConfigError, DataError
from groundup.evaluate.task.prompt import (
    ChatOptions,
    PromptTurn,
    _merge_turns,
    _needs_delimiter,
    example_turns,
    join_texts,
    question_turns,
    render_turns,
)
from tests.evaluate.task.lm_eval_peer import Fake

TURNS = [
    PromptTurn("system", "S"),
    *example_turns("q1", "a1", None, "", " ", "\n\n"),
    *question_turns("q2", "", " "),
]


def test_plain_text_is_joined_by_delimiters():
    assert render_turns(TURNS, ChatOptions(), None) == "Sq1 a1\n\nq2"


def test_examples_as_turns_or_in_one_turn():
    turns = render_turns(TURNS, ChatOptions(True), Fake())
    assert turns == (
        "<system>S</system><user>q1</user><assistant>a1</assistant><user>q2</user><assistant>"
    )
    one = render_turns(TURNS, ChatOptions(True, multiturn=False), Fake())
    assert one == "<system>S</system><user>q1 a1\n\nq2</user><assistant>"


def test_the_beginning_of_an_answer_follows_the_template():
    turns = [*TURNS[:-1], *question_turns("q2", "So:", " ")]
    assert render_turns(turns, ChatOptions(), None).endswith("q2 So:")
    assert render_turns(turns, ChatOptions(True), Fake()).endswith("<user>q2</user><assistant>So:")
    assert _merge_turns(turns)[-1] == PromptTurn("assistant", "So:")
    assert example_turns("q", "a", None, "So:", "\n", "")[1].content == "So: a"
    assert question_turns("q ", "So:", " ")[0].delimiter == ""


def test_answers_are_texts_the_first_of_several_or_options():
    assert example_turns("q", 1, ["x", "y"], "", " ", "")[1].content == "y"
    assert example_turns("q", ["b", "c"], None, "", " ", "")[1].content == "b"
    assert example_turns("q", "", None, "", " ", "") == [PromptTurn("user", "q")]
    for wrong in (2.5, [], [3]):
        with pytest.raises(DataError, match="answer must be a text"):
            example_turns("q", wrong, None, "", " ", "")
    with pytest.raises(DataError, match="no option 2 among 2"):
        example_turns("q", 2, ["x", "y"], "", " ", "")


def test_a_question_must_be_a_text():
    with pytest.raises(DataError, match="must give a text here"):
        question_turns(None, "", " ")


def test_white_space_is_not_doubled():
    assert (
        join_texts("a", "b") == "a b"
        and join_texts("a\n", "b") == "a\nb"
        and join_texts("a", "") == "a"
    )
    assert not _needs_delimiter("", "x")


def test_a_template_needs_a_model():
    with pytest.raises(ConfigError, match="needs a model"):
        render_turns(TURNS, ChatOptions(True), None)
    assert ChatOptions(True, False).signature() == "template:one_turn|system:no"
