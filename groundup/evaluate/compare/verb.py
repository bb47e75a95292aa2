"""The verb `groundup compare`: compare evaluations of several runs with the first.

    DIR/index.html        the comparison; opens from disk
    DIR/samples/….html    the samples behind each number
    DIR/compare.json, compare.md, compare.xml (JUnit)

Samples are streamed: each leaves a few numbers in memory, and its rendered form in a scratch file
from which the pages are made.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from groundup.core import Artifact, Config, Draft, produce, write_json, write_text

from ..harness.report import EvaluationReport, TaskReport, read_report
from .comparison import (
    RUN_LETTERS,
    AlignedSample,
    ComparedRun,
    ComparedTask,
    Comparison,
    TaskScores,
    align_samples,
    assign_verdicts,
    compare_groups,
    compare_task_runs,
    find_task,
    label_runs,
    mismatch_reason,
)
from .formats import (
    UnparsedAnswer,
    comparison_to_json,
    comparison_to_junit,
    comparison_to_markdown,
    comparison_to_text,
    index_page,
)
from .samples import SampleSpool, truncate_text, write_sample_pages

MAX_UNPARSED_SHOWN = 20
"""Maximum unparsed answers on the first page."""


class CompareConfig(Config):
    """No settings."""


@dataclass(frozen=True)
class CompareResult:
    """The result of `groundup compare`."""

    comparison: Comparison
    page: Path | None
    """The first page, if pages were requested."""

    def __str__(self) -> str:
        """The table, and where the page is."""
        where = f"\n\nPage: {self.page}" if self.page else ""
        return comparison_to_text(self.comparison) + where

    def _asdict(self) -> dict[str, object]:
        """What `--json` prints: the same as compare.json."""
        return comparison_to_json(self.comparison)


def compare(reports: list[Path], *, out: Path | None = None) -> CompareResult:
    """Compare evaluations with the first: better, worse or not told apart.

    reports  reports of `groundup evaluate`; the first is the baseline
    out      directory for the page, its samples, JSON, Markdown and JUnit XML
    """
    runs = ReportSet.open([Artifact.open(path, "report") for path in reports])
    if out is None:
        return CompareResult(
            runs.with_verdicts([runs.compare_task(name).task for name in runs.tasks()]), None
        )
    written: list[Comparison] = []
    produce(
        out, kind="report", stage="compare", version=1, config=CompareConfig(),
        parents=dict(zip(RUN_LETTERS, runs.artifacts, strict=False)),
        write=lambda draft: written.append(_write_comparison(draft, runs)),
    )  # fmt: skip
    again = [] if written else [runs.compare_task(name).task for name in runs.tasks()]
    return CompareResult(written[0] if written else runs.with_verdicts(again), out / "index.html")


class ComparedTaskPages(NamedTuple):
    """A compared task with the pages of its samples."""

    task: ComparedTask
    pages: list[str]
    """Names of the pages of its samples."""
    unparsed: list[UnparsedAnswer]


class ReportSet(NamedTuple):
    """The reports that are compared."""

    artifacts: tuple[Artifact, ...]
    reports: tuple[EvaluationReport, ...]
    runs: tuple[ComparedRun, ...]

    @classmethod
    def open(cls, artifacts: Sequence[Artifact]) -> "ReportSet":
        """Read the reports; ConfigError for fewer than two or more than six."""
        reports = [read_report(artifact) for artifact in artifacts]
        return cls(tuple(artifacts), tuple(reports), label_runs(reports, artifacts))

    def tasks(self) -> list[str]:
        """Names of all tasks, those of the first run first."""
        return list(dict.fromkeys(task.name for report in self.reports for task in report.tasks))

    def with_verdicts(self, tasks: Sequence[ComparedTask]) -> Comparison:
        """All groups and tasks with their verdicts."""
        return assign_verdicts(self.runs, [*compare_groups(self.reports, tasks), *tasks])

    def _comparable_runs(self, name: str) -> tuple[int, ...]:
        """Indices of the runs with the first run's samples; empty if it lacks the task."""
        first = find_task(self.reports[0], name)
        if first is None:
            return ()
        others = [find_task(report, name) for report in self.reports]
        return tuple(at for at, other in enumerate(others) if not mismatch_reason(first, other))

    def compare_task(
        self, name: str, draft: Draft | None = None, task_index: int = 0
    ) -> ComparedTaskPages:
        """Compare one task; with a draft, write the pages of its samples."""
        indices = self._comparable_runs(name)
        task = next(found for each in self.reports if (found := find_task(each, name)))
        gathered, runs = (
            TaskScores(task.measures, len(indices)),
            [self.runs[each] for each in indices],
        )
        failed: list[tuple[int, str, str, str]] = []
        with _open_spool(draft, task, runs) as spool:
            for sample in align_samples([self.artifacts[each] for each in indices], name):
                gathered.add(sample)
                if spool is not None:
                    spool.add(sample)
                    failed += _unparsed_answers(sample, runs)[: MAX_UNPARSED_SHOWN - len(failed)]
            pages = [] if spool is None or draft is None or not indices else write_sample_pages(
                spool, task_index, draft.file("samples/index").parent
            )  # fmt: skip
            shown = [
                UnparsedAnswer(
                    name, run, filter_name, spool.href(pages, number), number + 1, answer
                )
                for number, run, filter_name, answer in failed
                if spool is not None
            ]
        return ComparedTaskPages(
            compare_task_runs(task, self.reports, gathered, indices), pages, shown
        )


