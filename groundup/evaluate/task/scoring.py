"""Filtering and scoring the answers to one question of a YAML task."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.core import Completion, DataError, Likelihood, Reason, record

from .code import TaskCode
from .dataset import to_json_values
from .filters import FilterOutput, FilterPipeline
from .metric_list import TaskMetric
from .metrics import (
    MetricValues,
    ScoredOptions,
    convert_value,
    correct_options,
    score_generated,
    score_likelihood,
    score_options,
    score_rolling,
)
from .settings import TaskSettings
from .task import ItemScores, Response, TaskItem, score_key
from .template import FieldReader


@dataclass(frozen=True)
class TaskScorer:
    """Scores a task's answers."""

    file: Path
    settings: TaskSettings
    reader: FieldReader
    metrics: Sequence[TaskMetric]
    pipelines: Sequence[FilterPipeline]

    def score(self, item: TaskItem, answers: Sequence[Response]) -> ItemScores:
        """The scores of one question for every filter; a Reason for all if a request failed."""
        failed = next((each for each in answers if isinstance(each, Reason)), None)
        scored, unparsed = ItemScores({}, {}, {}), []
        for pipeline in self.pipelines:
            values: MetricValues = {metric.name: failed for metric in self.metrics}
            if failed is None and self.settings.output_type == "generate_until":
                texts = [each.text for each in answers if isinstance(each, Completion)]
                filtered = pipeline(texts, item.document)
                unparsed += [] if filtered.parsed else [pipeline.name]
                scored.filtered[pipeline.name] = _output_text(filtered.value)
                values = self.score_generation(item, filtered)
            elif failed is None:
                likelihoods = [each for each in answers if isinstance(each, Likelihood)]
                values = self.score_likelihoods(item, likelihoods)
            for name, value in values.items():
                key = score_key(name, pipeline.name)
                (scored.undefined if isinstance(value, Reason) else scored.scores)[key] = value
        return scored._replace(unparsed=tuple(unparsed))

    def score_likelihoods(self, item: TaskItem, likelihoods: Sequence[Likelihood]) -> MetricValues:
        """The scores of likelihoods."""
        names, kind = [metric.name for metric in self.metrics], self.settings.output_type
        if self.settings.process_results is not None:
            both = [(each.logprob, each.is_greedy) for each in likelihoods]
            is_rolling = kind == "loglikelihood_rolling"
            return self.score_by_code(
                item, [each.logprob for each in likelihoods] if is_rolling else both
            )
        if kind == "loglikelihood":
            return score_likelihood(names, likelihoods[0])
        if kind == "loglikelihood_rolling":
            return score_rolling(names, likelihoods[0], item.prompt)
        texts = self.reader.choices(self.settings.doc_to_choice, item.document)
        gold = correct_options(item.target, texts)
        if isinstance(gold, Reason):
            return dict.fromkeys(names, gold)
        return score_options(names, ScoredOptions(texts, likelihoods, gold))

    def score_generation(self, item: TaskItem, filtered: FilterOutput) -> MetricValues:
        """The scores of a generated text."""
        if self.settings.process_results is not None:
            return self.score_by_code(item, [filtered.value])
        gold, values = self.target_text(item, filtered.value), {}
        for metric in self.metrics:
            if isinstance(gold, Reason):
                values[metric.name] = gold
            elif metric.code is None:
                values[metric.name] = score_generated(
                    metric.name, filtered.value, gold, metric.options
                )
            else:
                values |= self.score_by_metric(metric, metric.code, filtered.value, gold)
        return values

    def target_text(self, item: TaskItem, answer: Any) -> Any:
        """The target in the answer's form: an option for an index, a text for a number."""
        gold = item.target
        if self.settings.doc_to_choice is not None:
            choices = self.reader.choices(self.settings.doc_to_choice, item.document)
            index = correct_options(gold, choices)
            return choices[index] if isinstance(index, int) else index
        if isinstance(gold, list) or isinstance(answer, list) or type(gold) is type(answer):
            return gold
        try:
            return type(answer)(gold)
        except (TypeError, ValueError):
            return gold

    def score_by_code(self, item: TaskItem, results: list[Any]) -> MetricValues:
        """The scores of process_results; those not in metric_list are stored but not aggregated."""
        code = self.settings.process_results
        assert code is not None, "called only for tasks with process_results"
        try:
            returned = code.call(deepcopy(item.document), results)
        except Exception as error:  # the task's own code may raise anything
            return dict.fromkeys(
                (metric.name for metric in self.metrics), _code_failure(code, error)
            )
        if not isinstance(returned, Mapping):
            raise DataError(f"{self.file}: {code.name} must return a dictionary; got {returned!r}.")
        names = {metric.name for metric in self.metrics}
        values = {key: to_json_values(value) for key, value in returned.items() if key not in names}
        missing = Reason("no_number", f"{code.name} did not return it.")
        for metric in self.metrics:
            value = returned.get(metric.name)
            values[metric.name] = (
                missing if value is None else convert_value(value, metric.aggregation)
            )
        return values

    def score_by_metric(
        self, metric: TaskMetric, code: TaskCode, answer: Any, gold: Any
    ) -> MetricValues:
        """The score of the task's own metric; with several targets any match counts."""
        golds = gold if isinstance(gold, list) else [gold]
        try:
            returned = [_call_metric(code, each, answer, metric.options) for each in golds]
        except Exception as error:  # the task's own code may raise anything
            return {metric.name: _code_failure(code, error)}
        if isinstance(gold, list):
            hits = [f.get(metric.name) if isinstance(f, Mapping) else f for f in returned]
            return {metric.name: float(any(hits))}
        if not isinstance(returned[0], Mapping):
            return {metric.name: convert_value(returned[0], metric.aggregation)}
        inner = dict(returned[0])
        value = inner.get(metric.name, next(iter(inner.values())) if len(inner) == 1 else None)
        others = {str(key): to_json_values(v) for key, v in inner.items() if key != metric.name}
        return others | {metric.name: convert_value(value, metric.aggregation)}


def _call_metric(code: TaskCode, gold: Any, answer: Any, options: Mapping[str, Any]) -> Any:
    """Call a task's own metric by keywords as lm-eval does, else with both in a list."""
    try:
        return code.call(references=[gold], predictions=[answer], **options)
    except TypeError:
        return code.call([gold, answer])


def _code_failure(code: TaskCode, error: Exception) -> Reason:
    """The Reason of an exception in the task's own code."""
    message = record.single_line(f"{type(error).__name__}: {error}")
    return Reason("task_code_failed", f"{code.name}: {message}")


def _output_text(value: Any) -> str | list[str]:
    """A filter's output as text."""
    return [str(each) for each in value] if isinstance(value, list) else str(value)
