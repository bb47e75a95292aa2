"""A task file's `metric_list`, validated and completed: the metrics and their aggregations.

    metric_list:
      - metric: exact_match
        aggregation: mean
        higher_is_better: true
        ignore_case: true                 an option of the metric

With `process_results` the task's own function returns values by metric name, so any name is valid.
Metrics that lm-eval would download from a hub are rejected, with the most similar known name.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import ConfigError

from .code import TaskCode
from .filters import FilterPipeline
from .metrics import AGGREGATIONS, DEFAULT_METRICS, METRICS, MetricSpec
from .settings import TaskSettings
from .task import Better, TaskMeasure
from .yaml_files import did_you_mean

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

    def measure(self, pipeline: FilterPipeline) -> TaskMeasure:
        """The measure that is reported for one filter."""
        parts = [str(self.code or self.name)]
        parts += [f"{key}:{value}" for key, value in sorted(self.options.items())]
        parts += [f"aggregation:{self.aggregation}"]
        parts += [pipeline.signature] if pipeline.signature else []
        return TaskMeasure(
            self.name, pipeline.name, self.better, self.unit, self.aggregation, "|".join(parts)
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
    """Parse one entry of a metric_list."""
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
        _check_metric_options(name, options, known, file)
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
    """The metric of this name; ConfigError if the output_type does not support it."""
    supported = [n for n, known in METRICS.items() if settings.output_type in known.kinds]
    if name in supported:
        return METRICS[name]
    if name in METRICS:
        raise ConfigError(
            f"{file}: {settings.output_type} does not support the metric {name}; use "
            f"{', '.join(supported)}."
        )
    raise ConfigError(
        f"{file}: there is no metric `{name}` here{did_you_mean(name, METRICS) or '.'} Metrics of "
        f"{settings.output_type} are {', '.join(supported)}; none are downloaded from a hub."
    )


def _check_metric_options(
    name: str, options: Mapping[str, Any], known: MetricSpec, file: Path
) -> None:
    """Raise ConfigError for an unknown option of the metric."""
    for key in options:
        if key not in known.options:
            raise ConfigError(
                f"{file}: the metric {name} has no option `{key}`; it takes "
                f"{', '.join(known.options) or 'none'}."
            )


class Aggregation(NamedTuple):
    """An aggregation of values."""

    name: str
    function: TaskCode | None = None
    """The task's own function, if it is one."""


def _read_aggregation(
    entry: Mapping[str, Any], name: str, known: MetricSpec | None, file: Path
) -> Aggregation:
    """Map lm-eval's name to an aggregation, or take the task's own function."""
    requested = entry.get("aggregation", known.aggregation if known is not None else None)
    if isinstance(requested, TaskCode):
        return Aggregation(str(requested), requested)
    if requested not in AGGREGATIONS:
        raise ConfigError(
            f"{file}: the metric {name} needs an `aggregation`; got {requested or 'none'!r}, use "
            f"{', '.join(AGGREGATIONS)}."
        )
    return Aggregation(AGGREGATIONS[requested])


def _read_direction(
    entry: Mapping[str, Any], name: str, known: MetricSpec | None, file: Path
) -> Better:
    """The direction of improvement."""
    higher = entry.get("higher_is_better")
    if higher is None and known is None:
        raise ConfigError(f"{file}: the metric {name} needs `higher_is_better: true` or `false`.")
    if higher is None and known is not None:
        return known.better
    return "higher" if higher else "lower"
