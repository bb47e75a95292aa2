"""Resolve names to tasks: built-in ones, lm-eval's YAML files and groups, test sets.

    arithmetic              a built-in task
    arithmetic.4            the same at a level of difficulty, or with 4 answers per question
    tasks/mine.yaml         a YAML file; groups find their members in its folder
    arc_easy                a task, group or tag that the YAML files of `include` define
    runs/demo/questions     a test set's directory

Any other name is an error that suggests the most similar one. A group has a YAML file of its own:

    group: stem
    task: [arc_easy, {task: piqa, num_fewshot: 5}, {group: inner, task: [boolq]}]
    aggregate_metric_list:
      - {metric: acc, filter_list: none, weight_by_size: true}

Its members are named by task, group or tag; fields that are not its own are set in all of them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import MANIFEST, Artifact, ConfigError, Message, Sample, TextModel
from groundup.corpus import Contamination, find_contamination

from .builtin import BUILTIN
from .lm_eval import YamlTask, open_yaml_task
from .sets import TestsetTask
from .task import (
    ChatOptions,
    EvaluationTask,
    GroupMeasure,
    TaskGroup,
    TaskItem,
    TaskOptions,
    check_keys,
)
from .yaml_files import (
    EMPTY_INDEX,
    TaskDefinition,
    TaskIndex,
    YamlMapping,
    did_you_mean,
    read_task_index,
    read_yaml,
)

GROUP_FIELDS = ("group", "group_alias", "task", "aggregate_metric_list", "metadata", "tag",
                "task_list")  # fmt: skip
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
    entries = given.get("aggregate_metric_list") or []
    found = []
    for entry in [entries] if isinstance(entries, dict) else entries:
        check_keys(entry, MEASURE_FIELDS, f"{file}: aggregate_metric_list")
        if entry.get("aggregation", "mean") != "mean" or "metric" not in entry:
            raise ConfigError(f"{file}: a group needs `metric` and knows `aggregation: mean` only.")
        filters = entry.get("filter_list") or []
        filters = (filters,) if isinstance(filters, str) else tuple(filters)
        found.append(
            GroupMeasure(entry["metric"], filters, bool(entry.get("weight_by_size", True)))
        )
    return tuple(found)


def open_tasks(
    names: Sequence[str], *, include: Path | None = None, data: Path | None = None,
    few_shot: int | None = None, chat_template: bool = False, trust_code: bool = False,
    seed: int = 1234, system: str = "", multiturn: bool = True,
) -> list[EvaluationTask | TaskGroup]:  # fmt: skip
    """Open the tasks and groups with these names, in order.

    include         folder of YAML files whose tasks, groups and tags can be named
    data            local folder of data sets, in place of the hub
    few_shot        examples before a question, where a task does not fix it
    chat_template   whether to apply the model's chat template; test sets always do
    trust_code      whether Python code of task files may run
    seed            seed of the few-shot examples
    system          system text before a task's own description
    multiturn       whether examples are separate turns in the template

    A task that is named alone and in a group counts once. Raises ConfigError for an unknown name,
    with the most similar one, and for different tasks with equal names.
    """
    if not names:
        raise ConfigError("Expected the name of a task; `groundup tasks` lists them.")
    if few_shot is not None and few_shot < 0:
        raise ConfigError(f"few_shot={few_shot} must be 0 or more.")
    ways = TaskOptions(
        data, few_shot, ChatOptions(chat_template, multiturn, system), trust_code, seed
    )
    index = EMPTY_INDEX if include is None else read_task_index(include)
    opened = [task for name in names for task in _open_name(name, index, ways)]
    by_name: dict[str, EvaluationTask] = {}
    for task in expand_groups(opened):
        other = by_name.setdefault(task.name, task)
        if _task_identity(other) != _task_identity(task):
            raise ConfigError(f"Two different tasks are named {task.name}; rename one of them.")
    return opened


def _task_identity(task: EvaluationTask) -> tuple[Any, ...]:
    """What distinguishes tasks with equal names; a YAML task's settings include its data."""
    return task.version, task.signature, getattr(task, "settings", None)


def expand_groups(tasks_and_groups: Sequence[EvaluationTask | TaskGroup]) -> list[EvaluationTask]:
    """All tasks, with groups expanded."""
    return [
        task
        for each in tasks_and_groups
        for task in (each.tasks() if isinstance(each, TaskGroup) else [each])
    ]


def _open_name(name: str, index: TaskIndex, ways: TaskOptions) -> list[EvaluationTask | TaskGroup]:
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return _open_file(path, index, ways)
    if (path / MANIFEST).is_file():
        chat = ways.chat
        return [TestsetTask(Artifact.open(path), ChatOptions(True, chat.multiturn, chat.system))]
    if name in index.names():
        return TaskOpener(index, ways).open(name, {}, path)
    family, level = _split_level(name)
    if family in BUILTIN:
        return [BUILTIN[family].make(ways, level)]
    names = [*BUILTIN, *index.names()]
    raise ConfigError(
        f"There is no task `{name}`{did_you_mean(name, names) or '; `groundup tasks` lists them.'} "
        "A task is a built-in name, a YAML file, a test set's directory, or a name of --include."
    )


