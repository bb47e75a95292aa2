"""Names become tasks: built-in ones, lm-eval's YAML files, sealed test sets.

    arithmetic              a built-in task
    arithmetic.4            the same at a level of difficulty, or with so many answers a question
    tasks/mine.yaml         a YAML file; groups find their members in its folder
    arc_easy                a name, group or tag that the YAML files of `include` define
    runs/demo/questions     a test set's directory

A name that is none of these is an error that says which was meant.
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
    """The tasks and groups of these names, in order.

    include         folder of YAML task files whose names, groups and tags can be named
    data            folder that stands for the hub: data sets by their names
    few_shot        examples before a question, where a task leaves that open
    chat_template   whether questions go through the model's chat template; test sets always do
    trust_code      whether Python code of task files may run
    seed            of the draws of examples
    system          text before a task's own description
    multiturn       whether examples are turns of their own in the template

    A task that is named twice, alone and in a group, counts once. Raises ConfigError with the
    nearest known name for a name that is none of these, and if two tasks of one name differ.
    """
    if not names:
        raise ConfigError("Expected the name of a task; `groundup tasks` lists them.")
    if few_shot is not None and few_shot < 0:
        raise ConfigError(f"few_shot={few_shot} must be 0 or more.")
    ways = Ways(data, few_shot, Chat(chat_template, multiturn, system), trust_code, seed)
    index = EMPTY if include is None else read_index(include)
    found = [one for name in names for one in open_name(name, index, ways)]
    known: dict[str, Task] = {}
    for task in leaves(found):
        other = known.setdefault(task.name, task)
        if asked_of(other) != asked_of(task):
            raise ConfigError(
                f"Two different tasks are named {task.name}; a report needs each name once: rename "
                "one of them."
            )
    return found


def asked_of(task: Task) -> tuple[Any, ...]:
    """What tells tasks of one name apart; a YAML file's settings name its data too."""
    return task.version, task.signature, getattr(task, "settings", None)


def leaves(found: Sequence[Task | Group]) -> list[Task]:
    """The tasks, those of a group once."""
    return [task for one in found for task in (one.tasks() if isinstance(one, Group) else [one])]


def open_name(name: str, index: Index, ways: Ways) -> list[Task | Group]:
    """What one name stands for; names of `include` come before built-in ones."""
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
    known = [*BUILTIN, *index.names()]
    raise ConfigError(
        f"There is no task `{name}`{nearest(name, known) or '; `groundup tasks` lists them.'} "
        "A task is a built-in name, a YAML file, a test set's directory, or a name of --include."
    )


def split_level(name: str) -> tuple[str, int | None]:
    """A built-in name and the level after it.

    >>> split_level("arithmetic.4"), split_level("arithmetic")
    (('arithmetic', 4), ('arithmetic', None))
    """
    family, _, level = name.rpartition(".")
    return (family, int(level)) if family and level.isdecimal() else (name, None)


def open_file(path: Path, index: Index, ways: Ways) -> list[Task | Group]:
    """The task or group of a YAML file; what it names is sought in `include` and its folder."""
    settings = read_yaml(path, () if ways.data is None else (ways.data,))
    defined = Defined(path.resolve(), settings)
    if "group" in settings:
        around = read_index(path.resolve().parent)
        index = Index(around.tasks | index.tasks, around.groups | index.groups,
                      around.tags | index.tags)  # fmt: skip
        return [Opener(index, ways).group(defined, {})]
    if not isinstance(settings.get("task"), str):
        raise ConfigError(f"{path} names no `task` and no `group`; is it a part of another file?")
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
    """The tasks that can be named: built-in ones, and those of a folder of YAML files.

    include   folder of lm-eval's YAML task files

    A YAML file and a test set's directory can be named too, by their paths.
    """
    listed = [
        Listed(name, one.about, one.licence, one.needs or "-") for name, one in BUILTIN.items()
    ]
    index = EMPTY if include is None else read_index(include)
    for kind, names in (("task", index.tasks), ("group", index.groups)):
        for name, defined in sorted(names.items()):
            asked = defined.settings.get("output_type", "generate_until")
            what = asked if kind == "task" else f"group of {members(defined)}"
            needs = str(defined.settings.get("dataset_path", "-")) if kind == "task" else "-"
            listed.append(Listed(name, what, "its author's", needs))
    for tag, names in sorted(index.tags.items()):
        listed.append(Listed(tag, f"tag of {len(names)}", "its authors'", "-"))
    return Listing(tuple(listed))


def members(defined: Defined) -> int:
    """How many members a group names."""
    named = defined.settings.get("task")
    return len(named) if isinstance(named, list) else 1
