"""A task file's `metric_list`, checked and completed: what is measured and how it is added up.

    metric_list:
      - metric: exact_match
        aggregation: mean
        higher_is_better: true
        ignore_case: true                 an option of the metric

With `process_results` the task's own function gives the values by the metrics' names, so any name
is good there. Names that lm-eval would fetch from a hub are refused with the nearest of ours.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import ConfigError

from .code import Code
from .files import nearest
from .filters import Pipeline
from .metrics import AGGREGATIONS, DEFAULTS, METRICS, Known
from .settings import TaskSettings
from .task import Better, Measure

STRUCTURE = ("metric", "aggregation", "higher_is_better", "hf_evaluate", "weight_by_size")
"""Keys that are no option of the metric; weight_by_size has a meaning in groups alone."""
UNITS = {"ratio": "bits per byte", "perplexity": "perplexity", "bleu": "BLEU", "chrf": "chrF",
         "chrf++": "chrF++", "ter": "TER", "mcc": "correlation", "f1": "F1"}  # fmt: skip
"""Units by aggregation, of measures that are not known by their name."""


class Measured(NamedTuple):
    """One entry of a metric_list."""

    name: str
    better: Better
    aggregation: str
    """Ours, or the name of the task's own function."""
    unit: str
    options: Mapping[str, Any]
    code: Code | None = None
    """The task's own metric."""
    function: Code | None = None
    """The task's own aggregation."""

    def measure(self, pipeline: Pipeline) -> Measure:
        """The number that is reported for one filter."""
        parts = [str(self.code or self.name)]
        parts += [f"{key}:{value}" for key, value in sorted(self.options.items())]
        parts += [f"aggregation:{self.aggregation}"]
        parts += [pipeline.signature] if pipeline.signature else []
        return Measure(
            self.name, pipeline.name, self.better, self.unit, self.aggregation, "|".join(parts)
        )


def read_measures(settings: TaskSettings, file: Path) -> tuple[Measured, ...]:
    """What a task measures; nothing for `bypass`, which only collects answers.

    Raises ConfigError naming the file, the metric and what there is instead.
    """
    entries = settings.metric_list
    if entries is None:
        entries = [{"metric": name} for name in DEFAULTS[settings.output_type]]
    found = [read_measure(entry, settings, file) for entry in entries if not is_bypass(entry)]
    names = [one.name for one in found]
    if len(set(names)) < len(names):
        raise ConfigError(f"{file}: metric_list names {max(names, key=names.count)!r} twice.")
    return tuple(found)


def is_bypass(entry: Mapping[str, Any]) -> bool:
    """Whether an entry says that nothing is measured."""
    return entry.get("metric") == "bypass"


def read_measure(entry: Mapping[str, Any], settings: TaskSettings, file: Path) -> Measured:
    """One entry of a metric_list."""
    metric = entry.get("metric")
    if not isinstance(metric, str | Code):
        raise ConfigError(f"{file}: each entry of metric_list needs `metric`; got {entry}.")
    code = metric if isinstance(metric, Code) else None
    name = metric.call.__name__ if isinstance(metric, Code) else metric
    is_own = code is not None or settings.process_results is not None
    known = METRICS.get(name)
    if not is_own:
        known = check_known(name, settings, file)
    options = {key: value for key, value in entry.items() if key not in STRUCTURE}
    if known is not None and not is_own:
        check_options(name, options, known, file)
    aggregation, function = read_aggregation(entry, name, known, file)
    by_name = known is not None and AGGREGATIONS.get(known.aggregation) == aggregation
    unit = known.unit if known is not None and by_name else UNITS.get(aggregation, "")
    better = read_better(entry, name, known, file)
    if settings.process_results is not None:
        options = {"by": str(settings.process_results)}
    return Measured(name, better, aggregation, unit, options, code, function)


def check_known(name: str, settings: TaskSettings, file: Path) -> Known:
    """The metric of this name, if it suits the kind of task."""
    suiting = [n for n, known in METRICS.items() if settings.output_type in known.kinds]
    if name in suiting:
        return METRICS[name]
    if name in METRICS:
        raise ConfigError(
            f"{file}: the metric {name} is none of {settings.output_type}; it has "
            f"{', '.join(suiting)}."
        )
    raise ConfigError(
        f"{file}: there is no metric `{name}` here{nearest(name, METRICS) or '.'} Metrics of "
        f"{settings.output_type} are {', '.join(suiting)}; what the package evaluate would fetch "
        "from a hub is not run."
    )


def check_options(name: str, options: Mapping[str, Any], known: Known, file: Path) -> None:
    """Raises ConfigError for an option that the metric does not take."""
    for key in options:
        if key not in known.options:
            raise ConfigError(
                f"{file}: the metric {name} has no option `{key}`; it takes "
                f"{', '.join(known.options) or 'none'}."
            )


class Aggregation(NamedTuple):
    """How values are added up."""

    name: str
    function: Code | None = None
    """If it is the task's own."""


def read_aggregation(
    entry: Mapping[str, Any], name: str, known: Known | None, file: Path
) -> Aggregation:
    """Ours for lm-eval's name, or the task's own function."""
    asked = entry.get("aggregation", known.aggregation if known is not None else None)
    if isinstance(asked, Code):
        return Aggregation(str(asked), asked)
    if asked not in AGGREGATIONS:
        raise ConfigError(
            f"{file}: the metric {name} needs an `aggregation`; got {asked or 'none'!r}, use "
            f"{', '.join(AGGREGATIONS)}."
        )
    return Aggregation(AGGREGATIONS[asked])


def read_better(entry: Mapping[str, Any], name: str, known: Known | None, file: Path) -> Better:
    """Which way is better."""
    given = entry.get("higher_is_better")
    if given is None and known is None:
        raise ConfigError(f"{file}: the metric {name} needs `higher_is_better: true` or `false`.")
    if given is None and known is not None:
        return known.better
    return "higher" if given else "lower"
