"""What a report says, as plain records: no HTML here, and nothing that is computed.

A run fills one `ReportData`; see report.py for the page that it becomes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from groundup.core import page


@dataclass(frozen=True)
class CheckRow:
    """A gate: what was required, what was measured, whether it passed."""

    name: str
    requirement: str
    """The requirement as one sentence that a newcomer understands."""
    estimate: float | None
    low: float | None
    high: float | None
    threshold: float
    unit: str
    better: Literal["lower", "higher"]
    """On which side of the threshold it passes."""
    passed: bool
    hint: str = ""
    """What to try next; shown when it failed."""
    decides: Literal["interval", "estimate"] = "interval"
    """What must lie on the right side: the whole interval, or the estimate alone."""
    is_undecided: bool = False
    """Whether it has not passed because so much data cannot tell."""


@dataclass(frozen=True)
class HeadlineNumber:
    """One of the few numbers that answer how good it is."""

    label: str
    value: float | None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    note: str = ""
    """What to compare it with, in a few words."""
    artifact: str = ""
    """Name of the artifact that the number describes; the number links to it."""


@dataclass(frozen=True)
class ArtifactRow:
    """Something that was made, or that the run started from."""

    name: str
    """Unique within the report."""
    kind: str
    path: str
    id: str
    bytes: int
    seconds: float | None = None
    parents: tuple[str, ...] = ()
    """Names of the artifacts that it was made from."""
    rejected: bool = False


@dataclass(frozen=True)
class Curve:
    """A chart of one quantity while a stage ran."""

    name: str
    x_label: str
    y_label: str
    series: tuple[page.Series, ...]
    baselines: tuple[page.Baseline, ...] = ()
    stage: str = ""
    """Name of the stage that it belongs to; empty puts it under all stages."""


@dataclass(frozen=True)
class StageRow:
    """One stage of the run."""

    name: str
    seconds: float
    numbers: Mapping[str, float | str]
    """Label with unit to value, such as `tokens per second` or `peak memory`."""


@dataclass(frozen=True)
class EvaluationRow:
    """One measure of all models, and the difference that matters with its interval."""

    measure: str
    unit: str
    better: Literal["lower", "higher"]
    values: Mapping[str, float | None]
    """Model name to value."""
    difference: float | None = None
    low: float | None = None
    high: float | None = None


class ShownAnswer(NamedTuple):
    """A model's answer to a sample with its score from 0 to 1, or None when it has none."""

    text: str
    score: float | None = None


@dataclass(frozen=True)
class SampleRow:
    """One question with every model's answer."""

    kind: str
    """Samples of a kind are shown together, such as `recall` or `should refuse`."""
    prompt: str
    reference: str
    answers: Mapping[str, ShownAnswer]
    """Model name to answer."""


@dataclass(frozen=True)
class ChangedSetting:
    """A setting that differs from its default."""

    stage: str
    key: str
    default: Any
    value: Any


@dataclass(frozen=True)
class NextCommand:
    """A command to type next, and what it does in one sentence."""

    what: str
    command: str


@dataclass(frozen=True)
class ReportData:
    """Everything that a report says."""

    title: str
    verdict: str
    """One sentence: whether it worked, what was made, how good it is."""
    checks: tuple[CheckRow, ...] = ()
    headline: tuple[HeadlineNumber, ...] = ()
    artifacts: tuple[ArtifactRow, ...] = ()
    curves: tuple[Curve, ...] = ()
    stages: tuple[StageRow, ...] = ()
    evaluation: tuple[EvaluationRow, ...] = ()
    samples: tuple[SampleRow, ...] = ()
    changes: tuple[ChangedSetting, ...] = ()
    environment: Mapping[str, str] | None = None
    next_commands: tuple[NextCommand, ...] = ()
    models: tuple[str, ...] = ("base", "chat", "int8")
    """Models in the order of their columns."""
    compared: str = "chat − base"
    """What `EvaluationRow.difference` subtracts from what."""
    confidence: float = 0.95
    """Confidence of every interval of the report."""
