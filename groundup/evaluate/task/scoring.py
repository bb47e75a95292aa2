"""Filtering and scoring the answers to one question of a YAML task."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.core import Completion, DataError, Likelihood, Reason, record

from .code import Code
from .filters import Filtered, Pipeline
from .measures import Measured
from .metrics import (
    Options,
    Values,
    converted,
    right_options,
    score_likelihood,
    score_options,
    score_rolling,
    score_text,
)
from .rows import jsonable
from .settings import TaskSettings
from .task import Asked, Item, Scored, score_key
from .template import Reader


@dataclass(frozen=True)
class Scoring:
    """Scores a task's answers."""

    file: Path
    settings: TaskSettings
    reader: Reader
    measured: Sequence[Measured]
    pipelines: Sequence[Pipeline]

    def score(self, item: Item, answers: Sequence[Asked]) -> Scored:
        """The scores of one question for every filter; a Reason for all if a request failed."""
        failed = next((each for each in answers if isinstance(each, Reason)), None)
        scored, unparsed = Scored({}, {}, {}), []
        for pipeline in self.pipelines:
            values: Values = {metric.name: failed for metric in self.measured}
            if failed is None and self.settings.output_type == "generate_until":
                texts = [each.text for each in answers if isinstance(each, Completion)]
                filtered = pipeline(texts, item.document)
                unparsed += [] if filtered.parsed else [pipeline.name]
                scored.filtered[pipeline.name] = readable(filtered.value)
                values = self.of_text(item, filtered)
            elif failed is None:
                likelihoods = [each for each in answers if isinstance(each, Likelihood)]
                values = self.of_likelihoods(item, likelihoods)
            for name, value in values.items():
                key = score_key(name, pipeline.name)
                (scored.undefined if isinstance(value, Reason) else scored.scores)[key] = value
        return scored._replace(unparsed=tuple(unparsed))

    def of_likelihoods(self, item: Item, asked: Sequence[Likelihood]) -> Values:
        """The scores of likelihoods."""
        names, kind = [metric.name for metric in self.measured], self.settings.output_type
        if self.settings.process_results is not None:
            both = [(each.logprob, each.is_greedy) for each in asked]
            is_rolling = kind == "loglikelihood_rolling"
            return self.by_code(item, [each.logprob for each in asked] if is_rolling else both)
        if kind == "loglikelihood":
            return score_likelihood(names, asked[0])
        if kind == "loglikelihood_rolling":
            return score_rolling(names, asked[0], item.prompt)
        texts = self.reader.choices(self.settings.doc_to_choice, item.document)
        gold = right_options(item.target, texts)
        if isinstance(gold, Reason):
            return dict.fromkeys(names, gold)
        return score_options(names, Options(texts, asked, gold))

    def of_text(self, item: Item, filtered: Filtered) -> Values:
        """The scores of a generated text."""
        if self.settings.process_results is not None:
            return self.by_code(item, [filtered.value])
        gold, values = self.right_text(item, filtered.value), {}
        for metric in self.measured:
            if isinstance(gold, Reason):
                values[metric.name] = gold
            elif metric.code is None:
                values[metric.name] = score_text(metric.name, filtered.value, gold, metric.options)
            else:
                values |= self.by_metric(metric, metric.code, filtered.value, gold)
        return values

    def right_text(self, item: Item, answer: Any) -> Any:
        """The target in the answer's form: an option for an index, a text for a number."""
        gold = item.target
        if self.settings.doc_to_choice is not None:
            choices = self.reader.choices(self.settings.doc_to_choice, item.document)
            index = right_options(gold, choices)
            return choices[index] if isinstance(index, int) else index
        if isinstance(gold, list) or isinstance(answer, list) or type(gold) is type(answer):
            return gold
        try:
            return type(answer)(gold)
        except (TypeError, ValueError):
            return gold

    def by_code(self, item: Item, results: list[Any]) -> Values:
        """The scores of process_results; those not in metric_list are stored but not aggregated."""
        code = self.settings.process_results
        assert code is not None, "called only for tasks with process_results"
        try:
            returned = code.call(deepcopy(item.document), results)
        except Exception as error:  # the task's own code may raise anything
            return dict.fromkeys((metric.name for metric in self.measured), failure(code, error))
        if not isinstance(returned, Mapping):
            raise DataError(f"{self.file}: {code.name} must return a dictionary; got {returned!r}.")
        names = {metric.name for metric in self.measured}
        values = {key: jsonable(value) for key, value in returned.items() if key not in names}
        missing = Reason("no_number", f"{code.name} did not return it.")
        for metric in self.measured:
            value = returned.get(metric.name)
            values[metric.name] = missing if value is None else converted(value, metric.aggregation)
        return values

    def by_metric(self, one: Measured, code: Code, answer: Any, gold: Any) -> Values:
        """The score of the task's own metric; with several targets any match counts."""
        golds = gold if isinstance(gold, list) else [gold]
        try:
            returned = [called(code, each, answer, one.options) for each in golds]
        except Exception as error:  # the task's own code may raise anything
            return {one.name: failure(code, error)}
        if isinstance(gold, list):
            hits = [f.get(one.name) if isinstance(f, Mapping) else f for f in returned]
            return {one.name: float(any(hits))}
        if not isinstance(returned[0], Mapping):
            return {one.name: converted(returned[0], one.aggregation)}
        inner = dict(returned[0])
        value = inner.get(one.name, next(iter(inner.values())) if len(inner) == 1 else None)
        others = {str(key): jsonable(v) for key, v in inner.items() if key != one.name}
        return others | {one.name: converted(value, one.aggregation)}


def called(code: Code, gold: Any, answer: Any, options: Mapping[str, Any]) -> Any:
    """Call a task's own metric by keywords as lm-eval does, else with both in a list."""
    try:
        return code.call(references=[gold], predictions=[answer], **options)
    except TypeError:
        return code.call([gold, answer])


def failure(code: Code, error: Exception) -> Reason:
    """The Reason of an exception in the task's own code."""
    message = record.one_line(f"{type(error).__name__}: {error}")
    return Reason("task_code_failed", f"{code.name}: {message}")


def readable(value: Any) -> str | list[str]:
    """A filter's output as text."""
    return [str(each) for each in value] if isinstance(value, list) else str(value)
