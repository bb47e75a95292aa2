"""metric_list: completed from what is known, and errors that say what there is."""

from pathlib import Path
from typing import Any

import pytest

from groundup.core import ConfigError
from groundup.evaluate.task.code import TaskCode
from groundup.evaluate.task.filters import UNFILTERED, read_filters
from groundup.evaluate.task.metric_list import TaskMetric, read_metric_list
from groundup.evaluate.task.settings import TaskSettings
from groundup.evaluate.task.task import RequestKind

FILE = Path("t.yaml")
OWN = TaskCode("own.results", "0", lambda doc, results: {})


def read(
    *entries: dict[str, Any], kind: RequestKind = "generate_until", own: Any = None
) -> list[TaskMetric]:
    settings = TaskSettings(
        task="t", output_type=kind, metric_list=list(entries) or None, process_results=own
    )
    return list(read_metric_list(settings, FILE))


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("loglikelihood", ["perplexity", "acc"]),
        ("loglikelihood_rolling", ["word_perplexity", "byte_perplexity", "bits_per_byte"]),
        ("multiple_choice", ["acc", "acc_norm"]),
        ("generate_until", ["exact_match"]),
    ],
)
def test_what_is_measured_without_a_list(kind, names):
    assert [one.name for one in read(kind=kind)] == names


def test_what_is_left_out_is_known_by_the_name():
    bits = read({"metric": "bits_per_byte"}, kind="loglikelihood_rolling")[0]
    assert (bits.aggregation, bits.better, bits.unit) == ("ratio", "lower", "bits per byte")
    acc = read({"metric": "acc", "weight_by_size": True}, kind="multiple_choice")[0]
    assert (acc.aggregation, acc.better, acc.unit) == ("mean", "higher", "share")


def test_bypass_measures_nothing():
    assert read({"metric": "bypass"}) == []


def test_own_numbers_need_all_that_is_not_known():
    found = read(
        {"metric": "mine", "aggregation": "bits_per_byte", "higher_is_better": False}, own=OWN
    )[0]
    assert (found.aggregation, found.unit, found.better) == ("ratio", "bits per byte", "lower")
    with pytest.raises(ConfigError, match="mine needs an `aggregation`"):
        read({"metric": "mine"}, own=OWN)
    with pytest.raises(ConfigError, match="mine needs `higher_is_better"):
        read({"metric": "mine", "aggregation": "mean"}, own=OWN)


def test_own_metrics_and_aggregations():
    def pass_rate(references: list[str], predictions: list[str]) -> float:
        return 0.0

    metric, added = TaskCode("own.pass_rate", "1", pass_rate), TaskCode("own.add", "2", sum)
    entry = {"metric": metric, "aggregation": added, "higher_is_better": True, "k": 3}
    found = read(entry)[0]
    assert (found.name, found.aggregation, found.aggregation_code) == (
        "pass_rate",
        "own.add@2",
        added,
    )
    assert found.measure(UNFILTERED).signature == "own.pass_rate@1|k:3|aggregation:own.add@2"


def test_options_and_filters_are_in_the_signature():
    entry = {"metric": "exact_match", "ignore_case": True, "regexes_to_ignore": [","]}
    pipeline = read_filters([{"name": "f", "filter": [{"function": "take_first"}]}], FILE)[0]
    measure = read(entry)[0].measure(pipeline)
    assert measure.key == "exact_match,f"
    assert measure.signature == (
        "exact_match|ignore_case:True|regexes_to_ignore:[',']|aggregation:mean|"
        + pipeline.signature
    )


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"name": "acc"}, "needs `metric`"),
        ({"metric": "acc"}, "generate_until does not support the metric acc; use exact_match"),
        ({"metric": "exact_mach"}, "no metric `exact_mach` here; did you mean `exact_match`"),
        ({"metric": "rouge"}, "no metric `rouge`.*none are downloaded"),
        ({"metric": "exact_match", "ignore_cases": 1}, "no option `ignore_cases`"),
        ({"metric": "exact_match", "aggregation": "mode"}, "got 'mode', use mean"),
    ],
)
def test_wrong_entries_are_told(entry, said):
    with pytest.raises(ConfigError, match=said):
        read(entry)


def test_a_name_twice_is_told():
    with pytest.raises(ConfigError, match="'bleu' twice"):
        read({"metric": "bleu"}, {"metric": "bleu"})
