r"""Scoring the answers to one question of a YAML task: filters, then metrics.

    filter_list:
      - name: strict-match                       a pipeline; scores are reported under its name
        filter:
          - {function: regex, regex_pattern: "#### (-?[0-9.,]+)"}
          - {function: take_first}               of several answers to one question

A pipeline processes all answers to a question, so `take_first` ends it. A text without a match
becomes the filter's fallback, which is scored as it is, and is recorded as unparsed.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import Completion, ConfigError, DataError, Likelihood, Reason, digest, record

from .data import to_json_values
from .metrics import (
    MetricValues,
    ScoredOptions,
    TaskMetric,
    convert_value,
    correct_options,
    score_generated,
    score_likelihood,
    score_options,
    score_rolling,
)
from .settings import FieldReader, TaskSettings
from .task import ItemScores, Response, TaskItem, check_keys, score_key
from .yaml_files import TaskCode, did_you_mean

NUMBER_PATTERN = r"#### (\-?[0-9\.\,]+)"
"""The number after four hashes, as in GSM8K's answers."""
DEFAULT_FALLBACK = "[invalid]"
"""Default replacement of an answer that was not found."""


class ExtractedAnswer(NamedTuple):
    """An answer inside a pipeline."""

    value: Any
    """Usually a text; `map` may give anything."""
    parsed: bool = True
    """Whether every filter so far found a match."""


class FilterOutput(NamedTuple):
    """The output of a pipeline for one question."""

    value: Any
    """One answer, or a list without `take_first`."""
    parsed: bool
    """Whether an answer was found in any of the texts."""


FilterStep = Callable[[Sequence[ExtractedAnswer], Mapping[str, Any]], list[ExtractedAnswer]]


@dataclass(frozen=True)
class FilterPipeline:
    """A sequence of filters."""

    name: str
    steps: tuple[FilterStep, ...]
    takes_first: bool
    signature: str = ""

    def __call__(self, texts: Sequence[str], row: Mapping[str, Any]) -> FilterOutput:
        """Filter all answers to one question, of which `row` is the document."""
        answers = [ExtractedAnswer(text) for text in texts]
        for step in self.steps:
            answers = step(answers, row)
        values = [each.value for each in answers]
        return FilterOutput(
            values[0] if self.takes_first else values, any(f.parsed for f in answers)
        )


UNFILTERED = FilterPipeline("none", (), takes_first=True)


def read_filters(
    entries: Sequence[Mapping[str, Any]] | None, file: Path
) -> tuple[FilterPipeline, ...]:
    """The pipelines of a filter_list; without one, the first answer unfiltered.

    Raises ConfigError naming the file and the filter.
    """
    if not entries:
        return (UNFILTERED,)
    pipelines = tuple(_read_filter_pipeline(entry, file) for entry in entries)
    names = [pipeline.name for pipeline in pipelines]
    if len(set(names)) < len(names):
        raise ConfigError(
            f"{file}: filter_list uses the name {max(names, key=names.count)!r} twice."
        )
    return pipelines


def _read_filter_pipeline(entry: Mapping[str, Any], file: Path) -> FilterPipeline:
    if set(entry) != {"name", "filter"} or not isinstance(entry["filter"], list):
        raise ConfigError(
            f"{file}: filter_list needs `name` and a list `filter`; got {', '.join(entry)}."
        )
    functions = [step.get("function") for step in entry["filter"]]
    takes_one = bool(functions) and functions[-1] == "take_first"
    if "take_first" in functions[:-1]:
        raise ConfigError(
            f"{file}: in filter {entry['name']}, `take_first` must be last: it gives one text."
        )
    steps = tuple(
        _read_filter_step(step, file) for step in entry["filter"][: len(functions) - takes_one]
    )
    plain = [{key: str(value) for key, value in step.items()} for step in entry["filter"]]
    return FilterPipeline(str(entry["name"]), steps, takes_one, f"filter:{digest(plain)[:8]}")


