"""Metrics of one sample by hand, a task's list of them, and their aggregation over many samples."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundup.core import ConfigError, DataError, Likelihood, Reason
from groundup.evaluate.task.aggregate import Mcc, aggregate
from groundup.evaluate.task.metrics import (
    ScoredOptions,
    TaskMetric,
    _is_equal,
    _strip_for_match,
    convert_value,
    correct_options,
    read_metric_list,
    score_generated,
    score_likelihood,
    score_options,
    score_rolling,
)
from groundup.evaluate.task.scoring import read_filters
from groundup.evaluate.task.settings import TaskSettings
from groundup.evaluate.task.task import RequestKind, TaskMeasure
from groundup.evaluate.task.yaml_files import TaskCode
from groundup.measure import Interval


def asked(*logs: float) -> list[Likelihood]:
    return [Likelihood(log, place == 0, 1) for place, log in enumerate(logs)]


def test_characters_and_bytes_are_different_lengths():
    texts = ["ü" * 4, "u" * 5]  # 4 characters in 8 bytes; 5 in 5
    found = score_options(
        ["acc", "acc_norm", "acc_bytes"], ScoredOptions(texts, asked(-4.0, -4.5), 1)
    )
    assert found == {"acc": 0.0, "acc_norm": 1.0, "acc_bytes": 0.0}


def test_mutual_information_takes_the_answers_own_likelihood_off():
    options = ScoredOptions(["a", "b"], asked(-1.0, -2.0, -0.5, -9.0), 1)
    found = score_options(["acc", "acc_mutual_info"], options)
    assert found == {"acc": 0.0, "acc_mutual_info": 1.0}


def test_of_equal_options_the_first_is_chosen():
    assert score_options(["acc"], ScoredOptions(["a", "b"], asked(-1.0, -1.0), 0)) == {"acc": 1.0}


def test_brier_of_even_chances():
    found = score_options(["brier_score"], ScoredOptions(["a", "b"], asked(-5.0, -5.0), 0))
    assert found["brier_score"] == pytest.approx(0.5)


def test_several_right_options():
    options = ScoredOptions(["a", "b", "c"], asked(-3.0, -1.0, -2.0), (1, 2))
    found = score_options(["acc", "exact_match", "mcc"], options)
    assert found == {"acc": 1.0, "exact_match": 0.0, "mcc": [1, 1]}


def test_an_option_without_characters_has_no_length_to_divide_by():
    found = score_options(["acc", "acc_norm"], ScoredOptions(["", "b"], asked(-1.0, -2.0), 0))
    assert found["acc"] == 1.0 and found["acc_norm"].code == "empty_option"


@pytest.mark.parametrize("gold", [2, -1, "maybe", None, [0, 5]])
def test_what_is_no_option_is_no_target(gold):
    found = correct_options(gold, ["yes", "no"])
    assert isinstance(found, Reason) and found.code == "target_out_of_range"


def test_one_continuation():
    found = score_likelihood(["acc", "perplexity"], Likelihood(-2.5, True, 3))
    assert found == {"acc": 1.0, "perplexity": [2.5, 1]}


def test_a_whole_text_in_words_and_bytes():
    names = ["word_perplexity", "byte_perplexity", "bits_per_byte"]
    found = score_rolling(names, Likelihood(-7.0, False, 4), "ça va\n bien")
    assert found == {
        "word_perplexity": [7.0, 3],
        "byte_perplexity": [7.0, 12],
        "bits_per_byte": [7.0, 12],
    }
    assert score_rolling(names, Likelihood(0.0, False, 0), "")["bits_per_byte"].code == "empty_text"


def test_what_is_ignored_is_gone_in_lm_evals_order():
    options = {"regexes_to_ignore": ["(?s).*#### ", ","], "ignore_case": True}
    assert _strip_for_match("So\n#### 1,250 KM", options) == "1250 km"
    assert _is_equal(
        "A1!", "a", {"ignore_case": True, "ignore_punctuation": True, "ignore_numbers": 1}
    )
    assert not _is_equal("a b", "ab", {"ignore_punctuation": True})


def test_answers_that_are_no_texts_are_compared_as_they_are():
    assert _is_equal(4, 4, {"ignore_case": True}) and not _is_equal(None, "none", {})


def test_several_answers_of_which_no_filter_chose_give_their_share():
    assert score_generated("exact_match", ["4", "5"], "4", {}) == 0.5
    assert score_generated("exact_match", ["4", "5"], ["5", "6"], {}) == 1.0
    assert score_generated("exact_match", "4", [], {}).code == "no_reference"
    assert score_generated("bleu", "a b", "a c", {}) == ["a c", "a b"]


def test_numbers_of_own_code_are_plain_and_finite():
    assert convert_value(np.float64(0.5), "mean") == 0.5
    assert convert_value((-6.0, 2), "perplexity") == [6.0, 2.0]
    assert convert_value(-6.0, "ratio") == [6.0, 1.0]
    assert convert_value(math.nan, "mean").code == "not_finite"
    assert convert_value([1], "mean").code == "no_number"
    assert convert_value((np.int64(1), "x"), "mine") == [1, "x"]


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
    assert found.measure("none", "").signature == "own.pass_rate@1|k:3|aggregation:own.add@2"


def test_options_and_filters_are_in_the_signature():
    entry = {"metric": "exact_match", "ignore_case": True, "regexes_to_ignore": [","]}
    pipeline = read_filters([{"name": "f", "filter": [{"function": "take_first"}]}], FILE)[0]
    measure = read(entry)[0].measure(pipeline.name, pipeline.signature)
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
        ({"metric": "exact_match", "ignore_cases": 1}, "no key `ignore_cases`"),
        ({"metric": "exact_match", "aggregation": "mode"}, "got 'mode', use mean"),
    ],
)
def test_wrong_entries_are_told(entry, said):
    with pytest.raises(ConfigError, match=said):
        read(entry)


def test_a_name_twice_is_told():
    with pytest.raises(ConfigError, match="'bleu' twice"):
        read({"metric": "bleu"}, {"metric": "bleu"})


def measured(
    aggregation: str, values: Sequence[Any], groups: Sequence[str] = (), unit: str = "x"
) -> Interval | Reason:
    measure = TaskMeasure("m", "none", "higher", unit, aggregation, "")
    return aggregate(measure, values, list(groups) or [""] * len(values))


def test_shares_never_have_an_interval_of_width_zero():
    found = measured("mean", [1.0] * 10)
    assert isinstance(found, Interval) and found.estimate == 1.0 and found.low < 0.8


def test_what_belongs_together_widens_the_interval():
    values = [1.0] * 20 + [0.0] * 20
    alone = measured("mean", values)
    grouped = measured("mean", values, [f"g{n // 10}" for n in range(40)])
    assert isinstance(alone, Interval) and isinstance(grouped, Interval)
    assert grouped.n == alone.n == 40 and (alone.groups, grouped.groups) == (40, 4)
    assert grouped.high - grouped.low > alone.high - alone.low


def test_an_empty_name_is_a_group_of_its_own():
    found = measured("mean", [0.5, 0.25, 1.0], ["", "", "a"])
    assert isinstance(found, Interval) and found.groups == 3


def test_a_share_stays_between_its_limits():
    found = measured("mean", [0.99, 1.0, 0.5, 1.0], unit="share")
    assert isinstance(found, Interval) and found.high <= 1.0


def test_perplexity_is_exp_of_nats_over_their_count():
    found = measured("perplexity", [[2.0, 1], [4.0, 2]])
    assert isinstance(found, Interval) and found.estimate == pytest.approx(math.e**2)
    huge = measured("perplexity", [[2000.0, 1], [4000.0, 1]])
    assert isinstance(huge, Reason) and huge.code == "overflow"


def test_nats_become_bits_where_the_unit_says_so():
    nats = measured("ratio", [[3.0, 4], [1.0, 4]])
    bits = measured("ratio", [[3.0, 4], [1.0, 4]], unit="bits per byte")
    assert isinstance(nats, Interval) and isinstance(bits, Interval)
    assert nats.estimate == 0.5 and bits.estimate == pytest.approx(0.5 / math.log(2))


def test_the_upper_median_occurs():
    found = measured("median", [4.0, 1.0, 3.0, 2.0])
    assert isinstance(found, Interval) and found.estimate == 3.0
    assert 1.0 <= found.low <= found.high <= 4.0


def test_f1_of_labels_however_written():
    pairs = [[1, 1], [1, 0], [0, 1], [0, 0], [1.0, 1.0], [True, False]]
    found = measured("f1", pairs)
    assert isinstance(found, Interval) and found.estimate == pytest.approx(2 * 2 / (4 + 3))
    assert measured("f1", [["yes", "no"], ["yes", "yes"]]).code == "not_binary"  # type: ignore


def test_mcc_is_pearsons_correlation_of_two_classes():
    pairs = [[1, 1], [1, 0], [0, 0], [0, 0], [1, 1], [0, 1], [0, 0]]
    found = measured("mcc", pairs)
    right, chosen = np.array(pairs).T
    assert isinstance(found, Interval)
    assert found.estimate == pytest.approx(np.corrcoef(right, chosen)[0, 1])
    assert Mcc(["a", "b", "c"]).from_counts([2, 0, 0, 0, 3, 0, 0, 0, 1]) == 1.0
    assert measured("mcc", [["a", "a"], ["a", "b"]]).estimate == 0.0  # type: ignore


def test_corpus_scores_are_not_means_of_sentences():
    pairs = [["the cat sat on the mat", "the cat sat on the mat"], ["go away now please", "no"]]
    found = measured("bleu", pairs)
    assert isinstance(found, Interval) and 0 < found.estimate < 100 and found.n == 2
    several = measured("chrf", [[["a cat", "the cat"], "the cat"], ["dogs", "dogs"]])
    assert isinstance(several, Interval) and several.estimate == pytest.approx(100)


def test_functions_of_the_tasks_own():
    measure = TaskMeasure("m", "none", "higher", "", "own", "")
    values = [["a", "bb"], ["c", "dddd"], ["e", "f"]]

    def longest(some: list[Any]) -> float:
        return max(len(each[1]) for each in some)

    found = aggregate(measure, values, [""] * 3, functions={"own": longest})
    assert isinstance(found, Interval) and found.estimate == 4
    failing = aggregate(measure, values, [""] * 3, functions={"own": lambda some: some[9]})
    assert isinstance(failing, Reason) and failing.code == "aggregation_failed"
    undefined = aggregate(measure, values, [""] * 3, functions={"own": lambda some: math.nan})
    assert isinstance(undefined, Reason) and undefined.code == "not_finite"


@pytest.mark.parametrize(
    ("aggregation", "values", "code"),
    [
        ("mean", [], "no_samples"),
        ("mean", [0.5], "too_few_groups"),
        ("ratio", [[1.0, 0], [0.0, 2]], "no_interval"),
        ("median", [1.0], "too_few_groups"),
        ("bleu", [["", ""], ["", ""]], "empty_reference"),
    ],
)
def test_what_has_no_interval_says_why(aggregation, values, code):
    found = measured(aggregation, values)
    assert isinstance(found, Reason) and found.code == code


def test_an_unknown_aggregation_names_the_known_ones():
    with pytest.raises(DataError, match="unknown aggregation 'mode'; use mean, ratio"):
        measured("mode", [1.0])
