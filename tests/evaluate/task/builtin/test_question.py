"""Questions become prompts and pairs; answers are read as people would read them."""

import random

import pytest

from groundup.core import Completion, ConfigError, Likelihood, LoglikelihoodRequest, Reason
from groundup.evaluate.task.builtin.question import (
    QuestionSource,
    QuestionTask,
    TaskQuestion,
    _normalise_answer,
)
from groundup.evaluate.task.prompt import ChatOptions, TaskOptions
from groundup.evaluate.task.task import EvaluationTask


def doubled(stream: random.Random):
    while True:
        n = stream.randrange(1000)
        yield TaskQuestion(f"2 x {n}?", str(2 * n))


def coloured(stream: random.Random):
    return [TaskQuestion(f"Colour {n}?", "red", ("red", "blue"), f"g{n % 2}") for n in range(6)]


TEXT = QuestionSource(doubled, "Answer with the number.", r"-?\d[\d,]*")
CHOICE = QuestionSource(coloured, "", "", default_count=6, is_choice=True)


def task(questions: QuestionSource = TEXT, **asked) -> QuestionTask:
    return QuestionTask("doubles", TaskOptions(**asked), questions)


def test_it_is_a_task():
    assert isinstance(task(), EvaluationTask) and isinstance(task(CHOICE), EvaluationTask)
    assert task().kind == "generate_until" and task(CHOICE).kind == "multiple_choice"
    assert [m.key for m in task().measures] == ["exact_match", "exact_match,last"]
    assert [m.key for m in task(CHOICE).measures] == ["acc", "acc_norm"]


def test_a_prompt_is_instruction_examples_and_the_question():
    (item,) = task(few_shot=2).items(None, 1)
    blocks = item.prompt.split("\n\n")
    assert blocks[0] == "Answer with the number." and len(blocks) == 4
    assert all("\nAnswer: " in block for block in blocks[1:3]) and blocks[3].endswith("\nAnswer:")
    assert item.document["question"] in blocks[3] and item.pairs == ()
    assert next(task(few_shot=0).items(None, 1)).prompt.count("Question:") == 1
    assert "shots:2|template:no" in task(few_shot=2).signature


def test_a_limit_may_exceed_the_common_number_of_endless_questions():
    assert len(list(task().items(None, None))) == 500
    assert len(list(task().items(None, 501))) == 501
    assert len(list(task(CHOICE).items(None, 100))) == 6
    assert [item.id for item in task().items(None, 3)] == ["0", "1", "2"]


def test_options_are_pairs_after_the_same_prompt():
    (item,) = task(CHOICE, few_shot=0).items(None, 1)
    assert item.pairs == (
        LoglikelihoodRequest(item.prompt, " red"),
        LoglikelihoodRequest(item.prompt, " blue"),
    )
    assert item.target == 0 and item.group == "g0" and item.prompt == "Question: Colour 0?\nAnswer:"


def test_no_example_is_the_question_itself():
    for item in task(CHOICE, few_shot=5).items(None, None):
        assert item.prompt.count(item.document["question"]) == 1
        assert item.prompt.count("Question:") == 6


def test_a_chat_needs_a_model_that_renders_it():
    with pytest.raises(ConfigError, match="needs a model"):
        list(task(chat=ChatOptions(apply_template=True)).items(None, 1))
    assert task(chat=ChatOptions(apply_template=True)).stops.until == ()
    assert task().stops.until and task(chat=ChatOptions(apply_template=True)).answer_delimiter == ""


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        (" 1234", 1.0, 1.0),
        (" 1,234.\nQuestion", 1.0, 1.0),
        ("Two times 617 is 1234", 0.0, 1.0),
        ("1234 is 2 x 617", 0.0, 0.0),
        ("about 12345", 0.0, 0.0),
        ("no idea", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_an_answer_is_read_in_two_ways(text: str, first: float, last: float):
    (item,) = task().items(None, 1)
    item = item._replace(target="1234")
    scored = task().score(item, [Completion(text, "stop", 3)])
    assert scored.scores == {"exact_match": first, "exact_match,last": last}
    assert scored.unparsed == (() if any(sign.isdigit() for sign in text) else ("last",))


def test_the_likeliest_option_is_chosen():
    (item,) = task(CHOICE).items(None, 1)
    asked = [Likelihood(-1.9, True, 1), Likelihood(-2.0, False, 1)]
    assert task(CHOICE).score(item, asked).scores == {"acc": 1.0, "acc_norm": 0.0}


def test_a_failed_request_leaves_every_measure_open():
    (item,) = task().items(None, 1)
    reason = Reason("timeout", "no answer")
    assert task().score(item, [reason]).undefined == {
        "exact_match": reason, "exact_match,last": reason,
    }  # fmt: skip


def test_what_does_not_matter_is_gone():
    assert (
        _normalise_answer("43 93, 113") == "43 93 113"
        and _normalise_answer("Red Ball.") == "red ball"
    )
    assert _normalise_answer("-1,000") == "-1000" and _normalise_answer("1,00") == "1 00"


def test_more_examples_than_there_are_is_refused():
    """Two hundred are drawn, and the question itself is never among its examples."""
    with pytest.raises(ConfigError, match="--few-shot 201 exceeds the"):
        next(iter(task(few_shot=201).items(None, 1)))