def _read_filter_step(step: Mapping[str, Any], file: Path) -> FilterStep:
    name, options = step.get("function"), {k: v for k, v in step.items() if k != "function"}
    if not isinstance(name, str) or name in ("custom", "decontaminate"):
        raise ConfigError(f"{file}: custom filters are not supported; use {', '.join(FILTERS)}.")
    if name not in FILTERS:
        hint = did_you_mean(name, FILTERS) or f"; use {', '.join(FILTERS)}."
        raise ConfigError(f"{file}: there is no filter `{name}`{hint}")
    make, known = FILTERS[name]
    check_keys(options, known, f"{file}: the filter {name}")
    try:
        return make(**options)
    except (re.error, TypeError, ValueError) as error:
        raise ConfigError(f"{file}: the filter {name} is invalid ({error}).") from None


def _map_text(function: Callable[[str], str]) -> FilterStep:
    """A filter that changes each text; other values, from `map`, stay unchanged."""
    return lambda found, row: [
        f._replace(value=function(f.value)) if isinstance(f.value, str) else f for f in found
    ]


def _regex(
    regex_pattern: str = NUMBER_PATTERN, group_select: int = 0, fallback: str = DEFAULT_FALLBACK
) -> FilterStep:
    """A filter: the `group_select`th match of a pattern (its first filled group), else `fallback`.

    >>> step = _regex("([0-9]+)", group_select=-1)
    >>> step([ExtractedAnswer("6 or 7"), ExtractedAnswer("six")], {})
    [ExtractedAnswer(value='7', parsed=True), ExtractedAnswer(value='[invalid]', parsed=False)]
    """
    pattern = re.compile(regex_pattern)

    return lambda found, row: _replaced(
        found, [_select_match(pattern, each.value, group_select) for each in found], fallback
    )


def _replaced(
    found: Sequence[ExtractedAnswer], values: Sequence[Any], fallback: str
) -> list[ExtractedAnswer]:
    """The answers with new values, or the fallback where there is none."""
    return [
        ExtractedAnswer(fallback, False) if value is None else each._replace(value=value)
        for each, value in zip(found, values, strict=True)
    ]


def _select_match(pattern: re.Pattern[str], text: Any, select: int) -> str | None:
    matches = pattern.findall(text if isinstance(text, str) else "")
    if not -len(matches) <= select < len(matches):
        return None
    groups = matches[select] if isinstance(matches[select], tuple) else (matches[select],)
    filled = [group for group in groups if group] if isinstance(matches[select], tuple) else groups
    return filled[0].strip() if filled else None


def _multi_choice_regex(
    regex_pattern: str = NUMBER_PATTERN, group_select: int = 0, fallback: str = DEFAULT_FALLBACK, *,
    ignore_case: bool = False, ignore_punctuation: bool = False,
    regexes_to_ignore: Sequence[str] | None = None,
) -> FilterStep:  # fmt: skip
    """A filter: the letter `(B)` of an option of the row's `choices`.

    Looks for the pattern, then for the text of an option, then for `: B`; later ones only where
    earlier ones found nothing.
    """
    pattern = re.compile(regex_pattern)
    clean = partial(
        _strip_ignored, regexes=tuple(regexes_to_ignore or ()), case=ignore_case,
        punctuation=ignore_punctuation,
    )  # fmt: skip

    def apply(found: Sequence[ExtractedAnswer], row: Mapping[str, Any]) -> list[ExtractedAnswer]:
        letters = {chr(ord("A") + n): f"({chr(ord('A') + n)})" for n in range(len(row["choices"]))}
        named = {clean(c.strip()): f"({letter})"
                 for c, letter in zip(row["choices"], letters, strict=True)}  # fmt: skip
        longest = sorted((re.escape(name) for name in named), key=len, reverse=True)
        of_text, of_letter = "|".join(longest), rf":[\s]*({'|'.join(letters)})"

        def letter(text: Any) -> str | None:
            text = text if isinstance(text, str) else ""
            if value := _select_match(pattern, text, group_select):
                return value
            if value := _select_match(re.compile(of_text), clean(text), group_select):
                return named.get(value, value)
            value = _select_match(re.compile(of_letter), text, group_select)
            return letters.get(value, value) if value else None

        return _replaced(found, [letter(each.value) for each in found], fallback)

    return apply


def _strip_ignored(text: str, regexes: Sequence[str], case: bool, punctuation: bool) -> str:
    for expression in regexes:
        text = re.sub(expression, "", text)
    text = text.lower() if case else text
    return text.translate(_punctuation_table()) if punctuation else text


