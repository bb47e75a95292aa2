"""Contamination: which of a task's questions are in the training data of a model.

Matches are 13 consecutive words, a complete shorter question, or similarity to a complete training
message; see corpus/decontaminate/ for the rule. The text is the task's
`doc_to_decontamination_query`, else the prompt.
"""

from pathlib import Path
from typing import NamedTuple

from groundup.core import Artifact, Message, Sample, TextModel
from groundup.corpus import Contamination, find_contamination

from .catalogue import expand_groups, open_tasks
from .lm_eval import YamlTask
from .task import EvaluationTask, TaskItem


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
    """The contamination of one task; `model` renders the chat template if the task uses one."""
    samples = [
        Sample(item.id, (Message("user", _question_text(task, item)),))
        for item in task.items(model, limit)
    ]
    return TaskOverlap(task.name, len(samples), find_contamination(samples, against))


def _question_text(task: EvaluationTask, item: TaskItem) -> str:
    """The text to search for."""
    query = task.decontamination_query(item.document) if isinstance(task, YamlTask) else None
    return query or item.prompt
