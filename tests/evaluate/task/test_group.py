"""Groups: members by name, group and tag; their numbers; circles and strangers told."""

from pathlib import Path

import pytest

from groundup.core import ConfigError, Reason
from groundup.evaluate.task.group import TaskOpener, aggregate_groups, weighted_mean
from groundup.evaluate.task.prompt import TaskOptions
from groundup.evaluate.task.task import TaskGroup
from groundup.evaluate.task.yaml_files import read_task_index
from groundup.measure import Interval
from tests.evaluate.task.lm_eval_peer import FIXTURE

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