@cache
def _punctuation_table() -> dict[int, None]:
    """A translation table that deletes all Unicode punctuation."""
    signs = (n for n in range(0x110000) if unicodedata.category(chr(n)).startswith("P"))
    return dict.fromkeys(signs)


def _map_values(
    mapping_dict: Mapping[Any, Any] | None = None, default_value: Any = None
) -> FilterStep:
    """A filter: the text's value in a table, else `default_value`."""
    table = dict(mapping_dict or {})

    return lambda found, row: [
        f._replace(value=table[f.value])
        if f.value in table
        else ExtractedAnswer(default_value, False)
        for f in found
    ]


def _take_first_k(k: int) -> FilterStep:
    def apply(found: Sequence[ExtractedAnswer], row: Mapping[str, Any]) -> list[ExtractedAnswer]:
        if len(found) < k:
            raise ConfigError(f"take_first_k needs {k} answers; got {len(found)}: set `repeats`.")
        return list(found[:k])

    return apply


def _majority_vote() -> FilterStep:
    """A filter: the most frequent answer, the earliest of equally frequent ones.

    >>> _majority_vote()([ExtractedAnswer("a"), ExtractedAnswer("b"), ExtractedAnswer("b")], {})
    [ExtractedAnswer(value='b', parsed=True)]
    """

    def apply(found: Sequence[ExtractedAnswer], row: Mapping[str, Any]) -> list[ExtractedAnswer]:
        winner = Counter(f.value for f in found).most_common(1)[0][0]
        return [next(f for f in found if f.value == winner)]

    return apply


FILTERS: dict[str, tuple[Callable[..., FilterStep], tuple[str, ...]]] = {
    "regex": (_regex, ("regex_pattern", "group_select", "fallback")),
    "multi_choice_regex": (
        _multi_choice_regex,
        ("regex_pattern", "group_select", "fallback", "ignore_case", "ignore_punctuation",
         "regexes_to_ignore"),
    ),
    "remove_whitespace": (lambda: _map_text(str.strip), ()),
    "lowercase": (lambda: _map_text(str.lower), ()),
    "uppercase": (lambda: _map_text(str.upper), ()),
    "map": (_map_values, ("mapping_dict", "default_value")),
    "majority_vote": (_majority_vote, ()),
    "take_first_k": (_take_first_k, ("k",)),
    "take_first": (lambda: _map_text(str), ()),
}  # fmt: skip
"""Filters by lm-eval's names, with their options; the pipeline handles take_first."""


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
                values = self._score_generation(item, filtered)
            elif failed is None:
                likelihoods = [each for each in answers if isinstance(each, Likelihood)]
                values = self._score_likelihoods(item, likelihoods)
            for name, value in values.items():
                key = score_key(name, pipeline.name)
                (scored.undefined if isinstance(value, Reason) else scored.scores)[key] = value
        return scored._replace(unparsed=tuple(unparsed))

    def _score_likelihoods(self, item: TaskItem, likelihoods: Sequence[Likelihood]) -> MetricValues:
        names, kind = [metric.name for metric in self.metrics], self.settings.output_type
        if self.settings.process_results is not None:
            both = [(each.logprob, each.is_greedy) for each in likelihoods]
            is_rolling = kind == "loglikelihood_rolling"
            return self._score_by_code(
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

    def _score_generation(self, item: TaskItem, filtered: FilterOutput) -> MetricValues:
        if self.settings.process_results is not None:
            return self._score_by_code(item, [filtered.value])
        gold, values = self._target_text(item, filtered.value), {}
        for metric in self.metrics:
            if isinstance(gold, Reason):
                values[metric.name] = gold
            elif metric.code is None:
                values[metric.name] = score_generated(
                    metric.name, filtered.value, gold, metric.options
                )
            else:
                values |= self._score_by_metric(metric, metric.code, filtered.value, gold)
        return values

    def _target_text(self, item: TaskItem, answer: Any) -> Any:
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

    def _score_by_code(self, item: TaskItem, results: list[Any]) -> MetricValues:
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

    def _score_by_metric(
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
    message = record.single_line(f"{type(error).__name__}: {error}")
    return Reason("task_code_failed", f"{code.name}: {message}")


def _output_text(value: Any) -> str | list[str]:
    return [str(each) for each in value] if isinstance(value, list) else str(value)