@contextmanager
def _open_spool(
    draft: Draft | None, task: TaskReport, runs: Sequence[ComparedRun]
) -> Iterator[SampleSpool | None]:
    """A scratch file for a task's samples; None without a draft."""
    if draft is None:
        yield None
        return
    path = draft.scratch / "samples"
    with open(path, "w+b") as file:
        yield SampleSpool(file, task, runs)
    path.unlink()


def _unparsed_answers(
    sample: AlignedSample, runs: Sequence[ComparedRun]
) -> list[tuple[int, str, str, str]]:
    return [
        (
            sample.number,
            run.letter,
            name,
            truncate_text(" | ".join(_answer_texts(row["answers"])), 200),
        )
        for run, row in zip(runs, sample.rows, strict=True)
        for name in row["unparsed"]
    ]


def _answer_texts(answers: Sequence[dict[str, object]]) -> list[str]:
    return [str(answer.get("text", answer.get("code", ""))) for answer in answers]


def _write_comparison(draft: Draft, runs: ReportSet) -> Comparison:
    compared = [runs.compare_task(name, draft, place) for place, name in enumerate(runs.tasks())]
    comparison = runs.with_verdicts([each.task for each in compared])
    links = {each.task.name: f"samples/{each.pages[0]}" for each in compared if each.pages}
    failed = [answer for each in compared for answer in each.unparsed][:MAX_UNPARSED_SHOWN]
    costs = [_cost_text(report) for report in runs.reports]
    write_text(draft.file("index.html"), index_page(comparison, links, failed, costs))
    write_json(draft.file("compare.json"), comparison_to_json(comparison))
    write_text(draft.file("compare.md"), comparison_to_markdown(comparison))
    write_text(draft.file("compare.xml"), comparison_to_junit(comparison))
    counts = {word: len(comparison.verdicts(word)) for word in ("better", "worse")}
    draft.numbers |= {"runs": len(runs.runs), "comparisons": comparison.comparisons} | counts
    return comparison


def _cost_text(report: EvaluationReport) -> str:
    cost = report.cost
    price = "" if cost.price is None else f", {cost.price:.4g} paid"
    tokens = cost.tokens + cost.prompt_tokens
    return f"{cost.requests:,} requests, {tokens:,} tokens, {report.seconds:,.0f} s{price}"
