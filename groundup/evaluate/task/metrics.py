"""Metrics of one sample, and a task file's `metric_list` of them with their aggregations.

    metric_list:
      - metric: exact_match
        aggregation: mean
        higher_is_better: true
        ignore_case: true                 an option of the metric

Names and formulas are lm-eval's (0.4.13). Where lm-eval gives a wrong or undefined value (an index
outside the options, an option without characters) there is a Reason here. `acc_norm` divides by
characters, `acc_bytes` by UTF-8 bytes. Values have the form that aggregate.py expects. With
`process_results` the task's own function returns values by name, so any name is valid. Metrics that
lm-eval would download are rejected, with the most similar known name.
"""

import re
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from groundup.core import ConfigError, Likelihood, Reason

from .data import to_json_values
from .settings import TaskSettings
from .task import Better, RequestKind, TaskMeasure, check_keys
from .yaml_files import TaskCode, did_you_mean


class MetricSpec(NamedTuple):
    """Properties of a built-in metric."""

    kinds: tuple[RequestKind, ...]
    better: Better
    aggregation: str
    """lm-eval's name; AGGREGATIONS maps it to one of aggregate.py."""
    unit: str = "share"
    options: tuple[str, ...] = ()


EXACT_MATCH_OPTIONS = ("regexes_to_ignore", "ignore_case", "ignore_punctuation", "ignore_numbers")
CHOICE_KINDS: tuple[RequestKind, ...] = ("multiple_choice",)
ROLLING_KINDS: tuple[RequestKind, ...] = ("loglikelihood_rolling",)
TEXT_KINDS: tuple[RequestKind, ...] = ("generate_until",)

METRICS: dict[str, MetricSpec] = {
    "acc": MetricSpec(("loglikelihood", "multiple_choice"), "higher", "mean"),
    "acc_norm": MetricSpec(CHOICE_KINDS, "higher", "mean"),
    "acc_bytes": MetricSpec(CHOICE_KINDS, "higher", "mean"),
    "acc_mutual_info": MetricSpec(CHOICE_KINDS, "higher", "mean"),
    "exact_match": MetricSpec(
        ("multiple_choice", "generate_until"), "higher", "mean", options=EXACT_MATCH_OPTIONS
    ),
    "brier_score": MetricSpec(CHOICE_KINDS, "lower", "mean", "squared error"),
    "f1": MetricSpec((*CHOICE_KINDS, "generate_until"), "higher", "f1", "F1"),
    "mcc": MetricSpec(
        (*CHOICE_KINDS, "generate_until"), "higher", "matthews_corrcoef", "correlation"
    ),
    "likelihood": MetricSpec(CHOICE_KINDS, "higher", "", "nats"),
    "perplexity": MetricSpec(("loglikelihood",), "lower", "perplexity", "perplexity of an answer"),
    "word_perplexity": MetricSpec(
        ROLLING_KINDS, "lower", "weighted_perplexity", "perplexity of a word"
    ),
    "byte_perplexity": MetricSpec(
        ROLLING_KINDS, "lower", "weighted_perplexity", "perplexity of a byte"
    ),
    "bits_per_byte": MetricSpec(ROLLING_KINDS, "lower", "bits_per_byte", "bits per byte"),
    "bleu": MetricSpec(TEXT_KINDS, "higher", "bleu", "BLEU"),
    "chrf": MetricSpec(TEXT_KINDS, "higher", "chrf", "chrF"),
    "chrf++": MetricSpec(TEXT_KINDS, "higher", "chrf++", "chrF++"),
    "ter": MetricSpec(TEXT_KINDS, "lower", "ter", "TER"),
}
DEFAULT_METRICS: dict[RequestKind, tuple[str, ...]] = {
    "loglikelihood": ("perplexity", "acc"),
    "loglikelihood_rolling": ("word_perplexity", "byte_perplexity", "bits_per_byte"),
    "multiple_choice": ("acc", "acc_norm"),
    "generate_until": ("exact_match",),
}
"""Metrics of a task without metric_list."""

