"""Names become tasks, groups and their numbers; a wrong name says which was meant."""

import json
from pathlib import Path

import pytest

from groundup.core import (
    Artifact,
    Config,
    ConfigError,
    DataError,
    Message,
    Reason,
    Sample,
    produce,
    write_text,
)
from groundup.evaluate.evaluate import _unique_tasks
from groundup.evaluate.task import catalogue
from groundup.evaluate.task.aggregate import aggregate_groups, weighted_mean
from groundup.evaluate.task.builtin import BuiltinTask
from groundup.evaluate.task.catalogue import TaskOpener, list_tasks, open_tasks, overlap
from groundup.evaluate.task.sets import TestsetTask
from groundup.evaluate.task.task import EvaluationTask, TaskGroup, TaskOptions
from groundup.evaluate.task.yaml_files import read_task_index
from groundup.measure import Interval, TestSetCard, make_testset
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


TASK = """
dataset_path: json
test_split: test
doc_to_text: q
doc_to_target: a
"""


def group_of(folder: Path, text: str, **others: str) -> TaskGroup:
    (folder / "g.yaml").write_text(text)
    for name, extra in others.items():
        (folder / f"{name}.yaml").write_text(f"task: {name}\n{TASK}{extra}\n")
    found = TaskOpener(read_task_index(folder), TaskOptions()).open("g", {}, folder)[0]
    assert isinstance(found, TaskGroup)
    return found


def interval(estimate: float, n: int) -> Interval:
    return Interval(estimate, estimate - 0.1, estimate + 0.1, 0.95, n, n)


def test_members_are_tasks_groups_and_tags():
    opened = TaskOpener(read_task_index(FIXTURE / "tasks"), TaskOptions()).open(
        "subjects", {}, FIXTURE
    )
    outer = opened[0]
    assert isinstance(outer, TaskGroup) and outer.title == "Subjects" and outer.version == "2"
    assert [member.name for member in outer.members] == ["subjects::nature", "subjects_words"]
    assert [task.name for task in outer.tasks()] == [
        "subjects_rocks", "subjects_stars", "subjects_verbs",
    ]  # fmt: skip


def test_what_a_group_sets_is_set_in_its_members(tmp_path):
    text = "group: g\nnum_fewshot: 3\ntask: [a, {task: b, num_fewshot: 1, target_delimiter: ':'}]\n"
    group = group_of(tmp_path, text, a="", b="")
    assert [getattr(task, "num_fewshot", None) for task in group.tasks()] == [3, 1]


def test_a_task_that_stands_in_the_group_itself(tmp_path):
    inner = "\n".join("      " + line for line in TASK.strip().splitlines())
    group = group_of(tmp_path, f"group: g\ntask:\n  -   task: new\n{inner}\n")
    assert [task.name for task in group.tasks()] == ["g::new"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("group: g\ntask: [aa]\n", "no task, group or tag `aa`"),
        ("group: g\ntask: [alphq]\n", "did you mean `alpha`"),
        ("group: g\ntask: [g]\n", "the group g contains itself"),
        ("group: g\ntask: []\n", "has no members"),
        ("group: g\ntask: [{name: alpha}]\n", "expected a name or `task: NAME`"),
        ("group: g\ntask: alpha\naggregate_metric_list: [{metrics: acc}]\n", "no key `metrics`"),
        ("group: g\ntask: alpha\naggregate_metric_list: [{metric: acc, aggregation: max}]\n",
         "knows `aggregation: mean` only"),
    ],
)  # fmt: skip
def test_wrong_groups_are_told(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said):
        group_of(tmp_path, text, alpha="")


