"""Every built-in task says what people must know, asks that, and refuses what it has not."""

from itertools import islice

import pytest

from groundup.core import ConfigError
from groundup.evaluate.task.builtin.families import BUILTIN, GENERATED, PACKAGED
from groundup.evaluate.task.catalogue import list_tasks, open_tasks
from groundup.evaluate.task.prompt import TaskOptions
from groundup.evaluate.task.task import EvaluationTask


def test_every_entry_tells_what_it_is_and_under_which_terms():
    for name, entry in BUILTIN.items():
        assert name and entry.description and entry.licence, name
        assert len(entry.description) <= 80 and not entry.description.endswith("."), name
    assert {one.name for one in list_tasks().tasks} == {*BUILTIN}
    assert {*GENERATED, *PACKAGED, "humaneval"} == {*BUILTIN}


@pytest.mark.parametrize("name", GENERATED)
def test_levels_are_harder_versions_of_the_same(name: str):
    lengths = []
    for level in (1, 6):
        (task,) = open_tasks([f"{name}.{level}"])
        assert isinstance(task, EvaluationTask) and task.name == f"{name}.{level}"
        items = list(task.items(None, 60))
        assert len({item.prompt for item in items}) == 60 and items[7].id == "7"
        lengths.append(sum(len(item.document["question"]) for item in items))
    assert lengths[1] > lengths[0]
    plain, levelled = open_tasks([name])[0], open_tasks([f"{name}.{GENERATED[name].level}"])[0]
    assert plain.name == levelled.name


@pytest.mark.parametrize("name", GENERATED)
def test_the_same_seed_gives_the_same_questions_and_another_others(name: str):
    first, again, other = (
        list(BUILTIN[name].make(TaskOptions(seed=seed), None).items(None, 20)) for seed in (1, 1, 2)
    )
    assert first == again and first != other
    signatures = {BUILTIN[name].make(TaskOptions(seed=seed), None).signature for seed in (1, 1, 2)}
    assert len(signatures) == 2


@pytest.mark.parametrize("name", GENERATED)
def test_answers_are_spread(name: str):
    (task,) = open_tasks([name])
    assert isinstance(task, EvaluationTask)
    answers = [item.document["answer"] for item in islice(task.items(None, None), 400)]
    most = max(answers.count(answer) for answer in set(answers))
    limit = 0.6 if task.kind == "multiple_choice" else 0.4
    assert most / len(answers) < limit, most


def test_what_there_is_not_is_refused_with_what_to_do():
    for name, said in {
        "arithmetic.0": "from 1 to 20", "arithmetic.21": "from 1 to 20",
        "humaneval.0": "number of answers", "vader_news.2": "no levels",
        "arithmetik": "did you mean `arithmetic`", "vader_news": "pip download",
        "arithmetic.x": "no task",
    }.items():  # fmt: skip
        with pytest.raises(ConfigError, match=said):
            open_tasks([name])