AGGREGATIONS = {
    "mean": "mean",
    "nanmean": "mean",
    "perplexity": "perplexity",
    "weighted_perplexity": "perplexity",
    "bits_per_byte": "ratio",
    "median": "median",
    "f1": "f1",
    "matthews_corrcoef": "mcc",
    "bleu": "bleu",
    "chrf": "chrf",
    "chrf++": "chrf++",
    "ter": "ter",
    "brier_score": "mean",
}
"""lm-eval's aggregations to those of aggregate.py; nanmean is mean, as there is no NaN here."""

MetricValues = dict[str, Any]
"""Metric names to values, or to Reasons."""


class ScoredOptions(NamedTuple):
    """The options of one question with their likelihoods and the correct index."""

    texts: Sequence[str]
    likelihoods: Sequence[Likelihood]
    """One per option; then one per option without context, for acc_mutual_info."""
    gold: int | tuple[int, ...]
    """The correct index, or all correct ones."""


def correct_options(gold: Any, texts: Sequence[str]) -> int | tuple[int, ...] | Reason:
    """The index or indices of the correct options, given as numbers or as an option's text.

    >>> correct_options("no", ["yes", "no"]), correct_options([0, 1], ["yes", "no"])
    (1, (0, 1))
    >>> correct_options(-1, ["yes", "no"]).code
    'target_out_of_range'
    """
    if isinstance(gold, list):
        indices = [correct_options(each, texts) for each in gold]
        bad = next((each for each in indices if isinstance(each, Reason)), None)
        return bad or tuple(each for each in indices if isinstance(each, int))
    if isinstance(gold, str) and gold in texts:
        return list(texts).index(gold)
    if isinstance(gold, int) and 0 <= gold < len(texts):
        return int(gold)
    return Reason(
        "target_out_of_range", f"The correct option {gold!r} is not among the {len(texts)}."
    )


def score_options(names: Sequence[str], options: ScoredOptions) -> MetricValues:
    """The metrics of a multiple choice; those for a single correct option take the first.

    >>> asked = [Likelihood(-6.0, False, 3), Likelihood(-4.0, True, 1)]
    >>> score_options(["acc", "acc_norm"], ScoredOptions(["orange", "fig"], asked, 1))
    {'acc': 1.0, 'acc_norm': 0.0}
    """
    count = len(options.texts)
    logs = np.array([each.logprob for each in options.likelihoods])  # (options,) or (2 options,)
    logs, unconditional = logs[:count], logs[count:]
    right = (options.gold,) if isinstance(options.gold, int) else options.gold
    best = int(np.argmax(logs))

    def hit(scores: np.ndarray) -> float:
        return float(int(np.argmax(scores)) in right)

    def per(lengths: Sequence[int]) -> float | Reason:
        if 0 in lengths:
            return Reason("empty_option", "An option has no characters to divide by.")
        return hit(logs / np.array(lengths, dtype=np.float64))

    metrics: dict[str, Callable[[], Any]] = {
        "acc": lambda: hit(logs),
        "acc_norm": lambda: per([len(text) for text in options.texts]),
        "acc_bytes": lambda: per([len(text.encode()) for text in options.texts]),
        "acc_mutual_info": lambda: hit(logs - unconditional),
        "exact_match": lambda: float(any(options.likelihoods[index].is_greedy for index in right)),
        "brier_score": lambda: _brier_score(logs, right),
        "f1": lambda: [right[0], best],
        "mcc": lambda: [right[0], best],
        "likelihood": lambda: [right[0], logs.tolist()],
    }
    return {name: metrics[name]() for name in names}


def _brier_score(logs: np.ndarray, right: tuple[int, ...]) -> float:
    """Squared distance of the options' normalised probabilities from the one-hot target."""
    chances = np.exp(logs - logs.max())
    chances /= chances.sum()
    truth = np.zeros(len(logs))
    truth[right[0]] = 1.0
    return float(((chances - truth) ** 2).sum())


def score_likelihood(names: Sequence[str], likelihood: Likelihood) -> MetricValues:
    """The metrics of one continuation."""
    metrics = {"acc": float(likelihood.is_greedy), "perplexity": [-likelihood.logprob, 1]}
    return {name: metrics[name] for name in names}


