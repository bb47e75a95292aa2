"""What a task is made of: keys, groups and the protocol."""

from collections.abc import Iterator, Sequence

from groundup.core import Completion, Reason, Sampling, Stops, TextModel
from groundup.evaluate.task.task import Asked, Group, Item, Kind, Measure, Scored, Task


class Echo:
    """The smallest task: say the word again."""

    def __init__(self, name: str = "echo") -> None:
        self.name = name

    kind: Kind = "generate_until"
    version = "1"
    signature = "shots:0"
    measures = (Measure("same", "none", "higher", "share", "mean", "same"),)
    stops = Stops(Sampling(max_tokens=4), ("\n",))
    repeats = 1

    def items(self, model: TextModel | None, limit: int | None) -> Iterator[Item]:
        words = ["one", "two"][:limit]
        return (Item(w, "", f"Say {w}:", (), w, {"word": w}) for w in words)

    def score(self, item: Item, answers: Sequence[Asked]) -> Scored:
        answer = answers[0]
        if isinstance(answer, Completion):
            return Scored({"none": answer.text}, {"same": float(answer.text == item.target)}, {})
        return Scored({}, {}, {"same": Reason("no_answer", "none")})


def test_a_task_needs_no_base_class():
    task = Echo()
    assert isinstance(task, Task)
    item = next(task.items(None, 1))
    assert task.score(item, [Completion("one", "stop", 1)]).scores == {"same": 1.0}
    assert task.score(item, [Reason("x", "y")]).undefined["same"].code == "no_answer"


def test_keys_of_scores_name_the_filter_unless_there_is_none():
    assert Echo.measures[0].key == "same"
    assert Measure("em", "strict", "higher", "share", "mean", "").key == "em,strict"


def test_a_group_yields_each_task_once_in_order():
    a, b, c = Echo("a"), Echo("b"), Echo("c")
    inner = Group("inner", (b, a))
    assert [task.name for task in Group("outer", (a, inner, c)).tasks()] == ["a", "b", "c"]
