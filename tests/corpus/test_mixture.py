"""Every prefix holds every share to within a row; weights do what their names say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.core import Config, ConfigError
from groundup.corpus.mixture import (
    FillInTheMiddle,
    FillInTheMiddleConfig,
    MixtureConfig,
    SourceSchedule,
    _cap_shares,
    _move_middle,
    make_derived,
    mixture_weights,
    sequence_counts,
)
from groundup.documents import Record, SourceMap, from_batch, to_batch
from tests.corpus.dedup.shards import words

WEIGHTS = st.lists(st.floats(0.01, 100), min_size=1, max_size=12)
SIZES = {"web": 8000.0, "books": 1500.0, "code": 500.0}


@given(WEIGHTS, st.integers(50, 700))
@settings(max_examples=150)
def test_no_prefix_is_a_row_off(weights, length):
    turns = SourceSchedule(weights, length)
    drawn = np.eye(len(weights), dtype=np.int64)[turns.sources_at(np.arange(3 * length)).source]
    counts = np.cumsum(drawn, axis=0)
    exact = np.arange(1, 3 * length + 1)[:, None] * turns.counts / length
    assert np.abs(counts - exact).max() < 1 + 1e-9
    assert (counts[length - 1] == turns.counts).all()
    if min(weights) / sum(weights) * length >= 1:
        assert (
            np.abs(turns.counts / length - np.array(weights) / sum(weights)).max()
            <= 1 / length + 1e-12
        )


@given(WEIGHTS, st.lists(st.integers(0, 10**12), min_size=1, max_size=20))
@settings(max_examples=50)
def test_a_row_is_a_function_of_its_number(weights, rows):
    turns, again = SourceSchedule(weights, 200), SourceSchedule(weights, 200)
    for row in rows:
        one = turns.sources_at([row])
        assert one.source == again.sources_at(rows).source[rows.index(row)]
        base = row - row % 200
        counted = (turns.sources_at(np.arange(base, row)).source == one.source).sum()
        assert one.num_before == base // 200 * turns.counts[one.source] + counted


def test_ten_thousand_rows_are_the_same_for_any_workers_ranks_and_resume():
    turns = SourceSchedule([0.55, 0.25, 0.15, 0.05])
    whole = turns.sources_at(np.arange(10_000))
    for ranks in (1, 2, 8):
        for workers in (1, 4):
            seen = np.empty((2, 10_000), np.int64)
            for rank in range(ranks):
                for worker in range(workers):
                    mine = np.arange(10_000)[rank::ranks][worker::workers]
                    seen[:, mine] = SourceSchedule([0.55, 0.25, 0.15, 0.05]).sources_at(mine)
            np.testing.assert_array_equal(seen, whole)
    resumed = SourceSchedule([0.55, 0.25, 0.15, 0.05]).sources_at(np.arange(6_789, 10_000))
    np.testing.assert_array_equal(resumed, np.array(whole)[:, 6_789:])
    assert np.bincount(whole.source).tolist() == [5_500, 2_500, 1_500, 500]


def test_counts_and_their_errors():
    assert sequence_counts([1, 1e-30], 10).tolist() == [9, 1]
    for wrong in ([], [0.0, 1.0], [-1.0], [float("nan")], [float("inf")]):
        with pytest.raises(ConfigError, match="above 0"):
            sequence_counts(wrong)
    with pytest.raises(ConfigError, match="do not fit"):
        sequence_counts([1.0] * 11, 10)


def test_weights_by_size_temperature_and_hand():
    def of(budget=1_000.0, **given):
        return mixture_weights(MixtureConfig(**given), SIZES, budget)

    assert of() == pytest.approx({"web": 0.8, "books": 0.15, "code": 0.05})
    flat = of(temperature=5.0)
    assert 0.05 < flat["code"] < flat["books"] < flat["web"] < 0.8
    assert of(temperature=1e6)["code"] == pytest.approx(1 / 3, rel=1e-4)
    assert of(weights={"code": 2, "web": 1, "books": 1})["code"] == 0.5
    with pytest.raises(ConfigError, match="web"):
        of(weights={"code": 1})
    bucketed = mixture_weights(
        MixtureConfig(buckets={"high": 3, "low": 0.5}), {"web/high": 100, "web/low": 600}, 100
    )
    assert bucketed == pytest.approx({"web/high": 0.5, "web/low": 0.5})


def test_no_source_is_read_more_often_than_told():
    for how in ({"temperature": 100.0}, {"unimax": True}, {"weights": dict.fromkeys(SIZES, 1)}):
        shares = mixture_weights(MixtureConfig(max_epochs=2, **how), SIZES, 10_000)
        epochs = {name: shares[name] * 10_000 / SIZES[name] for name in SIZES}
        assert max(epochs.values()) <= 2 + 1e-9 and sum(shares.values()) == pytest.approx(1)
        assert epochs["code"] == pytest.approx(2) and epochs["books"] == pytest.approx(2)
    with pytest.raises(ConfigError, match="max_epochs"):
        mixture_weights(MixtureConfig(max_epochs=1), SIZES, 10_001)
    assert _cap_shares(np.array([0.5, 0.5]), np.array([0.5, 0.5])).tolist() == [0.5, 0.5]


MARKS = ("<P>", "<S>", "<M>")
HOSTILE = ["", "\0" * 99, "#\n" * 100_000, "a" * 1_000_000, "# a\n" * 50_000 + "x", "(" * 5_000]


def plain(text: str, name: str = "a", **metadata) -> Record:
    return Record(name, "s", name, "text", text, SourceMap.identity(text), (), metadata)


@given(st.text("abc\n"), st.integers(0, 99), st.integers(0, 99), st.booleans())
def test_a_moved_middle_can_be_put_back(text, one, other, is_spm):
    low, high = sorted(min(n, len(text)) for n in (one, other))
    made = _move_middle(text, low, high, MARKS, is_spm)
    if is_spm:
        suffix, rest = made.removeprefix("<P><S>").split("<M>")
        assert rest + suffix == text
    else:
        prefix, rest = made.removeprefix("<P>").split("<S>")
        suffix, middle = rest.split("<M>")
        assert prefix + middle + suffix == text


def test_half_the_records_have_a_middle_moved_in_either_order():
    step = FillInTheMiddle(FillInTheMiddleConfig(min_characters=3))
    records = [plain(words(n, 30), f"{n}") for n in range(400)]
    made = [one for record in records for one in step(record)]
    assert 160 < len(made) < 240 and made == [one for record in records for one in step(record)]
    orders = [one.metadata["fim"] for one in made]
    assert 0.35 < orders.count("spm") / len(orders) < 0.65
    assert all(one.metadata["synthetic"] == "fim" and one.metadata["parent"] for one in made)
    always = FillInTheMiddle(FillInTheMiddleConfig(rate=1))
    assert always(plain("x <|fim_middle|> " * 20)) == [] and always(plain("short")) == []


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts(text):
    for one in FillInTheMiddle(FillInTheMiddleConfig(rate=1))(plain(text)):
        assert one.metadata["parent"] == "a"


class Twice:
    """Doubles a text."""

    config = Config()

    def __call__(self, record):
        return [make_derived(record, record.text * 2, "twice", n) for n in range(2)]


def test_a_derived_record_keeps_the_licence_and_names_its_parent():
    found = Twice()(plain("né!", licence="MIT"))
    assert [one.metadata for one in found] == [
        {"licence": "MIT", "synthetic": "twice", "parent": "a"}
    ] * 2
    assert len({one.id for one in found}) == 2
    assert found[0].map.byte_range(0, 6) == found[0].map.byte_range(2, 3) == (0, 4)
    assert list(from_batch(to_batch(found))) == found
    assert make_derived(plain(""), "", "twice").map.text == ""