def score_rolling(names: Sequence[str], likelihood: Likelihood, text: str) -> MetricValues:
    """The metrics of a complete text: nats and their divisor.

    >>> score_rolling(["word_perplexity"], Likelihood(-9.0, False, 3), "It is so")
    {'word_perplexity': [9.0, 3]}
    """
    size = len(text.encode())
    if not size:
        return dict.fromkeys(names, Reason("empty_text", "The text has no bytes to divide by."))
    words = len(re.split(r"\s+", text))
    return {
        name: [-likelihood.logprob, words if name == "word_perplexity" else size] for name in names
    }


def score_generated(name: str, answer: Any, gold: Any, options: Mapping[str, Any]) -> Any:
    """One metric of a generated answer: exact match, or the pair for a corpus metric.

    With several targets any match counts. Several answers without `take_first` give their share of
    exact matches.
    """
    if name != "exact_match":
        return [gold, answer]
    golds = gold if isinstance(gold, list) else [gold]
    answers = answer if isinstance(answer, list) else [answer]
    if not golds:
        return Reason("no_reference", "There is no target to compare with.")
    if not answers:
        return 0.0  # the filters removed all answers
    hits = [[_is_equal(said, right, options) for right in golds] for said in answers]
    if isinstance(gold, list):
        return float(any(any(row) for row in hits))
    return float(np.mean([row[0] for row in hits]))


def _is_equal(answer: Any, expected: Any, options: Mapping[str, Any]) -> bool:
    """Whether two answers are equal after the ignored parts are removed.

    >>> _is_equal("The Cat!", "the cat", {"ignore_case": True, "ignore_punctuation": True})
    True
    """
    if not isinstance(answer, str) or not isinstance(expected, str):
        return answer == expected
    return _strip_for_match(answer, options) == _strip_for_match(expected, options)


def _strip_for_match(text: str, options: Mapping[str, Any]) -> str:
    """Remove what exact_match ignores, in lm-eval's order."""
    for expression in options.get("regexes_to_ignore") or ():
        text = re.sub(expression, "", text)
    if options.get("ignore_case"):
        text = text.lower()
    ignored = string.punctuation if options.get("ignore_punctuation") else ""
    ignored += string.digits if options.get("ignore_numbers") else ""
    text = text.translate(str.maketrans("", "", ignored))
    return text.rstrip(
        "\0"
    )  # lm-eval compares NumPy's fixed-width strings, which drop trailing NULs


def convert_value(value: Any, aggregation: str) -> Any:
    """A value of a task's own code in the form that aggregate.py expects; Reason if invalid.

    Log-likelihoods, alone or with a weight, become nats as [total, weight].
    """
    value = to_json_values(value)
    try:
        if aggregation in ("perplexity", "ratio"):
            total, weight = value if isinstance(value, list) else (value, 1)
            return _finite_or_reason([-float(total), float(weight)])
        return _finite_or_reason(float(value)) if aggregation in ("mean", "median") else value
    except (TypeError, ValueError):
        return Reason("no_number", f"The task's code gave {str(value)[:60]!r}; expected a number.")


def _finite_or_reason(value: Any) -> Any:
    if np.isfinite(np.asarray(value, dtype=np.float64)).all():
        return value
    return Reason("not_finite", f"The value {value} is not finite.")


NON_OPTION_KEYS = ("metric", "aggregation", "higher_is_better", "hf_evaluate", "weight_by_size")
"""Keys that are not options of the metric; weight_by_size applies only to groups."""
UNITS_BY_AGGREGATION = {
    "ratio": "bits per byte",
    "perplexity": "perplexity",
    "bleu": "BLEU",
    "chrf": "chrF",
    "chrf++": "chrF++",
    "ter": "TER",
    "mcc": "correlation",
    "f1": "F1",
}
"""Units by aggregation, for metrics with unknown names."""


