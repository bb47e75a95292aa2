"""Which questions of a task stand in what a model trained on: a number on them says little.

Compared are 13 words in a row or a shorter question, and likeness to whole training messages; for
the rule and what a lineage holds see corpus/decontaminate/. Of lm-eval's tasks the text is the one
that they offer for this (`doc_to_decontamination_query`), else the prompt.
"""

from pathlib import Path
from typing import NamedTuple

from groundup.core import Artifact, Message, Sample, TextModel
from groundup.corpus import Contamination, contamination

from .catalogue import leaves, open_tasks
from .lm_eval import YamlTask
from .task import Item, Task


class TaskOverlap(NamedTuple):
    """What one task and the training texts have in common."""

    task: str
    samples: int
    found: Contamination

    def __str__(self) -> str:
        """The share of samples, then how and which."""
        hit = len({overlap.sample for overlap in self.found.overlaps})
        return f"{self.task}: {hit} of {self.samples} samples were trained on\n{self.found}"


class Overlaps(NamedTuple):
    """What tasks and the training texts have in common."""

    tasks: tuple[TaskOverlap, ...]

    def __str__(self) -> str:
        """A paragraph a task."""
        return "\n\n".join(map(str, self.tasks))


def overlap(
    names: list[str], *, against: Artifact, include: Path | None = None, data: Path | None = None,
    trust_code: bool = False, limit: int | None = None,
) -> Overlaps:  # fmt: skip
    """How many questions of tasks stand in what a model, or its ancestors, trained on.

    names       of tasks, as `evaluate` takes them
    against     a model, examples or a corpus
    include     folder of YAML task files
    data        folder that stands for the hub
    trust_code  run the Python code that task files name
    limit       questions of each task, the first ones
    """
    opened = open_tasks(names, include=include, data=data, few_shot=0, trust_code=trust_code)
    return Overlaps(tuple(overlap_of(task, against, None, limit) for task in leaves(opened)))


def overlap_of(
    task: Task, against: Artifact, model: TextModel | None = None, limit: int | None = None
) -> TaskOverlap:
    """The same of one task; the model renders a chat template, if the task has one."""
    samples = [
        Sample(item.id, (Message("user", text_of(task, item)),))
        for item in task.items(model, limit)
    ]
    return TaskOverlap(task.name, len(samples), contamination(samples, against))


def text_of(task: Task, item: Item) -> str:
    """The text of a question to look for."""
    offered = task.query(item.document) if isinstance(task, YamlTask) else None
    return offered or item.prompt
