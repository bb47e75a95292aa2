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
from typing import IO, Any, NamedTuple

from groundup.core import (
    Completion,
    DataError,
    Draft,
    GroundupError,
    Reason,
    TextModel,
    record,
)
from groundup.generate import MAY_PASS
from groundup.measure import Interval

from ..task.aggregate import aggregate
from ..task.group import summarise
from ..task.prompt import prompt_text
from ..task.task import Asked, Group, Item, Measure, Scored, Task
from .answers import Answers, Request, requests_of
from .report import BY_SIZE, EACH_ONCE, Cost, GroupReport, MeasureReport, TaskReport, samples_file

SLICE = 2048
"""Items in memory at a time."""
NOT_SENT = ("stopped", "budget")
"""Reason codes of an endpoint that sends nothing more: the run stops and can be resumed."""

SILENT = ("no_text", "content_filter", "tool_calls", "too_large")
"""Reason codes of finished answers without readable text."""


class RunStopped(GroundupError):
    """The model cannot answer further requests; its answers so far are stored."""


class Known(NamedTuple):
    """The caches of answers."""

    own: Answers
    """Every answer of this run."""
    shared: Answers | None = None
    """Answers shared with other runs of the same model."""

    def get(self, key: str) -> Asked | None:
        """A stored answer, or None."""
        answer = self.own.get(key)
        return self.shared.get(key) if answer is None and self.shared is not None else answer

    def put(self, key: str, answer: Asked, price: float) -> None:
        """Store an answer."""
        self.own.put(key, answer, price)
        if self.shared is not None:
            self.shared.put(key, answer, price)


class Runner:
    """Runs tasks on a model."""

    def __init__(self, model: TextModel, known: Known, *, confidence: float = 0.95) -> None:
        self.model, self.known, self.confidence = model, known, confidence
        self.asked = self.answered = 0
        self.failed: Counter[str] = Counter()
        """Requests that failed for a transient reason, by message."""
        self.paid = self.price

    @property
    def price(self) -> float:
        """The model's price so far; 0 without prices."""
        return getattr(getattr(self.model, "cost", None), "price", None) or 0.0

    def cost(self) -> Cost:
        """The cost of the run, including the part before it was resumed."""
        spent, priced = self.known.own.spent, getattr(self.model, "cost", None)
        price = None if getattr(priced, "price", None) is None else spent.price
        cached = self.answered - self.asked
        return Cost(spent.requests, spent.prompt_tokens, spent.tokens, cached, price)

    def run(self, task: Task, draft: Draft, limit: int | None = None) -> TaskReport:
        """Score a task's items and write their rows.

        Raises DataError for a task without items or with a duplicate id, RunStopped if the model
        cannot answer further requests.
        """
        tally, items = Tally(task), iter(task.items(self.model, limit))
        first = list(islice(items, SLICE))
        if not first:
            raise DataError(f"The task {task.name} has no samples; check its data and limit.")
        total = len(first)
        if total == SLICE:
            total = sum(1 for _ in task.items(self.model, limit))
        with (
            open(draft.file(samples_file(task.name)), "w", encoding="utf-8") as file,
            record.progress(task.name, total, "samples") as bar,
        ):
            for slice_ in chain([first], sliced(items)):
                self.score(task, slice_, tally, file, bar)
        return tally.report(self.confidence)

    def score(
        self, task: Task, items: Sequence[Item], tally: "Tally", file: IO[str],
        bar: record.Progress,
    ) -> None:  # fmt: skip
        """Request and score one slice."""
        requests_by_item = [
            list(requests_of(task.kind, item.prompt, item.pairs, task.stops, task.repeats))
            for item in items
        ]
        answers = self.answers(task, requests_by_item, bar)
        for item, requests in zip(items, requests_by_item, strict=True):
            responses = [answers[each.key] for each in requests]
            scored_answers = [spoken(task, each) for each in responses]
            scored = score_of(task, item, scored_answers)
            tally.add(item, scored, is_silent=all(map(says_nothing, scored_answers)))
            file.write(json.dumps(row_of(item, responses, scored), ensure_ascii=False) + "\n")
        file.flush()

    def answers(
        self, task: Task, asked: Sequence[Sequence[Request]], bar: record.Progress
    ) -> dict[str, Asked]:
        """Answers by key: stored ones, and the model's to the others."""
        waits = Waits(asked, bar)
        unique = {each.key: each for requests in asked for each in requests}
        found: dict[str, Asked] = {}
        for key in unique:
            if (stored := self.known.get(key)) is not None:
                found[key] = stored
                waits.answered(key)
        self.answered += len(unique)
        pending = [each for key, each in unique.items() if key not in found]
        for key, answer in self.ask(task, pending):
            found[key] = answer
            waits.answered(key, self.known.own.spent.price)
        return found

    def ask(self, task: Task, waiting: Sequence[Request]) -> Iterator[tuple[str, Asked]]:
        """Send requests; store and yield the answers as they arrive."""
        for batch in alike(waiting):
            for index, answer in self.replies(task, batch):
                if isinstance(answer, Reason) and answer.code in NOT_SENT:
                    raise RunStopped(
                        f"{answer.message} {len(self.known.own)} answers are stored; fix the "
                        "cause and run the same command again."
                    )
                self.asked += 1
                if isinstance(answer, Reason) and answer.code in MAY_PASS:
                    self.failed[f"{answer.code}: {answer.message}"] += 1
                price, self.paid = self.price - self.paid, self.price
                self.known.put(batch[index].key, answer, price)
                yield batch[index].key, answer

    def check_answered(self) -> None:
        """Raise RunStopped if a request failed for a transient reason."""
        if not self.failed:
            return
        (why, _), lost = self.failed.most_common(1)[0], self.failed.total()
        raise RunStopped(
            f"{lost:,} of {self.answered:,} requests have no answer, most often {why}. "
            f"{len(self.known.own):,} answers are stored; fix the cause and run the same command "
            "again for the others (--set accept_failures=true reports without them)."
        )

    def replies(self, task: Task, some: Sequence[Request]) -> Iterator[tuple[int, Asked]]:
        """The model's replies to requests of one kind."""
        asked: list[Any] = [each.asked for each in some]
        if task.kind == "generate_until":
            assert some[0].stops is not None
            return self.model.complete(asked, some[0].stops)
        if task.kind == "loglikelihood_rolling":
            return self.model.rolling(asked)
        return self.model.loglikelihood(asked)


