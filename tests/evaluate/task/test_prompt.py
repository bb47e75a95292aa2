"""Prompts: delimiters in plain text, turns through a template."""

import pytest

from groundup.core import ConfigError, DataError
from groundup.evaluate.task.prompt import (
    Chat,
    Turn,
    example,
    joined,
    needs_delimiter,
    one_turn,
    question,
    rendered,
)
from tests.evaluate.task.lm_eval_peer import Fake

TURNS = [
    Turn("system", "S"), *example("q1", "a1", None, "", " ", "\n\n"), *question("q2", "", " "),
]  # fmt: skip


def test_plain_text_is_joined_by_delimiters():
    assert rendered(TURNS, Chat(), None) == "Sq1 a1\n\nq2"


def test_examples_as_turns_or_in_one_turn():
    turns = rendered(TURNS, Chat(True), Fake())
    assert turns == (
        "<system>S</system><user>q1</user><assistant>a1</assistant><user>q2</user><assistant>"
    )
    one = rendered(TURNS, Chat(True, multiturn=False), Fake())
    assert one == "<system>S</system><user>q1 a1\n\nq2</user><assistant>"


def test_the_beginning_of_an_answer_follows_the_template():
    turns = [*TURNS[:-1], *question("q2", "So:", " ")]
    assert rendered(turns, Chat(), None).endswith("q2 So:")
    assert rendered(turns, Chat(True), Fake()).endswith("<user>q2</user><assistant>So:")
    assert one_turn(turns)[-1] == Turn("assistant", "So:")
    assert example("q", "a", None, "So:", "\n", "")[1].content == "So: a"
    assert question("q ", "So:", " ")[0].delimiter == ""


def test_answers_are_texts_the_first_of_several_or_options():
    assert example("q", 1, ["x", "y"], "", " ", "")[1].content == "y"
    assert example("q", ["b", "c"], None, "", " ", "")[1].content == "b"
    assert example("q", "", None, "", " ", "") == [Turn("user", "q")]
    for wrong in (2.5, [], [3]):
        with pytest.raises(DataError, match="answer must be a text"):
            example("q", wrong, None, "", " ", "")
    with pytest.raises(DataError, match="no option 2 among 2"):
        example("q", 2, ["x", "y"], "", " ", "")


def test_a_question_must_be_a_text():
    with pytest.raises(DataError, match="must give a text here"):
        question(None, "", " ")


def test_white_space_is_not_doubled():
    assert joined("a", "b") == "a b" and joined("a\n", "b") == "a\nb" and joined("a", "") == "a"
    assert not needs_delimiter("", "x")


def test_a_template_needs_a_model():
    with pytest.raises(ConfigError, match="needs a model"):
        rendered(TURNS, Chat(True), None)
    assert Chat(True, False).signature() == "template:one_turn|system:no"
