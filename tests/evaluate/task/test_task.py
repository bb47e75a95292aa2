"""What a task is made of: keys, groups, prompts in plain text and through a template."""

from collections.abc import Iterator, Sequence

import pytest

from groundup.core import (
    Completion,
    ConfigError,
    DataError,
    Reason,
    Sampling,
    StopCriteria,
    TextModel,
)
from groundup.evaluate.task.task import (
    ChatOptions,
    EvaluationTask,
    ItemScores,
    PromptTurn,
    RequestKind,
    Response,
    TaskGroup,
    TaskItem,
    TaskMeasure,
    _merge_turns,
    _needs_delimiter,
    example_turns,
    join_texts,
    question_turns,
    render_turns,
)
from tests.evaluate.task.lm_eval_peer import Fake


class Echo:
    """The smallest task: say the word again."""

    def __init__(self, name: str = "echo") -> None:
        self.name = name

    kind: RequestKind = "generate_until"
    version = "1"
    signature = "shots:0"
    measures = (TaskMeasure("same", "none", "higher", "share", "mean", "same"),)
    stops = StopCriteria(Sampling(max_tokens=4), ("\n",))
    repeats = 1

    def items(self, model: TextModel | None, limit: int | None) -> Iterator[TaskItem]:
        words = ["one", "two"][:limit]
        return (TaskItem(w, "", f"Say {w}:", (), w, {"word": w}) for w in words)

    def score(self, item: TaskItem, answers: Sequence[Response]) -> ItemScores:
        answer = answers[0]
        if isinstance(answer, Completion):
            return ItemScores(
                {"none": answer.text}, {"same": float(answer.text == item.target)}, {}
            )
        return ItemScores({}, {}, {"same": Reason("no_answer", "none")})


def test_a_task_needs_no_base_class():
    task = Echo()
    assert isinstance(task, EvaluationTask)
    item = next(task.items(None, 1))
    assert task.score(item, [Completion("one", "stop", 1)]).scores == {"same": 1.0}
    assert task.score(item, [Reason("x", "y")]).undefined["same"].code == "no_answer"


def test_keys_of_scores_name_the_filter_unless_there_is_none():
    assert Echo.measures[0].key == "same"
    assert TaskMeasure("em", "strict", "higher", "share", "mean", "").key == "em,strict"


def test_a_group_yields_each_task_once_in_order():
    a, b, c = Echo("a"), Echo("b"), Echo("c")
    inner = TaskGroup("inner", (b, a))
    assert [task.name for task in TaskGroup("outer", (a, inner, c)).tasks()] == ["a", "b", "c"]


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