class Waits:
    """Progress by samples: a sample is done once all its answers have arrived."""

    def __init__(self, asked: Sequence[Sequence[Request]], bar: record.Progress) -> None:
        self.left = [len({each.key for each in requests}) for requests in asked]
        self.samples: dict[str, list[int]] = {}
        self.bar = bar
        for sample, requests in enumerate(asked):
            for key in {each.key for each in requests}:
                self.samples.setdefault(key, []).append(sample)
        bar.advance(self.left.count(0))

    def answered(self, key: str, price: float = 0.0) -> None:
        """Count one answer."""
        for sample in self.samples[key]:
            self.left[sample] -= 1
            if not self.left[sample]:
                self.bar.advance(1, **({"price": price} if price else {}))


def sliced(items: Iterator[Item]) -> Iterator[list[Item]]:
    while slice_ := list(islice(items, SLICE)):
        yield slice_


def alike(requests: Sequence[Request]) -> list[list[Request]]:
    """Group requests with equal stop criteria, which one call can send."""
    groups: dict[str, list[Request]] = {}
    for each in requests:
        groups.setdefault(repr(each.stops), []).append(each)
    return list(groups.values())


def spoken(task: Task, answer: Asked) -> Asked:
    """Replace an answer without text by the empty text, unless the task's `silence` is
    "undefined"."""
    is_silent = isinstance(answer, Reason) and answer.code in SILENT
    if is_silent and getattr(task, "silence", "wrong") == "wrong":
        return Completion("", "stop", 0, 0)
    return answer


def says_nothing(answer: Asked) -> bool:
    """Whether an answer is a text without printable characters."""
    return isinstance(answer, Completion) and not any(
        sign.isprintable() and sign != " " for sign in answer.text
    )


