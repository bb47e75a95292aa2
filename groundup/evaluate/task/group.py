"""Groups: several tasks under one name, with aggregated results.

    group: stem                       a YAML file of its own
    task: [arc_easy, {task: piqa, num_fewshot: 5}, {group: inner, task: [boolq]}]
    aggregate_metric_list:
      - {metric: acc, filter_list: none, weight_by_size: true}

Members are named by task, group or tag; fields that are not the group's own are set in all of them.
A group's interval treats its tasks as independent.
"""

from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import ConfigError, Reason
from groundup.measure import Interval

from .lm_eval import open_yaml_task
from .prompt import TaskOptions
from .task import EvaluationTask, GroupMeasure, TaskGroup, score_key
from .yaml_files import TaskDefinition, TaskIndex, YamlMapping, did_you_mean

GROUP_FIELDS = (
    "group",
    "group_alias",
    "task",
    "aggregate_metric_list",
    "metadata",
    "tag",
    "task_list",
)
"""Fields of a group; all others are set in its members."""
MEASURE_FIELDS = ("metric", "filter_list", "weight_by_size", "aggregation")


class TaskOpener(NamedTuple):
    """Opens names of an index, and detects circular groups."""

    index: TaskIndex
    options: TaskOptions
    inside: tuple[str, ...] = ()
    """Groups that are being opened: meeting one again is a circle."""

    def open(
        self, name: str, overrides: Mapping[str, Any], file: Path
    ) -> list[EvaluationTask | TaskGroup]:
        """The task or group of this name, or every task with this tag.

        Raises ConfigError with the most similar name.
        """
        if name in self.index.groups:
            return [self.group(self.index.groups[name], overrides)]
        if name in self.index.tasks:
            found = self.index.tasks[name]
            return [open_yaml_task({**found.settings, **overrides}, found.file, self.options)]
        if name in self.index.tags:
            names = self.index.tags[name]
            return [task for inner in names for task in self.open(inner, overrides, file)]
        raise ConfigError(
            f"{file}: there is no task, group or tag "
            f"`{name}`{did_you_mean(name, self.index.names())}"
        )

    def group(self, defined: TaskDefinition, overrides: Mapping[str, Any]) -> TaskGroup:
        """A group with its members."""
        file, given = defined
        name, members = given["group"], given.get("task") or []
        if name in self.inside:
            raise ConfigError(
                f"{file}: the group {name} contains itself through {self.inside[-1]}."
            )
        inner = self._replace(inside=(*self.inside, name))
        passed = {key: v for key, v in given.items() if key not in GROUP_FIELDS} | dict(overrides)
        members = [members] if isinstance(members, str | dict) else members
        opened = [task for member in members for task in inner.member(member, passed, defined)]
        if not opened:
            raise ConfigError(f"{file}: the group {name} has no members; list them under `task`.")
        return TaskGroup(
            name, tuple(opened), _read_group_measures(given, file), given.get("group_alias") or "",
            str((given.get("metadata") or {}).get("version", "")),
        )  # fmt: skip

    def member(
        self, member: str | YamlMapping, passed: Mapping[str, Any], defined: TaskDefinition
    ) -> list[EvaluationTask | TaskGroup]:
        """One entry of a group's `task` list: a name, or a name with fields of its own."""
        file, owner = defined.file, defined.settings["group"]
        if isinstance(member, str):
            return self.open(member, passed, file)
        if not isinstance(member, dict) or not {"task", "group"} & member.keys():
            raise ConfigError(f"{file}: expected a name or `task: NAME` as member; got {member}.")
        if "group" in member:
            name = member["group"]
            own = {key: value for key, value in member.items() if key != "group"}
            if name in self.index.groups:
                return self.open(name, {**passed, **own}, file)
            return [self.group(TaskDefinition(file, {**own, "group": f"{owner}::{name}"}), passed)]
        name, fields = member["task"], {**passed, **member}
        if name in self.index.names():
            own = {key: value for key, value in fields.items() if key != "task"}
            return self.open(name, own, file)
        return [open_yaml_task({**fields, "task": f"{owner}::{name}"}, file, self.options)]


