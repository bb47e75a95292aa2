"""Contamination: which of a task's questions are in the training data of a model.

Matches are 13 consecutive words, a complete shorter question, or similarity to a complete training
message; see corpus/decontaminate/ for the rule. The text is the task's
`doc_to_decontamination_query`, else the prompt.
"""

from pathlib import Path
from typing import NamedTuple

from groundup.core import Artifact, Message, Sample, TextModel
from groundup.corpus import Contamination, contamination

from .catalogue import leaves, open_tasks
from .lm_eval import YamlTask
from .task import Item, Task


class TaskOverlap(NamedTuple):
    """The contamination of one task."""

    task: str
    samples: int
    found: Contamination

    def __str__(self) -> str:
        """The number of samples, then how and which."""
        hit = len({overlap.sample for overlap in self.found.overlaps})
        return f"{self.task}: {hit} of {self.samples} samples were trained on\n{self.found}"


class Overlaps(NamedTuple):
    """The contamination of several tasks."""

    tasks: tuple[TaskOverlap, ...]

    def __str__(self) -> str:
        """One paragraph per task."""
        return "\n\n".join(map(str, self.tasks))


def overlap(
    names: list[str], *, against: Artifact, include: Path | None = None, data: Path | None = None,
    trust_code: bool = False, limit: int | None = None,
) -> Overlaps:  # fmt: skip
    """Count the questions of tasks that are in the training data of a model or its ancestors.

    names       names of tasks, as for `evaluate`
    against     a model, examples or a corpus
    include     folder of YAML task files
    data        local folder of data sets, in place of the hub
    trust_code  run the Python code that task files name
    limit       maximum questions of each task
    """
    opened = open_tasks(names, include=include, data=data, few_shot=0, trust_code=trust_code)
    return Overlaps(tuple(overlap_of(task, against, None, limit) for task in leaves(opened)))


def overlap_of(
    task: Task, against: Artifact, model: TextModel | None = None, limit: int | None = None
) -> TaskOverlap:
    """The contamination of one task; `model` renders the chat template if the task uses one."""
    samples = [
        Sample(item.id, (Message("user", text_of(task, item)),))
        for item in task.items(model, limit)
    ]
    return TaskOverlap(task.name, len(samples), contamination(samples, against))


def text_of(task: Task, item: Item) -> str:
    """The text to search for."""
    query = task.query(item.document) if isinstance(task, YamlTask) else None
    return query or item.prompt
