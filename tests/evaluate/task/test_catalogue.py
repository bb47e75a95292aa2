"""Names become tasks, and a wrong name says which was meant."""

from pathlib import Path

import pytest

from groundup.core import ConfigError, Message, Sample
from groundup.evaluate.evaluate import _unique_tasks
from groundup.evaluate.task import catalogue
from groundup.evaluate.task.builtin.families import BuiltinTask
from groundup.evaluate.task.catalogue import list_tasks, open_tasks
from groundup.evaluate.task.task import EvaluationTask, TaskGroup
from groundup.evaluate.task.testset import TestsetTask
from groundup.measure import TestSetCard, make_testset
from tests.evaluate.task.lm_eval_peer import FIXTURE

TASKS, DATA = FIXTURE / "tasks", FIXTURE / "data"


def names(found: list) -> list[str]:
    return [one.name for one in found]


def test_names_groups_and_tags_of_a_folder():
    found = open_tasks(["truths", "subjects", "sky"], include=TASKS, data=DATA)
    assert names(found) == ["truths", "subjects", "planets", "planets_information"]
    assert isinstance(found[1], TaskGroup) and isinstance(found[0], EvaluationTask)
    assert len(list(found[0].items(None, None))) == 3


def test_files_by_their_paths():
    found = open_tasks([str(TASKS / "truths.yaml"), str(TASKS / "subjects" / "_subjects.yaml")])
    assert names(found) == ["truths", "subjects"]
    group = found[1]
    assert isinstance(group, TaskGroup) and len(list(group.tasks())) == 3


def test_a_test_set_by_its_directory(tmp_path):
    sample = Sample("1", (Message("user", "Who?"),), ("me",))
    make_testset(TestSetCard(name="who"), [sample], {}, tmp_path / "set")
    found = open_tasks([str(tmp_path / "set")])
    assert isinstance(found[0], TestsetTask) and found[0].name == "who"


def test_built_in_names(monkeypatch):
    made = open_tasks(["truths"], include=TASKS)[0]
    assert isinstance(made, EvaluationTask)
    entry = BuiltinTask(
        lambda ways, level: made, "questions with a right answer", "CC0-1.0", "nothing"
    )
    monkeypatch.setitem(catalogue.BUILTIN, "own_truths", entry)
    assert open_tasks(["own_truths"]) == [made]
    line = next(one for one in list_tasks().tasks if one.name == "own_truths")
    assert line == ("own_truths", "questions with a right answer", "CC0-1.0", "nothing")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ([], "Expected the name of a task"),
        (["truth"], "no task `truth`; did you mean `truths`"),
        (["zzzzzz"], "no task `zzzzzz`; `groundup tasks` lists them"),
        (["nowhere.yaml"], "Cannot read the task file"),
        ([str(TASKS / "subjects" / "_default_yaml")], "There is no task"),
        (["endings"], r"runs the code of .*utils\.py; review that file"),
    ],
)
def test_wrong_names_are_told(asked, said):
    with pytest.raises(ConfigError, match=said):
        open_tasks(asked, include=TASKS)


def test_a_task_named_alone_and_in_a_group_counts_once(tmp_path):
    found = open_tasks(["planets", "subjects", "planets"], include=TASKS, data=DATA)
    assert [task.name for task in _unique_tasks(found)].count("planets") == 1
    file = "task: sums\ndataset_path: json\ndataset_kwargs: {data_files: {test: %s.jsonl}}\n" \
        "test_split: test\ndoc_to_text: q\ndoc_to_target: a\n"  # fmt: skip
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(file % name)
    with pytest.raises(ConfigError, match="Two different tasks are named sums"):
        open_tasks([str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")])


def test_a_part_of_a_file_is_no_task(tmp_path):
    (tmp_path / "part.yaml").write_text("output_type: multiple_choice\n")
    with pytest.raises(ConfigError, match="has neither `task` nor `group`"):
        open_tasks([str(tmp_path / "part.yaml")])
    with pytest.raises(ConfigError, match="few_shot=-1 must be 0 or more"):
        open_tasks(["x"], few_shot=-1)


def test_the_list_tells_what_each_asks():
    text = str(list_tasks(TASKS))
    assert text.splitlines()[0].split() == ["task", "what", "it", "asks", "terms", "needs"]
    assert "subjects " in text and "group of 2" in text and "tag of 2" in text
    assert any(line.split()[:2] == ["truths", "multiple_choice"] for line in text.splitlines())


def test_what_the_caller_decides_reaches_every_task():
    ways = {"few_shot": 2, "seed": 7, "chat_template": True, "system": "Brief.", "multiturn": False}
    found = open_tasks(["planets"], include=TASKS, data=Path("d"), **ways)[0]
    assert isinstance(found, EvaluationTask)
    assert "shots:2|draw:random[7]|template:one_turn|system:" in found.signature
