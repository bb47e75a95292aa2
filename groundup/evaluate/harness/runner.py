"""Running tasks on a model: send the requests without a stored answer, score, aggregate.

Items are processed in slices and written to samples/TASK.jsonl, so memory holds one slice and a
column of values per measure. Every answer is stored as it arrives; after a kill the same command
sends only the remaining requests. Equal requests are sent once. A sample without a score has a
Reason, and the report counts them by code. A finished answer without text is scored as the empty
text, which is wrong, and counted.
"""

import hashlib
import json
import math
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import IO, Any

from groundup.core import Completion, DataError, Draft, Reason, RunStopped, TextModel, record
from groundup.generate import TRANSIENT_CODES
from groundup.measure import Interval

from ..task.aggregate import aggregate, aggregate_groups
from ..task.task import (
    EvaluationTask,
    ItemScores,
    Response,
    TaskGroup,
    TaskItem,
    TaskMeasure,
    prompt_text,
)
from .answer_cache import AnswerCache, ModelRequest, build_requests, response_to_json
from .report import (
    EQUALLY_WEIGHTED,
    WEIGHTED_BY_SIZE,
    EvaluationCost,
    GroupReport,
    MeasureReport,
    TaskReport,
    samples_file,
)

MAX_SHOWN = 3
"""Samples that a dry run shows."""
SLICE_SIZE = 2048
"""Items in memory at a time."""
STOPPED_CODES = ("stopped", "budget")
"""Reason codes of an endpoint that sends nothing more: the run sampling and can be resumed."""

NO_TEXT_CODES = ("no_text", "content_filter", "tool_calls", "too_large")
"""Reason codes of finished answers without readable text."""


