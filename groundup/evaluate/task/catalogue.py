"""Resolve names to tasks: built-in ones, lm-eval's YAML files, test sets.

    arithmetic              a built-in task
    arithmetic.4            the same at a level of difficulty, or with 4 answers per question
    tasks/mine.yaml         a YAML file; groups find their members in its folder
    arc_easy                a task, group or tag that the YAML files of `include` define
    runs/demo/questions     a test set's directory

Any other name is an error that suggests the most similar one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import MANIFEST, Artifact, ConfigError

from .builtin.families import BUILTIN
from .group import TaskOpener
from .prompt import ChatOptions, TaskOptions
from .task import EvaluationTask, TaskGroup
from .testset import TestsetTask
from .yaml_files import (
    EMPTY_INDEX,
    TaskDefinition,
    TaskIndex,
    did_you_mean,
    read_task_index,
    read_yaml,
)


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
    """Open one name; names of `include` precede built-in ones."""
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
    """Number of members that a group names."""
    named = defined.settings.get("task")
    return len(named) if isinstance(named, list) else 1