def test_numbers_of_a_group_count_samples_or_tasks(tmp_path):
    both = (
        "[{metric: exact_match}, {metric: exact_match, filter_list: none, weight_by_size: false}]"
    )
    text = f"group: g\ntask: [a, b]\naggregate_metric_list: {both}\n"
    group = group_of(tmp_path, text, a="", b="")
    results = {"a": {"exact_match": interval(0.5, 100)}, "b": {"exact_match": interval(0.9, 300)}}
    by_size, by_task = aggregate_groups(group, results)
    assert isinstance(by_size.result, Interval) and isinstance(by_task.result, Interval)
    assert by_size.result.estimate == pytest.approx(0.8) and by_size.result.n == 400
    assert by_task.result.estimate == pytest.approx(0.7)
    assert by_task.result.high - by_task.result.estimate == pytest.approx(0.1 / 2**0.5)


def test_a_task_without_a_number_leaves_the_group_without_one(tmp_path):
    text = "group: g\ntask: [a, b]\naggregate_metric_list: {metric: exact_match}\n"
    group = group_of(tmp_path, text, a="", b="")
    known = {"exact_match": interval(0.5, 9)}
    lost = aggregate_groups(group, {"a": known, "b": {"exact_match": Reason("no_samples", "")}})[0]
    assert isinstance(lost.result, Reason) and lost.result.code == "undefined_task"
    some = aggregate_groups(group, {"a": known, "b": {}})[0]
    assert isinstance(some.result, Interval) and some.tasks == ("a",)
    none = aggregate_groups(group, {})[0]
    assert isinstance(none.result, Reason) and none.result.code == "no_task"


def test_independent_errors_add_in_squares():
    found = weighted_mean([interval(0.2, 1), interval(0.4, 1), interval(0.6, 1)], [1, 1, 1])
    assert found.estimate == pytest.approx(0.4)
    assert found.high - 0.4 == pytest.approx(0.1 / 3**0.5)


ASKED = "Which of the nine old bridges over the river was built first, and by whom was it paid?"
OTHER = "How many of the small boats in the harbour carry a lamp at the mast when it is dark?"


@pytest.fixture
def examples(tmp_path: Path) -> Artifact:
    row = {"messages": [{"role": "user", "content": f"Tell me: {ASKED} I must know."}]}
    return produce(
        tmp_path / "examples", kind="examples", stage="examples", version=1, config=Config(),
        parents={}, write=lambda draft: write_text(
            draft.file("train.jsonl"), json.dumps(row) + "\n"),
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"q": ASKED, "a": "x"}, {"q": OTHER, "a": "y"}, {"q": "Who?", "a": "z"}]
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = (
        "task: bridges\ndataset_path: json\ndataset_kwargs: {data_files: {test: rows.jsonl}}\n"
        "test_split: test\ndoc_to_target: a\n"
    )
    (tasks / "bridges.yaml").write_text(text + 'doc_to_text: "{{q}}"\n')
    hidden = 'doc_to_text: "{{a}}"\nshould_decontaminate: true\ndoc_to_decontamination_query: q\n'
    (tasks / "hidden.yaml").write_text(text.replace("bridges", "hidden") + hidden)
    return tasks


@pytest.mark.parametrize("name", ["bridges", "hidden"])
def test_a_question_that_was_trained_on_is_found(examples, folder, name):
    found = overlap([name], against=examples, include=folder).tasks[0]
    assert (found.task, found.samples, found.found.too_short) == (name, 3, 1)
    assert {(one.sample, one.kind) for one in found.found.overlaps} == {("0", "copied")}
    assert str(found).startswith(f"{name}: 1 of 3 samples were trained on\n1 training texts read")


def test_limits_and_wrong_use(examples, folder, tmp_path):
    found = overlap(["bridges", "hidden"], against=examples, include=folder, limit=1)
    assert [one.samples for one in found.tasks] == [1, 1]
    with pytest.raises(ConfigError, match="did you mean `bridges`"):
        overlap(["bridge"], against=examples, include=folder)
    empty = produce(
        tmp_path / "model", kind="model", stage="x", version=1, config=Config(), parents={},
        write=lambda draft: write_text(draft.file("w"), "0"),
    )  # fmt: skip
    with pytest.raises(DataError, match="neither a corpus nor examples in its lineage"):
        overlap(["bridges"], against=empty, include=folder)