class TaskRunner:
    """Runs tasks on a model."""

    def __init__(self, model: TextModel, cache: AnswerCache, *, confidence: float = 0.95) -> None:
        self.model, self.cache, self.confidence = model, cache, confidence
        self.num_sent = self.num_requests = 0
        self.transient_failures: Counter[str] = Counter()
        """Requests that failed for a transient reason, by message."""
        self.last_price = self.price

    @property
    def price(self) -> float:
        """The model's price so far; 0 without prices."""
        return getattr(getattr(self.model, "cost", None), "price", None) or 0.0

    def cost(self) -> EvaluationCost:
        """The cost of the run, including the part before it was resumed."""
        spent, priced = self.cache.totals, getattr(self.model, "cost", None)
        price = None if getattr(priced, "price", None) is None else spent.price
        cached = self.num_requests - self.num_sent
        return EvaluationCost(spent.requests, spent.prompt_tokens, spent.tokens, cached, price)

    def run(self, task: EvaluationTask, draft: Draft, limit: int | None = None) -> TaskReport:
        """Score a task's items and write their rows.

        Raises DataError for a task without items or with a duplicate id, RunStopped if the model
        cannot answer further requests.
        """
        tally, items = TaskAccumulator(task), iter(task.items(self.model, limit))
        first = list(islice(items, SLICE_SIZE))
        if not first:
            raise DataError(f"The task {task.name} has no samples; check its data and limit.")
        total = len(first)
        if total == SLICE_SIZE:
            total = sum(1 for _ in task.items(self.model, limit))
        with (
            open(draft.file(samples_file(task.name)), "w", encoding="utf-8") as file,
            record.progress(task.name, total, "samples") as bar,
        ):
            for slice_ in chain([first], _slices(items)):
                self.score(task, slice_, tally, file, bar)
        return tally.report(self.confidence)

    def score(
        self,
        task: EvaluationTask,
        items: Sequence[TaskItem],
        tally: "TaskAccumulator",
        file: IO[str],
        bar: record.ProgressReporter,
    ) -> None:
        """Request and score one slice."""
        requests_by_item = [
            list(build_requests(task.kind, item.prompt, item.pairs, task.sampling, task.repeats))
            for item in items
        ]
        answers = self.answers(task, requests_by_item, bar)
        for item, requests in zip(items, requests_by_item, strict=True):
            responses = [answers[each.key] for each in requests]
            scored_answers = [_scored_answer(task, each) for each in responses]
            scored = _finite_scores(task, item, scored_answers)
            tally.add(item, scored, is_silent=all(map(_is_blank, scored_answers)))
            file.write(json.dumps(_sample_row(item, responses, scored), ensure_ascii=False) + "\n")
        file.flush()

    def answers(
        self,
        task: EvaluationTask,
        requests_by_item: Sequence[Sequence[ModelRequest]],
        bar: record.ProgressReporter,
    ) -> dict[str, Response]:
        """Answers by key: stored ones, and the model's to the others."""
        waits = SampleProgress(requests_by_item, bar)
        unique = {each.key: each for requests in requests_by_item for each in requests}
        found: dict[str, Response] = {}
        for key in unique:
            if (stored := self.cache.get(key)) is not None:
                found[key] = stored
                waits.answered(key)
        self.num_requests += len(unique)
        pending = [each for key, each in unique.items() if key not in found]
        for key, answer in self.send(task, pending):
            found[key] = answer
            waits.answered(key, self.cache.totals.price)
        return found

    def send(
        self, task: EvaluationTask, requests: Sequence[ModelRequest]
    ) -> Iterator[tuple[str, Response]]:
        """Send requests; store and yield the answers as they arrive."""
        for batch in _group_by_stops(requests):
            for index, answer in self.call_model(task, batch):
                if isinstance(answer, Reason) and answer.code in STOPPED_CODES:
                    raise RunStopped(
                        f"{answer.message} {len(self.cache)} answers are stored; fix the "
                        "cause and run the same command again."
                    )
                self.num_sent += 1
                if isinstance(answer, Reason) and answer.code in TRANSIENT_CODES:
                    self.transient_failures[f"{answer.code}: {answer.message}"] += 1
                price, self.last_price = self.price - self.last_price, self.price
                self.cache.put(batch[index].key, answer, price)
                yield batch[index].key, answer

    def check_answered(self) -> None:
        """Raise RunStopped if a request failed for a transient reason."""
        if not self.transient_failures:
            return
        (why, _), lost = self.transient_failures.most_common(1)[0], self.transient_failures.total()
        raise RunStopped(
            f"{lost:,} of {self.num_requests:,} requests have no answer, most often {why}. "
            f"{len(self.cache):,} answers are stored; fix the cause and run the same command "
            "again for the others (--set accept_failures=true reports without them)."
        )

    def call_model(
        self, task: EvaluationTask, requests: Sequence[ModelRequest]
    ) -> Iterator[tuple[int, Response]]:
        """The model's replies to requests of one kind."""
        asked: list[Any] = [each.prompt for each in requests]
        if task.kind == "generate_until":
            assert requests[0].sampling is not None
            return self.model.complete(asked, requests[0].sampling)
        if task.kind == "loglikelihood_rolling":
            return self.model.rolling(asked)
        return self.model.loglikelihood(asked)


class SampleProgress:
    """Progress by samples: a sample is done once all its answers have arrived."""

    def __init__(
        self, requests_by_item: Sequence[Sequence[ModelRequest]], bar: record.ProgressReporter
    ) -> None:
        self.remaining = [len({each.key for each in requests}) for requests in requests_by_item]
        self.samples: dict[str, list[int]] = {}
        self.bar = bar
        for sample, requests in enumerate(requests_by_item):
            for key in {each.key for each in requests}:
                self.samples.setdefault(key, []).append(sample)
        bar.advance(self.remaining.count(0))

    def answered(self, key: str, price: float = 0.0) -> None:
        """Count one answer."""
        for sample in self.samples[key]:
            self.remaining[sample] -= 1
            if not self.remaining[sample]:
                self.bar.advance(1, **({"price": price} if price else {}))