def _read_group_measures(given: Mapping[str, Any], file: Path) -> tuple[GroupMeasure, ...]:
    """aggregate_metric_list, checked."""
    entries = given.get("aggregate_metric_list") or []
    found = []
    for entry in [entries] if isinstance(entries, dict) else entries:
        for key in entry:
            if key not in MEASURE_FIELDS:
                raise ConfigError(
                    f"{file}: aggregate_metric_list has no key `{key}`; it takes "
                    f"{', '.join(MEASURE_FIELDS)}."
                )
        if entry.get("aggregation", "mean") != "mean" or "metric" not in entry:
            raise ConfigError(f"{file}: a group needs `metric` and knows `aggregation: mean` only.")
        filters = entry.get("filter_list") or []
        filters = (filters,) if isinstance(filters, str) else tuple(filters)
        found.append(
            GroupMeasure(entry["metric"], filters, bool(entry.get("weight_by_size", True)))
        )
    return tuple(found)


class GroupResult(NamedTuple):
    """A measure of a group."""

    name: str
    filter: str
    result: Interval | Reason
    tasks: tuple[str, ...]
    """Tasks that report the measure; the result excludes the others."""
    weight_by_size: bool


def aggregate_groups(
    group: TaskGroup, results: Mapping[str, Mapping[str, Interval | Reason]]
) -> list[GroupResult]:
    """Aggregate a group from its tasks' results, given by task and TaskMeasure.key."""
    names = [task.name for task in group.tasks()]
    summaries = []
    for measure in group.measures:
        for filter_name in measure.filters or _group_filters(group, measure.name):
            key = score_key(measure.name, filter_name)
            by_task = {name: results[name][key] for name in names if key in results.get(name, {})}
            result = mean_result(list(by_task.values()), measure.weight_by_size, key)
            summaries.append(
                GroupResult(
                    measure.name, filter_name, result, tuple(by_task), measure.weight_by_size
                )
            )
    return summaries


def _group_filters(group: TaskGroup, measure: str) -> list[str]:
    """Filters with which the group's tasks report a measure, sorted."""
    return sorted({m.filter for task in group.tasks() for m in task.measures if m.name == measure})


def mean_result(
    results: Sequence[Interval | Reason], weight_by_size: bool, key: str
) -> Interval | Reason:
    """The mean of the tasks' results; a Reason if one is undefined."""
    if not results:
        return Reason("no_task", f"No task of the group reports {key}.")
    intervals = [each for each in results if isinstance(each, Interval)]
    if len(intervals) < len(results):
        num_undefined = len(results) - len(intervals)
        return Reason("undefined_task", f"{num_undefined} of {len(results)} tasks have no {key}.")
    return weighted_mean(intervals, [each.n if weight_by_size else 1 for each in intervals])


def weighted_mean(results: Sequence[Interval], weights: Sequence[float]) -> Interval:
    """Weighted mean of independent results; the errors of each side add in squares.

    Source: Zou and Donner 2008, doi:10.1002/sim.3095 (MOVER).

    >>> a = Interval(0.5, 0.4, 0.6, 0.95, 100, 100)
    >>> b = Interval(0.8, 0.7, 0.9, 0.95, 300, 300)
    >>> print(weighted_mean([a, b], [100, 300]))
    0.725 [0.6459, 0.8041]
    """
    shares = [weight / sum(weights) for weight in weights]
    pairs = list(zip(shares, results, strict=True))
    estimate = sum(share * each.estimate for share, each in pairs)
    below = sqrt(sum((share * (each.estimate - each.low)) ** 2 for share, each in pairs))
    above = sqrt(sum((share * (each.high - each.estimate)) ** 2 for share, each in pairs))
    n, groups = sum(each.n for each in results), sum(each.groups for each in results)
    confidence = results[0].confidence
    return Interval(estimate, estimate - below, estimate + above, confidence, n, groups)
