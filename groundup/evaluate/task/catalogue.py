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
from .files import EMPTY, Defined, Index, nearest, read_index, read_yaml
from .group import Opener
from .prompt import Chat, Ways
from .task import Group, Task
from .testset import TestsetTask


def open_tasks(
    names: Sequence[str], *, include: Path | None = None, data: Path | None = None,
    few_shot: int | None = None, chat_template: bool = False, trust_code: bool = False,
    seed: int = 1234, system: str = "", multiturn: bool = True,
) -> list[Task | Group]:  # fmt: skip
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
    ways = Ways(data, few_shot, Chat(chat_template, multiturn, system), trust_code, seed)
    index = EMPTY if include is None else read_index(include)
    opened = [task for name in names for task in open_name(name, index, ways)]
    by_name: dict[str, Task] = {}
    for task in leaves(opened):
        other = by_name.setdefault(task.name, task)
        if asked_of(other) != asked_of(task):
            raise ConfigError(f"Two different tasks are named {task.name}; rename one of them.")
    return opened


def asked_of(task: Task) -> tuple[Any, ...]:
    """What distinguishes tasks with equal names; a YAML task's settings include its data."""
    return task.version, task.signature, getattr(task, "settings", None)


def leaves(found: Sequence[Task | Group]) -> list[Task]:
    """All tasks, with groups expanded."""
    return [
        task for each in found for task in (each.tasks() if isinstance(each, Group) else [each])
    ]


def open_name(name: str, index: Index, ways: Ways) -> list[Task | Group]:
    """Open one name; names of `include` precede built-in ones."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return open_file(path, index, ways)
    if (path / MANIFEST).is_file():
        chat = ways.chat
        return [TestsetTask(Artifact.open(path), Chat(True, chat.multiturn, chat.system))]
    if name in index.names():
        return Opener(index, ways).open(name, {}, path)
    family, level = split_level(name)
    if family in BUILTIN:
        return [BUILTIN[family].make(ways, level)]
    names = [*BUILTIN, *index.names()]
    raise ConfigError(
        f"There is no task `{name}`{nearest(name, names) or '; `groundup tasks` lists them.'} "
        "A task is a built-in name, a YAML file, a test set's directory, or a name of --include."
    )


def split_level(name: str) -> tuple[str, int | None]:
    """Split a built-in name from the level after it.

    >>> split_level("arithmetic.4"), split_level("arithmetic")
    (('arithmetic', 4), ('arithmetic', None))
    """
    family, _, level = name.rpartition(".")
    return (family, int(level)) if family and level.isdecimal() else (name, None)


def open_file(path: Path, index: Index, ways: Ways) -> list[Task | Group]:
    """The task or group of a YAML file; members are searched in its folder and in `include`."""
    settings = read_yaml(path, () if ways.data is None else (ways.data,))
    defined = Defined(path.resolve(), settings)
    if "group" in settings:
        siblings = read_index(path.resolve().parent)
        index = Index(siblings.tasks | index.tasks, siblings.groups | index.groups,
                      siblings.tags | index.tags)  # fmt: skip
        return [Opener(index, ways).group(defined, {})]
    if not isinstance(settings.get("task"), str):
        raise ConfigError(
            f"{path} has neither `task` nor `group`; is it meant to be included by another file?"
        )
    alone = Index({settings["task"]: defined}, {}, {})
    return Opener(alone, ways).open(settings["task"], {}, path)


class Listed(NamedTuple):
    """One line of `groundup tasks`."""

    name: str
    about: str
    licence: str
    needs: str


class Listing(NamedTuple):
    """What `groundup tasks` prints."""

    tasks: tuple[Listed, ...]

    def __str__(self) -> str:
        """Aligned columns."""
        rows = [("task", "what it asks", "terms", "needs"), *self.tasks]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        return "\n".join(
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )


def list_tasks(include: Path | None = None) -> Listing:
    """List the available tasks: built-in ones, and those of a folder of YAML files.

    include   folder of lm-eval's YAML task files

    YAML files and test sets' directories are named by their paths.
    """
    listed = [
        Listed(name, task.about, task.licence, task.needs or "-") for name, task in BUILTIN.items()
    ]
    index = EMPTY if include is None else read_index(include)
    for kind, names in (("task", index.tasks), ("group", index.groups)):
        for name, defined in sorted(names.items()):
            output_type = defined.settings.get("output_type", "generate_until")
            what = output_type if kind == "task" else f"group of {members(defined)}"
            needs = str(defined.settings.get("dataset_path", "-")) if kind == "task" else "-"
            listed.append(Listed(name, what, "its author's", needs))
    for tag, names in sorted(index.tags.items()):
        listed.append(Listed(tag, f"tag of {len(names)}", "its authors'", "-"))
    return Listing(tuple(listed))


def members(defined: Defined) -> int:
    """Number of members that a group names."""
    named = defined.settings.get("task")
    return len(named) if isinstance(named, list) else 1
