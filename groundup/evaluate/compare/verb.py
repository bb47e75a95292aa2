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

from ..harness.report import Report, TaskReport, read_report
from .comparison import (
    LETTERS,
    Aligned,
    ComparedTask,
    Comparison,
    Gathered,
    Run,
    aligned,
    compared_task,
    judged,
    not_alike,
    run_names,
    task_of,
)
from .formats import to_json, to_junit, to_markdown, to_text
from .groups import compared_groups
from .page import Unparsed, index_page
from .samples import Spool, cut, write_pages

MOST_UNPARSED = 20
"""Maximum unparsed answers on the first page."""


class CompareConfig(Config):
    """No settings."""


@dataclass(frozen=True)
class Compared:
    """The result of `groundup compare`."""

    comparison: Comparison
    page: Path | None
    """The first page, if pages were requested."""

    def __str__(self) -> str:
        """The table, and where the page is."""
        where = f"\n\nPage: {self.page}" if self.page else ""
        return to_text(self.comparison) + where

    def _asdict(self) -> dict[str, object]:
        """What `--json` prints: the same as compare.json."""
        return to_json(self.comparison)


def compare(reports: list[Path], *, out: Path | None = None) -> Compared:
    """Compare evaluations with the first: better, worse or not told apart.

    reports  reports of `groundup evaluate`; the first is the baseline
    out      directory for the page, its samples, JSON, Markdown and JUnit XML
    """
    runs = Runs.open([Artifact.open(path, "report") for path in reports])
    if out is None:
        return Compared(runs.judged([runs.compare(name).task for name in runs.tasks()]), None)
    written: list[Comparison] = []
    produce(
        out, kind="report", stage="compare", version=1, config=CompareConfig(),
        parents=dict(zip(LETTERS, runs.artifacts, strict=False)),
        write=lambda draft: written.append(write(draft, runs)),
    )  # fmt: skip
    again = [] if written else [runs.compare(name).task for name in runs.tasks()]
    return Compared(written[0] if written else runs.judged(again), out / "index.html")


class Behind(NamedTuple):
    """A compared task with the pages of its samples."""

    task: ComparedTask
    pages: list[str]
    """Names of the pages of its samples."""
    unparsed: list[Unparsed]


class Runs(NamedTuple):
    """The reports that are compared."""

    artifacts: tuple[Artifact, ...]
    reports: tuple[Report, ...]
    known: tuple[Run, ...]

    @classmethod
    def open(cls, artifacts: Sequence[Artifact]) -> "Runs":
        """Read the reports; ConfigError for fewer than two or more than six."""
        reports = [read_report(artifact) for artifact in artifacts]
        return cls(tuple(artifacts), tuple(reports), run_names(reports, artifacts))

    def tasks(self) -> list[str]:
        """Names of all tasks, those of the first run first."""
        return list(dict.fromkeys(task.name for report in self.reports for task in report.tasks))

    def judged(self, tasks: Sequence[ComparedTask]) -> Comparison:
        """All groups and tasks with their verdicts."""
        return judged(self.known, [*compared_groups(self.reports, tasks), *tasks])

    def alike(self, name: str) -> tuple[int, ...]:
        """Indices of the runs with the first run's samples; empty if it lacks the task."""
        first = task_of(self.reports[0], name)
        if first is None:
            return ()
        others = [task_of(report, name) for report in self.reports]
        return tuple(at for at, other in enumerate(others) if not not_alike(first, other))

    def compare(self, name: str, draft: Draft | None = None, place: int = 0) -> Behind:
        """Compare one task; with a draft, write the pages of its samples."""
        indices = self.alike(name)
        task = next(found for each in self.reports if (found := task_of(each, name)))
        gathered, runs = (
            Gathered(task.measures, len(indices)),
            [self.known[each] for each in indices],
        )
        failed: list[tuple[int, str, str, str]] = []
        with spooled(draft, task, runs) as spool:
            for sample in aligned([self.artifacts[each] for each in indices], name):
                gathered.take(sample)
                if spool is not None:
                    spool.take(sample)
                    failed += unparsed(sample, runs)[: MOST_UNPARSED - len(failed)]
            pages = [] if spool is None or draft is None or not indices else write_pages(
                spool, place, draft.file("samples/index").parent
            )  # fmt: skip
            shown = [
                Unparsed(name, run, filter_name, spool.href(pages, number), number + 1, answer)
                for number, run, filter_name, answer in failed
                if spool is not None
            ]
        return Behind(compared_task(task, self.reports, gathered, indices), pages, shown)


@contextmanager
def spooled(draft: Draft | None, task: TaskReport, runs: Sequence[Run]) -> Iterator[Spool | None]:
    """A scratch file for a task's samples; None without a draft."""
    if draft is None:
        yield None
        return
    path = draft.scratch / "samples"
    with open(path, "w+b") as file:
        yield Spool(file, task, runs)
    path.unlink()


def unparsed(sample: Aligned, runs: Sequence[Run]) -> list[tuple[int, str, str, str]]:
    """Unparsed answers of a sample: its number, the run, the filter and the answer."""
    return [
        (sample.number, run.letter, name, cut(" | ".join(texts_of(row["answers"])), 200))
        for run, row in zip(runs, sample.rows, strict=True)
        for name in row["unparsed"]
    ]


def texts_of(answers: Sequence[dict[str, object]]) -> list[str]:
    """The answers' texts, or the codes of their reasons."""
    return [str(answer.get("text", answer.get("code", ""))) for answer in answers]


def write(draft: Draft, runs: Runs) -> Comparison:
    """Compare and write all files (the stage's payload)."""
    compared = [runs.compare(name, draft, place) for place, name in enumerate(runs.tasks())]
    comparison = runs.judged([each.task for each in compared])
    links = {each.task.name: f"samples/{each.pages[0]}" for each in compared if each.pages}
    failed = [answer for each in compared for answer in each.unparsed][:MOST_UNPARSED]
    costs = [cost_text(report) for report in runs.reports]
    write_text(draft.file("index.html"), index_page(comparison, links, failed, costs))
    write_json(draft.file("compare.json"), to_json(comparison))
    write_text(draft.file("compare.md"), to_markdown(comparison))
    write_text(draft.file("compare.xml"), to_junit(comparison))
    counts = {word: len(comparison.verdicts(word)) for word in ("better", "worse")}
    draft.numbers |= {"runs": len(runs.known), "comparisons": comparison.comparisons} | counts
    return comparison


def cost_text(report: Report) -> str:
    """The cost of a run: `1,200 requests, 34,000 tokens, 12 s`."""
    cost = report.cost
    price = "" if cost.price is None else f", {cost.price:.4g} paid"
    tokens = cost.tokens + cost.prompt_tokens
    return f"{cost.requests:,} requests, {tokens:,} tokens, {report.seconds:,.0f} s{price}"
