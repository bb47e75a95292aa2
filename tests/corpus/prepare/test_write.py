"""Splits by path, histograms by fixed bins, and what is derived is for training alone."""

import math
from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from groundup.core import Config
from groundup.corpus import split_paths
from groundup.corpus.prepare.write import (
    HasText,
    SplitSink,
    SplitSinkConfig,
    _bin_start,
    _count_numbers,
    _step_funnel,
    histograms,
)
from groundup.documents import Record, record_id


class DoubleConfig(Config):
    """None."""


class Double:
    """Makes a second record of each, and fails on some."""

    def __init__(self, config: DoubleConfig) -> None:
        self.config = config

    def __call__(self, record):
        if record.path == "7":
            raise ValueError("seven")
        name = f"{record.path}#double"
        return [replace(record, id=record_id(record.source, name), path=name)]


def records(count):
    return [Record(str(n), "s", str(n), "text", f"text {n}") for n in range(count)]


def test_records_go_where_the_split_of_paths_says():
    ending, counters = SplitSink(SplitSinkConfig(seed=3, test_share=0.2)), Counter()
    found = {r.path: split for one in records(500) for split, r in ending(one, counters)}
    wanted = split_paths([f"s/{n}" for n in range(500)], 0.05, 0.2, 3)
    assert found == {name.removeprefix("s/"): split for name, split in wanted.items()}
    assert sum(counters[f"split|{s}|documents"] for s in ("train", "validation", "test")) == 500


def test_what_is_derived_trains_and_its_failures_cost_nothing_else():
    use = ("01 double", f"{__name__}:Double", "{}", (), ())
    ending, counters = SplitSink(SplitSinkConfig(derive=(use,), test_share=0.3)), Counter()
    rows = [pair for one in records(100) for pair in ending(one, counters)]
    assert {split for split, r in rows if "#" in r.path} == {"train"}
    plain = {r.path for split, r in rows if split == "train" and "#" not in r.path}
    doubled = {r.path.removesuffix("#double") for _, r in rows if "#" in r.path}
    assert doubled == plain - {"7"}
    assert counters["01 double|record|failed: ValueError"] == ("7" in plain)


@given(st.floats(-1e300, 1e300))
def test_every_number_has_a_bin_that_begins_at_or_below_it(number):
    start = _bin_start(number)
    assert start <= number or math.isclose(start, number, abs_tol=1e-8)
    assert _bin_start(start) <= start or math.isclose(_bin_start(start), start, abs_tol=1e-8)


def test_numbers_are_counted_one_level_down_and_only_numbers():
    counters = Counter()
    _count_numbers({"a": 0.51, "b": {"c": 30, "d": True}, "e": "5", "f|g": 1}, counters)
    assert counters == {"number|a|0.5": 1, "number|b.c|20": 1}
    assert histograms(counters) == {"a": [(0.5, 1)], "b.c": [(20.0, 1)]}


def test_the_funnel_keeps_reasons_apart():
    counters = {"01 x|in": 3, "01 x|out": 2, "01 x|record|a|b": 1, "01 x|removed|ad": 4}
    assert _step_funnel(counters, ["00 read", "01 x"]) == [
        {"name": "01 x", "in": 3, "out": 2, "characters": 0, "grew": 0,
         "taken": {"record": {"a|b": 1}, "removed": {"ad": 4}}}
    ]  # fmt: skip


def test_what_has_no_text_is_no_document():
    step, one = HasText(Config()), records(1)[0]
    assert step(one).reason == "" and step(replace(one, text=" \n")).reason == "no text"
    assert step(replace(one, text="", data=b"x")).reason == "no step made text of it"
