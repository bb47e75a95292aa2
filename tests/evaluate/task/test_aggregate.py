"""Numbers of many samples: their estimates by hand, their intervals, and when there is none."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from groundup.core import DataError, Reason
from groundup.evaluate.task.aggregate import Mcc, aggregate
from groundup.evaluate.task.task import TaskMeasure
from groundup.measure import Interval


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
