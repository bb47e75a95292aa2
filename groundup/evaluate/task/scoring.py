"""The answers to one question of a YAML task, filtered and turned into its numbers."""

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
    """How a task's answers are scored."""

    file: Path
    settings: TaskSettings
    reader: Reader
    measured: Sequence[Measured]
    pipelines: Sequence[Pipeline]

    def score(self, item: Item, answers: Sequence[Asked]) -> Scored:
        """The numbers of one question by every filter; a Reason for all if an answer failed."""
        failed = next((each for each in answers if isinstance(each, Reason)), None)
        scored, unparsed = Scored({}, {}, {}), []
        for pipeline in self.pipelines:
            values: Values = {one.name: failed for one in self.measured}
            if failed is None and self.settings.output_type == "generate_until":
                texts = [each.text for each in answers if isinstance(each, Completion)]
                filtered = pipeline(texts, item.document)
                unparsed += [] if filtered.parsed else [pipeline.name]
                scored.filtered[pipeline.name] = readable(filtered.value)
                values = self.of_text(item, filtered)
            elif failed is None:
                asked = [each for each in answers if isinstance(each, Likelihood)]
                values = self.of_likelihoods(item, asked)
            for name, value in values.items():
                key = score_key(name, pipeline.name)
                (scored.undefined if isinstance(value, Reason) else scored.scores)[key] = value
        return scored._replace(unparsed=tuple(unparsed))

    def of_likelihoods(self, item: Item, asked: Sequence[Likelihood]) -> Values:
        """The numbers of a question that was answered by likelihoods."""
        names, kind = [one.name for one in self.measured], self.settings.output_type
        if self.settings.process_results is not None:
            both = [(each.logprob, each.is_greedy) for each in asked]
            is_whole = kind == "loglikelihood_rolling"
            return self.by_code(item, [each.logprob for each in asked] if is_whole else both)
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
        """The numbers of a question that was answered by a text."""
        if self.settings.process_results is not None:
            return self.by_code(item, [filtered.value])
        gold, values = self.right_text(item, filtered.value), {}
        for one in self.measured:
            if isinstance(gold, Reason):
                values[one.name] = gold
            elif one.code is None:
                values[one.name] = score_text(one.name, filtered.value, gold, one.options)
            else:
                values |= self.by_metric(one, one.code, filtered.value, gold)
        return values

    def right_text(self, item: Item, answer: Any) -> Any:
        """The right answer in the form of the model's: an option by its index, a number as text."""
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
        """What process_results makes of the answers.

        Numbers that metric_list does not name stay with the sample and are not added up.
        """
        code = self.settings.process_results
        assert code is not None, "called for tasks with process_results alone"
        try:
            found = code.call(deepcopy(item.document), results)
        except Exception as error:  # the task's own code may raise anything
            return dict.fromkeys((one.name for one in self.measured), failure(code, error))
        if not isinstance(found, Mapping):
            raise DataError(f"{self.file}: {code.name} must return numbers by name; got {found!r}.")
        names = {one.name for one in self.measured}
        values = {key: jsonable(value) for key, value in found.items() if key not in names}
        missing = Reason("no_number", f"{code.name} gave no such number.")
        for one in self.measured:
            value = found.get(one.name)
            values[one.name] = missing if value is None else converted(value, one.aggregation)
        return values

    def by_metric(self, one: Measured, code: Code, answer: Any, gold: Any) -> Values:
        """What a metric of the task's own code says; of several right answers any will do."""
        golds = gold if isinstance(gold, list) else [gold]
        try:
            found = [called(code, each, answer, one.options) for each in golds]
        except Exception as error:  # the task's own code may raise anything
            return {one.name: failure(code, error)}
        if isinstance(gold, list):
            hits = [f.get(one.name) if isinstance(f, Mapping) else f for f in found]
            return {one.name: float(any(hits))}
        if not isinstance(found[0], Mapping):
            return {one.name: converted(found[0], one.aggregation)}
        inner = dict(found[0])
        value = inner.get(one.name, next(iter(inner.values())) if len(inner) == 1 else None)
        others = {str(key): jsonable(v) for key, v in inner.items() if key != one.name}
        return others | {one.name: converted(value, one.aggregation)}


def called(code: Code, gold: Any, answer: Any, options: Mapping[str, Any]) -> Any:
    """A task's own metric, called by names as lm-eval does, else with both in a list."""
    try:
        return code.call(references=[gold], predictions=[answer], **options)
    except TypeError:
        return code.call([gold, answer])


def failure(code: Code, error: Exception) -> Reason:
    """Why the task's own code gave no number."""
    said = record.one_line(f"{type(error).__name__}: {error}")
    return Reason("task_code_failed", f"{code.name}: {said}")


def readable(value: Any) -> str | list[str]:
    """What a filter made of the answers, as text."""
    return [str(each) for each in value] if isinstance(value, list) else str(value)
