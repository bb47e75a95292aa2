"""What a task is made of: keys, groups and the protocol."""

from collections.abc import Iterator, Sequence

from groundup.core import Completion, Reason, Sampling, StopCriteria, TextModel
from groundup.evaluate.task.task import (
    EvaluationTask,
    ItemScores,
    RequestKind,
    Response,
    TaskGroup,
    TaskItem,
    TaskMeasure,
)


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