class TaskMetric(NamedTuple):
    """One entry of a metric_list."""

    name: str
    better: Better
    aggregation: str
    """A name of aggregate.py, or the task's own function."""
    unit: str
    options: Mapping[str, Any]
    code: TaskCode | None = None
    """The task's own metric."""
    aggregation_code: TaskCode | None = None
    """The task's own aggregation."""

    def measure(self, filter_name: str, filter_signature: str) -> TaskMeasure:
        """The measure that is reported for one filter."""
        parts = [str(self.code or self.name)]
        parts += [f"{key}:{value}" for key, value in sorted(self.options.items())]
        parts += [f"aggregation:{self.aggregation}"]
        parts += [filter_signature] if filter_signature else []
        return TaskMeasure(
            self.name, filter_name, self.better, self.unit, self.aggregation, "|".join(parts)
        )


def read_metric_list(settings: TaskSettings, file: Path) -> tuple[TaskMetric, ...]:
    """The metrics of a task; none for `bypass`, which only collects answers.

    Raises ConfigError naming the file, the metric and the alternatives.
    """
    entries = settings.metric_list
    if entries is None:
        entries = [{"metric": name} for name in DEFAULT_METRICS[settings.output_type]]
    entries = [entry for entry in entries if entry.get("metric") != "bypass"]
    measures = tuple(_read_metric(entry, settings, file) for entry in entries)
    names = [measure.name for measure in measures]
    if len(set(names)) < len(names):
        raise ConfigError(f"{file}: metric_list names {max(names, key=names.count)!r} twice.")
    return measures


def _read_metric(entry: Mapping[str, Any], settings: TaskSettings, file: Path) -> TaskMetric:
    metric = entry.get("metric")
    if not isinstance(metric, str | TaskCode):
        raise ConfigError(f"{file}: an entry of metric_list needs `metric`; got {entry}.")
    code = metric if isinstance(metric, TaskCode) else None
    name = metric.call.__name__ if isinstance(metric, TaskCode) else metric
    is_own = code is not None or settings.process_results is not None
    known = METRICS.get(name)
    if not is_own:
        known = _find_metric(name, settings, file)
    options = {key: value for key, value in entry.items() if key not in NON_OPTION_KEYS}
    if known is not None and not is_own:
        check_keys(options, known.options, f"{file}: the metric {name}")
    aggregation, function = _read_aggregation(entry, name, known, file)
    by_name = known is not None and AGGREGATIONS.get(known.aggregation) == aggregation
    unit = (
        known.unit if known is not None and by_name else UNITS_BY_AGGREGATION.get(aggregation, "")
    )
    better = _read_direction(entry, name, known, file)
    if settings.process_results is not None:
        options = {"by": str(settings.process_results)}
    return TaskMetric(name, better, aggregation, unit, options, code, function)


def _find_metric(name: str, settings: TaskSettings, file: Path) -> MetricSpec:
    supported = [n for n, known in METRICS.items() if settings.output_type in known.kinds]
    if name in supported:
        return METRICS[name]
    names = ", ".join(supported)
    if name in METRICS:
        raise ConfigError(
            f"{file}: {settings.output_type} does not support the metric {name}; use {names}."
        )
    raise ConfigError(
        f"{file}: there is no metric `{name}` here{did_you_mean(name, METRICS) or '.'} Metrics of "
        f"{settings.output_type} are {names}; none are downloaded from a hub."
    )


def _read_aggregation(
    entry: Mapping[str, Any], name: str, known: MetricSpec | None, file: Path
) -> tuple[str, TaskCode | None]:
    """Map lm-eval's name to an aggregation, or take the task's own function."""
    requested = entry.get("aggregation", known.aggregation if known is not None else None)
    if isinstance(requested, TaskCode):
        return str(requested), requested
    if requested not in AGGREGATIONS:
        raise ConfigError(
            f"{file}: the metric {name} needs an `aggregation`; got {requested or 'none'!r}, use "
            f"{', '.join(AGGREGATIONS)}."
        )
    return AGGREGATIONS[requested], None


def _read_direction(
    entry: Mapping[str, Any], name: str, known: MetricSpec | None, file: Path
) -> Better:
    higher = entry.get("higher_is_better")
    if higher is None and known is None:
        raise ConfigError(f"{file}: the metric {name} needs `higher_is_better: true` or `false`.")
    if higher is None and known is not None:
        return known.better
    return "higher" if higher else "lower"