def _split_level(name: str) -> tuple[str, int | None]:
    """Split a built-in name from the level after it.

    >>> _split_level("arithmetic.4"), _split_level("arithmetic")
    (('arithmetic', 4), ('arithmetic', None))
    """
    family, _, level = name.rpartition(".")
    return (family, int(level)) if family and level.isdecimal() else (name, None)


def _open_file(path: Path, index: TaskIndex, ways: TaskOptions) -> list[EvaluationTask | TaskGroup]:
    """The task or group of a YAML file; members are searched in its folder and in `include`."""
    settings = read_yaml(path, () if ways.data is None else (ways.data,))
    defined = TaskDefinition(path.resolve(), settings)
    if "group" in settings:
        siblings = read_task_index(path.resolve().parent)
        index = TaskIndex(siblings.tasks | index.tasks, siblings.groups | index.groups,
                      siblings.tags | index.tags)  # fmt: skip
        return [TaskOpener(index, ways).group(defined, {})]
    if not isinstance(settings.get("task"), str):
        raise ConfigError(
            f"{path} has neither `task` nor `group`; is it meant to be included by another file?"
        )
    alone = TaskIndex({settings["task"]: defined}, {}, {})
    return TaskOpener(alone, ways).open(settings["task"], {}, path)


class TaskSummary(NamedTuple):
    """One line of `groundup tasks`."""

    name: str
    about: str
    licence: str
    needs: str


class TaskSummaries(NamedTuple):
    """What `groundup tasks` prints."""

    tasks: tuple[TaskSummary, ...]

    def __str__(self) -> str:
        """Aligned columns."""
        rows = [("task", "what it asks", "terms", "needs"), *self.tasks]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        return "\n".join(
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )


def list_tasks(include: Path | None = None) -> TaskSummaries:
    """List the available tasks: built-in ones, and those of a folder of YAML files.

    include   folder of lm-eval's YAML task files

    YAML files and test sets' directories are named by their paths.
    """
    listed = [
        TaskSummary(name, task.description, task.licence, task.needs or "-")
        for name, task in BUILTIN.items()
    ]
    index = EMPTY_INDEX if include is None else read_task_index(include)
    for kind, names in (("task", index.tasks), ("group", index.groups)):
        for name, defined in sorted(names.items()):
            output_type = defined.settings.get("output_type", "generate_until")
            what = output_type if kind == "task" else f"group of {_num_members(defined)}"
            needs = str(defined.settings.get("dataset_path", "-")) if kind == "task" else "-"
            listed.append(TaskSummary(name, what, "its author's", needs))
    for tag, names in sorted(index.tags.items()):
        listed.append(TaskSummary(tag, f"tag of {len(names)}", "its authors'", "-"))
    return TaskSummaries(tuple(listed))


def _num_members(defined: TaskDefinition) -> int:
    named = defined.settings.get("task")
    return len(named) if isinstance(named, list) else 1


class TaskOverlap(NamedTuple):
    """The contamination of one task."""

    task: str
    samples: int
    found: Contamination

    def __str__(self) -> str:
        """The number of samples, then how and which."""
        hit = len({overlap.sample for overlap in self.found.overlaps})
        return f"{self.task}: {hit} of {self.samples} samples were trained on\n{self.found}"


class TaskOverlaps(NamedTuple):
    """The contamination of several tasks."""

    tasks: tuple[TaskOverlap, ...]

    def __str__(self) -> str:
        """One paragraph per task."""
        return "\n\n".join(map(str, self.tasks))


def overlap(
    names: list[str], *, against: Artifact, include: Path | None = None, data: Path | None = None,
    trust_code: bool = False, limit: int | None = None,
) -> TaskOverlaps:  # fmt: skip
    """Count the questions of tasks that are in the training data of a model or its ancestors.

    names       names of tasks, as for `evaluate`
    against     a model, examples or a corpus
    include     folder of YAML task files
    data        local folder of data sets, in place of the hub
    trust_code  run the Python code that task files name
    limit       maximum questions of each task
    """
    opened = open_tasks(names, include=include, data=data, few_shot=0, trust_code=trust_code)
    return TaskOverlaps(
        tuple(_task_overlap(task, against, None, limit) for task in expand_groups(opened))
    )


def _task_overlap(
    task: EvaluationTask,
    against: Artifact,
    model: TextModel | None = None,
    limit: int | None = None,
) -> TaskOverlap:
    samples = [
        Sample(item.id, (Message("user", _question_text(task, item)),))
        for item in task.items(model, limit)
    ]
    return TaskOverlap(task.name, len(samples), find_contamination(samples, against))


def _question_text(task: EvaluationTask, item: TaskItem) -> str:
    query = task.decontamination_query(item.document) if isinstance(task, YamlTask) else None
    return query or item.prompt