def score_of(task: Task, item: Item, answers: Sequence[Asked]) -> Scored:
    """The task's scores, with a Reason for each that is not finite."""
    scored = task.score(item, answers)
    scores, undefined = dict(scored.scores), dict(scored.undefined)
    for key, value in scored.scores.items():
        if not is_finite(value):
            del scores[key]
            undefined[key] = Reason("not_finite", f"{key} is {value}.")
    return scored._replace(scores=scores, undefined=undefined)


def is_finite(value: Any) -> bool:
    """Whether no number in a JSON value is NaN or infinite."""
    if isinstance(value, float):
        return math.isfinite(value)
    return all(map(is_finite, value)) if isinstance(value, list | tuple) else True


def row_of(item: Item, answers: Sequence[Asked], scored: Scored) -> dict[str, Any]:
    """A sample as a row of samples/TASK.jsonl."""
    return {
        "id": item.id,
        "group": item.group,
        "prompt": item.prompt,
        "options": [pair.continuation for pair in item.pairs],
        "target": item.target,
        "answers": [answer._asdict() for answer in answers],
        "filtered": scored.filtered,
        "scores": scored.scores,
        "undefined": {key: reason._asdict() for key, reason in scored.undefined.items()},
        "unparsed": list(scored.unparsed),
        "document": item.document,
    }


class Column:
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


class Tally:
    """Accumulates a task's results: columns of values and counts, no samples."""

    def __init__(self, task: Task) -> None:
        self.task, self.hash = task, hashlib.sha256()
        self.groups: list[str] = []
        self.ids: set[str] = set()
        self.columns = {measure.key: Column() for measure in task.measures}
        self.unparsed: Counter[str] = Counter()
        self.unanswered = 0

    def add(self, item: Item, scored: Scored, *, is_silent: bool = False) -> None:
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
        return TaskReport(
            task.name, task.kind, task.version, task.signature, self.hash.hexdigest(),
            len(self.groups), tuple(self.measured(each, confidence) for each in task.measures),
        )  # fmt: skip

    def measured(self, measure: Measure, confidence: float) -> MeasureReport:
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


def group_reports(
    opened: Sequence[Task | Group], reports: Sequence[TaskReport]
) -> tuple[GroupReport, ...]:
    """The results of every group, outer ones first."""
    results: dict[str, dict[str, Interval | Reason]] = {
        task.name: {each.key: each.result for each in task.measures} for task in reports
    }
    groups = []
    for group in opened:
        if not isinstance(group, Group):
            continue
        by_name = {task.name: task for task in reports}
        measures = []
        for summary in summarise(group, results):
            of_tasks = [
                m
                for name in summary.tasks
                for m in by_name[name].measures
                if (m.name, m.filter) == (summary.name, summary.filter)
            ]
            if not of_tasks:
                continue
            aggregation = BY_SIZE if summary.weight_by_size else EACH_ONCE
            first = of_tasks[0]._replace(result=summary.result, aggregation=aggregation)
            reasons = sum((Counter(m.reasons) for m in of_tasks), Counter())
            measures.append(first._replace(
                n_scored=sum(m.n_scored for m in of_tasks), reasons=dict(reasons),
                n_undefined=reasons.total(), unparsed=sum(m.unparsed for m in of_tasks),
                unanswered=sum(m.unanswered for m in of_tasks),
            ))  # fmt: skip
        names = tuple(task.name for task in group.tasks())
        groups += [GroupReport(group.name, names, tuple(measures))]
        groups += group_reports(group.members, reports)
    return tuple(groups)


def dry(task: Task, model: TextModel | None, limit: int | None, shown: int = 3) -> str:
    """Describe what would be requested: the counts, and the first samples in full."""
    samples, requests, lines = 0, 0, list[str]()
    for item in task.items(model, limit):
        item_requests = list(
            requests_of(task.kind, item.prompt, item.pairs, task.stops, task.repeats)
        )
        samples, requests = samples + 1, requests + len(item_requests)
        if samples <= shown:
            lines.append(f"--- {item.id}, right: {json.dumps(item.target, ensure_ascii=False)}")
            lines.append(item.pairs[0].context if item.pairs else prompt_text(item.prompt))
            lines += [f"  [{i}] {pair.continuation!r}" for i, pair in enumerate(item.pairs)]
    head = f"{task.name}: {samples} samples, {requests} requests, {task.kind}, {task.signature}"
    return "\n".join([head, *lines])