def _slices(items: Iterator[TaskItem]) -> Iterator[list[TaskItem]]:
    while slice_ := list(islice(items, SLICE_SIZE)):
        yield slice_


def _group_by_stops(requests: Sequence[ModelRequest]) -> list[list[ModelRequest]]:
    """Group requests with equal stop criteria, which one call can send."""
    groups: dict[str, list[ModelRequest]] = {}
    for each in requests:
        groups.setdefault(repr(each.sampling), []).append(each)
    return list(groups.values())


def _scored_answer(task: EvaluationTask, answer: Response) -> Response:
    """Replace an answer without text by the empty text, unless the task's `silence` is
    "undefined"."""
    is_silent = isinstance(answer, Reason) and answer.code in NO_TEXT_CODES
    if is_silent and getattr(task, "silence", "wrong") == "wrong":
        return Completion("", "stop", 0, 0)
    return answer


def _is_blank(answer: Response) -> bool:
    return isinstance(answer, Completion) and not any(
        sign.isprintable() and sign != " " for sign in answer.text
    )


def _finite_scores(task: EvaluationTask, item: TaskItem, answers: Sequence[Response]) -> ItemScores:
    scored = task.score(item, answers)
    scores, undefined = dict(scored.scores), dict(scored.undefined)
    for key, value in scored.scores.items():
        if not _is_finite(value):
            del scores[key]
            undefined[key] = Reason("not_finite", f"{key} is {value}.")
    return scored._replace(scores=scores, undefined=undefined)


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return all(map(_is_finite, value)) if isinstance(value, list | tuple) else True


def _sample_row(item: TaskItem, answers: Sequence[Response], scored: ItemScores) -> dict[str, Any]:
    return {
        "id": item.id,
        "group": item.group,
        "prompt": item.prompt,
        "options": [pair.continuation for pair in item.pairs],
        "target": item.target,
        "answers": [response_to_json(answer) for answer in answers],
        "filtered": scored.filtered,
        "scores": scored.scores,
        "undefined": {key: reason._asdict() for key, reason in scored.undefined.items()},
        "unparsed": list(scored.unparsed),
        "document": item.document,
    }


class MeasureValues:
    """The values of one measure: packed floats (one or two per sample), or JSON values."""

    def __init__(self) -> None:
        self.numbers, self.width = array("d"), 0
        self.others: list[Any] = []
        self.samples = array("L")
        """Index of the sample of each value."""
        self.reasons: Counter[str] = Counter()

    def add(self, sample: int, value: Any) -> None:
        """Append a sample's value."""
        parts = value if isinstance(value, list | tuple) else [value]
        is_numeric = all(isinstance(part, float | int) for part in parts)
        if not self.samples:
            self.width = len(parts) if is_numeric and len(parts) <= 2 else 0
        self.samples.append(sample)
        if self.width:
            self.numbers.extend(map(float, parts))
        else:
            self.others.append(value)

    def values(self) -> list[Any]:
        """The values as the task returned them."""
        if self.width == 2:
            pairs = iter(self.numbers)
            return [list(pair) for pair in zip(pairs, pairs, strict=True)]
        return list(self.numbers) if self.width else self.others


