"""The verb `groundup compare`: compare evaluations of several runs with the first.

    DIR/index.html        the comparison; opens from disk
    DIR/samples/….html    the samples behind each number
    DIR/compare.json, compare.md, compare.xml (JUnit)

Samples are streamed: each leaves a few numbers in memory, and its rendered form in a scratch file
from which the pages are made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from groundup.core import Artifact, Config, Draft, produce, write_json, write_text

from ..harness.report import EvaluationReport, read_report
from .comparison import (
    RUN_LETTERS,
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
from .samples import MAX_UNPARSED_SHOWN, SampleSpool, write_sample_pages


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
        return CompareResult(runs.compare(), None)
    written: list[Comparison] = []
    produce(
        out, kind="report", stage="compare", version=1, config=CompareConfig(),
        parents=dict(zip(RUN_LETTERS, runs.artifacts, strict=False)),
        write=lambda draft: written.append(_write_comparison(draft, runs)),
    )  # fmt: skip
    return CompareResult(written[0] if written else runs.compare(), out / "index.html")


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

    def compare(self) -> Comparison:
        """Compare all tasks."""
        return self.with_verdicts([self.compare_task(name)[0] for name in self.tasks()])

    def with_verdicts(self, tasks: Sequence[ComparedTask]) -> Comparison:
        """All groups and tasks with their verdicts."""
        return assign_verdicts(self.runs, [*compare_groups(self.reports, tasks), *tasks])

    def compare_task(
        self, name: str, file: BinaryIO | None = None
    ) -> tuple[ComparedTask, SampleSpool | None]:
        """Compare one task; its samples are rendered to the file, if there is one."""
        found = [find_task(report, name) for report in self.reports]
        task = next(each for each in found if each is not None)
        first = found[0]
        indices = [
            at for at, other in enumerate(found) if first and not mismatch_reason(first, other)
        ]
        scores = TaskScores(task.measures, len(indices))
        spool = file and SampleSpool(file, task, [self.runs[each] for each in indices])
        for sample in align_samples([self.artifacts[each] for each in indices], name):
            scores.add(sample)
            if spool:
                spool.add(sample)
        return compare_task_runs(task, self.reports, scores, indices), spool


def _write_samples(
    draft: Draft, runs: ReportSet, name: str, index: int
) -> tuple[ComparedTask, list[str], list[UnparsedAnswer]]:
    """Compare a task; write its samples, and return their pages and the unparsed answers."""
    path = draft.scratch / "samples"
    with open(path, "w+b") as file:
        task, spool = runs.compare_task(name, file)
        assert spool is not None
        folder = draft.file("samples/index").parent
        pages = write_sample_pages(spool, index, folder) if task.runs else []
        unparsed = [
            UnparsedAnswer(name, run, filter_name, spool.href(pages, at), at + 1, answer)
            for at, run, filter_name, answer in spool.unparsed
        ]
    path.unlink()
    return task, pages, unparsed


def _write_comparison(draft: Draft, runs: ReportSet) -> Comparison:
    compared = [_write_samples(draft, runs, name, at) for at, name in enumerate(runs.tasks())]
    comparison = runs.with_verdicts([task for task, _, _ in compared])
    links = {task.name: f"samples/{pages[0]}" for task, pages, _ in compared if pages}
    failed = [answer for _, _, unparsed in compared for answer in unparsed][:MAX_UNPARSED_SHOWN]
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