class TaskAccumulator:
    """Accumulates a task's results: columns of values and counts, no samples."""

    def __init__(self, task: EvaluationTask) -> None:
        self.task, self.hash = task, hashlib.sha256()
        self.groups: list[str] = []
        self.ids: set[str] = set()
        self.columns = {measure.key: MeasureValues() for measure in task.measures}
        self.unparsed: Counter[str] = Counter()
        self.unanswered = 0

    def add(self, item: TaskItem, scored: ItemScores, *, is_silent: bool = False) -> None:
        """Add one sample; DataError if its id is a duplicate.

        is_silent  whether none of its answers has any text
        """
        if item.id in self.ids:
            raise DataError(f"The task {self.task.name} has the id {item.id!r} twice.")
        self.ids.add(item.id)
        content = [item.id, item.prompt, [list(pair) for pair in item.pairs], item.target]
        self.hash.update(json.dumps(content, sort_keys=True).encode() + b"\n")
        self.unparsed.update(scored.unparsed)
        self.unanswered += is_silent
        for key, column in self.columns.items():
            if key in scored.scores:
                column.add(len(self.groups), scored.scores[key])
            else:
                reason = scored.undefined.get(key)
                column.reasons[reason.code if reason else "not_scored"] += 1
        self.groups.append(item.group)

    def report(self, confidence: float) -> TaskReport:
        """The task's results."""
        task = self.task
        measures = tuple(self.measure_report(each, confidence) for each in task.measures)
        return TaskReport(
            task.name, task.kind, task.version, task.signature, self.hash.hexdigest(),
            len(self.groups), measures,
        )  # fmt: skip

    def measure_report(self, measure: TaskMeasure, confidence: float) -> MeasureReport:
        """One measure with its interval and counts."""
        column = self.columns[measure.key]
        groups = [self.groups[sample] for sample in column.samples]
        own = getattr(self.task, "functions", None)
        result = aggregate(measure, column.values(), groups, confidence, own)
        undefined, reasons = column.reasons.total(), dict(column.reasons)
        return MeasureReport(
            *measure, result, len(column.samples), undefined, reasons,
            self.unparsed[measure.filter], self.unanswered,
        )  # fmt: skip


def report_groups(
    opened: Sequence[EvaluationTask | TaskGroup], reports: Sequence[TaskReport]
) -> tuple[GroupReport, ...]:
    """The results of every group, outer ones first."""
    results: dict[str, dict[str, Interval | Reason]] = {
        task.name: {each.key: each.result for each in task.measures} for task in reports
    }
    groups = []
    for group in opened:
        if not isinstance(group, TaskGroup):
            continue
        by_name = {task.name: task for task in reports}
        measures = []
        for summary in aggregate_groups(group, results):
            of_tasks = [
                m
                for name in summary.tasks
                for m in by_name[name].measures
                if (m.name, m.filter) == (summary.name, summary.filter)
            ]
            if not of_tasks:
                continue
            aggregation = WEIGHTED_BY_SIZE if summary.weight_by_size else EQUALLY_WEIGHTED
            first = of_tasks[0]._replace(result=summary.result, aggregation=aggregation)
            reasons = sum((Counter(m.reasons) for m in of_tasks), Counter())
            measures.append(first._replace(
                n_scored=sum(m.n_scored for m in of_tasks), reasons=dict(reasons),
                n_undefined=reasons.total(), unparsed=sum(m.unparsed for m in of_tasks),
                unanswered=sum(m.unanswered for m in of_tasks),
            ))  # fmt: skip
        names = tuple(task.name for task in group.tasks())
        groups += [GroupReport(group.name, names, tuple(measures))]
        groups += report_groups(group.members, reports)
    return tuple(groups)


def describe_requests(task: EvaluationTask, model: TextModel | None, limit: int | None) -> str:
    """Describe what would be requested: the counts, and the first samples in full."""
    samples, requests, lines = 0, 0, list[str]()
    for item in task.items(model, limit):
        item_requests = list(
            build_requests(task.kind, item.prompt, item.pairs, task.sampling, task.repeats)
        )
        samples, requests = samples + 1, requests + len(item_requests)
        if samples <= MAX_SHOWN:
            lines.append(f"--- {item.id}, right: {json.dumps(item.target, ensure_ascii=False)}")
            lines.append(item.pairs[0].context if item.pairs else prompt_text(item.prompt))
            lines += [f"  [{i}] {pair.continuation!r}" for i, pair in enumerate(item.pairs)]
    head = f"{task.name}: {samples} samples, {requests} requests, {task.kind}, {task.signature}"
    return "\n".join([head, *lines])
